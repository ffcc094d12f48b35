"""Which configurations a study's runs have: of the space, held values, classes, and failed runs."""

import pytest
from test_planner import TASKS, kinds, planner, run_all

from bench.choices.tasks import PlannedRun


def test_runs_are_of_the_space_with_held_values_and_defaults():
    plan = planner(
        model=("w_skipganomaly",),
        space=("w_con=25,75", "lr=1e-5..1e-3:log", "nz=10..20:int"),
        set=("w_gp=5",),
        trials=6,
        finalists=0,
        seeds=1,
    )
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
    assert kinds(runs)["final"] == {(0, 1)}, "1 is best on one class and worst on the other"
    for number in range(3):
        configs = [run.config for run in runs if run.number == number]
        assert {run.task for run in runs if run.number == number} == {*TASKS}
        assert all(config == configs[0] for config in configs)


@pytest.mark.parametrize(("error", "again"), [("FloatingPointError: nan", 0), ("no memory", 2)])
def test_a_run_that_diverged_is_not_tried_again(error: str, again: int):
    first = planner(trials=3, finalists=0, seeds=1)
    run_all(first, lambda run: None if run.number == 1 else 0.5)
    rows = [row | {"error": error} for row in first.rows]
    assert len(run_all(planner(rows, trials=3, finalists=0, seeds=1), lambda run: 0.4)) == again
