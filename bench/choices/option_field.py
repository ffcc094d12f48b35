"""The fields of Study, each with what the command line needs to make a flag of it."""

from collections.abc import Callable
from dataclasses import field
from typing import Any

from bench.choices.errors import UserError, unknown


def option(
    default: Any,
    group: str,
    help: str,
    *,
    aliases: tuple[str, ...] = (),
    choices: tuple | None = None,
    many: bool = False,
    several: bool = False,
    path: bool = False,
    parse: Callable[[str], Any] | None = None,
    least: int = 1,
) -> Any:
    """A field of Study, with what `flags.add_study_flags` needs to make a flag of it.

    `many`: the flag takes several values. `several`: so it does in train_tune.py, which trains with
    each of them; one value stays as it is. `path`: ~ is the home folder. `parse`: what makes a value
    of a word, if not the field's type. `least`: of a number.
    """
    metadata = {
        "group": group,
        "help": help,
        "aliases": aliases,
        "choices": choices,
        "many": many,
        "several": several,
        "path": path,
        "parse": parse,
        "least": least,
    }
    return field(default=default, metadata=metadata)


def each(value: Any) -> tuple:
    """The values of a field that takes several, or its one value."""
    return value if isinstance(value, tuple) else (value,)


def check(name: str, value: Any, choices: tuple | None, least: int) -> None:
    """UserError for a value that is not among the choices, or a number that is out of range."""
    if isinstance(value, tuple):
        for one in value:
            check(name, one, choices, least)
        return
    if choices and value is not None and value not in choices:
        raise unknown(f"--{name}", value, choices)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if name == "gpus_per_trial":
        if not (0 < value <= 1 or (value > 0 and float(value).is_integer())):
            reason = f"must be a share of a GPU above 0 or a whole number, not {value}"
            raise UserError(f"--{name} {reason}")
    elif name == "false_alarms":
        if not 0 < value < 1:
            raise UserError(f"--{name} must be a share between 0 and 1, not {value}")
    elif name == "contamination":
        if not 0 <= value < 0.5:
            raise UserError(f"--{name} must be a share from 0 to below a half, not {value}")
    elif value < least:
        raise UserError(f"--{name} must be {least} or more, not {value}")
