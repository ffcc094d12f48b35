"""How the planner treats runs that train side by side, die, fail or are resumed."""

from typing import Any

import pytest
from plans import TASKS, finish, lucky, numbers_and_seeds, planner, rows_of, run_all
from ray.tune.search import Searcher

from bench.choices.study import Study
from bench.choices.tasks import PlannedRun
from bench.judging.selection import MOST_SEEDS
from bench.tuning.planner import Planner


def begun(plan: Planner, count: int) -> list[PlannedRun]:
    """So many runs, none of which has ended."""
    runs = [plan.next_run() for _ in range(count)]
    assert None not in runs
    return runs


@pytest.mark.parametrize(
    ("searcher", "scheduler"), [("tpe", "asha"), ("tpe", "pbt"), ("random", "asha")]
)
def test_a_search_that_learns_waits_for_as_many_runs_as_there_are_slots(searcher, scheduler):
    """But where the scheduler needs all trials at once; a run whose process died comes again."""
    plan = planner(trials=4, finalists=0, searcher=searcher, scheduler=scheduler)
    first, other = begun(plan, 2)
    if (searcher, scheduler) != ("tpe", "asha"):
        assert [(run.task, run.number) for run in (first, other)] == [(TASKS[0], 0), (TASKS[0], 1)]
        return
    assert [(run.task, run.number) for run in (first, other)] == [(task, 0) for task in TASKS]
    assert plan.next_run() is None
    assert plan.suggest("a trial") is None, "Ray asks again"
    plan.requeue(first)
    assert plan.next_run() == first
    finish(plan, first)
    assert begun(plan, 1)[0].number == 1


def test_a_run_whose_process_died_comes_before_those_that_have_not_begun():
    plan = planner(trials=1, seeds=3)
    finish(plan, begun(plan, 1)[0])
    final = begun(plan, 1)[0]
    assert final.kind == "final"
    plan.requeue(final)
    assert begun(plan, 1) == [final]


def test_a_configuration_for_all_classes_counts_once_it_ran_on_all_of_them():
    plan = planner(trials=2, finalists=1, finalist_seeds=1, seeds=1, tune_for="mean")
    *ended, last = begun(plan, 4)
    for run in ended:
        finish(plan, run)
    assert plan.next_run() is None, "who is a finalist is open"
    assert plan.suggest("a trial") is None
    assert not plan.group(last).searched, "its paused trials may go on"
    finish(plan, last)
    assert plan.group(last).searched
    assert begun(plan, 1)[0].kind == "finalist"


def test_a_finalist_of_which_a_run_failed_does_not_win():
    """Nor as if that had an objective of 0, which is the best of a loss."""

    def loss(run: PlannedRun) -> float | None:
        if run.number == 2 and run.seed == MOST_SEEDS + 1:
            return None
        return -0.1 if run.number == 2 else -0.5

    by_kind = numbers_and_seeds(
        run_all(planner(trials=3, finalists=2, finalist_seeds=2, seeds=1), loss)
    )
    assert (2, MOST_SEEDS + 1) in by_kind["finalist"]
    assert by_kind["final"] == {(0, 1)}


def test_seeds_follow_the_studys_and_it_draws_other_configurations():
    choices: dict[str, Any] = {"trials": 3, "finalists": 1, "finalist_seeds": 2, "seeds": 2}
    plan = planner(seed=7, **choices)
    runs = run_all(plan, lambda run: run.number)
    by_kind = numbers_and_seeds(runs)
    assert by_kind["tuning"] == {(number, 7) for number in range(3)}
    assert {seed for _, seed in by_kind["finalist"]} == {MOST_SEEDS + 8, MOST_SEEDS + 9}
    assert by_kind["final"] == {(number, seed) for number in (0, 2) for seed in (8, 9)}
    again = planner(rows_of(plan), seed=7, **choices)
    assert again.planned() == again.done
    others = run_all(planner(**choices), lambda run: run.number)
    assert [r.config for r in runs if r.number == 1] != [r.config for r in others if r.number == 1]


@pytest.mark.parametrize(
    ("ends", "stops"), [("aaa", True), ("aa", False), ("aba", False), (".aaa", False)]
)
def test_a_study_stops_where_its_first_three_runs_fail_alike(ends: str, stops: bool):
    """`.` is a run that ended well, a letter the reason of one that failed."""
    plan = planner(trials=6)
    for reason in ends:
        finish(plan, begun(plan, 1)[0], 0.5 if reason == "." else None, error=reason)
    assert (plan.stopped is not None) == stops
    assert (plan.suggest("a trial") == Searcher.FINISHED) == stops


def test_no_run_begins_after_the_time_budget():
    plan = planner(trials=4, time_budget="2h")
    finish(plan, begun(plan, 1)[0])
    begun(plan, 1)
    plan.deadline = 0.0
    assert plan.next_run() is None
    assert plan.stopped == "the time budget of 2h is used up"
    budgets = (Study(time_budget=text).budget_seconds() for text in ("90s", "1.5m", "2h", "1d"))
    assert [*budgets] == [90, 90, 7200, 86400]


def test_runs_that_were_stopped_early_are_not_run_again():
    choices: dict[str, Any] = {"trials": 4, "finalists": 0, "seeds": 1}
    first = planner(**choices)
    run_all(first, lucky, stopped={1, 2})
    assert run_all(planner(rows_of(first), **choices), lucky) == []


def test_without_finalists_a_run_that_was_cut_short_does_not_win_where_the_last_epoch_counts():
    plan = planner(trials=4, finalists=0, seeds=1, select_on="last_epoch")
    assert numbers_and_seeds(run_all(plan, lucky, stopped={1}))["final"] == {(2, 1)}


@pytest.mark.parametrize("trials", [0, 1])
def test_the_default_alone_needs_no_finalists(trials: int):
    by_kind = numbers_and_seeds(run_all(planner(trials=trials, seeds=2), lucky))
    assert by_kind["finalist"] == set()
    assert by_kind["final"] == {(0, 1), (0, 2)}


@pytest.mark.parametrize(("error", "again"), [("FloatingPointError: nan", 0), ("no memory", 2)])
def test_a_run_that_diverged_is_not_tried_again(error: str, again: int):
    first = planner(trials=3, finalists=0, seeds=1)
    run_all(first, lambda run: None if run.number == 1 else 0.5)
    rows = [row | {"error": error} for row in first.rows]
    assert len(run_all(planner(rows, trials=3, finalists=0, seeds=1), lambda run: 0.4)) == again
