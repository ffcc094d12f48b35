"""Which run comes next: each search's configurations, then the winner again under fresh seeds."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray.tune.search import Searcher

from bench.choices.study import Study
from bench.choices.tasks import PlannedRun, Task
from bench.judging.selection import best_number
from bench.tuning.journal import Journal
from bench.tuning.schedulers import WHOLE_POPULATION
from bench.tuning.searchers import INFORMED, Search
from bench.tuning.spaces import SearchSpace
from bench.tuning.trainable import PLANNED

REPEATED_FAILURE = 3  # so many first trials that all fail alike end the study


@dataclass
class Group:
    """One search: a model on one task, or on all of them where one configuration serves all."""

    model: str
    tasks: list[Task]
    search: Search
    default: dict[str, Any]
    trials: int  # configurations
    asked: int = 0
    queue: deque[PlannedRun] = field(default_factory=deque)
    live: int = 0  # runs that are under way
    # (number, task) -> the configuration as its run ended, and its objective
    tuned: dict[tuple[int, Task], tuple[dict[str, Any], float | None]] = field(default_factory=dict)
    finals_planned: bool = False

    def objectives(self) -> dict[int, float | None]:
        """Number -> mean objective over the tasks, once it ran on all of them.

        None if one failed.
        """
        means: dict[int, float | None] = {}
        for number in sorted({number for number, _ in self.tuned}):
            values = [self.tuned[number, t][1] for t in self.tasks if (number, t) in self.tuned]
            if len(values) == len(self.tasks):
                scored = [value for value in values if value is not None]
                failed = len(scored) < len(values)
                means[number] = None if failed else math.fsum(scored) / len(scored)
        return means

    def winner(self) -> tuple[int, dict[str, Any]] | None:
        """The best configuration's number and values.

        The default where there was no search, None where all configurations failed.
        """
        if not self.trials:
            return 0, self.default
        number = best_number(self.objectives())
        return None if number is None else (number, self.tuned[number, self.tasks[0]][0])


class Planner(Searcher):
    """Ray Tune's searcher: proposes the runs that are left to do; `finish` tells it their rows."""

    def __init__(
        self,
        study: Study,
        tasks: list[Task],
        spaces: Mapping[str, SearchSpace],
        rows: Iterable[dict[str, Any]],
        slots: Callable[[str], int],
        journal: Journal | None = None,
    ):
        """`spaces`: what is searched in each model; `rows`: the trials that an earlier command
        finished; `slots(model)`: how many of its trials run at a time."""
        super().__init__(metric="objective", mode="max")
        self.study, self.spaces, self.slots, self.journal = study, spaces, slots, journal
        self.deadline: float | None = None  # set as the first run starts
        self.finished: dict[str, dict[str, Any]] = {row["trial"]: row for row in rows}
        self.runs: dict[str, PlannedRun] = {}  # by Ray's trial id, while they are under way
        self.failures: list[str] = []
        self.stopped: str | None = None  # why no more trials are started
        self.interrupted = False
        together = [tasks] if study.tune_for == "mean" else [[task] for task in tasks]
        self.groups = [self.group_of(m, members) for m in study.model for members in together]

    def group_of(self, model: str, tasks: list[Task]) -> Group:
        space, study = self.spaces[model], self.study
        name = f"{model} {tasks[0].cls if len(tasks) == 1 else 'all'}"
        search = Search(
            name, study.searcher, space.distributions, space.default, study.seed, self.journal
        )
        return Group(model, tasks, search, space.default, search.trials(study.trials))

    def planned(self) -> Counter[tuple[str, str]]:
        """(Model, kind) -> how many runs there are in all."""
        planned: Counter[tuple[str, str]] = Counter()
        for group in self.groups:
            planned[group.model, "tuning"] += len(group.tasks) * group.trials
            planned[group.model, "final"] += len(group.tasks) * self.study.seeds
        return planned

    def next_run(self) -> PlannedRun | None:
        if self.deadline is None:
            self.deadline = time.monotonic() + self.study.budget_seconds()
        if self.stopped is None and time.monotonic() > self.deadline:
            self.stopped = f"the time budget of {self.study.time_budget} is used up"
        if self.stopped is not None:
            return None
        for group in self.groups:
            while group.queue or self.fill(group):
                run = group.queue.popleft()
                row = self.finished.get(run.trial)
                if row is None:
                    group.live += 1
                    return run
                if run.kind == "tuning":
                    self.tell(group, run, row["objective"])
        return None

    def fill(self, group: Group) -> bool:
        """Queues a group's next runs; False if there are none for now."""
        if group.asked < group.trials:
            if (
                self.study.searcher in INFORMED
                and self.study.scheduler not in WHOLE_POPULATION
                and group.live >= self.slots(group.model)
            ):
                return False
            number = group.asked
            group.asked += 1
            # Keep what an interrupted command proposed: it ran several trials at a time, and so
            # proposed by fewer results than there are now.
            config = group.default | group.search.ask(number, self.recorded(group, number))
            group.queue.extend(self.plan(group, "tuning", number, self.study.seed, config))
            return True
        if group.finals_planned or len(group.objectives()) < group.trials:
            return False
        group.finals_planned = True
        if winner := group.winner():
            for seed in range(self.study.seed + 1, self.study.seed + 1 + self.study.seeds):
                group.queue.extend(self.plan(group, "final", winner[0], seed, winner[1]))
        return bool(group.queue)

    def plan(
        self, group: Group, kind: str, number: int, seed: int, config: dict[str, Any]
    ) -> list[PlannedRun]:
        """The runs of one configuration under one seed: one for each of the group's tasks."""
        return [PlannedRun(kind, group.model, task, number, seed, config) for task in group.tasks]

    def recorded(self, group: Group, number: int) -> dict[str, Any] | None:
        """What an earlier command proposed as this configuration; None where no run of it ended."""
        for run in self.plan(group, "tuning", number, self.study.seed, {}):
            if row := self.finished.get(run.trial):
                return {
                    name: row.get(f"tried_{name}", row[f"config_{name}"]) for name in group.default
                }
        return None

    def tell(self, group: Group, run: PlannedRun, value: float | None) -> None:
        """Tells the search a run's objective; None if the run failed."""
        row = self.finished[run.trial]
        config = {name: row[f"config_{name}"] for name in group.default}
        group.tuned[run.number, run.task] = (config, value)
        objectives = group.objectives()
        if run.number in objectives:
            group.search.tell(run.number, run.config, objectives[run.number])

    def finish(self, run: PlannedRun, row: dict[str, Any]) -> None:
        """Takes in a finished run's row."""
        group = self.group(run)
        group.live -= 1
        self.finished[run.trial] = row
        if row["status"] == "error":
            self.failures.append(row["error"])
        if run.kind == "tuning":
            self.tell(group, run, row["objective"])
        done = [r for r in self.finished.values() if r["status"] != "error"]
        if len(self.failures) >= REPEATED_FAILURE and not done and len(set(self.failures)) == 1:
            self.stopped = f"the first {len(self.failures)} trials all failed: {self.failures[0]}"

    def group(self, run: PlannedRun) -> Group:
        """The search that a run belongs to."""
        return next(g for g in self.groups if g.model == run.model and run.task in g.tasks)

    def searched(self, run: PlannedRun) -> bool:
        """Whether the search that a run belongs to is over."""
        return len(self.group(run).objectives()) == self.group(run).trials

    def again(self, run: PlannedRun) -> None:
        """Puts a run back whose process died."""
        group = self.group(run)
        group.live -= 1
        group.queue.appendleft(run)

    # Ray Tune's side

    def suggest(self, trial_id: str) -> Any:
        run = self.next_run()
        if run is None:
            waiting = any(group.live for group in self.groups)  # their results may bring more runs
            return None if waiting and self.stopped is None else Searcher.FINISHED
        self.runs[trial_id] = run
        return run.config | {PLANNED: run}

    def on_trial_complete(
        self, trial_id: str, result: dict | None = None, error: bool = False
    ) -> None:
        """Nothing: `finish` takes in the whole row."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the study's rows are all the state there is."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, see `save_to_dir`; Ray pickles its Tuner."""
        return {}
