"""Which run comes next: the configurations of every search, then the winners again under fresh seeds."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ray.tune.search import Searcher

from bench.choices.study import Study
from bench.data.splits import Task
from bench.judging.selection import best_number
from bench.tuning.journal import Journal
from bench.tuning.schedulers import WHOLE_POPULATION
from bench.tuning.searchers import INFORMED, Search
from bench.tuning.spaces import default_of, space_of
from bench.tuning.trainable import JOB

REPEATED_FAILURE = 3  # so many first trials that all fail alike end the study


@dataclass(frozen=True)
class Job:
    """One training run of the study."""

    trial: str  # its name, unique in the study
    kind: str  # tuning or final
    model: str
    cls: str
    number: int  # of its configuration; 0 is the model's default
    seed: int
    config: dict[str, Any]  # every hyperparameter


@dataclass
class Group:
    """One search: a model on one class, or on all of them where one configuration serves all."""

    model: str
    classes: list[str]
    search: Search
    default: dict[str, Any]
    trials: int
    asked: int = 0
    queue: deque[Job] = field(default_factory=deque)
    live: int = 0
    tuned: dict[tuple[int, str], tuple[dict[str, Any], float | None]] = field(default_factory=dict)
    finals_made: bool = False

    def objectives(self) -> dict[int, float | None]:
        """Number -> mean objective over the classes, for numbers that are done on all; None if one failed."""
        found: dict[int, float | None] = {}
        for number in sorted({number for number, _ in self.tuned}):
            values = [self.tuned[number, cls][1] for cls in self.classes if (number, cls) in self.tuned]
            if len(values) == len(self.classes):
                found[number] = None if None in values else math.fsum(values) / len(values)  # type: ignore[arg-type]
        return found

    def winner(self) -> tuple[int, dict[str, Any]] | None:
        """The best configuration's number and values: the default's where none was tried, None where all failed."""
        if not self.trials:
            return 0, self.default
        number = best_number(self.objectives())
        return None if number is None else (number, self.tuned[number, self.classes[0]][0])


class Planner(Searcher):
    """Ray Tune's source of trials. It proposes what is left to do and is told what came of it by `finish`."""

    def __init__(
        self,
        study: Study,
        tasks: list[Task],
        rows: Iterable[dict[str, Any]],
        slots: Callable[[str], int],
        journal: Journal | None = None,
    ):
        """`rows`: the trials that an earlier command finished; `slots(model)`: how many of its trials run at a time."""
        super().__init__(metric="objective", mode="max")
        self.study, self.slots, self.journal = study, slots, journal
        self.deadline: float | None = None  # set as the first run starts
        self.finished: dict[str, dict[str, Any]] = {row["trial"]: row for row in rows}
        self.jobs: dict[str, Job] = {}  # Ray's trial id -> what it runs
        self.failures: list[str] = []
        self.stopped: str | None = None  # why no more trials are started
        self.interrupted = False
        classes = [task.cls for task in tasks]
        together = [classes] if study.tune_for == "mean" else [[cls] for cls in classes]
        self.groups = [self.make_group(model, members) for model in study.model for members in together]

    def make_group(self, model: str, classes: list[str]) -> Group:
        default = default_of(self.study, model)
        name = f"{model} {classes[0] if len(classes) == 1 else 'all'}"
        search = Search(name, self.study.searcher, space_of(self.study, model), default, self.study.seed, self.journal)
        return Group(model, classes, search, default, search.trials(self.study.trials))

    def runs(self) -> int:
        """How many runs the study has in all."""
        return sum(self.planned().values())

    def planned(self) -> dict[tuple[str, str], int]:
        """(Model, kind) -> how many runs there are in all."""
        planned: dict[tuple[str, str], int] = {}
        for g in self.groups:
            for kind, each in (("tuning", g.trials), ("final", self.study.seeds)):
                planned[g.model, kind] = planned.get((g.model, kind), 0) + len(g.classes) * each
        return planned

    def next_job(self) -> Job | None:
        if self.deadline is None:
            self.deadline = time.monotonic() + self.study.budget_seconds()
        if self.stopped is None and time.monotonic() > self.deadline:
            self.stopped = f"the time budget of {self.study.time_budget} is used up"
        if self.stopped is not None:
            return None
        for group in self.groups:
            while group.queue or self.fill(group):
                job = group.queue.popleft()
                row = self.finished.get(job.trial)
                if row is None:
                    group.live += 1
                    return job
                if job.kind == "tuning":
                    self.tell(group, job, row["objective"])
        return None

    def fill(self, group: Group) -> bool:
        """Queues a group's next jobs; False if there are none for now."""
        if group.asked < group.trials:
            if (
                self.study.searcher in INFORMED
                and self.study.scheduler not in WHOLE_POPULATION
                and group.live >= self.slots(group.model)
            ):
                return False
            number = group.asked
            group.asked += 1
            # What an interrupted command proposed is kept: a parallel search proposes by what was known then.
            config = group.default | group.search.ask(number, self.recorded(group, number))
            group.queue.extend(
                Job(f"{group.model}-{cls}-{number:03d}", "tuning", group.model, cls, number, self.study.seed, config)
                for cls in group.classes
            )
            return True
        if group.finals_made or len(group.objectives()) < group.trials:
            return False
        group.finals_made = True
        winner = group.winner()
        if winner is None:
            return False
        group.queue.extend(
            Job(f"{group.model}-{cls}-seed{seed}", "final", group.model, cls, winner[0], seed, winner[1])
            for cls in group.classes
            for seed in range(self.study.seed + 1, self.study.seed + 1 + self.study.seeds)
        )
        return bool(group.queue)

    def recorded(self, group: Group, number: int) -> dict[str, Any] | None:
        for cls in group.classes:
            if row := self.finished.get(f"{group.model}-{cls}-{number:03d}"):
                return {name: row.get(f"tried_{name}", row[f"config_{name}"]) for name in group.default}
        return None

    def tell(self, group: Group, job: Job, value: float | None) -> None:
        row = self.finished[job.trial]
        group.tuned[job.number, job.cls] = ({name: row[f"config_{name}"] for name in group.default}, value)
        objectives = group.objectives()
        if job.number in objectives:
            group.search.tell(job.number, job.config, objectives[job.number])

    def finish(self, job: Job, row: dict[str, Any]) -> None:
        """Takes in a finished run's row."""
        group = self.group(job)
        group.live -= 1
        self.finished[job.trial] = row
        if row["status"] == "error":
            self.failures.append(row["error"])
        if job.kind == "tuning":
            self.tell(group, job, row["objective"])
        done = [r for r in self.finished.values() if r["status"] != "error"]
        if len(self.failures) >= REPEATED_FAILURE and not done and len(set(self.failures)) == 1:
            self.stopped = f"the first {len(self.failures)} trials all failed: {self.failures[0]}"

    def group(self, job: Job) -> Group:
        return next(group for group in self.groups if group.model == job.model and job.cls in group.classes)

    def searched(self, job: Job) -> bool:
        """Whether the search that a run belongs to is over."""
        return len(self.group(job).objectives()) == self.group(job).trials

    def again(self, job: Job) -> None:
        """Puts a job back whose process died."""
        group = self.group(job)
        group.live -= 1
        group.queue.appendleft(job)

    # Ray Tune's side

    def suggest(self, trial_id: str) -> Any:
        job = self.next_job()
        if job is None:
            waiting = any(group.live for group in self.groups)  # what they bring may make more jobs
            return None if waiting and self.stopped is None else Searcher.FINISHED
        self.jobs[trial_id] = job
        about = {
            "trial": job.trial,
            "kind": job.kind,
            "model": job.model,
            "class": job.cls,
            "seed": job.seed,
            "threads": self.study.cpus_per_trial or 1,
        }
        return job.config | {JOB: about}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Nothing: `finish` has the whole row."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the study's rows are all the state there is."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, see `save_to_dir`; Ray pickles its Tuner."""
        return {}
