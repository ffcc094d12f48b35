"""Progress on the screen.

On a terminal a live view, elsewhere lines of finished runs and of some epochs; --quiet: nothing.
"""

import sys
import time
from collections import defaultdict
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

from bench.choices.tasks import RunKind, search_of
from bench.judging.selection import best_run, by_column
from bench.watching.machine_load import Machine
from bench.watching.time_left import Eta, clock
from models.base import AnomalyModel

LINE_SECONDS = 10.0  # off a terminal, an epoch's line follows another line by this much at least
REFRESHES = 2  # of the live view per second


def describe(record: Mapping[str, Any]) -> str:
    """`val_auroc 0.612` and the like, for the figures that a record has."""
    known = [name for name in by_column() if record.get(name) is not None]
    return "  ".join(f"{name} {figure(name, record[name])}" for name in known)


def figure(name: str, value: float) -> str:
    """A figure as text; losses can be far below 0.001."""
    return f"{value:.3f}" if "auroc" in name or abs(value) >= 0.1 else f"{value:.3g}"


def short(values: Mapping[str, Any]) -> str:
    """Hyperparameters as `lr 0.0003, w_con 25`."""
    texts = {k: f"{v:.4g}" if isinstance(v, float) else str(v) for k, v in values.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items())


@contextmanager
def scoring(model: AnomalyModel, quiet: bool) -> Iterator[None]:
    """Shows a bar on a terminal while the model scores images: AnoGAN's search takes minutes."""
    console = Console(highlight=False)
    hidden = quiet or not console.is_terminal
    columns = TextColumn("scoring images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Bars(*columns, console=console, transient=True, disable=hidden) as bars:
        bar = bars.add_task("", visible=False)

        def update(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total, visible=done < total)

        model.progress = update
        try:
            yield
        finally:
            model.progress = None


class Progress:
    """Shows a study's progress; the study reports every epoch and every finished run to it.

    A row is a line of epochs.jsonl or trials.jsonl. A search is a (model, class, variant).
    """

    def __init__(
        self,
        eta: Eta,
        rows: Iterable[dict[str, Any]],
        column: str,
        *,
        at_a_time: Callable[[], int] = lambda: 1,
        stops_early: bool = False,
        quiet: bool = False,
        console: Console | None = None,
    ):
        """`rows`: of the runs that an earlier command finished. `column`: the one that chooses
        the best trial. `at_a_time()`: how many runs go on side by side. `stops_early`: the
        scheduler may stop trials, so that the time left is an upper bound.
        """
        self.console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.eta, self.column, self.at_a_time = eta, column, at_a_time
        self.stops_early, self.quiet = stops_early, quiet
        self.slots = 1
        self.started = self.last_line = time.monotonic()
        self.running: list[str] = []  # runs that are under way; kept up by the study
        self.latest: dict[str, dict[str, Any]] = {}  # unfinished run -> the row of its last epoch
        # search -> the rows of its finished trials
        self.tried: defaultdict[tuple, list[dict[str, Any]]] = defaultdict(list)
        self.machine = Machine()
        self.stack = ExitStack()
        for row in rows:
            self.eta.add_row(row)
            self.keep(row)

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

    @property
    def runs(self) -> int:
        """How many runs the study has in all: fewer once a default wins, which is tested once."""
        return sum(self.eta.planned.values())

    @property
    def done(self) -> int:
        """How many of them are finished."""
        return self.eta.finished.total()

    def epoch(self, row: dict[str, Any]) -> None:
        """Reports an epoch of a run; `row` is its row of epochs.jsonl."""
        trial = row["trial"]
        self.slots = self.at_a_time()
        self.latest[trial] = row
        self.eta.add(RunKind.of(row), row["train_seconds"], row["score_seconds"])
        # Off a terminal, where lines stay: some hundreds in all.
        pause = max(LINE_SECONDS, (time.monotonic() - self.started) / 200)
        if not self.console.is_terminal and time.monotonic() - self.last_line >= pause:
            self.say(f"          {trial}  epoch {self.epoch_of(row)}  {describe(row)}")

    def epoch_of(self, row: dict[str, Any]) -> str:
        """`3/20`: how far a run is, by the row of its last epoch."""
        kind = RunKind.of(row)
        return f"{row['epoch']}/{self.eta.epochs[kind.model, kind.variant]}"

    def dropped(self, trial: str) -> None:
        """Forgets the epochs of a run whose process died: it starts again."""
        self.latest.pop(trial, None)

    def trial(self, row: dict[str, Any]) -> None:
        """Reports a finished run; `row` is its row of trials.jsonl."""
        self.latest.pop(row["trial"], None)
        self.keep(row)
        failed = row["status"] == "error"
        figures = describe(row)
        if row.get(self.column) is None and row["objective"] is not None:
            figures = f"{self.column} {self.judged(row)}"
        outcome = row["error"] if failed else f"epoch {row['epoch']}  {figures}"
        line = f"[{self.done}/{self.runs}] {row['trial']}  {row['status']}  {outcome}"
        if not self.console.is_terminal:  # there, the live view has the time left
            left, untimed = self.time_left()
            line += f"  ({left}{' without ' if untimed else ''}{', '.join(untimed)})"
        self.say(line)

    def judged(self, row: Mapping[str, Any]) -> str:
        """The figure that chooses: a tuning run's row has a test AUROC only as its objective."""
        value = row.get(self.column)
        return figure(self.column, row["objective"] if value is None else value)

    def keep(self, row: dict[str, Any]) -> None:
        """Keeps the row of a finished trial, for the best of its search."""
        if row["kind"] == "tuning":
            self.tried[search_of(row)].append(row)

    def say(self, line: str) -> None:
        """Prints a line above the live view, or by itself; nothing with --quiet."""
        self.last_line = time.monotonic()
        if not self.quiet:
            self.console.print(line, markup=False)

    # The live view

    def view(self) -> Group:
        """The live view, no taller than the terminal."""
        height = self.console.size.height
        parts: list[Any] = [self.bar(), *(self.line(text) for text in self.machine.lines)]
        untimed = self.time_left()[1]
        if untimed:
            parts.append(self.line(f"time left without {', '.join(untimed)}: not timed yet"))
        tables = 2 if self.tried else 1
        rows = max(2, height - 1 - len(parts) - 2 * tables)  # 2: a table's blank line and heading
        running = min(len(self.running), max(1, rows - min(len(self.tried), rows // 2)))
        parts += ["", self.running_table(running)]
        if self.tried:
            parts += ["", self.best_table(max(1, rows - max(1, running)))]
        return Group(*parts)

    def line(self, text: str) -> Text:
        """A grey line that is cut off at the terminal's right edge."""
        return Text(text, style="dim", no_wrap=True, overflow="ellipsis")

    def time_left(self) -> tuple[str, list[str]]:
        """The time left as text, and the models that it leaves out (see Eta.left)."""
        rows = list(self.latest.values())  # a copy: the main thread changes it during drawing
        started = [(RunKind.of(row), row["epoch"]) for row in rows]
        # Models may have slots of their own, as one on a CPU beside one on a GPU.
        seconds, untimed = self.eta.left(started, max(self.slots, len(self.running)))
        if seconds is None:
            return "time left unknown", []
        return f"{'at most ' if self.stops_early else 'about '}{clock(seconds)} left", untimed

    def bar(self) -> Table:
        """One line: finished runs as a bar and as a number, the time passed and the time left."""
        table = Table.grid(padding=(0, 1), expand=True)
        for ratio in (None, 1, None, None):
            table.add_column(ratio=ratio, no_wrap=True)
        bar = ProgressBar(total=self.runs, completed=self.done)
        elapsed = clock(time.monotonic() - self.started)
        times = f"{elapsed}, {self.time_left()[0]}"
        table.add_row("runs", bar, f"{self.done}/{self.runs}", times)
        return table

    def table(self, *columns: str) -> Table:
        """A table without rows, whose first column is as wide as the others allow."""
        table = Table(
            box=None, padding=(0, 2, 0, 0), header_style="bold", expand=True, pad_edge=False
        )
        for index, name in enumerate(columns):
            table.add_column(
                name,
                ratio=None if index else 1,
                justify="right" if index else "left",
                no_wrap=True,
                overflow="ellipsis",
            )
        return table

    def running_table(self, limit: int) -> Table:
        """The runs that are under way, `limit` of them at most."""
        more = len(self.running) - limit
        title = f"running (and {more} more)" if more > 0 else "running"
        table = self.table(title, "epoch", self.column, "s/epoch")
        for trial in self.running[:limit]:
            row = self.latest.get(trial)
            value = row.get(self.column) if row else None
            table.add_row(
                Text(trial),  # a class may be called [red]
                self.epoch_of(row) if row else "0",
                "" if value is None else figure(self.column, value),
                f"{row['train_seconds'] + row['score_seconds']:.1f}" if row else "",
            )
        if not self.running:
            table.add_row("starting" if self.done < self.runs else "all done", "", "", "")
        return table

    def best_table(self, limit: int) -> Table:
        """The best trial of each search, of the latest `limit` searches."""
        more = len(self.tried) - limit
        title = f"best so far (and {more} earlier)" if more > 0 else "best so far"
        table = self.table(title, "tried", self.column)
        for search, rows in list(self.tried.items())[-limit:]:
            by_number = {row["number"]: row for row in rows}
            name, best = " ".join(filter(None, search)), best_run(rows)
            if best is None:
                table.add_row(Text(f"{name}: all failed"), str(len(rows)), "")
                continue
            row = by_number[best]
            changed = {
                key.removeprefix("config_"): new
                for key, new in row.items()
                if key.startswith("config_") and new != by_number.get(0, row).get(key)
            }
            config = "default" if best == 0 else short(changed)
            table.add_row(Text(f"{name}: {best} ({config})"), str(len(rows)), self.judged(row))
        return table
