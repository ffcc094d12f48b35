"""Small models of every kind, runs of them, images to train them on, comparisons of states."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import models
from bench.choices import outside
from bench.choices.tasks import SOUND, Protocol
from bench.data.images import ImageArray, IndexedImages
from bench.data.splits import Split
from bench.training.run import Run
from models import base
from models.images import Images

# Hyperparameters that make models small; each model takes those that it has.
SMALL: dict[str, Any] = {
    "batch_size": 4, "ngf": 4, "ndf": 4, "nz": 8, "joint": 16, "gan_steps": 5, "n_critic": 2,
    "starts": 16, "restarts": 2, "search_steps": 20, "search_patience": 2,
    "components": 5, "samples": 20, "width": 4, "neighbours": 3, "trees": 10, "tree_samples": 8,
    "side": 32,
}  # fmt: skip
NETWORKS = [name for name in models.NAMES if models.get(name).BATCHES]
FITTED = [name for name in models.NAMES if name not in NETWORKS]  # at once: no steps, no batches
FAMILY = ["skipganomaly", "w_skipganomaly"]  # whose scores can have further parts
# Each network by its defaults, and as its original was published.
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NETWORKS),
    *((name, values) for name in NETWORKS if (values := models.get(name).PUBLISHED)),
]
# Every further part of a score, and what else changes a training step.
ALL_PARTS = {"w_rot": 1.0, "augment": True, "average": 0.99, "score_near": 0.5, "w_class": 1.0}
WITH_ALL_PARTS = [(name, ALL_PARTS) for name in FAMILY]


def slow_except(names: list[str], *quick: str) -> list[Any]:
    """The names as parameters, marked slow except for `quick` and for models of one's own."""
    return [
        name
        if name in quick or f"models.{name}" in outside.FILES
        else pytest.param(name, marks=pytest.mark.slow)
        for name in names
    ]


def small(name: str, **values: Any) -> dict[str, Any]:
    """Hyperparameters that make the model small; `values` replace or add to them."""
    return {k: v for k, v in SMALL.items() if k in models.hyperparameters(name)} | values


def lineage(name: str) -> list[str]:
    """The model and those that it extends, by their files' names."""
    return [kind.__module__.removeprefix("models.") for kind in models.get(name).__mro__]


def make(
    name: str, shape: tuple[int, int, int] = (1, 16, 16), seed: int = 0, **values: Any
) -> base.AnomalyModel:
    """A small model with weights drawn from this seed, for images of shape (C, H, W)."""
    torch.manual_seed(seed)
    return models.create(name, shape, **small(name, **values))


def small_run(model: str, split: Split, protocol: Protocol = SOUND, **choices: Any) -> Run:
    """A run of the small model; `choices`: hyperparameters, and other arguments of Run."""
    known = models.hyperparameters(model).keys() & choices
    values = small(model, batch_size=16) | {name: choices.pop(name) for name in known}
    choices = {"seed": 1, "select_on": "val_auroc"} | choices
    return Run(model, split, protocol, hyperparameters=values, **choices)


def pictures(n: int, shape: tuple[int, int, int] = (1, 16, 16), seed: int = 0) -> Tensor:
    """Smooth random images: uint8 (n, C, H, W)."""
    coarse = torch.rand((n, shape[0], 4, 4), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear").mul(255).byte()


def with_classes(images: Tensor, count: int = 3) -> IndexedImages:
    """The images, uint8 (N, C, H, W), with the classes 0 to count - 1 in turn."""
    index = np.arange(len(images))
    return IndexedImages(ImageArray(images.numpy()), index, classes=index % count)


def train(
    model: base.AnomalyModel, images: Images, epochs: int = 1, seed: int = 0
) -> dict[str, float]:
    """Trains on images uint8 (N, C, H, W); returns the last epoch's losses."""
    generator = torch.Generator().manual_seed(seed)
    return [model.train_epoch(images, generator) for _ in range(epochs)][-1]


def differ(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two sets of named tensors differ by more than rounding."""
    if a.keys() != b.keys() or any(a[key].shape != b[key].shape for key in a):
        return True
    close = (torch.allclose(a[key].float(), b[key].float(), rtol=1e-4, atol=1e-7) for key in a)
    return not all(close)


def stored(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint, saved and loaded again (weights_only: a file that needs code is refused)."""
    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """The tensors and plain values of a nested checkpoint, by their paths."""
    if isinstance(tree, dict):
        branches = (leaves(value, f"{path}/{key}") for key, value in tree.items())
        return {name: leaf for branch in branches for name, leaf in branch.items()}
    if isinstance(tree, list | tuple):
        return leaves(dict(enumerate(tree)), path)
    return {path: tree}


def assert_same_to_the_bit(a: Any, b: Any) -> None:
    """Fails with the path of the first tensor or value in which two checkpoints differ."""
    left, right = leaves(a), leaves(b)
    assert left.keys() == right.keys()
    for path, value in left.items():
        other = right[path]
        assert torch.equal(value, other) if isinstance(value, Tensor) else value == other, path
