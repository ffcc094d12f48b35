"""Hyperparameters, read from the text of the models' files: importing a model loads torch, which takes seconds.

A field of a model's `Config` is a line `name: type = default  # help`, with the type bool, float or int.
"""

import ast
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

FIELD = re.compile(r"^    (\w+): (bool|float|int) = (\S+)  # (.+)$", re.MULTILINE)
TYPES = {"bool": bool, "float": float, "int": int}


class Hyperparameter(NamedTuple):
    type: type
    default: Any
    help: str


def parse(source: str) -> dict[str, Hyperparameter]:
    """The fields in the text of a `Config`, by name."""
    fields = FIELD.findall(source)
    return {name: Hyperparameter(TYPES[kind], ast.literal_eval(value), text) for name, kind, value, text in fields}


def read(model: str) -> dict[str, Hyperparameter]:
    """A model's hyperparameters by name, those that all models have first. Nothing is imported."""
    found: dict[str, Hyperparameter] = {}
    for file in ("base", model):
        source = Path(__file__).with_name(f"{file}.py").read_text(encoding="utf-8")
        config = re.search(r"^class Config\b.*?(?=^\S|\Z)", source, re.MULTILINE | re.DOTALL)
        found |= parse(config[0]) if config else {}
    return found


def check(name: str, kind: type, value: Any) -> None:
    """ValueError for a value that no hyperparameter of this name and type has."""
    if kind is int and value < 1:
        raise ValueError(f"{name} must be 1 or more, not {value}")
    if kind is float and not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number, 0 or more, not {value}")
    if name.startswith("beta") and value >= 1:
        raise ValueError(f"{name} must be below 1, not {value}")
