"""The contract of every model: one suite over `models.NAMES`."""

import dataclasses
import functools
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import (
    FITTED,
    NETWORKS,
    assert_same_to_the_bit,
    differ,
    lineage,
    make,
    pictures,
    stored,
    train,
    with_classes,
)
from torch import Tensor

import models
from models import base, fields

# Hyperparameters that matter only with another one at a certain value.
NEEDS = {
    # the restart comes when the loss falls under 1e-5
    ("w_skipganomaly", "restart_critic"): {"w_gp": 0.0},
    ("skipganomaly", "restart_discriminator"): {"lr_discriminator": 1.0},
    ("ganomaly", "restart_discriminator"): {"lr_discriminator": 1.0},
    # the search makes progress only where the generator draws more than grey
    ("anogan", "restarts"): {"lr": 0.01, "ngf": 16},
    ("anogan", "search_gain"): {"lr": 0.01, "ngf": 16},
    ("anogan", "search_steps"): {"lr": 0.01, "ngf": 16, "search_steps": 4},
    ("skipganomaly", "score_rot"): {"w_rot": 1.0},
    ("w_skipganomaly", "score_rot"): {"w_rot": 1.0},
    ("skipganomaly", "score_class"): {"w_class": 1.0},
    ("w_skipganomaly", "score_class"): {"w_class": 1.0},
    # with tiny steps, the average is where the weights are
    ("f_anogan", "average"): {"lr": 0.01},
    # features have no cross-entropy
    ("egbad", "judge_reconstruction"): {"feature_matching": False},
}


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 16, 16), (3, 32, 32)], ids=str)
@pytest.mark.parametrize("name", models.NAMES)
def test_training_and_scoring_give_finite_numbers_of_the_promised_types(name, shape):
    model, images = make(name, shape), pictures(9, shape)
    losses = train(model, images)
    assert all(type(loss) is float and math.isfinite(loss) for loss in losses.values())
    scores, parts = model.score(images), model.score_parts(images)
    for score in (scores, *parts.values()):
        assert score.shape == (9,)
        assert score.dtype == torch.float32
        assert score.device.type == "cpu"
        assert score.isfinite().all()
    assert torch.equal(scores, model.combine(parts))
    reconstruction = model.reconstruct(model.normalise(images))
    if reconstruction is not None:
        assert reconstruction.shape == images.shape
        assert reconstruction.dtype == torch.float32
        assert reconstruction.abs().max() <= 1.5


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(2, 16, 16), (1, 16, 1025), (1, 8, 8)], ids=str)
def test_image_shapes_that_do_not_fit_are_refused(name, shape):
    with pytest.raises(ValueError, match="image"):
        make(name, shape)


@pytest.mark.parametrize("name", models.NAMES)
def test_scores_do_not_depend_on_the_size_order_or_rest_of_the_batch(name, monkeypatch):
    model, images = make(name), pictures(20)
    train(model, images)
    together = model.score_parts(images)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    shuffled = model.score_parts(images[order])
    alone = [model.score_parts(images[i : i + 1]) for i in range(3)]
    monkeypatch.setattr(base, "SCORING_BATCH", {"cpu": 7})
    in_sevens = model.score_parts(images)
    for key, part in together.items():
        torch.testing.assert_close(shuffled[key], part[order], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(in_sevens[key], part, rtol=1e-4, atol=1e-6)
        first = torch.cat([one[key] for one in alone])
        torch.testing.assert_close(first, part[:3], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", [None, 5])
@pytest.mark.parametrize("name", models.NAMES)
def test_scoring_leaves_the_model_as_it_is(name, mode):
    model, images = make(name), pictures(12)
    train(model, images)
    before = stored(model.checkpoint())
    random = torch.get_rng_state()
    model.score_parts(images, training_mode_batch=mode)
    model.reconstructions(images)
    assert_same_to_the_bit(before, model.checkpoint())
    assert torch.equal(random, torch.get_rng_state())
    assert all(module.training for module in model.networks.modules())


@pytest.mark.parametrize("name", models.NAMES)
def test_training_continues_to_the_bit_from_a_checkpoint(name):
    images = pictures(12)
    whole = make(name)
    train(whole, images)
    checkpoint = stored(whole.checkpoint())
    train(whole, images, seed=1)
    resumed = make(name, seed=5)
    resumed.restore(checkpoint)
    train(resumed, images, seed=1)
    assert_same_to_the_bit(whole.checkpoint(), resumed.checkpoint())
    assert torch.equal(whole.score(images), resumed.score(images))


@pytest.mark.parametrize("name", models.NAMES)
def test_generator_steps_count_the_updates_of_the_generator(name, monkeypatch):
    # Where f-AnoGAN's GAN is frozen, its encoder's steps count in the same turns.
    whole = {"gan_steps": 100} if "f_anogan" in lineage(name) else {}
    model, images, updates = make(name, **whole), pictures(24), 0
    own = model.networks
    if "egbad" not in lineage(name) and "generator" in model.networks:
        own = model.networks["generator"]
    take_step = model.train_step

    def counting(x, rng):
        nonlocal updates
        before = [weights.clone() for weights in own.parameters()]
        losses = take_step(x, rng)
        now = own.parameters()
        updates += any(not torch.equal(a, b) for a, b in zip(before, now, strict=True))
        return losses

    monkeypatch.setattr(model, "train_step", counting)
    train(model, images, epochs=2)
    assert model.generator_steps == updates
    assert model.images_seen(images) == (2 * len(images) if name in NETWORKS else 20)
    assert (updates > 0) == (name in NETWORKS)


@pytest.mark.parametrize("name", models.NAMES)
def test_a_seed_decides_weights_and_scores_to_the_bit(name):
    images = pictures(24)
    runs = [make(name, seed=seed) for seed in (0, 0, 1)]
    for model, seed in zip(runs, (0, 0, 1), strict=True):
        train(model, images, seed=seed)
    assert_same_to_the_bit(runs[0].checkpoint(), runs[1].checkpoint())
    assert torch.equal(runs[0].score(images), runs[1].score(images))
    assert not torch.equal(runs[0].score(images), runs[2].score(images))


def changed(kind: type, value: Any) -> Any:
    """Another value of the hyperparameter, which is valid too."""
    if kind is bool:
        return not value
    return value * 2 if kind is int else value / 2 if value else 0.5


@functools.cache
def outcome(name: str, values: tuple[tuple[str, Any], ...]) -> dict[str, Tensor]:
    """The weights and scores of a small model after two epochs of six steps."""
    model = make(name, **dict(values))
    train(model, with_classes(pictures(24)), epochs=2)
    scores = model.score(pictures(24, seed=1))
    return {"scores": scores} | {f"networks/{k}": v for k, v in model.networks.state_dict().items()}


FIELDS = [
    (name, field.name)
    for name in models.NAMES
    for field in dataclasses.fields(models.get(name).Config)
    if not (name in FITTED and field.name in ("batch_size", "average")) and field.type is not str
]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_every_hyperparameter_changes_weights_or_scores(name, field):
    needs = next((NEEDS[own, field] for own in lineage(name) if (own, field) in NEEDS), {})
    config = make(name, **needs).config
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    other = values | {field: changed(type(values[field]), values[field])}
    outcomes = (outcome(name, tuple(chosen.items())) for chosen in (values, other))
    assert differ(*outcomes), f"{values[field]} and {other[field]} train the same"


@pytest.mark.parametrize("name", FITTED)
def test_weights_that_are_not_trained_have_no_average(name):
    """Nothing would ever update it, so it would be of the first, random weights."""
    once, averaged = outcome(name, ()), outcome(name, (("average", 0.9),))
    assert_same_to_the_bit(once, averaged)


@pytest.mark.parametrize("field", ["w_adv", "w_lat"])
def test_two_weights_of_the_published_skip_wganomaly_have_no_effect(field):
    published = models.get("w_skipganomaly").PUBLISHED
    settings = [tuple((published | {field: weight}).items()) for weight in (1.0, 100.0)]
    once, hundredfold = (outcome("w_skipganomaly", values) for values in settings)
    assert_same_to_the_bit(once, hundredfold)


@pytest.mark.parametrize("name", models.NAMES)
def test_hyperparameters_have_help_and_bad_values_are_refused(name):
    config = models.get(name).Config
    known = models.hyperparameters(name)
    assert [(f.name, f.type, f.default) for f in dataclasses.fields(config)] == [
        (key, kind, default) for key, (kind, default, _) in known.items()
    ]
    assert set(models.get(name).PUBLISHED) <= set(known)
    for key, (kind, _, text) in known.items():
        assert kind in (int, float, bool, str), key
        assert len(text) > 10, f"{key}: its comment, which --help shows, explains little: {text}"
    with pytest.raises(ValueError, match="no hyperparameter 'width_of_nothing'"):
        config.make({"width_of_nothing": 1})
    for field, (kind, default, _) in known.items():
        assert config.make({field: str(default) if kind is not bool else default}) == config()
        invalid: dict[type, list[Any]] = {
            bool: ["False", 2],
            int: [0, -1, 2.7, "many"],
            float: [-1.0, math.nan, math.inf, "much"],
            str: ["no-such-thing"],
        }
        for value in invalid[kind] + ([1.0] if field.startswith("beta") else []):
            with pytest.raises(ValueError):  # noqa: PT011 (int("many") has its own message)
                models.get(name).fetch(config.make({field: value}))


@pytest.mark.parametrize("name", models.NAMES)
def test_images_of_a_wrong_type_or_shape_are_refused(name):
    model = make(name)
    train(model, pictures(8))
    nan, grey, colour = torch.full((8, 1, 16, 16), math.nan), pictures(8), pictures(8, (3, 16, 16))
    for images in (nan, grey.float(), grey.numpy(), grey[:0], grey[0], colour):
        with pytest.raises(ValueError, match="images must"):
            model.score(images)
        with pytest.raises(ValueError, match="images must"):
            train(model, images)


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_and_losses_that_are_not_finite_raise_an_error(name):
    model = make(name)
    for parameter in model.networks.parameters():
        parameter.data.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="scores are not finite"):
        model.score(pictures(4))
    with pytest.raises(FloatingPointError, match=r"the loss '.*' became nan"):
        train(model, pictures(8))


def test_a_name_without_a_file_is_refused():
    with pytest.raises(KeyError, match="no model 'nothing'"):
        models.get("nothing")
    assert {"w_skipganomaly", "skipganomaly"} <= set(models.NAMES)


@pytest.mark.parametrize("name", models.NAMES)
def test_constants_are_read_from_the_text_as_python_has_them(name):
    for constant in ("ANY_SIZE", "BATCHES", "FAMILY"):
        assert fields.constant(name, constant) == getattr(models.get(name), constant)
    assert fields.constant(name, "NO_SUCH_CONSTANT") is None
    assert fields.constant("networks", "ANY_SIZE", "InstanceNorm") is None, "torch's class"


def test_a_file_that_defines_model_is_a_model_and_torch_is_not_loaded_to_tell(tmp_path):
    folder = tmp_path / "models"
    own = Path(models.__file__).parent
    shutil.copytree(own, folder, ignore=shutil.ignore_patterns("__pycache__"))
    source = (folder / "w_skipganomaly.py").read_text().replace("lr_critic", "lr_of_mine")
    (folder / "mine.py").write_text(source)
    (folder / "shared_by_mine.py").write_text('"""Has no model."""\nclass ModelParts:\n    pass\n')
    (folder / ".#mine.py").symlink_to("an editor's lock, which is no file")
    code = "import sys, models; print(*models.NAMES, *models.hyperparameters('mine')); "
    code += "assert 'torch' not in sys.modules"
    output = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True)
    expected = " ".join(models.hyperparameters("w_skipganomaly")).replace("lr_critic", "lr_of_mine")
    assert output.split() == [*sorted([*models.NAMES, "mine"]), *expected.split()]


@pytest.mark.parametrize("name", models.NAMES)
def test_families_are_those_that_tables_know(name):
    """A model that knows more than normal images must say so: tables put it apart."""
    assert models.get(name).FAMILY in base.FAMILIES
    assert name not in FITTED or models.get(name).FAMILY != "GAN"


def test_what_a_data_set_has_for_one_model_wins_over_what_it_has_for_all():
    suited = {"autoencoder.nz": 8, "nz": 100, "ndf": 4}
    assert models.starting_values("autoencoder", suited, published=False) == {"nz": 8}
    assert models.starting_values("ganomaly", suited, published=False) == {"nz": 100, "ndf": 4}
