"""Anomaly detectors. The folder is the registry: a file that defines `class Model` is a model.

Everything else in the folder is what models share. A new file appears in `NAMES` by itself. A file
from elsewhere joins them while a command uses it (bench/choices/outside.py).
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import fields
from models.fields import Hyperparameter

if TYPE_CHECKING:  # at run time, names and hyperparameters need no torch
    from models.base import AnomalyModel

NAMES: list[str] = fields.names(Path(__file__).parent)


def get(name: str) -> "type[AnomalyModel]":
    """The model class of that name. Imports torch; raises KeyError where there is no such model."""
    check(name)
    return importlib.import_module(f"models.{name}").Model


def hyperparameters(name: str) -> dict[str, Hyperparameter]:
    """The model's hyperparameters by name, without importing torch.

    Raises KeyError where there is no such model.
    """
    check(name)
    return fields.read(name)


def starting_values(name: str, suited: dict[str, Any], published: bool) -> dict[str, Any]:
    """The hyperparameters whose defaults the data set or the protocol changes, with their values.

    `suited`: the data set's values, by hyperparameter for all models, by `model.hyperparameter` for
    one. `published`: adds the model's PUBLISHED values, which imports torch.
    """
    known = hyperparameters(name)
    specific_last = sorted(suited, key=lambda key: "." in key)  # a value for this model alone wins
    values = {key.removeprefix(f"{name}."): suited[key] for key in specific_last}
    own = {key: value for key, value in values.items() if key in known}
    return own | (get(name).PUBLISHED if published else {})


def create(
    name: str,
    image_shape: tuple[int, int, int],
    *,
    device: str = "cpu",
    precision: str = "float32",
    **hyperparameters: Any,
) -> "AnomalyModel":
    """A new, untrained model for images of shape (C, H, W).

    Its initial weights come from torch's global random state. A model that uses no GPU ignores
    `device` and `precision`: it is on the CPU, in float32. Raises KeyError for an unknown model,
    ValueError for a hyperparameter or an image shape that does not fit.
    """
    model = get(name)
    if not model.USES_GPU:
        device, precision = "cpu", "float32"
    config = model.Config.make(hyperparameters)
    return model(image_shape, config, device=device, precision=precision)


def check(name: str) -> None:
    """KeyError where there is no model of that name."""
    if name not in NAMES:
        raise KeyError(f"no model '{name}' (there are: {', '.join(NAMES)})")
