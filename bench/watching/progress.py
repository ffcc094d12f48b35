"""Progress on the screen: a live view on a terminal, a line a finished run elsewhere, nothing if told so."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.judging.selection import by_column
from bench.watching.machine_load import Machine
from bench.watching.time_left import Eta, clock
from models.base import AnomalyModel

QUIET_SECONDS = 10.0  # off a terminal, at most one line on running epochs in this time
REFRESHES = 2  # of the view, a second


def describe(record: Mapping[str, Any]) -> str:
    """`val_auroc 0.612` and the like, for the figures that a record has."""
    known = [name for name in by_column() if record.get(name) is not None]
    return "  ".join(f"{name} {record[name]:.3f}" for name in known)


def short(values: Mapping[str, Any]) -> str:
    """`lr 0.0003, w_con 25`."""
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())


@contextmanager
def scoring(model: AnomalyModel, quiet: bool = False) -> Iterator[None]:
    """A bar on a terminal while the model scores images, which takes AnoGAN's search minutes."""
    console = Console(highlight=False)
    columns = (TextColumn("scoring images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        bar = bars.add_task("", visible=False)
        model.progress = lambda done, total: bars.update(bar, completed=done, total=total, visible=done < total)
        try:
            yield
        finally:
            model.progress = None


class Progress:
    """Told of every epoch and run of a study; a row is a line of trials.jsonl."""

    def __init__(
        self,
        eta: Eta,
        rows: Iterable[dict[str, Any]],
        figure: str,
        *,
        at_a_time: Callable[[], int] = lambda: 1,
        stops_early: bool = False,
        quiet: bool = False,
        console: Console | None = None,
    ):
        """`rows`: what an earlier command finished; `figure`: the column that chooses; `at_a_time()`: runs that fit."""
        self.console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.eta, self.figure, self.at_a_time, self.stops_early, self.quiet = eta, figure, at_a_time, stops_early, quiet
        self.runs, self.done, self.slots = sum(eta.planned.values()), 0, 1
        self.began = self.last = time.monotonic()
        self.running: list[str] = []
        self.begun: dict[str, dict[str, Any]] = {}  # the last epoch's record of each run that is not finished
        self.defaults: dict[tuple[str, str], dict[str, Any]] = {}  # (model, class) -> the row of its default
        self.best: dict[tuple[str, str], dict[str, Any]] = {}
        self.tried: dict[tuple[str, str], int] = {}
        self.machine = Machine()
        self.stack = ExitStack()
        for row in rows:
            self.take(row, timed=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.quiet:
            live = Live(
                get_renderable=self.view,
                console=self.console,
                refresh_per_second=REFRESHES,
                transient=True,
                vertical_overflow="crop",
            )
            self.stack.enter_context(self.machine)
            self.stack.enter_context(live)
        return self

    def __exit__(self, *exception: object) -> None:
        self.stack.close()

    def now(self, trials: list[str]) -> None:
        """The runs that are under way."""
        self.running = trials

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch of a run: a row of epochs.jsonl."""
        trial = row["trial"]
        self.slots = self.at_a_time()
        self.begun[trial] = row
        self.eta.add((row["model"], row["kind"]), row["train_seconds"], row["score_seconds"])
        if not self.console.is_terminal and time.monotonic() - self.last >= QUIET_SECONDS:
            self.say(f"          {trial}  epoch {row['epoch']}/{self.eta.epochs}  {describe(row)}")

    def dropped(self, trial: str) -> None:
        """A run whose process died; it starts again."""
        self.begun.pop(trial, None)

    def trial(self, row: dict[str, Any]) -> None:
        self.take(row, timed=False)
        about = row["error"] if row["status"] == "error" else f"epoch {row['epoch']}  {describe(row)}"
        self.say(f"[{self.done}/{self.runs}] {row['trial']}  {row['status']}  {about}")

    def take(self, row: dict[str, Any], timed: bool) -> None:
        self.done += 1
        self.eta.add_row(row, timed)
        self.begun.pop(row["trial"], None)
        if row["kind"] != "tuning":
            return
        search = (row["model"], row["class"])
        self.tried[search] = self.tried.get(search, 0) + 1
        if row["number"] == 0:
            self.defaults[search] = row
        if row["objective"] is not None and (
            search not in self.best or row["objective"] > self.best[search]["objective"]
        ):
            self.best[search] = row

    def say(self, line: str) -> None:
        self.last = time.monotonic()
        if not self.quiet:
            self.console.print(line, markup=False)

    # The live view

    def view(self) -> Group:
        """What the terminal shows, as tall as it is at most."""
        height = self.console.size.height
        parts: list[Any] = [self.bar(), *(self.line(text) for text in self.machine.lines)]
        left = self.time_left()[1]
        if left:
            parts.append(self.line(f"time left without {', '.join(left)}: not timed yet"))
        tables = 2 if self.tried else 1
        rows = max(2, height - 1 - len(parts) - 2 * tables)  # a blank line and a heading each
        running = min(len(self.running), max(1, rows - min(len(self.tried), rows // 2)))
        parts += ["", self.running_table(running)]
        if self.tried:
            parts += ["", self.best_table(max(1, rows - max(1, running)))]
        return Group(*parts)

    def line(self, text: str) -> Text:
        return Text(text, style="dim", no_wrap=True, overflow="ellipsis")

    def time_left(self) -> tuple[str, list[str]]:
        begun = [((record["model"], record["kind"]), record["epoch"]) for record in list(self.begun.values())]
        seconds, untimed = self.eta.left(begun, self.slots)
        if seconds is None:
            return "time left unknown", []
        return f"{'at most ' if self.stops_early else 'about '}{clock(seconds)} left", untimed

    def bar(self) -> Table:
        table = Table.grid(padding=(0, 1), expand=True)
        for ratio in (None, 1, None, None):
            table.add_column(ratio=ratio, no_wrap=True)
        elapsed = clock(time.monotonic() - self.began)
        shown = ProgressBar(total=self.runs, completed=self.done)
        table.add_row("runs", shown, f"{self.done}/{self.runs}", f"{elapsed}, {self.time_left()[0]}")
        return table

    def table(self, *columns: str) -> Table:
        """The first column takes what the others leave."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=True, pad_edge=False)
        for index, name in enumerate(columns):
            table.add_column(
                name,
                ratio=None if index else 1,
                justify="right" if index else "left",
                no_wrap=True,
                overflow="ellipsis",
            )
        return table

    def running_table(self, most: int) -> Table:
        more = len(self.running) - most
        table = self.table(f"running (and {more} more)" if more > 0 else "running", "epoch", self.figure, "s/epoch")
        for trial in self.running[:most]:
            record = self.begun.get(trial, {"epoch": 0})
            seconds = record["train_seconds"] + record["score_seconds"] if "train_seconds" in record else None
            table.add_row(
                trial,
                f"{record['epoch']}/{self.eta.epochs}",
                "" if record.get(self.figure) is None else f"{record[self.figure]:.3f}",
                "" if seconds is None else f"{seconds:.1f}",
            )
        if not self.running:
            table.add_row("starting" if self.done < self.runs else "all done", "", "", "")
        return table

    def best_table(self, most: int) -> Table:
        more = len(self.tried) - most
        title = f"best so far (and {more} earlier)" if more > 0 else "best so far"
        table = self.table(title, "tried", self.figure)
        for search in list(self.tried)[-most:]:
            row = self.best.get(search)
            name = f"{search[0]} {search[1]}"
            if row is None:
                table.add_row(f"{name}: none came through", str(self.tried[search]), "")
                continue
            value = row.get(self.figure)
            changed = {
                key[7:]: new
                for key, new in row.items()
                if key.startswith("config_") and new != self.defaults.get(search, row).get(key)
            }
            about = "default" if row["number"] == 0 else short(changed)
            shown = row["objective"] if value is None else value
            table.add_row(f"{name}: {row['number']} ({about})", str(self.tried[search]), f"{shown:.3f}")
        return table
