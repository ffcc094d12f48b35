"""Hyperparameters, constants and names of models, read from the text of their files.

Importing a model loads torch, which takes seconds; --help, --list and the first checks do without.
A file is a model if it defines `class Model`. A hyperparameter is a line of its `class Config`,
`name: type = default  # help`, with the type bool, float, int or str. `class Config(skip_gan.Config)`
also has the hyperparameters in skip_gan.py.
"""

import ast
import importlib.util
import math
import re
from importlib.abc import InspectLoader
from pathlib import Path
from typing import Any, NamedTuple

MODEL = re.compile(r"^class Model\b", re.MULTILINE)
# The class's text, up to the next line that is not indented, and the file that its base class is in
CONFIG = re.compile(r"^class Config\b(?:\((\w+)\.Config\))?.*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^    (\w+): (bool|float|int|str) = (\S+)  # (.+)$", re.MULTILINE)
LARGEST = 10**9  # far below what overflows in torch
TYPES = {"bool": bool, "float": float, "int": int, "str": str}


class Hyperparameter(NamedTuple):
    type: type
    default: Any
    help: str


def names(folder: Path) -> list[str]:
    """The names of the files in the folder that define `Model`, sorted."""
    files = folder.glob("[!._]*.py")  # editors keep hidden files beside the one they edit
    return sorted(file.stem for file in files if MODEL.search(file.read_text(encoding="utf-8")))


def read(file: str) -> dict[str, Hyperparameter]:
    """The hyperparameters of the `Config` in models/<file>.py by name, inherited ones first.

    ValueError where there is no such file, or a default is no plain value.
    """
    config = CONFIG.search(text_of(file))
    own = {}
    for name, kind, default, text in FIELD.findall(config[0] if config else ""):
        try:
            own[name] = Hyperparameter(TYPES[kind], ast.literal_eval(default), text)
        except ValueError:
            reason = f"the default of {name} must be written out, as in 0.5, not {default}"
            raise ValueError(reason) from None
    if file == "base":
        return own
    parent = config[1] if config else None
    return read(parent or "base") | own


def text_of(file: str) -> str:
    """The text of models/<file>.py; ValueError where there is no such file."""
    spec = importlib.util.find_spec(f"models.{file}")  # finds files from elsewhere too
    if spec is None or not isinstance(spec.loader, InspectLoader):
        raise ValueError(f"there is no models/{file}.py")
    return spec.loader.get_source(spec.name) or ""


def constant(file: str, name: str, of: str = "Model") -> Any:
    """The value of a class's constant, read from models/<file>.py or a file of its base class.

    `of`: the class. None where neither sets it; ValueError where the value is not written out.
    """
    try:
        tree = ast.parse(text_of(file))
    except (ImportError, ValueError):  # it extends a class of another package
        return None
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if of not in classes:
        return None
    for line in classes[of].body:
        if isinstance(line, ast.Assign | ast.AnnAssign) and line.value:
            targets = line.targets if isinstance(line, ast.Assign) else [line.target]
            if name in map(ast.unparse, targets):
                return ast.literal_eval(line.value)
    # `from models.wgan import WGAN` and `class Model(WGAN)`, or `class Model(skip_gan.SkipGAN)`
    files = {
        alias.name: (node.module or "").removeprefix("models.")
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for base in map(ast.unparse, classes[of].bases):
        module, _, extended = base.rpartition(".")
        module = module or files.get(base, file)
        if (module, extended) != (file, of):
            return constant(module, name, extended)
    return None


def check(name: str, kind: type, value: Any) -> None:
    """ValueError unless a hyperparameter of this name and type may have the value.

    Whole numbers are 1 or more, others 0 or more; beta* and average below 1, score_* at most 1. A
    Config's own __post_init__ may refuse more.
    """
    if kind is int and not 1 <= value <= LARGEST:
        raise ValueError(f"{name} must be 1 or more, and {LARGEST} at most, not {value}")
    if kind is float and not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number, 0 or more, not {value}")
    if kind is float and (name.startswith("beta") or name == "average") and value >= 1:
        raise ValueError(f"{name} must be below 1, not {value}")
    if kind is float and name.startswith("score_") and value > 1:
        raise ValueError(f"{name} is a share and must be at most 1, not {value}")
