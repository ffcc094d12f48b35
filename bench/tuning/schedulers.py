"""Ray Tune's trial schedulers, one for each model and task, whose trials alone are compared."""

import itertools
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from bench.choices.study import Study
from bench.choices.tasks import PlannedRun
from bench.tuning.hyperband import HyperBand
from bench.tuning.spaces import Changeable
from bench.tuning.trainable import PLANNED

GOAL: dict[str, Any] = {"metric": "objective", "mode": "max", "time_attr": "training_iteration"}


def mutations(space: Changeable) -> dict[str, Any]:
    """What PBT may change in mid-training, as Ray's samplers and lists."""

    def sampler(d: CategoricalDistribution | FloatDistribution) -> Any:
        if isinstance(d, CategoricalDistribution):
            return list(d.choices)
        return (tune.loguniform if d.log else tune.uniform)(d.low, d.high)

    return {name: sampler(d) for name, d in space.items()}


def clip(config: dict[str, Any], space: Changeable) -> dict[str, Any]:
    """The configuration within the space's ranges, which PBT's own steps of 20 % may leave."""
    return config | {
        name: min(max(config[name], low), high) for name, (low, high) in bounds(space).items()
    }


def bounds(space: Changeable) -> dict[str, Any]:
    """What PB2 may change in mid-training, and PBT in small steps: the real-valued ranges."""
    ranges = space.items()
    return {name: [d.low, d.high] for name, d in ranges if isinstance(d, FloatDistribution)}


def pb2(space: Changeable, interval: int) -> TrialScheduler:
    from ray.tune.schedulers.pb2 import PB2  # it loads scikit-learn, for seconds

    return PB2(perturbation_interval=interval, hyperparam_bounds=bounds(space), **GOAL)


def make_scheduler(study: Study, space: Changeable, epochs: int) -> TrialScheduler:
    """The study's scheduler for one task's trials, which train for so many epochs.

    `space`: what PBT and PB2 may change in them.
    """
    fifth = max(1, epochs // 5)  # PBT and PB2 change course about five times a run
    grace, factor = min(study.grace_period or fifth, epochs), study.reduction_factor
    makers: dict[str, Callable[[], TrialScheduler]] = {
        "fifo": FIFOScheduler,
        "asha": lambda: AsyncHyperBandScheduler(
            max_t=epochs + 1, grace_period=grace, reduction_factor=factor, **GOAL
        ),
        "hyperband": lambda: HyperBand(epochs, grace, factor, **GOAL),
        "median": lambda: MedianStoppingRule(
            grace_period=grace,
            min_samples_required=2,
            # Never pause a trial to wait for others to compare it with: a pause costs a checkpoint.
            min_time_slice=sys.maxsize,
            **GOAL,
        ),
        "pbt": lambda: PopulationBasedTraining(
            perturbation_interval=fifth,
            hyperparam_mutations=mutations(space),
            custom_explore_fn=lambda config: clip(config, space),
            **GOAL,
        ),
        "pb2": lambda: pb2(space, fifth),
    }
    return makers[study.scheduler]()


class _TaskView:
    """Ray's controller with one task's trials alone, and without a searcher, which PBT refuses."""

    search_alg = None

    def __init__(self, controller: Any, trials: list[Trial]):
        self._controller, self._trials = controller, trials

    def get_trials(self) -> list[Trial]:
        return self._trials

    def get_live_trials(self) -> set[Trial]:
        return self._controller.get_live_trials() & set(self._trials)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._controller, name)


class PerTask(TrialScheduler):
    """Hands every trial to the scheduler of its model and task; stops no finalist or final run."""

    _supports_buffered_results = False

    def __init__(
        self, make: Callable[[PlannedRun], TrialScheduler], over: Callable[[], bool] = lambda: False
    ):
        """`make(run)` gives a scheduler for the runs of the same model and task; `over()` says
        whether no more trials may begin."""
        super().__init__()
        self.make, self.over = make, over
        self.schedulers: dict[tuple, TrialScheduler] = {}
        self.trials: dict[tuple, list[Trial]] = {}
        self.objectives: dict[tuple, dict[int, dict[str, float]]] = {}  # by epoch and trial id

    def key(self, trial: Trial) -> tuple:
        run = trial.config[PLANNED]
        return (run.model, run.task, run.kind)

    def scheduler(self, trial: Trial, controller: Any) -> tuple[TrialScheduler, Any]:
        key, run = self.key(trial), trial.config[PLANNED]
        if key not in self.schedulers:
            self.schedulers[key] = self.make(run) if run.kind == "tuning" else FIFOScheduler()
            self.trials[key], self.objectives[key] = [], defaultdict(dict)
        return self.schedulers[key], _TaskView(controller, self.trials[key])

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        scheduler, view = self.scheduler(trial, tune_controller)
        self.trials[self.key(trial)].append(trial)
        scheduler.on_trial_add(view, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        scheduler, view = self.scheduler(trial, tune_controller)
        scheduler.on_trial_error(view, trial)
        # The run may start again as another trial: forget this one, so that no scheduler compares
        # the two.
        for _, recorded in [r for b in getattr(scheduler, "_brackets", ()) for r in b._rungs]:
            recorded.pop(trial.trial_id, None)
        getattr(scheduler, "_results", {}).pop(trial, None)
        for values in self.objectives[self.key(trial)].values():
            values.pop(trial.trial_id, None)

    def stop_reason(self, trial: Trial) -> str:
        """How a stopped trial stood among its task's trials after its last epoch."""
        by_epoch = self.objectives[self.key(trial)]
        epoch = max(epoch for epoch, values in by_epoch.items() if trial.trial_id in values)
        own, values = by_epoch[epoch][trial.trial_id], by_epoch[epoch].values()
        rank = 1 + sum(value > own for value in values)
        return f"after epoch {epoch}: objective {own:.4g}, place {rank} of {len(values)}"

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict) -> str:
        scheduler, view = self.scheduler(trial, tune_controller)
        by_epoch = self.objectives[self.key(trial)]
        by_epoch[result["training_iteration"]][trial.trial_id] = result["objective"]
        # The median rule keeps what it is given: nested values (record/val_auroc …) would pile up.
        flat = {name: value for name, value in result.items() if "/" not in name}
        return scheduler.on_trial_result(view, trial, flat)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict) -> None:
        scheduler, view = self.scheduler(trial, tune_controller)
        scheduler.on_trial_complete(view, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        scheduler, view = self.scheduler(trial, tune_controller)
        scheduler.on_trial_remove(view, trial)

    def has_trained(self, trial: Trial) -> bool:
        """Whether the trial has ended an epoch."""
        epochs = self.objectives[self.key(trial)].values()
        return any(trial.trial_id in values for values in epochs)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        if self.over():  # Ray holds a trial ready for each slot, and would start it later
            for held in itertools.chain.from_iterable(self.trials.values()):
                if held.status == Trial.PENDING and not self.has_trained(held):
                    tune_controller.stop_trial(held)
        for key, scheduler in self.schedulers.items():
            view: Any = _TaskView(tune_controller, self.trials[key])
            if trial := scheduler.choose_trial_to_run(view):
                return trial
        return None
