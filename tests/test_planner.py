"""Which runs a study plans: finalists under fresh seeds, the default beside the winner, growth."""

from collections import Counter
from collections.abc import Callable, Container
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.choices.study import Study
from bench.choices.tasks import ONE_CLASS, Budget, PlannedRun, Task
from bench.judging.selection import MOST_SEEDS
from bench.results.columns import of_variant
from bench.tuning.planner import Planner
from bench.tuning.spaces import SearchSpace, mark_unsearched, spaces_of

TASKS = [Task(ONE_CLASS, cls) for cls in ("3", "5")]
Objective = Callable[[PlannedRun], float | None]


def planner(
    rows: list[dict[str, Any]] | None = None,
    steps: int = 100,
    spaces: dict[str, SearchSpace] | None = None,
    **choices: Any,
) -> Planner:
    study = Study(**{"model": ("pca",), "searcher": "random"} | choices)
    budgets = {(study.model[0], task): Budget(2, steps // 2) for task in TASKS}
    decisions: list[dict[str, Any]] = []
    plan = Planner(
        *(study, TASKS, spaces or spaces_of(study), budgets, rows or [], lambda model: 1),
        on_winner=decisions.append,
    )
    plan.decisions = decisions  # type: ignore[attr-defined]
    return plan


def run_all(
    planner: Planner, objective: Objective, stopped: Container[int] = ()
) -> list[PlannedRun]:
    """Runs all that a planner plans, one at a time; `stopped`: whose tuning runs end early."""
    runs = []
    while (run := planner.next_run()) is not None:
        value = objective(run)
        row = {"trial": run.trial, "kind": run.kind, "model": run.model, "class": run.task.cls}
        row |= {"number": run.number, "seed": run.seed, "steps": run.budget.steps}
        row |= of_variant(run.task)
        early = run.kind == "tuning" and run.number in stopped
        status = "error" if value is None else "stopped" if early else "done"
        row |= {"status": status, "error": "why", "select_on": planner.study.select_on}
        row |= {f"config_{name}": value for name, value in run.config.items()}
        planner.finish(run, row | {"objective": value})
        runs.append(run)
    assert planner.planned() == planner.done
    return runs


def kinds(runs: list[PlannedRun]) -> dict[str, set[tuple[int, int]]]:
    """(Number, seed) of the runs of each kind, which all tasks share."""
    return {
        kind: {(run.number, run.seed) for run in runs if run.kind == kind}
        for kind in ("tuning", "finalist", "final")
    }


def lucky(run: PlannedRun) -> float:
    """Configuration 1 is best under the search's seed alone, 2 under all others."""
    if run.kind == "tuning":
        return {0: 0.5, 1: 0.9, 2: 0.8, 3: 0.7}.get(run.number, 0.1)
    return {1: 0.4, 2: 0.8}.get(run.number, 0.6)


def test_a_winner_by_luck_does_not_win():
    plan = planner(trials=6, finalists=2, finalist_seeds=3, seeds=2)
    by_kind = kinds(run_all(plan, lucky))
    assert by_kind["tuning"] == {(number, 0) for number in range(6)}
    first = MOST_SEEDS + 1
    seeds = range(first, first + 3)
    assert by_kind["finalist"] == {(number, seed) for number in (1, 2, 0) for seed in seeds}
    assert by_kind["final"] == {(number, seed) for number in (2, 0) for seed in (1, 2)}
    assert [(d["class"], d["number"], d["steps"]) for d in plan.decisions] == [
        ("3", 2, 100),
        ("5", 2, 100),
    ]
    assert plan.decisions[0]["objectives"] == pytest.approx({"1": 0.4, "2": 0.8, "0": 0.6})


@pytest.mark.parametrize(("signal", "second"), [("last_epoch", 3), ("val_loss", 1)])
def test_a_figure_of_an_epoch_before_the_last_counts_less_if_the_last_is_to_count(signal, second):
    plan = planner(trials=6, finalists=2, select_on=signal)
    by_kind = kinds(run_all(plan, lucky, stopped={1, 4, 5}))
    assert {number for number, _ in by_kind["finalist"]} == {2, second, 0}


def test_what_failed_is_tried_again_as_it_was():
    """Not as the searcher would propose it now, which knows more than when runs ended side by side."""
    choices: dict[str, Any] = {"trials": 8, "finalists": 0, "seeds": 1, "searcher": "tpe"}
    whole = planner(**choices)
    first = run_all(whole, lambda run: None if run.number == 6 else run.config["components"])
    failed = [run for run in first if run.number == 6]
    as_it_was = {"config_components": 77}
    rows = [row | as_it_was if row["status"] == "error" else row for row in whole.rows]
    again = run_all(planner(rows, **choices), lambda run: 0.0)
    again = [run for run in again if run.kind == "tuning"]
    assert [run.trial for run in again] == [run.trial for run in failed]
    assert {run.config["components"] for run in again} == {77}


def test_a_winner_stands_where_another_task_is_not_searched():
    choices: dict[str, Any] = {"model": ("knn",), "trials": 3, "finalists": 0, "seeds": 1}
    spaces = spaces_of(Study(**choices))
    spaces = mark_unsearched(spaces, {TASKS[0]: "val_auroc", TASKS[1]: "val_loss"}, searching=True)
    runs = run_all(planner(spaces=spaces, **choices), lambda run: run.number)
    assert {(run.task.cls, run.number) for run in runs if run.kind == "final"} == {
        ("3", 2),
        ("5", 0),
    }
    assert {run.task.cls for run in runs if run.kind == "tuning"} == {"3"}


def test_a_search_by_validation_loss_says_what_that_prefers(capsys):
    spaces = spaces_of(Study(model=("knn", "ganomaly", "autoencoder")))
    mark_unsearched(spaces, dict.fromkeys(TASKS, "val_auroc"), searching=True)
    assert capsys.readouterr().err == ""
    mark_unsearched(spaces, dict.fromkeys(TASKS, "last_epoch"), searching=True)
    fitted, networks = capsys.readouterr().err.splitlines()
    assert fitted.startswith("note: knn: nothing is searched: last_epoch cannot compare")
    assert networks.startswith(
        "note: ganomaly, autoencoder: last_epoch compares configurations by validation loss, and so "
        "prefers those that copy images best"
    )


def test_the_search_is_told_of_the_configuration_that_earned_the_objective():
    """PBT changes it in mid-training."""
    plan = planner(trials=3, searcher="tpe")
    for _ in range(3):
        run = plan.next_run()
        assert run is not None
        row = {"trial": run.trial, "kind": "tuning", "number": run.number, "status": "done"}
        row |= {"select_on": "val_auroc", "objective": 0.5, "config_components": 7}
        plan.finish(run, row)
    told = [t.params["components"] for t in plan.groups[0].search.study.trials if t.values]
    assert told == [7, 7, 7]


@pytest.mark.parametrize("others", [0.6, None])
def test_a_default_that_pbt_replaced_does_not_win_by_another_ones_figure(others):
    plan = planner(trials=3, finalists=0, seeds=1)
    while (run := plan.next_run()) is not None and run.kind == "tuning":
        first = run.number == 0
        row = {"trial": run.trial, "kind": "tuning", "number": run.number, "steps": 100}
        row |= {"status": "done" if first or others else "error", "select_on": "val_auroc"}
        row |= {f"config_{name}": value for name, value in run.config.items()}
        row |= {"config_components": 7} if first else {"error": f"why {run.number}"}
        plan.finish(run, row | {"objective": 0.9 if first else others})
    decision = plan.decisions[0]
    assert decision["number"] == (1 if others else 0)
    assert decision["objectives"].get("0") == (None if others else 0.9)


def test_new_failures_of_a_study_with_older_runs_end_it():
    first = planner(trials=2, seeds=1)
    run_all(first, lambda run: 0.5)
    longer = planner(first.rows, steps=200, trials=4, seeds=1)
    while (run := longer.next_run()) is not None:
        row = {"trial": run.trial, "kind": run.kind, "number": run.number, "steps": 200}
        longer.finish(run, row | {"status": "error", "error": "why", "objective": None})
    assert longer.stopped == "the first 3 trials all failed: why"


def test_finalists_are_different_configurations():
    """Of a space with three values the search tries most several times, all under one seed."""
    plan = planner(trials=9, finalists=3, seeds=1, space=("components=16,32,64",))
    runs = run_all(plan, lambda run: run.config["components"])
    finalists = {
        (run.number, run.config["components"])
        for run in runs
        if run.kind == "finalist" and run.task == TASKS[0]
    }
    values = [value for _, value in finalists]
    assert len(values) == len(set(values))
    tried = {r.config["components"] for r in runs if r.kind == "tuning" and r.task == TASKS[0]}
    assert set(values) == tried


def test_rows_of_an_earlier_version_lack_newer_hyperparameters():
    rows = [
        {"trial": run.trial, "kind": run.kind, "model": "pca", "class": run.task.cls, "steps": 100}
        | {"number": run.number, "seed": run.seed, "status": "done", "objective": 0.5}
        for run in run_all(planner(trials=1, seeds=1), lambda run: 0.5)
    ]
    assert run_all(planner(rows, trials=1, seeds=1), lambda run: 0.5) == []


def test_without_finalists_the_best_of_one_seed_wins():
    by_kind = kinds(run_all(planner(trials=6, finalists=0, seeds=2), lucky))
    assert not by_kind["finalist"]
    assert by_kind["final"] == {(1, 1), (1, 2)}


def test_where_the_default_wins_it_is_trained_once():
    by_kind = kinds(run_all(planner(trials=3, seeds=2), lambda run: -run.number))
    assert by_kind["final"] == {(0, 1), (0, 2)}


def test_test_images_choose_without_finalists():
    by_kind = kinds(run_all(planner(trials=3, seeds=1, selection="test"), lucky))
    assert not by_kind["finalist"]


@settings(max_examples=40)
@given(
    values=st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 1002)), st.none() | st.floats(0, 1)
    ),
    trials=st.integers(0, 5),
    finalists=st.integers(0, 3),
    fallback=st.none() | st.floats(0, 1),
)
def test_every_plan_comes_to_an_end(values: dict, trials: int, finalists: int, fallback: float):
    """Whatever fails: each run is planned once, and the counts that are printed are right."""
    plan = planner(trials=trials, finalists=finalists, seeds=2)
    runs, seen = [], Counter[str]()
    while (run := plan.next_run()) is not None:
        value = values.get((run.number, run.seed), fallback)
        status = "error" if value is None else "done"
        row = {"trial": run.trial, "status": status, "error": run.trial}
        row |= {"kind": run.kind, "objective": value, "steps": 100, "number": run.number}
        row |= {"model": "pca", "class": run.task.cls, "seed": run.seed}
        plan.finish(run, row | {f"config_{k}": v for k, v in run.config.items()})
        runs.append(run)
        seen[run.trial] += 1
    assert set(seen.values()) <= {1}
    assert plan.stopped is None, "no two reasons are alike"
    if all(group.winner() is not None for group in plan.groups):
        assert plan.planned() == plan.done
    for decision in plan.decisions:
        finals = {r.number for r in runs if r.kind == "final" and r.task.cls == decision["class"]}
        assert finals <= {decision["number"], 0}
        assert decision["number"] in finals


def rows_of(plan: Planner) -> list[dict[str, Any]]:
    return list(plan.finished.values())


def test_more_trials_and_seeds_go_on_with_what_is_there():
    small = planner(trials=2, seeds=1)
    run_all(small, lucky)
    grown = planner(rows_of(small), trials=4, seeds=2)
    assert +grown.done == {("pca", "tuning", ""): 4}, "who is judged and tested is open again"
    again = kinds(run_all(grown, lucky))
    assert again["tuning"] == {(2, 0), (3, 0)}
    assert {number for number, _ in again["finalist"]} == {2, 3}, "1 and 0 were judged before"
    assert again["final"] == {(2, 1), (2, 2), (0, 2)}, "the default's first seed was tested before"


def test_what_is_left_counts_runs_that_ended_out_of_turn():
    whole = planner(trials=4, seeds=3)
    run_all(whole, lucky)
    gaps = {"pca-3-001", "pca-5-002-seed1001", "pca-3-000-seed1"}
    rest = planner([row for row in rows_of(whole) if row["trial"] not in gaps], trials=4, seeds=3)
    left = rest.planned() - rest.done
    assert left["pca", "tuning", ""] == 1
    run_all(rest, lucky)
    assert not (rest.planned() - rest.done)
    tail = planner(
        [row for row in rows_of(whole) if row["trial"] != "pca-3-000-seed1"], trials=4, seeds=3
    )
    assert tail.planned() - tail.done == {("pca", "final", ""): 1}


def test_more_steps_train_everything_anew_under_other_names():
    small = planner(trials=2, seeds=1)
    names = {run.trial for run in run_all(small, lucky)}
    grown = planner(rows_of(small), steps=200, trials=2, seeds=1)
    longer = run_all(grown, lucky)
    assert {run.trial for run in longer} == {f"{name}-200steps" for name in names}
    assert not run_all(planner(rows_of(grown), steps=200, trials=2, seeds=1), lucky)


def test_earlier_winners_are_tried_first():
    study = Study(model=("pca",), searcher="random", trials=4)
    spaces = spaces_of(study)
    default = spaces["pca"].default
    earlier = [("3", default | {"components": 7}), ("5", default | {"components": 9})]
    spaces["pca"].earlier.extend([*earlier, ("3", default)])
    budgets = {("pca", task): Budget(1) for task in TASKS}
    plan = Planner(study, TASKS, spaces, budgets, [], lambda model: 1)
    tried: dict[str, list[int]] = {"3": [], "5": []}
    for run in run_all(plan, lucky):
        if run.kind == "tuning":
            tried[run.task.cls].append(run.config["components"])
    assert tried["3"][:2] == [default["components"], 7]
    assert tried["5"][:2] == [default["components"], 9]
    assert len(set(tried["3"])) == 4
