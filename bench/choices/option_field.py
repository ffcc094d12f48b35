"""How a field of Study is declared (`option`), and its value checked (`check`)."""

from collections.abc import Callable, Hashable
from dataclasses import Field, field
from functools import cache
from typing import Any, get_args

from bench.choices.errors import UserError, unknown


def option(
    group: str,
    default: Any,
    help: str,
    *,
    aliases: tuple[str, ...] = (),
    choices: tuple | None = None,
    many: bool = False,
    varied: bool = False,
    path: bool = False,
    parse: Callable[[str], Any] | None = None,
    metavar: str = "",
    least: int = 1,
    most: float = 10**9,
) -> Any:
    """A field of Study, with what `flags.add_study_flags` needs to make a flag of it.

    `many`: the flag takes several values, kept as a tuple. `varied`: train_tune.py takes several
    values and trains with each of them; a single one is kept without a tuple. `path`: ~ is the home
    folder. `parse`: turns a word into a value, where the field's type does not.
    `metavar`: stands for the value in --help, in place of its type. `least`, `most`: of a number.
    """
    metadata = {**locals()}  # every parameter
    return field(default=metadata.pop("default"), metadata=metadata)


def as_tuple(value: Any) -> tuple:
    """The values of a `varied` field, which holds a single value without a tuple."""
    return value if isinstance(value, tuple) else (value,)


def check(field: Field, value: Any) -> None:
    """UserError for a value that is not among a field's choices, or a number that is out of range."""
    name, meta = field.name, field.metadata
    if isinstance(value, list | tuple) and "tuple" in str(field.type):
        for item in value:
            check(field, item)
        return
    choices, least, most = meta["choices"], meta["least"], meta["most"]
    types = types_of(field.type)  # type: ignore[arg-type]
    allowed = {*types, type(None)} | ({int} if float in types else set())
    if not isinstance(value, tuple(allowed)):
        names = sorted(kind.__name__ for kind in types)
        raise UserError(f"--{name}: '{value}' is no {' or '.join(names)}")
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
    elif value > most:
        raise UserError(f"--{name} must be {most} or less, not {value}")


@cache
def types_of(annotation: Hashable) -> set[Any]:
    """The types that an annotation allows, and those of its tuples' items."""
    if annotation is type(None) or annotation is ...:
        return set()
    return set().union(*map(types_of, get_args(annotation))) or {annotation}
