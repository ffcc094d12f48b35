"""One search of a study: the configurations it has tried, its finalists and its winner."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.choices.study import Study
from bench.choices.tasks import PlannedRun, RunKind, Task
from bench.judging.selection import best_number, cut_short
from bench.tuning.searchers import Search


@dataclass
class Group:
    """One search: a model on one task, or on all of them where one configuration serves all."""

    model: str
    tasks: list[Task]
    search: Search
    default: dict[str, Any]
    trials: int  # configurations
    finalist_runs: int  # runs of each finalist; 0: tuning alone chooses
    next_number: int = 0
    queue: deque[PlannedRun] = field(default_factory=deque)
    live: int = 0  # runs that are under way
    # (number, task) -> the configuration as its run ended, and its objective
    tuned: dict[tuple[int, Task], tuple[dict[str, Any], float | None]] = field(default_factory=dict)
    # numbers of the configurations of which a run was cut short (see `cut_short`)
    stopped: set[int] = field(default_factory=set)
    finalists: list[int] | None = None  # their numbers, once they are planned
    # (number, task, seed) -> the objective of a finalist's run
    judged: dict[tuple[int, Task, int], float | None] = field(default_factory=dict)
    finals_planned: bool = False

    def kind(self, name: str) -> RunKind:
        """The RunKind of this search's tuning, finalist or final runs; `name`: which of these."""
        return RunKind(self.model, name, self.tasks[0].variant)

    def record(self, run: PlannedRun, config: dict[str, Any], row: Mapping[str, Any]) -> None:
        """Records a tuning run: its row, and its configuration, which PBT may have changed."""
        self.tuned[run.number, run.task] = (config, row["objective"])
        if cut_short(row):
            self.stopped.add(run.number)

    def objectives(self) -> dict[int, float | None]:
        """Number -> mean objective over all tasks, once all runs ended; None if one failed."""
        tuned = {(number, task, 0): value for (number, task), (_, value) in self.tuned.items()}
        return means(tuned, of=len(self.tasks))

    @property
    def searched(self) -> bool:
        """Whether all its tuning runs have ended."""
        return len(self.objectives()) == self.trials

    def candidates(self) -> dict[int, float | None]:
        """The objectives by which the winner is chosen where there are no finalists.

        PBT may have given the default's run another run's configuration and weights. Its objective
        then says nothing of the default, which wins only if all others failed.
        """
        values = self.objectives()
        changed = 0 in values and any(self.tuned[0, t][0] != self.default for t in self.tasks)
        others = {number: value for number, value in values.items() if number}
        return others if changed and set(others.values()) - {None} else values

    def config(self, number: int) -> dict[str, Any]:
        """A configuration as PBT left it at the end of its tuning run; the default unchanged."""
        return self.tuned[number, self.tasks[0]][0] if number else self.default

    def best(self, count: int) -> list[int]:
        """The numbers of the `count` best configurations but the default, then the default's.

        Each configuration once: a small space has few, and PBT copies them. Those that were cut
        short come last, before the default.
        """
        others = {number: value for number, value in self.objectives().items() if number}
        numbers: list[int] = []
        configs = [self.config(0)]
        while len(numbers) < count and (number := best_number(others, self.stopped)) is not None:
            del others[number]
            if self.config(number) not in configs:
                numbers.append(number)
                configs.append(self.config(number))
        return [*numbers, 0]

    def winner(self) -> int | None:
        """The best configuration's number; None where all of them failed."""
        if not self.trials:
            return 0
        if self.finalist_runs:
            return best_number(means(self.judged, of=self.finalist_runs))
        return best_number(self.candidates(), self.stopped)

    def tested(self) -> set[int]:
        """The numbers of the winner and, where finalists were judged, of the default beside it."""
        numbers = (self.winner(), 0 if self.finalist_runs else None)
        return {number for number in numbers if number is not None}

    def includes(self, row: Mapping[str, Any], study: Study) -> bool:
        """Whether a finished run of the search's model and classes is one that it has planned.

        Its seed is one of the study's, as --resume changes neither `seed` nor `finalist_seeds`; but
        a study that was interrupted may go on with fewer `seeds`.
        """
        number = row["number"]
        if row["kind"] == "tuning":
            return number < self.trials
        if row["kind"] == "finalist":
            return number in (self.finalists or ())
        chosen = self.finals_planned and number in self.tested()
        return chosen and row["seed"] <= study.seed + study.seeds


def means(values: Mapping[tuple[int, Task, int], float | None], of: int) -> dict[int, float | None]:
    """Number -> mean over its runs, once `of` of them have ended; None if one failed."""
    by_number: dict[int, list[float | None]] = {}
    for (number, *_), value in sorted(values.items(), key=lambda item: item[0][0]):
        by_number.setdefault(number, []).append(value)
    return {
        number: None if None in runs else math.fsum(v for v in runs if v is not None) / of
        for number, runs in by_number.items()
        if len(runs) == of
    }


def config_value(row: Mapping[str, Any], name: str, default: Any) -> Any:
    """A run's hyperparameter; the default where the row is of a version that did not have it."""
    return row.get(f"config_{name}", default)
