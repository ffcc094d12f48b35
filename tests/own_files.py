"""A model, a data set and a search space in files outside the repository, as a user would write them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import models
from bench.choices import outside

ROOT = Path(__file__).resolve().parents[1]
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
from optuna.distributions import FloatDistribution

SPACE = {"noise": FloatDistribution(0.1, 0.5)}
"""
FILES = {"mine.py": MODEL, "flipped.py": DATASET, "narrow.py": SPACE}
TINY = ["--normal_class", "8", "--limit_train", "200", "--limit_test", "60", "--steps", "4"]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory: mine.py (the example), flipped.py (digits), narrow.py (its space).

    What a command read is gone afterwards, as when its process ends.
    """
    folder, names = tmp_path / "own", models.NAMES[:]
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.chdir(folder)
    yield folder
    models.NAMES[:] = names
    for module in outside.FILES:
        sys.modules.pop(module, None)
    outside.FILES.clear()
