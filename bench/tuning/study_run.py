"""Runs a study on Ray Tune and writes its rows as they come."""

import contextlib
import dataclasses
import os
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import tune
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, TuneConfig, TuneError, Tuner

from bench.choices.errors import UserError
from bench.choices.monitoring import View
from bench.choices.study import Study
from bench.judging.selection import COLUMNS
from bench.results import columns
from bench.results.reading import read_rows
from bench.results.store import JOURNAL, RAY_LOG, Store
from bench.training.prepare import Prepared
from bench.training.run import device_of, final_metrics
from bench.tuning import ray_start
from bench.tuning.cluster import connected, interruptible, logged
from bench.tuning.journal import Journal
from bench.tuning.planner import Job, Planner
from bench.tuning.schedulers import PerTask, make_scheduler
from bench.tuning.scratch import scratch
from bench.tuning.spaces import space_of
from bench.tuning.trackers import trackers_of
from bench.tuning.trainable import JOB, EpochTrainable
from bench.watching.live_curves import Board
from bench.watching.progress import Progress
from bench.watching.time_left import Eta

OUTPUTS = ("scores", "gallery", "packed")
PATIENCE = 90.0  # seconds for Ray to start the first run's process, which takes it five; and what the command took
RETRIES = 2  # of a run whose process died; an exception in the run itself is final


class Recorder(Callback):
    """Writes each result to the study's folder and tells the planner and the screen."""

    def __init__(
        self,
        study: Study,
        store: Store,
        planner: Planner,
        common: dict[str, dict[str, Any]],
        progress: Progress,
        board: Board | None,
        session: str | None,
    ):
        """`session`: the folder of a Ray that has nothing else to do than to start this study's processes."""
        self.store, self.planner, self.progress = store, planner, progress
        self.common, self.study, self.board = common, study, board
        self.last: dict[str, dict[str, Any]] = {}  # a run's last epoch, and what a final run brings beside its row
        self.seconds: dict[str, tuple[float, float]] = {}
        self.deaths: dict[str, int] = {}
        self.attempts: dict[str, int] = {}  # of a run that died, or that an earlier command did not finish
        for row in read_rows(store.path / "epochs.jsonl"):
            self.attempts[row["trial"]] = max(self.attempts.get(row["trial"], 0), row.get("attempt", 1))
        self.folders: dict[tuple[str, str], list[Any]] = {}  # where a task's paused trials lie
        self.broken: UserError | None = None  # why the study cannot go on
        self.session = session
        self.patience = time.time() + PATIENCE + (time.time() - psutil.Process().create_time())

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its Tuner, and the study's rows are all the state there is."""
        return {}

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.session = None

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        # Ray would keep statistics of every number in a result, for every trial to the study's end.
        result.pop("config", None)
        job, shown = self.planner.jobs[trial.trial_id], result.pop("shown", {})
        self.last[job.trial] = {name: result.pop(name) for name in ("best", *OUTPUTS) if name in result}
        self.epoch(job, result["record"], shown)
        self.last[job.trial]["epochs"] = result.pop("record")["epoch"]

    def epoch(self, job: Job, record: dict[str, Any], shown: dict[str, Any]) -> None:
        trained, scored = self.seconds.get(job.trial, (0.0, 0.0))
        self.seconds[job.trial] = (trained + record["train_seconds"], scored + record["score_seconds"])
        about = {"trial": job.trial, "kind": job.kind, "model": job.model, "class": job.cls}
        with self.writing():
            self.store.add_epoch(about | {"attempt": self.attempt(job)} | record)
        self.progress.epoch(about, record)
        if self.board:
            self.board.add(job.trial, record, shown)

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        """Paused trials are not running, and Ray says so nowhere else; nor that it cannot start a trial's process."""
        running = [trial.trial_id for trial in trials if trial.status == trial.RUNNING]
        self.progress.now([self.planner.jobs[id_].trial for id_ in running if id_ in self.planner.jobs])
        if self.session and time.time() > self.patience:
            with self.writing():
                raise UserError(f"Ray starts no process on this machine: {last_line(Path(self.session))}")

    def attempt(self, job: Job) -> int:
        return self.attempts.get(job.trial, 0) + 1

    def row(self, job: Job, config: dict[str, Any]) -> dict[str, Any]:
        about = {"model": job.model, "cls": job.cls, "number": job.number, "seed": job.seed}
        common = self.common[job.cls] | {"attempt": self.attempt(job)}
        started = columns.start(job.trial, job.kind, **about, config=config, common=common)  # type: ignore[arg-type]
        return started | {f"tried_{name}": value for name, value in job.config.items() if config[name] != value}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Remembers why writing failed: Ray ends the run with an error that only has its text."""
        try:
            yield
        except UserError as error:
            self.broken = error
            raise

    def finish(self, job: Job, row: dict[str, Any], **outputs: Any) -> None:
        trained, scored = self.seconds.pop(job.trial, (None, None))
        row |= {"train_seconds": trained, "score_seconds": scored}
        with self.writing():
            self.store.add_trial(row, **outputs)
        self.planner.finish(job, row)
        self.progress.trial(row)
        if self.board:
            self.board.close(job.trial)
        if self.planner.searched(job):  # nobody continues its paused trials any more
            for storage in self.folders.pop((job.model, job.cls), []):
                with contextlib.suppress(OSError):
                    storage.storage_filesystem.delete_dir(storage.trial_fs_path)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        job = self.planner.jobs.pop(trial.trial_id)
        last = self.last.pop(job.trial, None)
        if last is None:
            return  # stopped before its first epoch: left for --resume
        best = dict(last["best"])
        row = self.row(job, best.pop("config")) | columns.outcome(best, last["epochs"])
        row["status"] = "done" if row["epochs"] >= self.study.epochs else "stopped"
        outputs = {name: last.get(name) for name in OUTPUTS}
        if outputs["scores"] is not None:
            row |= final_metrics(outputs["scores"])
        self.folders.setdefault((job.model, job.cls), []).append(trial.storage)
        self.finish(job, row, **outputs)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        job = self.planner.jobs.pop(trial.trial_id)
        self.last.pop(job.trial, None)
        self.fail(job, error_of(trial))

    def fail(self, job: Job, error: Exception) -> None:
        if isinstance(error, ray.exceptions.RayActorError | ray.exceptions.NodeDiedError):
            self.deaths[job.trial] = self.deaths.get(job.trial, 0) + 1
            if self.deaths[job.trial] <= RETRIES:
                self.attempts[job.trial] = self.attempt(job)
                self.seconds.pop(job.trial, None)
                self.progress.dropped(job.trial)
                self.planner.again(job)
                return
        cause = getattr(error, "cause", error)
        reason = f"{type(cause).__name__}: {' '.join(str(cause).split()[:60])}"
        self.finish(job, self.row(job, job.config) | {"status": "error", "error": reason, "objective": None})


def error_of(trial: Any) -> Exception:
    """What ended a trial. Ray keeps it in a file that it wrote just before; its own getter looks for a later copy."""
    if trial.pickled_error_file and Path(trial.pickled_error_file).exists():
        return pickle.loads(Path(trial.pickled_error_file).read_bytes())
    return RuntimeError(Path(trial.error_file).read_text() if trial.error_file else "unknown")


def last_line(session: Path) -> str:
    """Why Ray's node cannot start processes, as far as it says so, and where."""
    log = session / "logs" / "raylet.err"
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return f"{next((line for line in reversed(lines) if line.strip()), 'it does not say why')} ({log})"


def progress_of(study: Study, ready: Prepared, planner: Planner, done: list[dict[str, Any]], view: View) -> Progress:
    by_test, both = ready.protocol.selection == "test", [(s.val, s.test) for s in ready.splits.values()]
    val, test = (sum(len(part.labels) for part in parts if part) for parts in zip(*both, strict=True))
    more = 1.0 if by_test or not val else 1 + test / val  # only a final run scores the test images as well
    figures = {"test_auroc" if by_test else COLUMNS[signal] for signal in ready.select_on.values()}
    return Progress(
        Eta(planner.planned(), study.epochs, more),
        done,
        figures.pop() if len(figures) == 1 else "objective",
        at_a_time=lambda: min(map(planner.slots, study.model)),
        stops_early=study.scheduler not in ("fifo", "pbt", "pb2"),
        quiet=view.quiet,
    )


def resources(study: Study, device: str, config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What Ray sets aside for a trial."""
    need = study.resources(device_of(config[JOB]["model"], device))
    return tune.PlacementGroupFactory([{name.upper(): amount for name, amount in need.items()}])


def run(study: Study, ready: Prepared, store: Store, common: dict[str, dict[str, Any]], view: View) -> Planner:
    """Runs what is left of a study; `common`: the columns of every row of a class."""
    done, device = read_rows(store.path / "trials.jsonl"), ready.device
    shared = {
        "protocol": dataclasses.asdict(ready.protocol),
        "epochs": study.epochs,
        "select_on": ready.select_on,
        "device": device,
        "precision": study.precision,
        "deterministic": study.deterministic,
        "gpus": study.resources(device).get("gpu", 0),
        "display": view.display,
        "keep_models": study.keep_models == "all",
        "classes": ready.dataset.classes,
        "decoding": ready.dataset.decoding,
    }
    board = Board(store.path) if view.display else None
    trackers = trackers_of(view, store.path)
    log = store.path / RAY_LOG

    def slots(model: str) -> int:
        there = {name.lower(): n for name, n in ray.cluster_resources().items()}
        return study.at_a_time(device_of(model, device), there)

    spaces = {model: space_of(study, model) for model in study.model}
    own = ray_start.start(view.verbose) if study.address is None else None
    planner = Planner(study, ready.tasks, done, slots, Journal(store.path / JOURNAL))
    with (
        interruptible(planner),
        logged(log, view.verbose, own),
        connected(study.address, view.verbose, own) as session,
        scratch(store.path, study.storage) as folder,
    ):
        if not view.quiet:
            print(f"Ray's log: {log}" + (f" (of its processes: {session}/logs)" if session else ""))

        # So many processes start at a time.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(map(slots, study.model)))
        refs = {cls: ray.put(split) for cls, split in ready.splits.items()}
        trainable = tune.with_parameters(EpochTrainable, shared=shared | {"splits": refs})
        with progress_of(study, ready, planner, done, view) as progress:
            recorder = Recorder(study, store, planner, common, progress, board, session if own else None)
            tuner = Tuner(
                tune.with_resources(trainable, partial(resources, study, device)),
                tune_config=TuneConfig(
                    search_alg=planner,
                    scheduler=PerTask(lambda model: make_scheduler(study.scheduler, spaces[model], study.epochs)),
                    num_samples=-1,
                    reuse_actors=True,
                    trial_name_creator=lambda trial: trial.config[JOB]["trial"],
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=RunConfig(
                    name="tune",
                    storage_path=folder,
                    callbacks=[*trackers, recorder],
                    failure_config=FailureConfig(max_failures=0),
                    checkpoint_config=CheckpointConfig(num_to_keep=3, checkpoint_at_end=False),
                    verbose=0,
                ),
            )
            try:
                tuner.fit()
            except TuneError:
                if recorder.broken:
                    raise recorder.broken from None
                if not planner.interrupted:
                    raise
    return planner
