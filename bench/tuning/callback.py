"""Passes on what Ray Tune reports of its trials to the recorder, the planner and the screen."""

import contextlib
import pickle
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback

from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import PlannedRun, Task
from bench.results import columns
from bench.training.recorder import Recorder
from bench.tuning.planner import Planner
from bench.tuning.schedulers import PerTask
from bench.watching.progress import Progress

# What a final run's last epoch brings beside its row.
OUTPUTS = ("scores", "localisation", "gallery", "packed")
# Seconds for Ray to start the first trial's process, which takes five; a minute on a busy machine.
PATIENCE = 180.0
RETRIES = 2  # of a run whose process died; an exception in the run itself is final


class StudyCallback(TrialProgressCallback):
    """Ray Tune's callback: records every epoch and run, and tells planner and screen.

    It replaces Ray's own, which would print a line on a trial that never began.
    """

    def __init__(
        self,
        study: Study,
        recorder: Recorder,
        planner: Planner,
        scheduler: PerTask,
        progress: Progress,
        session: str | None,
    ):
        """`session`: the folder of a Ray that runs nothing but this study's processes."""
        self.study, self.recorder, self.planner = study, recorder, planner
        self.scheduler, self.progress, self.session = scheduler, progress, session
        self.last: dict[str, dict[str, Any]] = {}  # by trial: the result of its last epoch
        self.deaths = Counter[str]()  # by trial
        self.paused_in: dict[tuple[str, Task], list[Any]] = {}  # where a search's paused trials lie
        self.broken: UserError | None = None  # why the study cannot go on
        # A machine on which this command took long to get here starts processes slowly, too.
        command_seconds = time.time() - psutil.Process().create_time()
        self.patience_ends = time.time() + PATIENCE + command_seconds

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its Tuner, and the study's rows are all the state there is."""
        return {}

    def on_trial_start(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        self.session = None  # Ray starts processes: nothing to watch for any more

    def on_trial_result(
        self, iteration: int, trials: list, trial: Trial, result: dict, **info: Any
    ) -> None:
        # Ray would keep statistics of every number in a result until the study ends.
        result.pop("config", None)
        run = self.planner.runs[trial.trial_id]
        record, curves = result.pop("record"), result.pop("curves", None)
        last = {name: result.pop(name) for name in ("best", *OUTPUTS) if name in result}
        self.last[run.trial] = last | {"epochs": record["epoch"]}
        with self.writing():
            row = self.recorder.epoch(run, record, curves)
        self.progress.epoch(row)

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        """Looks at what Ray has no event for: paused trials, and processes that do not start."""
        running = [trial.trial_id for trial in trials if trial.status == trial.RUNNING]
        runs = self.planner.runs
        self.progress.running = [runs[id_].trial for id_ in running if id_ in runs]
        if self.broken:  # Tune swallows an error that is raised while it stops a paused trial
            raise self.broken
        if self.session and time.time() > self.patience_ends:
            reason = why_no_process(Path(self.session))
            with self.writing():
                raise UserError(f"Ray starts no process on this machine: {reason}")

    def on_trial_complete(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        run = self.planner.runs.pop(trial.trial_id)
        last = self.last.pop(run.trial, None)
        if last is None:
            return  # stopped before its first epoch: left for --resume
        best, epochs = dict(last["best"]), last["epochs"]
        config = best.pop("config")
        outcome = columns.of_chosen_epoch(best, epochs)
        if epochs < run.budget.epochs:
            outcome |= columns.of_stop(self.study.scheduler, self.scheduler.stop_reason(trial))
        self.paused_in.setdefault((run.model, run.task), []).append(trial.storage)
        outputs = {name: last.get(name) for name in OUTPUTS}
        self.finish(run, outcome, config=config, **outputs)

    def on_trial_error(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        run = self.planner.runs.pop(trial.trial_id)
        self.last.pop(run.trial, None)
        self.fail(run, error_of(trial))

    def fail(self, run: PlannedRun, error: Exception) -> None:
        """Starts a run again whose process died, as often as RETRIES; records any other error."""
        if isinstance(error, ray.exceptions.RayActorError):
            self.deaths[run.trial] += 1
            if self.deaths[run.trial] <= RETRIES:
                self.recorder.died(run)
                self.progress.dropped(run.trial)
                self.planner.requeue(run)
                return
        cause = getattr(error, "cause", error)
        reason = f"{type(cause).__name__}: {' '.join(str(cause).split()[:60])}"
        self.finish(run, columns.of_failure(reason))

    def finish(self, run: PlannedRun, outcome: dict[str, Any], **outputs: Any) -> None:
        with self.writing():
            row = self.recorder.finish(run, outcome, **outputs)
        self.planner.finish(run, row)
        self.progress.eta.planned = self.planner.planned()
        self.progress.trial(row)
        if self.planner.group(run).searched:  # nothing continues its paused trials any more
            for storage in self.paused_in.pop((run.model, run.task), []):
                with contextlib.suppress(OSError):
                    storage.storage_filesystem.delete_dir(storage.trial_fs_path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps a failed write's error in `broken`: the one that Ray raises has only its text."""
        try:
            yield
        except UserError as error:
            self.broken = error
            raise


def error_of(trial: Trial) -> Exception:
    """The error that ended a trial, from Ray's file; Ray's own getter looks for a later copy."""
    if trial.pickled_error_file and Path(trial.pickled_error_file).exists():
        return pickle.loads(Path(trial.pickled_error_file).read_bytes())
    return RuntimeError(Path(trial.error_file).read_text() if trial.error_file else "unknown")


def why_no_process(session: Path) -> str:
    """Why Ray's node cannot start processes, as far as it says so, and in which file."""
    log = session / "logs" / "raylet.err"
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    reasons = (line for line in reversed(lines) if line.strip())
    return f"{next(reasons, 'it does not say why')} ({log})"
