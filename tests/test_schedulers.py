"""What each scheduler decides of a trial, and of which others it is compared with."""

from dataclasses import dataclass
from typing import Any

import pytest
from optuna.distributions import FloatDistribution

from bench.choices.study import Study
from bench.choices.tasks import ONE_CLASS, Budget, PlannedRun, Task
from bench.tuning.schedulers import PerTask, clip, make_scheduler, mutations
from bench.tuning.spaces import changeable
from bench.tuning.trainable import PLANNED

EPOCHS = 10


@dataclass(eq=False)
class Begun:
    """What a scheduler asks of Ray's trials."""

    trial_id: str
    config: dict[str, Any]
    status: str = "RUNNING"

    def is_finished(self) -> bool:
        return False


class Trials:
    """Ray's controller with trials that train nothing."""

    def __init__(self, scheduler: str, **choices: Any):
        study, self.over = Study(scheduler=scheduler, **choices), False
        self.scheduler: Any = PerTask(
            lambda run: make_scheduler(study, {}, EPOCHS), lambda: self.over
        )
        self.begun: list[Begun] = []

    def get_live_trials(self) -> set[Begun]:
        return set(self.begun)

    def stop_trial(self, trial: Begun) -> None:
        self.scheduler.on_trial_remove(self, trial)
        trial.status = "TERMINATED"

    def begin(
        self, number: int = 0, kind: str = "tuning", model: str = "pca", cls: str = "3"
    ) -> Begun:
        run = PlannedRun(kind, model, Task(ONE_CLASS, cls), number, 0, {}, Budget(EPOCHS))
        self.begun.append(Begun(str(len(self.begun)), {PLANNED: run}))
        self.scheduler.on_trial_add(self, self.begun[-1])
        return self.begun[-1]

    def report(self, trial: Begun, epoch: int, objective: float) -> str:
        result = {"training_iteration": epoch, "objective": objective, "record/val_auroc": 0.5}
        return self.scheduler.on_trial_result(self, trial, result)

    def stopped_after(self, trial: Begun, objective: float) -> int | None:
        """The epoch after which the trial is stopped; None if it trains to the end."""
        for epoch in range(1, EPOCHS):
            if self.report(trial, epoch, objective) == PerTask.STOP:
                return epoch
        return None


@pytest.mark.parametrize("scheduler", ["asha", "median"])
@pytest.mark.parametrize(("grace", "expected"), [(None, 2), (4, 4), (99, None)])
def test_the_worst_is_stopped_after_the_grace_period(scheduler, grace, expected):
    trials = Trials(scheduler, grace_period=grace)
    assert trials.stopped_after(trials.begin(), 0.9) is None
    second = trials.stopped_after(trials.begin(), 0.8)
    assert second is None or scheduler == "asha", "the median of one is none"
    assert trials.stopped_after(trials.begin(), 0.1) == expected
    assert trials.stopped_after(trials.begin(), 0.95) is None


def test_asha_lets_the_best_of_so_many_go_on():
    for factor, goes_on in ((2, True), (4, False)):
        trials = Trials("asha", reduction_factor=factor, grace_period=5)
        for objective in (0.9, 0.5):
            trials.stopped_after(trials.begin(), objective)
        assert (trials.stopped_after(trials.begin(), 0.75) is None) == goes_on


def test_the_median_rule_keeps_only_what_it_compares():
    trials = Trials("median")
    trials.report(trials.begin(), 1, 0.5)
    (scheduler,) = trials.scheduler.schedulers.values()
    assert [*scheduler._results.values()] == [[{"training_iteration": 1, "objective": 0.5}]]


def test_fifo_stops_none():
    trials = Trials("fifo")
    assert [trials.stopped_after(trials.begin(), 1 / n) for n in range(1, 6)] == [None] * 5


@pytest.mark.parametrize("scheduler", ["asha", "median"])
@pytest.mark.parametrize(
    "other", [{"model": "knn"}, {"cls": "5"}, {"kind": "finalist"}, {"kind": "final"}], ids=str
)
def test_a_trial_is_compared_with_tuning_runs_of_its_own_model_and_class(scheduler, other):
    trials = Trials(scheduler)
    for objective in (0.9, 0.8):
        trials.stopped_after(trials.begin(), objective)
    for objective in (0.9, 0.8, 0.1)[: 3 if "kind" in other else 1]:
        low = objective if "kind" in other else 0.1
        assert trials.stopped_after(trials.begin(**other), low) is None
    assert trials.stopped_after(trials.begin(), 0.1) is not None


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_a_run_that_begins_again_is_not_compared_with_its_first_attempt(scheduler):
    """Without the dead attempt of the best, 0.55 is the second of three, which goes on."""
    trials = Trials(scheduler, grace_period=1, reduction_factor=2)
    dead = trials.begin(0)
    trials.report(dead, 1, 0.6)
    trials.scheduler.on_trial_error(trials, dead)
    trials.report(trials.begin(0), 1, 0.6)
    trials.report(trials.begin(1), 1, 0.3)
    last = trials.begin(2)
    assert trials.report(last, 1, 0.55) == PerTask.CONTINUE
    assert trials.scheduler.stop_reason(last) == "after epoch 1: objective 0.55, place 2 of 3"


@pytest.mark.parametrize("name", ["fifo", "asha", "median", "hyperband"])
def test_no_trial_begins_after_the_time_budget_but_those_that_have_begun_go_on(name):
    """Ray asks for trials before there are slots for them."""
    trials = Trials(name)
    running, paused, ready = (trials.begin(number) for number in range(3))
    trials.report(paused, 1, 0.5)
    paused.status = ready.status = "PENDING"
    assert trials.scheduler.choose_trial_to_run(trials) in (paused, ready)
    assert ready.status == "PENDING"
    trials.over = True
    assert trials.scheduler.choose_trial_to_run(trials) == paused
    assert [trial.status for trial in (running, ready)] == ["RUNNING", "TERMINATED"]


@pytest.mark.parametrize("name", ["pbt", "pb2"])
def test_trials_change_course_about_five_times_a_run(name: str):
    space: Any = {"lr": FloatDistribution(1e-4, 1e-3, log=True)}
    for epochs, every in ((20, 4), (3, 1)):
        scheduler: Any = make_scheduler(Study(scheduler=name), space, epochs)
        assert scheduler._perturbation_interval == every


def test_pbt_keeps_a_copied_configuration_that_it_may_not_change() -> None:
    """`w_rot` adds a network, so that the weights of the default, which has none, need it at 0."""
    space = {"w_rot": FloatDistribution(0.5, 2), "lr": FloatDistribution(1e-4, 1e-3, log=True)}
    able = changeable("skipganomaly", space)
    assert clip({"w_rot": 0.0, "lr": 1.2e-3}, able) == {"w_rot": 0.0, "lr": 1e-3}
    assert clip({"lr": 0.8e-4}, able) == {"lr": 1e-4}


def test_pbt_draws_on_the_scale_of_the_space() -> None:
    space = {"lr": FloatDistribution(1e-4, 1e-3, log=True), "beta1": FloatDistribution(0, 0.9)}
    drawn = {name: str(range_.get_sampler()) for name, range_ in mutations(space).items()}
    assert drawn == {"lr": "LogUniform", "beta1": "Uniform"}
