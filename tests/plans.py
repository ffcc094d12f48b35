"""Plans studies, and ends their runs, without Ray and without training."""

from collections.abc import Callable, Container
from typing import Any

from bench.choices.study import Study
from bench.choices.tasks import ONE_CLASS, Budget, PlannedRun, Task
from bench.results.columns import of_variant
from bench.tuning.planner import Planner
from bench.tuning.spaces import SearchSpace, spaces_of

TASKS = [Task(ONE_CLASS, cls) for cls in ("3", "5")]
Objective = Callable[[PlannedRun], float | None]


def planner(
    rows: list[dict[str, Any]] | None = None,
    steps: int = 100,
    spaces: dict[str, SearchSpace] | None = None,
    **choices: Any,
) -> Planner:
    """The planner of a study of PCA on TASKS; its `decisions` are the winners' lines."""
    study = Study(**{"model": ("pca",), "searcher": "random"} | choices)
    budgets = {(study.model[0], task): Budget(2, steps // 2) for task in TASKS}
    decisions: list[dict[str, Any]] = []
    plan = Planner(
        *(study, TASKS, spaces or spaces_of(study), budgets, rows or [], lambda model: 1),
        on_winner=decisions.append,
    )
    plan.decisions = decisions
    return plan


def finish(plan: Planner, run: PlannedRun, value: float | None = 0.5, **columns: Any) -> None:
    """The run ends with this objective (None: it failed); `columns` replace those of its row."""
    row = {"trial": run.trial, "kind": run.kind, "model": run.model, "class": run.task.cls}
    row |= {"number": run.number, "seed": run.seed, "steps": run.budget.steps, "objective": value}
    row |= {"status": "error" if value is None else "done", "error": "why"}
    row |= {"select_on": plan.study.select_on} | of_variant(run.task)
    plan.finish(run, row | {f"config_{name}": v for name, v in run.config.items()} | columns)


def run_all(
    plan: Planner, objective: Objective, stopped: Container[int] = (), most: int | None = None
) -> list[PlannedRun]:
    """Runs all that is planned, or the first `most` runs, one at a time.

    The scheduler stops the tuning runs of the configurations `stopped`.
    """
    runs: list[PlannedRun] = []
    while len(runs) != most and (run := plan.next_run()) is not None:
        value = objective(run)
        early = value is not None and run.kind == "tuning" and run.number in stopped
        finish(plan, run, value, **({"status": "stopped"} if early else {}))
        runs.append(run)
    assert most or plan.planned() == plan.done
    return runs


def numbers_and_seeds(runs: list[PlannedRun]) -> dict[str, set[tuple[int, int]]]:
    """Those of the runs of each kind, which all tasks share."""
    return {
        kind: {(run.number, run.seed) for run in runs if run.kind == kind}
        for kind in ("tuning", "finalist", "final")
    }


def lucky(run: PlannedRun) -> float:
    """Configuration 1 is best under the search's seed alone, 2 under all others."""
    if run.kind == "tuning":
        return {0: 0.5, 1: 0.9, 2: 0.8, 3: 0.7}.get(run.number, 0.1)
    return {1: 0.4, 2: 0.8}.get(run.number, 0.6)


def rows_of(plan: Planner) -> list[dict[str, Any]]:
    return list(plan.finished.values())
