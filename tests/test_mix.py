"""How a score weighs its parts: standardised, by a weight that validation images choose."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import NETWORKS, make, pictures, slow_except, small_run, train

from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import ONE_CLASS, SOUND, Budget, Task, protocol_of
from bench.data.datasets import Dataset
from bench.data.splits import Split, make_split
from bench.judging import metrics
from bench.results import columns
from bench.training import model_files
from bench.training.run import Run
from models.mix import COARSE, Mix, standardised, weightings

MIXED = [name for name in NETWORKS if make(name).weights]
NUMBERS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20)


@given(first=NUMBERS, scale=st.floats(1e-3, 1e3), share=st.floats(0, 1))
def test_the_units_of_a_part_change_no_order(first: list[float], scale: float, share: float):
    a = torch.tensor(first, dtype=torch.float64)
    b = a.flip(0)
    normal = {"a": a, "b": b}
    scaled = {"a": a, "b": b * scale + 3}
    weights = {"a": 1 - share, "b": share}
    mix, other = (standardised(weights, parts) for parts in (normal, scaled))
    if a.std(correction=0) > 1e-3:
        torch.testing.assert_close(mix(normal), other(scaled), rtol=1e-4, atol=1e-4)


def test_a_part_that_is_always_the_same_counts_for_nothing():
    parts = {"a": torch.arange(4.0), "b": torch.full((4,), 7.0)}
    mix = standardised({"a": 0.5, "b": 0.5}, parts)
    assert mix.spreads[1] == 1
    assert mix(parts).argsort().tolist() == [0, 1, 2, 3]


def test_the_best_weights_are_the_nearest_of_equals():
    mix = Mix("ab", (0.7, 0.3), (0, 0), (1, 1))
    assert mix.best(lambda tried: 1.0).weights == [0.7, 0.3], "nothing to gain: the default stays"
    best = mix.best(lambda tried: -abs(tried.weights[1] - 0.66))
    assert best.weights == pytest.approx([0.35, 0.65])
    best = mix.best(lambda tried: float(tried.weights[1] >= 0.5))
    assert best.weights == pytest.approx([0.5, 0.5])
    assert mix.best(lambda tried: tried.weights[1]).weights == [0, 1]


@pytest.mark.parametrize("weights", [(1.0, 0.3), (2.0, -1.0)])
def test_weights_are_shares(weights: tuple[float, float]):
    parts = {"one": torch.rand(4), "other": torch.rand(4)}
    with pytest.raises(ValueError, match="must be 0 or more, and add up to 1"):
        standardised(dict(zip(parts, weights, strict=True)), parts)


@pytest.mark.parametrize("shape", [(4, 1), (4, 2, 2), (8,), ()])
def test_a_part_of_a_score_is_one_number_an_image(shape: tuple[int, ...]):
    model = make("autoencoder")
    model.parts = lambda x: {"own": torch.zeros(shape)}
    with pytest.raises(ValueError, match="parts: own must be one number an image"):
        model.score(pictures(4))


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_weightings_add_up_to_1_and_are_all_there(parts: int):
    grid = [tuple(weights) for weights in weightings(parts, COARSE, COARSE)]
    assert len(grid) == len(set(grid)) == math.comb(COARSE + parts - 1, parts - 1)
    assert all(sum(weights) == pytest.approx(1) and min(weights) >= 0 for weights in grid)


@pytest.mark.parametrize("model", MIXED)
def test_the_weights_of_a_score_are_those_of_its_parts(model: str):
    trained, images = make(model), pictures(8)
    train(trained, images)
    assert set(trained.weights) <= set(trained.score_parts(images))
    assert sum(trained.weights.values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def split(all_digits: Dataset) -> Split:
    return make_split(all_digits.limit(600, 200), Task(ONE_CLASS, "3"), SOUND, seed=0)


def run_of(model: str, split: Split, mix: str, select_on: str = "val_auroc") -> Run:
    protocol, few = dataclasses.replace(SOUND, mix=mix), Budget(1, 3)
    return small_run(model, split, protocol, select_on=select_on, final=True, budget=few)


def test_configurations_with_and_without_rotations_are_judged_by_the_same_anomalies(split: Split):
    def judged_by(**choices: Any) -> torch.Tensor:
        run = small_run("skipganomaly", split, select_on="pseudo_auroc", **choices)
        return run.pseudo.images[:]

    searched = judged_by(w_rot=1.0, learns_rotations=True)
    assert torch.equal(searched, judged_by(w_rot=1.0))
    assert torch.equal(searched, judged_by(learns_rotations=True))
    assert not torch.equal(searched, judged_by()), "alone, it can be judged by rotations too"


@pytest.mark.parametrize("model", slow_except(MIXED, "w_skipganomaly", "f_anogan"))
def test_validation_images_choose_the_weight_and_the_test_never_does(model: str, split: Split):
    raw, default, chosen = (run_of(model, split, mix) for mix in ("raw", "standardised", "chosen"))
    records = [run.step() for run in (raw, default, chosen)]
    assert raw.model.mix is None
    own = default.model.weights
    assert dict(zip(own, default.model.mix.weights, strict=True)) == own
    assert {name: records[1][f"mix_{name}"] for name in own} == own
    assert sum(own.values()) == pytest.approx(1)
    assert records[2]["val_auroc"] >= records[1]["val_auroc"]
    # The parts are the same: only their weights differ.
    for name, part in raw.best_parts.items():
        assert name == "score" or torch.equal(part, chosen.best_parts[name])
    assert records[2]["test_default_mix_auroc"] == pytest.approx(records[1]["test_auroc"])
    val = split.val
    normal = chosen.val_parts[next(iter(own))][torch.from_numpy(val.labels == 0)]
    assert chosen.model.mix.means[0] == pytest.approx(float(normal.mean()), rel=1e-5)
    scores = chosen.test_scores()
    assert metrics.auroc(scores["labels"], scores["scores"]) == records[2]["test_auroc"]
    row = columns.of_chosen_epoch(chosen.best, 1)
    assert {*(f"mix_{name}" for name in own), "test_default_mix_auroc"} <= set(row)


@pytest.mark.parametrize("select_on", ["val_loss", "last_epoch"])
def test_signals_that_see_no_scores_leave_the_weight_alone(split: Split, select_on: str):
    run = run_of("w_skipganomaly", split, "chosen", select_on)
    assert run.step()["mix_latent"] == run.model.weights["latent"]


@pytest.mark.parametrize("model", slow_except(MIXED, "w_skipganomaly", "f_anogan"))
def test_a_loaded_model_scores_with_the_chosen_weight(model: str, split: Split, tmp_path):
    run = run_of(model, split, "chosen")
    run.step()
    run.model.mix = dataclasses.replace(run.model.mix, weights=[0.65, 0.35])
    state = model_files.trained_state(run.model)
    path = tmp_path / "model.safetensors"
    path.write_bytes(model_files.packed(model, run.model, state, {}))
    loaded, _ = model_files.load(path)
    assert loaded.mix.weights == [0.65, 0.35]
    images = split.test.images[:8]
    assert torch.equal(loaded.score(images), run.model.score(images))


def test_the_weights_of_a_loaded_model_end_with_its_protocol(split: Split):
    """Under a protocol that sums raw parts, further training scores by the raw sum."""
    run = run_of("skipganomaly", split, "chosen")
    run.step()
    protocol = dataclasses.replace(SOUND, mix="raw", selection="test")
    alone = dataclasses.replace(split, val=None)
    further = small_run("skipganomaly", alone, protocol)
    further.model.restore(model_files.trained_state(run.model))
    record = further.step()
    assert further.model.mix is None
    assert "test_default_mix_auroc" not in record


def test_a_study_that_selects_on_the_test_has_nothing_to_standardise_by():
    with pytest.raises(UserError, match=r"--mix chosen: .* leaves none"):
        protocol_of(Study(selection="test", mix="chosen"))
