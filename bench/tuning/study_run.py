"""Runs a study on Ray Tune, or what is left of it."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import ray
from ray import tune
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, TuneError, Tuner

import models
from bench.choices import outside
from bench.choices.errors import UserError, note
from bench.choices.monitoring import View
from bench.choices.study import Study
from bench.choices.tasks import Budgets
from bench.judging.selection import SIGNALS
from bench.results.reading import read
from bench.results.store import JOURNAL, RAY_LOG, Store
from bench.training.devices import device_of, mps_is_running
from bench.training.prepare import Prepared
from bench.training.recorder import Recorder
from bench.tuning import ray_start
from bench.tuning.callback import StudyCallback
from bench.tuning.cluster import connected, interruptible, logged
from bench.tuning.journal import Journal
from bench.tuning.planner import Planner
from bench.tuning.schedulers import PerTask, make_scheduler
from bench.tuning.scratch import scratch
from bench.tuning.spaces import SearchSpace, changeable
from bench.tuning.trackers import trackers_of
from bench.tuning.trainable import PLANNED, EpochTrainable
from bench.watching.live_curves import Board
from bench.watching.progress import Progress
from bench.watching.time_left import Eta


def run(
    study: Study,
    ready: Prepared,
    spaces: dict[str, SearchSpace],
    budgets: Budgets,
    store: Store,
    provenance: dict[str, Any],
    view: View,
) -> Planner:
    """Runs what is left of a study, and writes its rows as they come; returns the planner."""
    device = ready.device

    def slots(model: str) -> int:
        """How many runs of a model the cluster trains at a time."""
        cluster = {name.lower(): amount for name, amount in ray.cluster_resources().items()}
        return study.at_a_time(device_of(model, device), cluster)

    rows, journal = read(store.path).rows, Journal(store.path / JOURNAL)
    planner = Planner(study, ready.tasks, spaces, budgets, rows, slots, journal, store.add_winner)
    if not view.quiet:
        introduce(study, ready, store, planner.has_search)
    board = Board(store.path) if view.display else None
    recorder = Recorder(study, ready, store, provenance, board)
    trackers = trackers_of(view, store.path)
    log = store.path / RAY_LOG
    own = ray_start.start(view.verbose) if study.address is None else None
    if done := planner.done.total():
        view.say(f"{done} run(s) are done already")
    mutable = {model: changeable(model, space.distributions) for model, space in spaces.items()}
    scheduler = PerTask(
        lambda run: make_scheduler(study, mutable[run.model], run.budget.epochs),
        # Not after an interrupt: all trials then end, and HyperBand must not compare the rest.
        over=lambda: planner.over() and not planner.interrupted,
    )
    with (
        interruptible(planner),
        logged(log, view.verbose, own),
        scratch(store.path, study.storage) as folder,  # emptied once Ray has ended
        connected(study.address, view.verbose, own) as session,
    ):
        of_processes = f" (of its processes: {session}/logs)" if session else ""
        view.say(f"Ray's log: {log}{of_processes}")
        check_room(study, device)
        # Ray starts so many processes at a time.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(map(slots, study.model_names())))
        shared = shared_by_trials(study, ready, spaces, store, view)
        trainable = tune.with_parameters(EpochTrainable, shared=shared)
        with progress_of(study, ready, planner, view) as progress:
            own_session = session if own else None
            callback = StudyCallback(study, recorder, planner, scheduler, progress, own_session)
            tuner = Tuner(
                tune.with_resources(trainable, partial(resources, study, device)),
                tune_config=TuneConfig(
                    search_alg=planner,
                    scheduler=scheduler,
                    num_samples=-1,
                    reuse_actors=True,
                    trial_name_creator=lambda trial: trial.config[PLANNED].trial,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=RunConfig(
                    name="tune",
                    storage_path=folder,
                    callbacks=[*trackers, callback],
                    failure_config=FailureConfig(max_failures=0),
                    checkpoint_config=CheckpointConfig(num_to_keep=3, checkpoint_at_end=False),
                    verbose=0,
                ),
            )
            try:
                tuner.fit()
            except TuneError:
                if callback.broken:
                    raise callback.broken from None
                if not planner.interrupted:
                    raise
            # Tune raises this where Ray ends a run but its process did not die, as for memory.
            except RuntimeError as error:
                cause = error.__cause__
                if not isinstance(cause, ray.exceptions.RayError):
                    raise
                reason = " ".join(str(cause).split()[:40])
                raise UserError(
                    f"Ray ended a run ({type(cause).__name__}: {reason}); go on with --resume"
                ) from None
    return planner


def introduce(study: Study, ready: Prepared, store: Store, searching: bool) -> None:
    """Prints what runs, and how it is judged."""
    signals = " or ".join(sorted(set(ready.select_on.values())))
    classes = f"{len({task.cls for task in ready.tasks})} class(es) of {ready.dataset.name}"
    variants = dict.fromkeys(task.variant for task in ready.tasks if task.variant)
    each = f", each with {'; '.join(variants)}" if variants else ""
    print(f"study {store.path}: {', '.join(study.model_names())} on {classes}{each}")
    tuning = f"{study.searcher} + {study.scheduler}" if searching else "no search"
    if study.tune_for == "mean" and searching:
        tuning += ", one configuration for all classes"
    print(f"{tuning}, {study.protocol} protocol, {signals}, {ready.device}")
    if study.resources(ready.device).get("gpu", 1) < 1 and not mps_is_running():
        note(
            "trials that share a GPU take turns on it; under NVIDIA's Multi-Process Service "
            "(nvidia-cuda-mps-control -d) they run side by side, 1.5 to 2.3 times as fast"
        )


def epochs_of(budgets: Budgets) -> dict[tuple[str, str], int]:
    """The epochs of a run by model and variant; the most, where its tasks differ."""
    epochs: dict[tuple[str, str], int] = {}
    for (model, task), budget in budgets.items():
        epochs[model, task.variant] = max(budget.epochs, epochs.get((model, task.variant), 0))
    return epochs


def shared_by_trials(
    study: Study, ready: Prepared, spaces: Mapping[str, SearchSpace], store: Store, view: View
) -> dict[str, Any]:
    """What every trial's process is given, beside its own configuration."""
    return {
        "study": study,
        "splits": ready.splits,  # one object for Ray's store: all splits index the same images
        "files": [outside.file(flag, path) for flag, path in study.files() if flag == "model"],
        "protocol": ready.protocol,
        "select_on": ready.select_on,
        "device": ready.device,
        # Models of which some configuration learns rotations: all configurations of such a model
        # are compared by the same pseudo-anomalies, those without rotations.
        "learn_rotations": {
            model
            for model, space in spaces.items()
            if models.get(model).learns_rotations(space.largest())
        },
        "display": view.display,
        "facts": {task: ready.facts(study, task) for task in ready.tasks},
        "study_path": store.path.resolve(),
        "driver_node": ray.get_runtime_context().get_node_id(),
    }


def resources(study: Study, device: str, config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What Ray sets aside for a trial."""
    need = study.resources(device_of(config[PLANNED].model, device))
    return tune.PlacementGroupFactory([{name.upper(): amount for name, amount in need.items()}])


def check_room(study: Study, device: str) -> None:
    """UserError where no machine has what a run needs; on a cluster, which may grow, a note."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for model in study.model_names():
        need = {k.upper(): v for k, v in study.resources(device_of(model, device)).items()}
        if not any(all(has.get(k, 0) >= v for k, v in need.items()) for has in machines):
            wanted = " and ".join(f"{amount:g} {name}" for name, amount in need.items())
            line = f"no machine has the {wanted} of a run of {model}"
            if study.address is None:
                raise UserError(f"--cpus_per_trial, --gpus_per_trial: {line}")
            note(f"{line}; the study waits for one")


def progress_of(study: Study, ready: Prepared, planner: Planner, view: View) -> Progress:
    """The screen's view of a study, with what earlier commands finished."""
    by_test = ready.protocol.selection == "test"
    tuning, final = (sum(ready.scored(task, f) for task in ready.tasks) for f in (False, True))
    final_scoring = final / tuning if tuning else 1.0
    signals = ["test_auroc"] if by_test else ready.select_on.values()
    figures = {SIGNALS[signal].column for signal in signals}
    return Progress(
        Eta(planner.planned(), planner.done, epochs_of(planner.budgets), final_scoring),
        planner.rows,
        figures.pop() if len(figures) == 1 else "objective",
        at_a_time=lambda: min(map(planner.slots, study.model_names())),
        stops_early=planner.has_search and study.scheduler not in ("fifo", "pbt", "pb2"),
        quiet=view.quiet,
    )
