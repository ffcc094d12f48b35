"""A model, a data set and a search space in files outside the repository, as users write them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ROOT

import models
from bench.choices import outside

MODEL = (ROOT / "docs" / "examples" / "denoising_autoencoder.py").read_text()
DATASET = """
import numpy as np
from sklearn.datasets import load_digits

from bench.data.datasets import Dataset

CLASSES = tuple("0123456789")
DEFAULTS = {"batch_size": 8}


def load(root):
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 1, 8, 8)[:, :, ::-1] * 15).astype(np.uint8)
    labels = labels.astype(np.int64)
    return Dataset("digits", CLASSES, images[:900], labels[:900], images[900:], labels[900:])
"""
SPACE = """
from optuna.distributions import CategoricalDistribution, FloatDistribution

SPACE = {"noise": FloatDistribution(0.1, 0.5)}
"""
FILES = {"mine.py": MODEL, "flipped.py": DATASET, "narrow.py": SPACE}
TINY = ["--normal_class", "8", "--limit_train", "200", "--limit_test", "60", "--steps", "4"]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: mine.py (the example), flipped.py (digits), narrow.py (its space)."""
    folder = tmp_path / "own"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Forgets, after each test, the files outside that a command read, as if its process ended."""
    names, files = models.NAMES[:], outside.FILES.copy()
    yield
    models.NAMES[:] = names
    for module in outside.FILES.keys() - files.keys():
        del outside.FILES[module]
        sys.modules.pop(module, None)
