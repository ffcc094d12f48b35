"""Which run comes next: a search's configurations, its finalists, then its winner.

Tuning runs share one seed, so the best of them is partly the luckiest: it and a few others, the
finalists, are trained again under fresh seeds, and so is the default. The best mean wins. Winner
and default are then trained under further seeds and tested: the final runs.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ray.tune.search import Searcher

from bench.choices.options import WHOLE_POPULATION
from bench.choices.study import Study
from bench.choices.tasks import Budgets, PlannedRun, RunKind, Task, protocol_of, search_of
from bench.judging.selection import MOST_SEEDS
from bench.results.columns import of_variant
from bench.results.reading import worth_retrying
from bench.tuning.journal import Journal
from bench.tuning.search_group import Group, config_value, means
from bench.tuning.searchers import INFORMED, Search
from bench.tuning.spaces import SearchSpace
from bench.tuning.trainable import PLANNED

FINALISTS = 3
REPEATED_FAILURE = 3  # the study ends if this many first trials all fail for the same reason


class Planner(Searcher):
    """Ray Tune's searcher: proposes the runs that are left to do; `finish` tells it their rows."""

    def __init__(
        self,
        study: Study,
        tasks: list[Task],
        spaces: Mapping[str, SearchSpace],
        budgets: Budgets,
        rows: Iterable[dict[str, Any]],
        slots: Callable[[str], int],
        journal: Journal | None = None,
        on_winner: Callable[[dict[str, Any]], None] = lambda decision: None,
    ):
        """`spaces`: what is searched in each model; `budgets`: how long its runs on a task train;
        `rows`: the trials that an earlier command ended, perhaps before the study grew (those that
        failed run again where the cause may be gone); `slots(model)`: how many of its trials run
        at a time; `on_winner` gets each winner, as a line of winners.jsonl."""
        super().__init__(metric="objective", mode="max")
        self.study, self.spaces, self.slots, self.journal = study, spaces, slots, journal
        self.budgets, self.on_winner = budgets, on_winner
        default = 0 if protocol_of(study).selection == "test" else FINALISTS
        self.finalists = default if study.finalists is None else study.finalists
        self.deadline: float | None = None  # set by the first call of `over`
        self.known: dict[str, dict[str, Any]] = {row["trial"]: row for row in rows}  # by trial
        self.finished = {trial: row for trial, row in self.known.items() if not worth_retrying(row)}
        self.grown = {  # by model and task: whether earlier runs had another number of steps
            (model, task): any(
                search_of(row) == (model, task.cls, task.variant)
                and row.get("steps") != budget.steps
                for row in self.finished.values()
            )
            for (model, task), budget in budgets.items()
        }
        self.runs: dict[str, PlannedRun] = {}  # by Ray's trial id, while they are under way
        self.rows: list[dict[str, Any]] = []  # of the study as it is now, as far as it has come
        self.done: Counter[RunKind] = Counter()  # finished runs of the study as it is now
        self.failures: list[str] = []
        self.stopped: str | None = None  # why no more trials are started
        self.interrupted = False
        together = [[task] for task in tasks]
        if study.tune_for == "mean":
            variants = dict.fromkeys(task.variant for task in tasks)
            together = [[task for task in tasks if task.variant == name] for name in variants]
        self.groups = [
            self.make_group(model, members) for model in study.model_names() for members in together
        ]
        self.members = {  # (model, class, variant) -> its group, and the steps of its runs
            (group.model, task.cls, task.variant): (group, budgets[group.model, task].steps)
            for group in self.groups
            for task in group.tasks
        }
        for group in self.groups:
            self.advance(group, ask=False)
        self.count()

    def make_group(self, model: str, tasks: list[Task]) -> Group:
        space, study = self.spaces[model], self.study
        searched = tasks[0] if len(tasks) == 1 else replace(tasks[0], cls="all")
        distributions = {} if space.unsearched.issuperset(tasks) else space.distributions
        search = Search(
            *(f"{model} {searched.name}", study.searcher, distributions, space.default, study.seed),
            self.journal,
            first=space.first([task.cls for task in tasks]),
        )
        trials = search.trials(study.trials)
        finalist_runs = study.finalist_seeds * len(tasks) if self.finalists and trials > 1 else 0
        return Group(model, tasks, search, space.default, trials, finalist_runs)

    @property
    def has_search(self) -> bool:
        """Whether the study tries any configuration but the default."""
        return any(group.trials > 1 for group in self.groups)

    def planned(self) -> Counter[RunKind]:
        """How many runs of each kind there are in all."""
        planned: Counter[RunKind] = Counter()
        for group in self.groups:
            tasks, finals = len(group.tasks), len(group.tasks) * self.study.seeds
            planned[group.kind("tuning")] += tasks * group.trials
            planned[group.kind("final")] += finals
            if not group.finalist_runs:
                continue
            finalists = group.finalists or range(min(self.finalists, group.trials - 1) + 1)
            planned[group.kind("finalist")] += tasks * len(finalists) * self.study.finalist_seeds
            if not (group.finals_planned and group.winner() == 0):
                planned[group.kind("final")] += finals  # of the default
        return planned

    def count(self) -> None:
        """Counts those finished runs that the study still plans: a decision may drop some."""
        counts: Counter[RunKind] = Counter()
        for row in (row for row in self.finished.values() if search_of(row) in self.members):
            group, steps = self.members[search_of(row)]
            if row.get("steps") == steps and group.includes(row, self.study):
                counts[group.kind(row["kind"])] += 1
        for kind in self.planned():
            self.done[kind] = counts[kind]

    def over(self) -> bool:
        """Whether no more runs may begin. The time budget counts from the first call."""
        if self.deadline is None:
            self.deadline = time.monotonic() + self.study.budget_seconds()
        if self.stopped is None and time.monotonic() > self.deadline:
            self.stopped = f"the time budget of {self.study.time_budget} is used up"
        return self.stopped is not None

    def next_run(self) -> PlannedRun | None:
        if self.over():
            return None
        for group in self.groups:
            decided = group.finalists, group.finals_planned
            self.advance(group, ask=True)
            if decided != (group.finalists, group.finals_planned):
                self.count()
            if group.queue:
                group.live += 1
                return group.queue.popleft()
        return None

    def advance(self, group: Group, ask: bool) -> None:
        """Fills a group's queue with its next runs; records those that are finished already.

        Unless `ask`, only with configurations that an earlier command proposed.
        """
        while group.queue or ((ask or self.proposed(group)) and self.fill(group)):
            for run in [run for run in group.queue if run.trial in self.finished]:
                group.queue.remove(run)
                self.record_result(group, run)
            if group.queue:
                return

    def proposed(self, group: Group) -> bool:
        """Whether an earlier command proposed a group's next configuration, if it has one."""
        number = group.next_number
        return number == group.trials or self.earlier_proposal(group, number) is not None

    def fill(self, group: Group) -> bool:
        """Queues a group's next runs; False if there are none for now."""
        if group.next_number < group.trials:
            return self.plan_tuning(group)
        if not group.searched:
            return False
        if group.finalists is None:
            group.finalists = group.best(self.finalists) if group.finalist_runs else []
            for number in group.finalists:
                self.plan_seeds(group, "finalist", number, MOST_SEEDS, self.study.finalist_seeds)
        if not group.queue and len(group.judged) == len(group.finalists) * group.finalist_runs:
            self.plan_finals(group)
        return bool(group.queue)

    def plan_tuning(self, group: Group) -> bool:
        """Queues the tuning runs of the next configuration; False where the searcher waits.

        A searcher that learns from results waits for those of the runs that are under way.
        """
        learns = self.study.searcher in INFORMED and self.study.scheduler not in WHOLE_POPULATION
        # `slots` asks Ray, which may not have started as long as no run is under way.
        if learns and group.live and group.live >= self.slots(group.model):
            return False
        number = group.next_number
        group.next_number += 1
        # Keep what an interrupted command proposed: some results that are known now were not known
        # to it, as it ran several trials at a time.
        config = group.default | group.search.ask(number, self.earlier_proposal(group, number))
        group.queue.extend(self.plan(group, "tuning", number, self.study.seed, config))
        return True

    def plan_finals(self, group: Group) -> None:
        """Queues the final runs: those of the winner, and of the default beside it."""
        winner = group.winner()
        if group.finals_planned or winner is None:
            return
        group.finals_planned = True
        judged = means(group.judged, group.finalist_runs) or group.candidates()
        objectives = {str(number): value for number, value in judged.items()}
        for run in self.plan(group, "tuning", winner, self.study.seed, {}):
            decision: dict[str, Any] = {"trial": run.trial, "model": run.model}
            decision |= {"class": run.task.cls} | of_variant(run.task)
            decision |= {"number": winner, "steps": run.budget.steps, "objectives": objectives}
            self.on_winner(decision)
        for number in group.tested():
            self.plan_seeds(group, "final", number, 0, self.study.seeds)

    def plan_seeds(self, group: Group, kind: str, number: int, offset: int, seeds: int) -> None:
        """Queues a configuration's runs under `seeds` seeds, from the study's + `offset` + 1 on."""
        first = self.study.seed + offset + 1
        for seed in range(first, first + seeds):
            group.queue.extend(self.plan(group, kind, number, seed, group.config(number)))

    def plan(
        self, group: Group, kind: str, number: int, seed: int, config: dict[str, Any]
    ) -> list[PlannedRun]:
        """The runs of one configuration under one seed: one for each of the group's tasks."""
        return [
            PlannedRun(
                *(kind, group.model, task, number, seed, config),
                self.budgets[group.model, task],
                self.grown[group.model, task],
            )
            for task in group.tasks
        ]

    def earlier_proposal(self, group: Group, number: int) -> dict[str, Any] | None:
        """What an earlier command proposed as this configuration; None if no run of it ended."""
        for run in self.plan(group, "tuning", number, self.study.seed, {}):
            if row := self.known.get(run.trial):
                return {
                    name: row.get(f"tried_{name}", config_value(row, name, value))
                    for name, value in group.default.items()
                }
        return None

    def record_result(self, group: Group, run: PlannedRun) -> None:
        """Records a finished run; tells the search of a configuration that ran on all tasks."""
        row = self.finished[run.trial]
        self.rows.append(row)
        if run.kind == "finalist":
            group.judged[run.number, run.task, run.seed] = row["objective"]
        if run.kind != "tuning":
            return
        config = {name: config_value(row, name, value) for name, value in group.default.items()}
        group.record(run, config, row)
        objectives = group.objectives()
        if run.number in objectives:
            group.search.tell(run.number, config, objectives[run.number])

    def finish(self, run: PlannedRun, row: dict[str, Any]) -> None:
        """Records a run that has ended; ends the study if its first runs all fail alike."""
        group = self.group(run)
        group.live -= 1
        self.finished[run.trial] = row
        self.done[group.kind(run.kind)] += 1
        if row["status"] == "error":
            self.failures.append(row["error"])
        self.record_result(group, run)
        repeated = len(self.failures) >= REPEATED_FAILURE and len(set(self.failures)) == 1
        if repeated and all(row["status"] == "error" for row in self.rows):
            self.stopped = f"the first {len(self.failures)} trials all failed: {self.failures[0]}"

    def group(self, run: PlannedRun) -> Group:
        """The search that a run belongs to."""
        return self.members[run.model, run.task.cls, run.task.variant][0]

    def requeue(self, run: PlannedRun) -> None:
        """Puts back a run whose process died."""
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

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Does nothing: `finish` receives the whole row."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the study's rows are all the state there is."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, see `save_to_dir`; Ray pickles its Tuner."""
        return {}
