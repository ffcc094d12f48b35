"""Every model learns: its score tells digits apart, and its loss falls."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from small_models import FITTED, train
from torch import Tensor

import models
from models import base

# Small networks and large step sizes: there are only 90 images to train on.
LEARNS: dict[str, dict[str, Any]] = {
    "w_skipganomaly": {"lr": 1e-3, "ngf": 16, "ndf": 16},
    "skipganomaly": {"lr": 1e-3, "lr_discriminator": 1e-3, "ngf": 16, "ndf": 16},
    "ganomaly": {"lr": 1e-3, "ngf": 16, "ndf": 16},
    "anogan": {"lr": 2e-3, "n_critic": 2, "ngf": 16, "ndf": 16, "nz": 16}
    | {"starts": 64, "search_steps": 20},
    "f_anogan": {"lr": 2e-3, "lr_encoder": 1e-3, "n_critic": 2, "ngf": 16, "ndf": 16, "nz": 16},
    "egbad": {"lr": 1e-3, "ngf": 16, "ndf": 16, "nz": 32, "joint": 128},
    "autoencoder": {"width": 8, "nz": 16},
    "pca": {"components": 16},
    "deep_knn": {"samples": 100, "side": 48},
}


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's digits: images uint8 (1797, 1, 16, 16), and which are zeros (1797,)."""
    loaded = load_digits()
    images = torch.from_numpy(np.clip(loaded.images * 16, 0, 255)).byte()[:, None]
    enlarged = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return enlarged, torch.from_numpy(loaded.target == 0)


def learner(name: str, seed: int = 0) -> base.AnomalyModel:
    torch.manual_seed(seed)
    return models.create(name, (1, 16, 16), batch_size=16, **LEARNS.get(name, {}))


@functools.cache
def learned(name: str) -> base.AnomalyModel:
    """The model after its DIGITS_STEPS on the zeros among the first 900 digits.

    After 30 epochs, which take less, if it has an entry in LEARNS or no steps.
    """
    images, zero = digits()
    model, zeros = learner(name), images[:900][zero[:900]]
    if name in LEARNS or name in FITTED:
        train(model, zeros, epochs=30)
    else:
        model.train_epoch(zeros, torch.Generator().manual_seed(0), model.DIGITS_STEPS)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", models.NAMES)
def test_a_model_trained_on_zeros_scores_other_digits_higher(name):
    """AUROC above 0.8 on digits that were not in training."""
    images, zero = digits()
    assert roc_auc_score(~zero[900:1100], learned(name).score(images[900:1100])) > 0.8


@pytest.mark.parametrize("name", models.NAMES)
def test_the_loss_on_held_out_normal_images_falls_with_training(name):
    """It chooses where no anomaly is known: an untrained network must never have the lower loss."""
    images, zero = digits()
    held_out = images[900:1100][zero[900:1100]]

    def loss(model: base.AnomalyModel) -> float:
        return float(model.score_parts(held_out)[model.LOSS].mean())

    for seed in range(3):
        other = learner(name, seed)
        if name in FITTED:  # it cannot score before it is fitted, so fit it to everything but zeros
            train(other, images[:900][~zero[:900]], seed=seed)
        assert loss(learned(name)) < loss(other)
