"""Search spaces. The folder is the registry: <model>.py holds SPACE, what is tuned of that model by default."""

import importlib
from pathlib import Path

from optuna.distributions import BaseDistribution

NAMES: list[str] = sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem != "__init__")


def get(model: str) -> dict[str, BaseDistribution]:
    """The model's search space: hyperparameter -> distribution; empty where it has none."""
    return dict(importlib.import_module(f"search_spaces.{model}").SPACE) if model in NAMES else {}
