"""Search spaces. The folder is the registry: `<model>.py` holds that model's space.

SPACE maps the names of the hyperparameters that a study tunes to Optuna distributions. Others keep
the model's defaults. NEEDS, where there is one, maps a hyperparameter to the switch without which
it means nothing: where the switch is held at False, the hyperparameter is not searched.
"""

import importlib
import importlib.util
from pathlib import Path

from optuna.distributions import BaseDistribution

NAMES: list[str] = sorted(file.stem for file in Path(__file__).parent.glob("[!._]*.py"))


def has(model: str) -> bool:
    """Whether the model has a search space, here or in a file from elsewhere."""
    return importlib.util.find_spec(f"search_spaces.{model}") is not None


def get(model: str) -> dict[str, BaseDistribution]:
    """The model's search space; KeyError where there is none."""
    if not has(model):
        raise KeyError(f"no search space for '{model}' (there are: {', '.join(NAMES)})")
    return importlib.import_module(f"search_spaces.{model}").SPACE


def needs(model: str) -> dict[str, str]:
    """Hyperparameters of the model's search space that mean nothing without a switch."""
    return getattr(importlib.import_module(f"search_spaces.{model}"), "NEEDS", {})
