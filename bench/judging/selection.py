"""Which epoch and which configuration count. Reads validation columns only, unless the protocol says otherwise."""

from collections.abc import Mapping
from typing import Any

COLUMNS = {
    "val_auroc": "val_auroc",
    "val_loss": "val_loss",
    "pseudo_auroc": "val_pseudo_auroc",
    "last_epoch": "val_auroc",
}


def visible(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without its test columns: all that selection is ever handed."""
    return {name: value for name, value in row.items() if not name.startswith("test_")}


def objective(record: Mapping[str, Any], select_on: str) -> float:
    """What searchers and schedulers maximise, from an epoch's record; ValueError if that has test columns."""
    if seen := [name for name in record if name.startswith("test_")]:
        raise ValueError(f"selection was handed {', '.join(seen)}")
    value = float(record[COLUMNS[select_on]])
    return -value if select_on == "val_loss" else value


def improves(new: float, best: float | None, select_on: str) -> bool:
    """Whether an epoch with this objective takes the best one's place; the first of equals stays."""
    return best is None or select_on == "last_epoch" or new > best


def best_number(objectives: Mapping[int, float | None]) -> int | None:
    """The configuration with the highest objective, the lowest number among equals; None if all failed."""
    tried = {number: value for number, value in objectives.items() if value is not None}
    return min(tried, key=lambda number: (-tried[number], number)) if tried else None
