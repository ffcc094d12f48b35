"""Reads the rows in a study's folder, and refuses rows with unusable values."""

import json
import lzma
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from bench.choices.errors import UserError, note

EPOCHS = "epochs.jsonl"
PACKED_EPOCHS = "epochs.jsonl.xz"  # those of its rows that were there at `report.py --pack`
TEXTS = ("kind", "status", "model", "class")  # which every trial's row has
NUMBER_COLUMNS = re.compile(
    "attempt|number|seed|epochs?|steps|generator_steps|fair_steps|images_seen|passes|objective|"
    r"threshold\w*|contamination|limit_\w+|\w+_seconds|(val|test|mix|n|loss)_\w+"
)
NUMBER_TYPES = {int, float, bool, type(None)}  # in JSON


def epoch_rows(study: Path) -> list[dict[str, Any]]:
    """The rows of a study's epochs: first the packed ones, then those written since."""
    return [row for name in (PACKED_EPOCHS, EPOCHS) for row in read_rows(study / name, ("epoch",))]


def read_rows(path: Path, needed: Collection[str] = ()) -> list[dict[str, Any]]:
    """The rows of a .jsonl file; UserError where a line is no trial's row or lacks what is needed.

    A last line that a crash cut in half is left out, and stderr says so. The file may be packed.
    """
    *lines, last = content_of(path).split(b"\n")
    if is_row(last):
        lines.append(last)
    elif last:
        note(f"{path}: the last line was cut off; it is left out")
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}: line {number} is no JSON ({error})") from None
        if not isinstance(row, dict) or not isinstance(row.get("trial"), str):
            raise UserError(f"{path}: line {number} is no row of a trial")
        if missing := [name for name in needed if name not in row]:
            raise UserError(f"{path}: line {number} has no '{missing[0]}'")
        if mistake := mistake_in(row):
            raise UserError(f"{path}: line {number}: {mistake}")
        rows.append(row)
    return rows


def content_of(path: Path) -> bytes:
    """The lines of a .jsonl file, which may be packed; none where it does not exist."""
    if not path.exists():
        return b""
    content = path.read_bytes()
    try:
        return lzma.decompress(content) if path.suffix == ".xz" else content
    except lzma.LZMAError as error:
        raise unreadable(path, error) from None


def is_row(last: bytes) -> bool:
    """Whether a last line without a newline is a whole row, as an editor may leave it."""
    try:
        return isinstance(json.loads(last), dict)
    except ValueError:
        return False


def mistake_in(row: dict[str, Any]) -> str | None:
    """Why a row's values are unusable; None if they are not. Runs for every row, so it is fast."""
    for name in TEXTS:  # a class "3" becomes 3 where pandas writes the rows again
        if not isinstance(row.get(name, ""), str):
            return f"{name} is no text, but {row[name]}"
    numbers, aurocs = columns_to_check(tuple(row))
    if not NUMBER_TYPES.issuperset(map(type, map(row.get, numbers))):
        name = next(name for name in numbers if type(row[name]) not in NUMBER_TYPES)
        return f"{name} is no number, but '{row[name]}'"
    for name in aurocs:
        if (value := row[name]) is not None and (value < 0 or value > 1):
            return f"{name} cannot be {value}"
    return None


@cache  # most rows of a file have the same columns
def columns_to_check(columns: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The columns that hold numbers, and those that hold an AUROC."""
    numbers = [name for name in columns if NUMBER_COLUMNS.fullmatch(name)]
    counts = "defect_images_"  # of defects, which may be called anything
    return numbers, [n for n in columns if n.endswith("auroc") and not n.startswith(counts)]


def unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not readable ({' '.join(str(error).split())})")
