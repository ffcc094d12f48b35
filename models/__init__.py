"""Anomaly detectors. The folder is the registry: a file that defines `Model` is a model of that name."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.fields import Hyperparameter, read

if TYPE_CHECKING:  # names alone are had without loading torch
    from models.base import AnomalyModel

_SHARED = {"__init__", "base", "fields", "networks", "losses", "optimizers", "fitted", "wgan"}
NAMES: list[str] = sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem not in _SHARED)


def get(name: str) -> "type[AnomalyModel]":
    """The model class of that name; KeyError where there is none."""
    if name not in NAMES:
        raise KeyError(f"no model '{name}' (there are: {', '.join(NAMES)})")
    return importlib.import_module(f"models.{name}").Model


def hyperparameters(name: str) -> dict[str, Hyperparameter]:
    """The model's hyperparameters by name, without loading torch; KeyError where there is no such model."""
    if name not in NAMES:
        raise KeyError(f"no model '{name}' (there are: {', '.join(NAMES)})")
    return read(name)


def create(
    name: str,
    image_shape: tuple[int, int, int],
    *,
    device: str = "cpu",
    precision: str = "float32",
    **hyperparameters: Any,
) -> "AnomalyModel":
    """A new, untrained model for images of shape (C, H, W); its weights come from torch's global random state.

    Raises KeyError for an unknown model, ValueError for a hyperparameter or an image shape that does not fit.
    """
    model = get(name)
    return model(image_shape, model.Config.make(hyperparameters), device=device, precision=precision)


__all__ = ["NAMES", "create", "get", "hyperparameters"]
