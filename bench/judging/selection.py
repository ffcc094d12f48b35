"""Which epoch and which configuration win; SIGNALS is the table of the figures that can choose.

All but the last are of validation images. The test AUROC chooses where the protocol selects on the
test images, as the published one does; no flag names it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

# Final runs take the seeds right above the study's, this many at most; finalists take higher ones.
MOST_SEEDS = 1000


T = TypeVar("T", float, tuple[bool, float])


@dataclass(frozen=True)
class Signal:
    """A figure of an epoch by which epoch and configuration can be chosen."""

    column: str  # of the epoch's record
    title: str
    sign: int = 1  # -1: lower is better
    needs_abnormal: bool = False  # validation images
    last: bool = False  # the last epoch counts, whatever its figure
    weighs: bool = False  # it depends on the score, so it can weigh the score's parts


SIGNALS = {
    "val_auroc": Signal("val_auroc", "validation AUROC", needs_abnormal=True, weighs=True),
    "val_loss": Signal("val_loss", "validation loss", sign=-1),
    "pseudo_auroc": Signal("val_pseudo_auroc", "AUROC against pseudo-anomalies", weighs=True),
    "last_epoch": Signal("val_loss", "last epoch", sign=-1, last=True),
    "test_auroc": Signal("test_auroc", "test AUROC"),
}
SELECT_ON = tuple(name for name in SIGNALS if name != "test_auroc")  # what a user may choose


def by_column() -> dict[str, Signal]:
    """The signals by the column that holds them."""
    return {signal.column: signal for signal in SIGNALS.values() if not signal.last}


def title_and_sign(column: str) -> tuple[str, int]:
    """What a signal's column is called, and -1 where lower is better."""
    signal = by_column().get(column)
    return (signal.title, signal.sign) if signal else (column, 1)


def without_test(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without its test columns, as every choice must be made."""
    return {name: value for name, value in row.items() if not name.startswith("test_")}


def objective(record: Mapping[str, Any], select_on: str) -> float:
    """What searchers and schedulers maximise, from an epoch's record.

    Raises ValueError where the record has test columns.
    """
    if seen := [name for name in record if name.startswith("test_")]:
        raise ValueError(f"selection was handed {', '.join(seen)}")
    signal = SIGNALS[select_on]
    return signal.sign * float(record[signal.column])


def improves(new: T, best: T | None, select_on: str) -> bool:
    """Whether an epoch with this objective, or rank (see Run), takes the best one's place.

    The last of equals wins: on few validation images many epochs are equal, and the first of them
    would be hardly trained.
    """
    return best is None or SIGNALS[select_on].last or new >= best


def cut_short(row: Mapping[str, Any]) -> bool:
    """Whether a run was stopped early although its last epoch is the one that counts."""
    signal = SIGNALS.get(str(row.get("select_on")))
    return row["status"] == "stopped" and signal is not None and signal.last


def best_run(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """The number of the best configuration, judged by one run of each; None if all failed."""
    objectives = {row["number"]: row["objective"] for row in rows}
    return best_number(objectives, {row["number"] for row in rows if cut_short(row)})


def best_number(
    objectives: Mapping[int, float | None], ranked_last: Collection[int] = ()
) -> int | None:
    """The configuration with the highest objective, the lowest number among equals.

    Configurations in `ranked_last` come after all others. None if all failed.
    """
    tried = {number: value for number, value in objectives.items() if value is not None}
    ranked = sorted(tried, key=lambda number: (number in ranked_last, -tried[number], number))
    return ranked[0] if ranked else None
