"""The self-supervised part of the Skip-GANomaly family: opponents that tell rotations."""

import pandas as pd
import pytest
import torch
from small_models import FAMILY, make, pictures, slow_except, train
from torch import Tensor

from bench.data.datasets import Dataset
from bench.data.pseudo_anomalies import pseudo_anomalies
from bench.judging import metrics
from bench.reporting.reproduce import warn_of_rotations
from models.losses import augmented


@pytest.fixture(scope="module")
def sevens(all_digits: Dataset) -> tuple[Tensor, Tensor]:
    """Those to train on and those to test: uint8 (N, 1, 16, 16)."""
    train, test = all_digits.train_labels == 7, all_digits.test_labels == 7
    images = all_digits.train_images[train], all_digits.test_images[test]
    return torch.from_numpy(images[0]), torch.from_numpy(images[1])


@pytest.mark.parametrize("name", slow_except(FAMILY, "w_skipganomaly"))
def test_turned_images_are_abnormal_to_an_opponent_that_tells_rotations(name: str, sevens):
    images, upright = sevens
    model = make(name, w_rot=1.0, batch_size=32, ndf=16, nz=32)
    losses = train(model, images, epochs=40)
    assert losses["rotation"] < 0.5, "chance is 1.39"
    turned = torch.rot90(upright, 1, dims=(2, 3))
    labels = [0] * len(upright) + [1] * len(turned)
    part = model.score_parts(torch.cat([upright, turned]))["rotation"]
    assert metrics.auroc(labels, part.numpy()) > 0.8


def test_a_batch_has_an_image_for_each_rotation():
    with pytest.raises(ValueError, match="w_rot: a batch of 3 has no image for each rotation"):
        make("skipganomaly", w_rot=1.0, batch_size=3)


@pytest.mark.parametrize("name", FAMILY)
def test_without_the_loss_the_paper_models_stay_what_they_are(name: str):
    model = make(name)
    assert "rotations" not in model.networks
    assert list(model.weights) == ["reconstruction", "latent"]
    assert set(model.score_parts(pictures(4))) == {"reconstruction", "latent"}
    weights = make(name, w_rot=1.0, score_rot=0.25, score_lat=0.2).weights
    assert weights == pytest.approx({"reconstruction": 0.6, "latent": 0.15, "rotation": 0.25})


def test_an_augmented_image_is_a_mirrored_or_shifted_one():
    images = pictures(64, (3, 16, 16)).float()
    rng = torch.Generator().manual_seed(0)
    out = augmented(images, rng)
    assert out.shape == images.shape
    middle = slice(4, 12)  # shifts are at most two pixels
    kinds = set()
    for before, after in zip(images, out, strict=True):
        matches = {
            (mirrored, dy, dx)
            for mirrored, source in ((False, before), (True, before.flip(2)))
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.equal(after[:, middle, middle], source[:, 4 + dy : 12 + dy, 4 + dx : 12 + dx])
        }
        assert matches
        kinds |= matches
    assert {mirrored for mirrored, _, _ in kinds} == {False, True}
    assert len({(dy, dx) for _, dy, dx in kinds}) > 10
    again = augmented(images, torch.Generator().manual_seed(0))
    assert torch.equal(out, again)


def test_a_row_of_a_search_of_rotations_cannot_be_made_again_by_itself(capsys):
    trials = pd.DataFrame({"model": ["skipganomaly"] * 2, "config_w_rot": [0.0, 1.0]})
    for row in trials.to_dict("records"):
        warn_of_rotations(trials, row)
    assert capsys.readouterr().err.count("val_pseudo_auroc, and what it chooses, may differ") == 1
    warn_of_rotations(trials[:1], trials.loc[0])
    warn_of_rotations(trials, {"model": "knn"})
    assert not capsys.readouterr().err


def test_rotations_do_not_choose_what_was_trained_on_them():
    image = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    anomalies = pseudo_anomalies(image.repeat(30, 1, 1, 1), 0, without_rotations=True)
    turned = [torch.rot90(image[0], turns, dims=(1, 2)) for turns in range(4)]
    assert not any(torch.equal(anomaly, one) for anomaly in anomalies for one in turned)
    with_them = pseudo_anomalies(image.repeat(30, 1, 1, 1), 0)
    assert any(torch.equal(anomaly, one) for anomaly in with_them for one in turned)
