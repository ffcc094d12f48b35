"""HyperBand's decisions in a simulation of Ray's loop."""

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from bench.choices.study import Study
from bench.tuning.schedulers import make_scheduler

ENDED = (Trial.TERMINATED, Trial.ERROR)


@dataclass(eq=False)
class Run:
    """What HyperBand asks of Ray's trials."""

    number: int
    status: str = Trial.PENDING
    epochs: int = 0
    is_saving: bool = False
    trial_id: str = ""


@dataclass
class Loop:
    """Ray's loop: so many trials train at a time, and as many wait to begin."""

    scheduler: TrialScheduler
    slots: int
    epochs: int
    fail_at: dict[int, int] = field(default_factory=dict)  # number -> the epoch in which it fails

    def stop_trial(self, run: Any) -> None:
        self.scheduler.on_trial_remove(self, run)
        run.status = Trial.TERMINATED

    def train(self, run: Any) -> None:
        """An epoch, whose objective is the trial's number."""
        run.epochs += 1
        scheduler: Any = self.scheduler
        result = {"training_iteration": run.epochs, "objective": run.number}
        if self.fail_at.get(run.number) == run.epochs:
            run.status = Trial.ERROR
            scheduler.on_trial_error(self, run)
            return
        over = run.epochs == self.epochs
        decision = TrialScheduler.STOP if over else scheduler.on_trial_result(self, run, result)
        if decision == TrialScheduler.STOP:
            scheduler.on_trial_complete(self, run, result)
            run.status = Trial.TERMINATED
        elif decision == TrialScheduler.PAUSE:
            run.status = Trial.PAUSED

    def trained(self, trials: int) -> list[int]:
        """Trains so many trials, and gives the epochs that each was trained for."""
        runs: list[Run] = []

        def having(*states: str) -> list[Run]:
            return [run for run in runs if run.status in states]

        for turn in itertools.count():
            while len(runs) < trials and len(having(Trial.PENDING)) < self.slots:
                runs.append(Run(len(runs)))
                self.scheduler.on_trial_add(self, runs[-1])
            while len(having(Trial.RUNNING)) < self.slots:
                chosen: Any = self.scheduler.choose_trial_to_run(self)
                if chosen is None:
                    break
                chosen.status = Trial.RUNNING
            if not (running := having(Trial.RUNNING)):
                assert len(having(*ENDED)) == trials, "trials wait for others for ever"
                return [run.epochs for run in runs]
            self.train(running[turn % len(running)])
        raise AssertionError


def trained(
    slots: int, trials: int, epochs: int, grace: int, factor: int, fail_at: Collection = ()
) -> list[int]:
    study = Study(scheduler="hyperband", grace_period=grace, reduction_factor=factor)
    return Loop(make_scheduler(study, {}, epochs), slots, epochs, dict(fail_at)).trained(trials)


def test_one_trial_at_a_time_is_halved_too():
    epochs = trained(slots=1, trials=10, epochs=20, grace=4, factor=3)
    assert epochs[:2] == [20, 20], "the first bracket halves none"
    assert sorted(epochs[2:5]) == [7, 7, 20]


def test_trials_do_not_wait_for_one_that_failed_after_a_halving():
    epochs = trained(slots=2, trials=6, epochs=20, grace=1, factor=3, fail_at={4: 11}.items())
    assert epochs[4] == 11
    assert epochs[5] == 20


FAILURES = st.dictionaries(st.integers(0, 11), st.integers(1, 20))


@given(
    st.integers(1, 4), st.integers(1, 12), st.integers(2, 20), st.integers(1, 5), st.integers(2, 4),
    FAILURES,
)  # fmt: skip
def test_every_trial_ends_and_the_best_trains_to_the_end(
    slots: int, trials: int, epochs: int, grace: int, factor: int, failures: dict[int, int]
):
    grace = min(grace, epochs)
    trained_epochs = trained(slots, trials, epochs, grace, factor, failures.items())
    sound = [number for number in range(trials) if failures.get(number, epochs + 1) > epochs]
    assert all(trained_epochs[number] >= grace for number in sound)
    if trials - 1 in sound:  # the best
        assert trained_epochs[-1] == epochs
