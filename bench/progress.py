"""Progress on the screen: a bar and the runs in work on a terminal, a line a finished run elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from models import AnomalyModel

QUIET_SECONDS = 10.0  # off a terminal, at most one line on running epochs in this time


def describe(record: dict[str, Any]) -> str:
    """`val_auroc 0.612` and the like, for the figures that a record has."""
    names = ("val_auroc", "val_pseudo_auroc", "val_loss", "test_auroc")
    return "  ".join(f"{name} {record[name]:.3f}" for name in names if record.get(name) is not None)


@contextmanager
def scoring(model: AnomalyModel) -> Iterator[None]:
    """A bar on a terminal while the model scores images, which takes AnoGAN's search minutes."""
    console = Console(highlight=False)
    columns = (TextColumn("scoring images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("", visible=False)
        model.progress = lambda done, total: bars.update(bar, completed=done, total=total, visible=done < total)
        try:
            yield
        finally:
            model.progress = None


class Progress:
    def __init__(self, runs: int, epochs: int, done: int):
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.runs, self.done = runs, done
        self.bar = self.bars.add_task("runs", total=runs, completed=done)
        self.last = time.monotonic()

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bars.stop()

    def epoch(self, trial: str, record: dict[str, Any], epochs: int) -> None:
        line = f"{trial}  epoch {record['epoch']}/{epochs}  {describe(record)}"
        self.bars.update(self.bar, description=line)
        if not self.console.is_terminal and time.monotonic() - self.last >= QUIET_SECONDS:
            self.say(f"          {line}")

    def trial(self, row: dict[str, Any]) -> None:
        self.done += 1
        self.bars.update(self.bar, completed=self.done)
        about = row["error"] if row["status"] == "error" else f"epoch {row['epoch']}  {describe(row)}"
        self.say(f"[{self.done}/{self.runs}] {row['trial']}  {row['status']}  {about}")

    def say(self, line: str) -> None:
        self.last = time.monotonic()
        self.console.print(line, markup=False)
