"""Which runs a study plans: configurations, finalists, winner and default, growth."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import TASKS, finish, lucky, numbers_and_seeds, planner, rows_of, run_all

from bench.choices.study import Study
from bench.choices.tasks import PlannedRun
from bench.judging.selection import MOST_SEEDS
from bench.tuning.spaces import mark_unsearched, spaces_of


def test_a_winner_by_luck_does_not_win():
    plan = planner(trials=6, finalists=2, finalist_seeds=3, seeds=2)
    by_kind = numbers_and_seeds(run_all(plan, lucky))
    assert by_kind["tuning"] == {(number, 0) for number in range(6)}
    first = MOST_SEEDS + 1
    seeds = range(first, first + 3)
    assert by_kind["finalist"] == {(number, seed) for number in (1, 2, 0) for seed in seeds}
    assert by_kind["final"] == {(number, seed) for number in (2, 0) for seed in (1, 2)}
    decided = [(d["class"], d["number"], d["steps"]) for d in plan.decisions]
    assert decided == [("3", 2, 100), ("5", 2, 100)]
    assert plan.decisions[0]["objectives"] == pytest.approx({"1": 0.4, "2": 0.8, "0": 0.6})


@pytest.mark.parametrize(("signal", "second"), [("last_epoch", 3), ("val_loss", 1)])
def test_a_figure_of_an_epoch_before_the_last_counts_less_if_the_last_is_to_count(signal, second):
    plan = planner(trials=6, finalists=2, select_on=signal)
    by_kind = numbers_and_seeds(run_all(plan, lucky, stopped={1, 4, 5}))
    assert {number for number, _ in by_kind["finalist"]} == {2, second, 0}


@pytest.mark.parametrize(
    "as_it_was",
    [{"config_components": 77}, {"config_components": 7, "tried_components": 77}],
    ids=["as it ended", "as it was proposed, where PBT changed it"],
)
def test_what_failed_is_tried_again_as_it_was(as_it_was: dict[str, int]):
    """Not as the searcher would propose it now, which knows more results than then."""
    choices: dict[str, Any] = {"trials": 8, "finalists": 0, "seeds": 1, "searcher": "tpe"}
    whole = planner(**choices)
    first = run_all(whole, lambda run: None if run.number == 6 else run.config["components"])
    failed = [run for run in first if run.number == 6]
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
    finals = {(run.task.cls, run.number) for run in runs if run.kind == "final"}
    assert finals == {("3", 2), ("5", 0)}
    assert {run.task.cls for run in runs if run.kind == "tuning"} == {"3"}


def test_a_search_by_validation_loss_says_what_that_prefers(capsys):
    spaces = spaces_of(Study(model=("knn", "ganomaly", "autoencoder")))
    mark_unsearched(spaces, dict.fromkeys(TASKS, "val_auroc"), searching=True)
    assert capsys.readouterr().err == ""
    mark_unsearched(spaces, dict.fromkeys(TASKS, "last_epoch"), searching=True)
    fitted, networks = capsys.readouterr().err.splitlines()
    assert fitted.startswith("note: knn: nothing is searched: last_epoch cannot compare")
    line = "note: ganomaly, autoencoder: last_epoch compares configurations by validation loss"
    assert networks.startswith(f"{line}, and so prefers those that copy images best")


def test_the_search_is_told_of_the_configuration_that_earned_the_objective():
    """PBT changes it in mid-training."""
    plan = planner(trials=3, searcher="tpe")
    for _ in range(3):
        finish(plan, plan.next_run(), config_components=7)
    told = [t.params["components"] for t in plan.groups[0].search.study.trials if t.values]
    assert told == [7, 7, 7]


@pytest.mark.parametrize("others", [0.6, None])
def test_a_default_that_pbt_replaced_does_not_win_by_another_ones_figure(others):
    plan = planner(trials=3, finalists=0, seeds=1)
    while (run := plan.next_run()) is not None and run.kind == "tuning":
        if run.number == 0:
            finish(plan, run, 0.9, config_components=7)
        else:
            finish(plan, run, others, error=f"why {run.number}")
    decision = plan.decisions[0]
    assert decision["number"] == (1 if others else 0)
    assert decision["objectives"].get("0") == (None if others else 0.9)


def test_new_failures_of_a_study_with_older_runs_end_it():
    first = planner(trials=2, seeds=1)
    run_all(first, lambda run: 0.5)
    longer = planner(first.rows, steps=200, trials=4, seeds=1)
    while (run := longer.next_run()) is not None:
        finish(longer, run, None)
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


def test_a_copy_of_the_default_is_no_finalist_beside_it():
    """PBT may give another run the default's configuration."""
    plan, default = planner(trials=3, finalists=2), 0
    while (run := plan.next_run()).kind == "tuning":
        default = default or run.config["components"]
        finish(plan, run, run.number, **({"config_components": default} if run.number == 1 else {}))
    assert plan.group(run).finalists == [2, 0]


def test_rows_of_an_earlier_version_lack_newer_hyperparameters():
    rows = [
        {"trial": run.trial, "kind": run.kind, "model": "pca", "class": run.task.cls, "steps": 100}
        | {"number": run.number, "seed": run.seed, "status": "done", "objective": 0.5}
        for run in run_all(planner(trials=1, seeds=1), lambda run: 0.5)
    ]
    assert run_all(planner(rows, trials=1, seeds=1), lambda run: 0.5) == []


def test_without_finalists_the_best_of_one_seed_wins():
    by_kind = numbers_and_seeds(run_all(planner(trials=6, finalists=0, seeds=2), lucky))
    assert not by_kind["finalist"]
    assert by_kind["final"] == {(1, 1), (1, 2)}


def test_where_the_default_wins_it_is_trained_once():
    by_kind = numbers_and_seeds(run_all(planner(trials=3, seeds=2), lambda run: -run.number))
    assert by_kind["final"] == {(0, 1), (0, 2)}


def test_test_images_choose_without_finalists():
    by_kind = numbers_and_seeds(run_all(planner(trials=3, seeds=1, selection="test"), lucky))
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
        finish(plan, run, values.get((run.number, run.seed), fallback), error=run.trial)
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


def test_more_trials_and_seeds_go_on_with_what_is_there():
    small = planner(trials=2, seeds=1)
    run_all(small, lucky)
    grown = planner(rows_of(small), trials=4, seeds=2)
    assert +grown.done == {("pca", "tuning", ""): 4}, "who is judged and tested is open again"
    again = numbers_and_seeds(run_all(grown, lucky))
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


@pytest.mark.parametrize(
    ("tune_for", "first"), [("class", {"3": [7], "5": [9]}), ("mean", {"3": [7, 9], "5": [7, 9]})]
)
def test_earlier_winners_are_tried_first(tune_for: str, first: dict[str, list[int]]):
    """A class's own, or those of all classes in a search for all of them."""
    spaces = spaces_of(Study(model=("pca",)))
    default = spaces["pca"].default
    earlier = [("3", default | {"components": 7}), ("5", default | {"components": 9})]
    spaces["pca"].earlier.extend([*earlier, ("3", default)])
    tried: dict[str, list[int]] = {"3": [], "5": []}
    for run in run_all(planner(spaces=spaces, trials=4, tune_for=tune_for), lucky):
        if run.kind == "tuning":
            tried[run.task.cls].append(run.config["components"])
    for cls, components in first.items():
        assert tried[cls][: 1 + len(components)] == [default["components"], *components]
        assert len(set(tried[cls])) == 4


def test_runs_are_of_the_space_with_held_values_and_defaults():
    choices: dict[str, Any] = {"model": ("w_skipganomaly",), "set": ("w_gp=5",)}
    choices |= {"space": ("w_con=25,75", "lr=1e-5..1e-3:log", "nz=10..20:int")}
    plan = planner(trials=6, finalists=0, seeds=1, **choices)
    runs = run_all(plan, lambda run: 0.5)
    assert {run.config["w_gp"] for run in runs} == {5}
    assert {run.config["w_adv"] for run in runs} == {1}, "what the space does not name"
    tuned = [r.config for r in runs if (r.kind, r.task) == ("tuning", TASKS[0]) and r.number]
    assert {config["w_con"] for config in tuned} == {25, 75}
    assert all(1e-5 <= config["lr"] <= 1e-3 and 10 <= config["nz"] <= 20 for config in tuned)
    assert len({config["lr"] for config in tuned}) == len(tuned) == 5


def test_one_configuration_for_all_classes_is_judged_by_their_mean():
    def objective(run: PlannedRun) -> float:
        return {(1, "3"): 1.0, (1, "5"): 0.0}.get((run.number, run.task.cls), 0.6)

    runs = run_all(planner(trials=3, seeds=1, tune_for="mean"), objective)
    assert numbers_and_seeds(runs)["final"] == {(0, 1)}, (
        "1 is best on one class and worst on the other"
    )
    for number in range(3):
        configs = [run.config for run in runs if run.number == number]
        assert {run.task for run in runs if run.number == number} == {*TASKS}
        assert all(config == configs[0] for config in configs)
