"""Models trained as one come out as they would alone, within rounding."""

import pytest
import torch
from small_models import FITTED, NETWORKS, assert_same_to_the_bit, make, pictures, stored
from torch import Tensor

import models
from models.fused import Fused

SEEDS = (0, 1, 2)
SHAPE = (3, 32, 32)
IMAGES = [pictures(16 + seed, SHAPE, seed) for seed in SEEDS]  # of four a batch: as many batches, and rests left out


def several(name, **values):
    return [make(name, SHAPE, seed, **values) for seed in SEEDS]


def generators():
    return [torch.Generator().manual_seed(seed) for seed in SEEDS]


def weights(model) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.networks.parameters()])


@pytest.mark.parametrize(("precision", "rounding"), [("float32", 0.05), ("bfloat16", 0.5)])
@pytest.mark.parametrize("name", NETWORKS)
def test_models_trained_as_one_agree_with_each_alone(name, precision, rounding):
    """By their losses, and by where their weights went: Adam takes whole steps on gradients that are all rounding."""
    alone, together = several(name, precision=precision), several(name, precision=precision)
    before, streams, own_streams = [weights(model) for model in alone], generators(), generators()
    fused = Fused(together)
    for _ in range(2):
        found = fused.train_epoch(IMAGES, streams)
        expected = [model.train_epoch(i, g) for model, i, g in zip(alone, IMAGES, own_streams, strict=True)]
        for one, other in zip(found, expected, strict=True):
            assert one == pytest.approx(other, rel=rounding, abs=rounding / 10)
    moves = [weights(model) - start for model, start in zip(alone, before, strict=True)]
    for model, twin, start, move, next_move in zip(alone, together, before, moves, moves[1:] + moves[:1], strict=True):
        assert (weights(twin) - start - move).norm() < rounding * move.norm()
        assert (next_move - move).norm() > 0.9 * move.norm()  # the tolerance tells one model from another
        for statistic, own in zip(twin.networks.buffers(), model.networks.buffers(), strict=True):
            torch.testing.assert_close(statistic, own, rtol=rounding, atol=rounding / 10)
        assert twin.steps == model.steps == 8
        torch.testing.assert_close(twin.score(IMAGES[0]), model.score(IMAGES[0]), rtol=4 * rounding, atol=rounding)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_that_was_trained_as_one_goes_on_by_itself(name):
    together, streams = several(name), generators()
    Fused(together).train_epoch(IMAGES, streams)
    resumed = make(name, SHAPE, seed=7)
    resumed.restore(stored(together[1].checkpoint()))
    assert_same_to_the_bit(resumed.checkpoint(), together[1].checkpoint())
    for model in (resumed, together[1]):
        model.train_epoch(IMAGES[1], torch.Generator().manual_seed(5))
    assert_same_to_the_bit(resumed.checkpoint(), together[1].checkpoint())


def test_one_that_breaks_down_leaves_the_others_alone():
    together, whole = several("w_skipganomaly"), several("w_skipganomaly")
    for parameter in together[1].networks.parameters():
        parameter.data.fill_(torch.nan)
    found, expected = (Fused(models).train_epoch(IMAGES, generators()) for models in (together, whole))
    assert isinstance(found[1], FloatingPointError)
    assert "became nan" in str(found[1])
    for k in (0, 2):
        assert found[k] == expected[k]
        assert torch.equal(weights(together[k]), weights(whole[k]))


def test_models_that_cannot_train_as_one_are_refused():
    for name in FITTED:
        with pytest.raises(ValueError, match="does not train as one"):
            Fused([make(name), make(name)])
    for name in ("w_skipganomaly", "skipganomaly", "ganomaly"):
        with pytest.raises(ValueError, match="does not train as one"):
            Fused([make(name, **models.get(name).PUBLISHED) for _ in range(2)])
    with pytest.raises(ValueError, match="same class, configuration"):
        Fused([make("w_skipganomaly"), make("w_skipganomaly", w_con=3.0)])
    with pytest.raises(ValueError, match=r"shorter|longer"):
        Fused([make("w_skipganomaly") for _ in range(2)]).train_epoch([pictures(8), pictures(12)], generators()[:2])
