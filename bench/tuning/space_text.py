"""The text of --space, `lr=1e-5..1e-3:log`, as Optuna's distributions."""

import math
import re
from collections.abc import Iterable
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from bench.choices.errors import UserError

Space = dict[str, BaseDistribution]
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})((?::\w+)*)")


def parse(items: Iterable[str]) -> Space:
    """Distributions from `w_con=25,50,75`, `lr=1e-5..1e-3:log`, `nz=50..200:int`.

    UserError for what is no such text.
    """
    space: Space = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not (name.isidentifier() and equals and text):
            raise UserError(
                f"--space: '{item}' is not NAME=VALUES (as in w_con=25,50,75 or lr=1e-5..1e-3:log)"
            )
        if name in space:
            raise UserError(f"--space: '{name}' is given twice")
        if ".." in text:
            space[name] = parse_range(item, text)
        else:
            space[name] = CategoricalDistribution(parse_choices(item, text))
    return space


def parse_range(item: str, text: str) -> BaseDistribution:
    """The distribution of `LOW..HIGH[:log][:int]`; UserError for other text."""
    match = RANGE.fullmatch(text)
    flags = set(match[3].split(":")[1:]) if match else set()
    if not match or flags - {"log", "int"}:
        raise UserError(f"--space: '{item}' is not LOW..HIGH, LOW..HIGH:log or LOW..HIGH:int")
    low, high = float(match[1]), float(match[2])
    log = "log" in flags
    if not low < high < math.inf:
        raise UserError(
            f"--space: '{item}': the lower end must be below the upper end, and both finite"
        )
    if log and low <= 0:
        raise UserError(f"--space: '{item}': a log range must start above 0")
    if "int" not in flags:
        return FloatDistribution(low, high, log=log)
    if low != int(low) or high != int(high) or (log and low < 1):
        raise UserError(f"--space: '{item}': an int range must have whole ends")
    return IntDistribution(int(low), int(high), log=log)


def parse_choices(item: str, text: str) -> list[Any]:
    values: list[Any] = []
    for part in map(str.strip, text.split(",")):
        if part in ("True", "False"):
            values.append(part == "True")
        elif re.fullmatch(NUMBER, part) and math.isfinite(float(part)):
            values.append(int(part) if re.fullmatch(r"[-+]?\d+", part) else float(part))
        else:
            values.append(part)
    if len(set(values)) < len(values):
        raise UserError(f"--space: '{item}' names a value twice")
    return values
