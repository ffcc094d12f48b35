"""Command-line flags, one for each field of Study and each hyperparameter of a model.

Made with argparse: tyro cannot tell a flag that was given from its default, which --resume needs.
"""

import argparse
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import models
from bench.choices import outside
from bench.choices.errors import UserError, unknown
from bench.choices.monitoring import View
from bench.choices.names import on_disk
from bench.choices.option_field import types_of
from bench.choices.script import Parser
from bench.choices.study import HYPERPARAMETERS, Study
from models import fields

METAVARS: dict[type, str] = {bool: "True|False", int: "N", float: "X", str: "NAME"}
OF_A_STUDY = {"list", "tune", "config", "print_config", "dry_run"}  # train_tune.py's own flags
OF_A_STUDY |= {"verbose", "mlflow", "wandb"}
OF_A_RUN = {"audit", "resume", "load", "export", "score_folder", "help"}  # train.py's own flags


def hint_if_of_train(name: str, given: argparse.Namespace) -> str:
    """train_tune.py's hint for a flag that it lacks: a flag of train.py, or a hyperparameter.

    `given`: the other flags; --model may name files, whose hyperparameters count too.
    """
    if name in OF_A_RUN:
        return "this is a flag of train.py"
    read_models(getattr(given, "model", ()))
    known = any(name in models.hyperparameters(model) for model in models.NAMES)
    return f"a hyperparameter is fixed with --set {name}=VALUE" if known else ""


def hint_if_of_train_tune(name: str, given: argparse.Namespace) -> str:
    """train.py's hint for a flag that it lacks: one of train_tune.py, or another model's."""
    if name == "set":
        return "a flag of train_tune.py; here each hyperparameter is a flag (--w_con 50)"
    tuning = {f.name for f in dataclasses.fields(Study) if f.metadata["group"] == "tuning"}
    if name in tuning | OF_A_STUDY:
        return "this is a flag of train_tune.py"
    others = [model for model in models.NAMES if name in models.hyperparameters(model)]
    return f"this is a hyperparameter of {', '.join(others)}" if others else ""


def expanded(text: str) -> str:
    """The path with ~ expanded, which no shell does in `--flag=~/x`.

    An empty path, as from an unset shell variable, is argparse's error: it would mean the working
    directory.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty")
    return os.path.expanduser(text)


def path_of(text: str) -> Path:
    """A flag's path with ~ expanded; it may be in the legible form that commands print."""
    return on_disk(Path(expanded(text)))


def boolean(text: str) -> bool:
    """A flag's True or False; argparse's error for any other word."""
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off"):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither True nor False")


def held_values(study: Study, model: str) -> dict[str, Any]:
    """The values at which `--set` and `--batch_size` hold a model's hyperparameters.

    UserError for a hyperparameter that no model of the study has, or for a value that does not fit.
    """
    known, values = models.hyperparameters(model), {}
    for name, text in study.hyperparameters().items():
        if name not in known:
            if any(name in models.hyperparameters(other) for other in study.model_names()):
                continue  # another model of the study has it
            raise unknown(f"--set (model {model})", name, known)
        kind = known[name].type
        try:
            values[name] = boolean(text) if kind is bool else kind(text)
        except (ValueError, argparse.ArgumentTypeError):
            wanted = {bool: "True or False", int: "a whole number", float: "a number"}[kind]
            raise UserError(f"--set (model {model}): {name} must be {wanted}, not {text}") from None
        try:
            fields.check(name, kind, values[name])
        except ValueError as error:
            raise UserError(f"--set (model {model}): {error}") from None
    return values


def add_study_flags(parser: Parser, groups: Sequence[str]) -> None:
    """Adds a flag for each field of Study in these groups.

    A flag that is not given is absent from the parsed arguments, so that `--resume` knows which
    ones the user repeated.
    """
    parser.foreign_flag_hint = hint_if_of_train if "tuning" in groups else hint_if_of_train_tune
    sections = {name: parser.add_argument_group(name) for name in groups}
    for field in dataclasses.fields(Study):
        meta = field.metadata
        if meta["group"] not in sections:
            continue
        default = " ".join(field.default) if isinstance(field.default, tuple) else field.default
        text = meta["help"] + (f" (default: {default})" if default not in (None, "") else "")
        spellings = [f"--{name}" for name in (field.name, *meta["aliases"])]
        kwargs: dict[str, Any] = {"nargs": "+"} if meta["many"] or meta["varied"] else {}
        one, *_ = types_of(field.type)  # type: ignore[arg-type]  # if several, `parse` chooses
        kind: Any = meta["parse"] or (expanded if meta["path"] else one)
        own = "|".join(meta["choices"] or ()) or meta["metavar"] or ("PATH" if meta["path"] else "")
        kwargs["metavar"] = own or METAVARS[kind]
        if kind is bool:
            kind, kwargs = boolean, kwargs | {"nargs": "?", "const": True}
        sections[meta["group"]].add_argument(
            *spellings,
            dest=field.name,
            type=kind,
            default=argparse.SUPPRESS,
            help=text.replace("%", "%%"),
            **kwargs,
        )


def add_model_flags(parser: Parser, name: str) -> None:
    """Adds a flag for each hyperparameter of the model that has no flag in Study."""
    group = parser.add_argument_group(f"hyperparameters of {name}")
    for key, (kind, default, text) in models.hyperparameters(name).items():
        if key not in HYPERPARAMETERS:
            group.add_argument(
                f"--{key}",
                type=boolean if kind is bool else kind,
                default=argparse.SUPPRESS,
                metavar=METAVARS[kind],
                help=f"{text} (default: {default})".replace("%", "%%"),
            )


def read_models(choices: Sequence[str]) -> list[str]:
    """The models' names; reads the files among them. UserError for one that does not exist."""
    choices = list(dict.fromkeys(map(outside.absolute, choices)))
    names = list(map(outside.name_of, choices))
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--model: two files are called {name}.py; give one another name")
    files = [outside.read("model", choice) for choice in choices if outside.is_file(choice)]
    outside.add(files)
    own = [*dataclasses.fields(Study), *dataclasses.fields(View)]
    taken = {name for field in own for name in (field.name, *field.metadata.get("aliases", ()))}
    taken = (taken | OF_A_RUN) - set(HYPERPARAMETERS)
    for name, choice in zip(names, choices, strict=True):
        if name not in models.NAMES:
            raise unknown("--model", name, [*models.NAMES, "a Python file"])
        try:
            known = models.hyperparameters(name)
        except (ValueError, SyntaxError) as error:
            raise UserError(f"--model: {choice}: Config cannot be read ({error})") from None
        if clashes := sorted(taken & set(known)):
            reason = f"--{clashes[0]} is a flag of its own"
            raise UserError(f"--model: {choice}: {reason}; give its hyperparameter another name")
    return names


def read_files(study: Study) -> None:
    """Reads the study's files from outside this project; UserError for one that cannot be used."""
    read_models(study.model)
    paths = [(flag, path) for flag, path in study.files() if flag != "model"]
    if any(map(outside.is_file, study.space)) and len(study.space) > 1:
        raise UserError("--space: give one file alone, or NAME=VALUES")
    outside.add([outside.read(flag, path) for flag, path in paths])


def check_once(words: Sequence[str]) -> None:
    """UserError for flags of which only the last would count.

    These are --config or a flag of several values, given twice, and a flag beside its alias.
    """
    given = [word.partition("=")[0] for word in words]
    if given.count("--config") > 1:
        raise UserError("--config is given twice (give one file)")
    for field in dataclasses.fields(Study):
        spellings = [f"--{name}" for name in (field.name, *field.metadata["aliases"])]
        takes_several = field.metadata["many"] or field.metadata["varied"]
        if takes_several and sum(map(given.count, spellings)) > 1:
            raise UserError(f"--{field.name} is given twice (give all its values after one)")
        if len(both := sorted({*spellings} & {*given})) > 1:
            raise UserError(f"{both[0]} and {both[1]} are the same flag (give one)")


def check_single_values(values: dict[str, Any]) -> None:
    """UserError for several values of a flag with which train.py, a single run, takes one."""
    for field in dataclasses.fields(Study):
        if field.metadata["varied"] and len(set(values.get(field.name, ()))) > 1:
            raise UserError(f"--{field.name}: train.py takes one value (train_tune.py several)")


def study_from(values: dict[str, Any]) -> Study:
    """A Study from parsed flags; flags that are no field of Study are ignored.

    A value that is listed twice counts once. UserError for a value that Study does not accept.
    """
    fields = {field.name: field.metadata for field in dataclasses.fields(Study)}
    given = {name: value for name, value in values.items() if name in fields}
    for name, value in given.items():
        if name == "dataset" and isinstance(value, str):  # as a study.json has it
            given[name] = outside.absolute(value)
        elif isinstance(value, list):
            paths = map(outside.absolute, map(str, value)) if name in outside.KINDS else value
            different = tuple(dict.fromkeys(paths))
            alone = fields[name]["varied"] and len(different) == 1
            given[name] = different[0] if alone else different
    study = Study(**given)
    read_files(study)
    return study
