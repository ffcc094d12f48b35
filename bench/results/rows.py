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
NUMBERS: frozenset[type] = frozenset({int, float, bool, type(None)})  # null: a missing one
# By pattern of columns: what their values are called, and the types that these have.
CHECKED: dict[str, tuple[str, frozenset[type]]] = {
    # A class "3" becomes 3 where pandas writes the rows again.
    "|".join(TEXTS): ("text", frozenset({str})),
    r"variant|dataset|task|protocol\w*|select_on|family|device|hardware|precision|commit|"
    r"fingerprint|sha256_\w+|error|stopped_by|stop_reason": ("text", frozenset({str, type(None)})),
    "seed": ("number", frozenset({int, float})),
    "attempt|number|epochs?|steps|generator_steps|fair_steps|images_seen|passes|objective|"
    r"threshold\w*|contamination|limit_\w+|\w+_seconds|(val|test|mix|n|loss)_\w+|parameters|"
    "score_ms|peak_memory_mb|defect_.+": ("number", NUMBERS),
    "(config|tried)_.+": ("number or text", NUMBERS | {str}),
    "objectives": ("table", frozenset({dict})),  # of a line of winners.jsonl
}


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
    groups, aurocs = columns_to_check(tuple(row))
    for what, types, names in groups:
        if not types.issuperset(map(type, map(row.get, names))):
            name = next(name for name in names if type(row[name]) not in types)
            return f"{name} is no {what}, but {row[name]!r}"
    for name in aurocs:
        if (value := row[name]) is not None and (value < 0 or value > 1):
            return f"{name} cannot be {value}"
    return None


@cache  # most rows of a file have the same columns
def columns_to_check(
    columns: tuple[str, ...],
) -> tuple[list[tuple[str, frozenset[type], list[str]]], list[str]]:
    """CHECKED with the columns in place of each pattern; and the columns that hold an AUROC."""
    groups = [
        (what, types, [name for name in columns if re.fullmatch(pattern, name)])
        for pattern, (what, types) in CHECKED.items()
    ]
    counts = "defect_images_"  # of defects, which may be called anything
    return groups, [n for n in columns if n.endswith("auroc") and not n.startswith(counts)]


def unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not readable ({' '.join(str(error).split())})")
