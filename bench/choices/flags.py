"""The command line: flags from Study's fields and from the models' hyperparameters."""

import argparse
import dataclasses
import os
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import models
from bench.choices.errors import Parser, unknown
from bench.choices.study import HYPERPARAMETERS, Study


def base_type(hint: Any) -> Callable[[str], Any]:
    """int for `int | None`, str for `tuple[str, ...]`, and so on."""
    if isinstance(hint, types.UnionType):
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else hint


def path_of(text: str) -> Path:
    """A path as it is meant: no shell expands the ~ in `--flag=~/x`."""
    return Path(os.path.expanduser(text))


def truth(text: str) -> bool:
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off"):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither True nor False")


def add_study_flags(parser: Parser, groups: Sequence[str], defaults: dict[str, Any] | None = None) -> None:
    """One flag for each of Study's fields in these groups."""
    sections = {name: parser.add_argument_group(name) for name in groups}
    for field in dataclasses.fields(Study):
        meta = field.metadata
        if meta["group"] not in sections:
            continue
        default = (defaults or {}).get(field.name, field.default)
        shown = " ".join(default) if isinstance(default, tuple) else default
        text = meta["help"] + (f" (default: {shown})" if shown not in (None, "") else "")
        parts = [f"--{name}" for name in (field.name, *meta["aliases"])]
        kwargs: dict[str, Any] = {"nargs": "+"} if meta["many"] else {}
        kind: Any = os.path.expanduser if meta["path"] else base_type(field.type)
        if meta["choices"]:
            kwargs["metavar"] = "|".join(meta["choices"])
        elif meta["path"]:
            kwargs["metavar"] = "PATH"
        elif kind is bool:
            kind, kwargs = truth, {"nargs": "?", "const": True, "metavar": "True|False"}
        else:
            kwargs["metavar"] = kind.__name__.upper().replace("STR", "NAME").replace("INT", "N").replace("FLOAT", "X")
        sections[meta["group"]].add_argument(
            *parts,
            dest=field.name,
            type=kind,
            default=argparse.SUPPRESS,
            help=text.replace("%", "%%"),
            **kwargs,
        )


def add_model_flags(parser: Parser, name: str) -> None:
    """One flag for each of the model's own hyperparameters."""
    group = parser.add_argument_group(f"hyperparameters of {name}")
    for key, (kind, default, text) in models.hyperparameters(name).items():
        if key not in HYPERPARAMETERS:  # these have a flag for every model
            group.add_argument(
                f"--{key}",
                type=truth if kind is bool else kind,
                default=argparse.SUPPRESS,
                metavar="True|False" if kind is bool else "N" if kind is int else "X",
                help=f"{text} (default: {default})".replace("%", "%%"),
            )


def check_models(names: Sequence[str]) -> None:
    for name in names:
        if name not in models.NAMES:
            raise unknown("--model", name, models.NAMES)


def study_from(values: dict[str, Any]) -> Study:
    """A Study from parsed flags; what is no field of it is ignored."""
    fields = {field.name for field in dataclasses.fields(Study)}
    given = {name: value for name, value in values.items() if name in fields}
    chosen: dict[str, Any] = {k: tuple(dict.fromkeys(v)) if isinstance(v, list) else v for k, v in given.items()}
    study = Study(**chosen)
    check_models(study.model)
    return study
