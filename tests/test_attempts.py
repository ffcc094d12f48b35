"""A run that was started again: its epochs are those of the attempt that counts."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ray.exceptions import RayActorError
from ray.tune.schedulers import FIFOScheduler
from studies import write_rows

from bench import results
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.results import columns
from bench.results.rows import read_rows
from bench.results.store import Store
from bench.training.prepare import prepare
from bench.training.recorder import Recorder
from bench.tuning.callback import StudyCallback
from bench.tuning.planner import Planner
from bench.tuning.schedulers import PerTask
from bench.tuning.spaces import spaces_of
from bench.watching.progress import Progress
from bench.watching.time_left import Eta


def epochs(trial: str, count: int, attempt: int | None = None, offset: float = 0.0) -> list[dict]:
    identity = {"trial": trial} | ({} if attempt is None else {"attempt": attempt})
    return [
        identity | {"epoch": epoch, "val_loss": offset + epoch / 10}
        for epoch in range(1, count + 1)
    ]


def read(folder: Path, trials: list[dict], rows: list[dict]) -> pd.DataFrame:
    row = {"kind": "final", "status": "done", "model": "pca", "class": "3"}
    write_rows(folder / "trials.jsonl", [row | trial for trial in trials])
    write_rows(folder / "epochs.jsonl", rows)
    return results.Results(folder, {}, {}).epochs


def test_only_the_epochs_of_the_attempt_that_counts(tmp_path: Path) -> None:
    rows = [*epochs("stopped sooner", 5, 1), *epochs("stopped sooner", 2, 2, offset=1)]
    rows += epochs("died at once", 3, 1)
    rows += [*epochs("running", 4, 1), *epochs("running", 1, 2)]
    trials = [
        {"trial": "stopped sooner", "attempt": 2},
        {"trial": "died at once", "attempt": 2, "status": "error"},
    ]
    remaining = read(tmp_path, trials, rows)
    assert remaining.groupby("trial").size().to_dict() == {"stopped sooner": 2, "running": 1}
    assert remaining[remaining.trial == "stopped sooner"].val_loss.tolist() == [1.1, 1.2]


def test_rows_of_earlier_versions_count_as_a_first_attempt(tmp_path: Path) -> None:
    rows = [*epochs("old", 3), *epochs("old", 3, offset=1)]
    rows += [*epochs("resumed", 3), *epochs("resumed", 1, 2)]
    remaining = read(tmp_path, [{"trial": "old"}, {"trial": "resumed", "attempt": 2}], rows)
    losses = remaining.groupby("trial").val_loss.apply(list).to_dict()
    assert losses == {"old": [1.1, 1.2, 1.3], "resumed": [0.1]}
    assert len(read(tmp_path, [{"trial": "old"}], epochs("old", 3))) == 3
    assert read(tmp_path, [], []).empty


@pytest.fixture
def study(tmp_path: Path) -> Study:
    choices: dict[str, Any] = {"model": ("pca",), "dataset": "digits", "abnormal_class": ("3",)}
    return Study(**choices, results_dir=str(tmp_path), epochs=5)


def callback_of(store: Store, study: Study) -> StudyCallback:
    """What a command has that begins, or goes on with, the study in the store's folder."""
    ready = prepare(study)
    spaces = spaces_of(study)
    budgets = ready.budgets(study, {model: space.default for model, space in spaces.items()})
    planner = Planner(study, ready.tasks, spaces, budgets, [], lambda model: 1)
    eta = Eta(planner.planned(), planner.done, {("pca", ""): 1})
    progress = Progress(eta, [], "val_auroc", quiet=True)
    recorder = Recorder(study, ready, store, ready.provenance())
    scheduler = PerTask(lambda model: FIFOScheduler())
    return StudyCallback(study, recorder, planner, scheduler, progress, None)


def test_a_failed_write_that_tune_swallows_ends_the_study(study: Study) -> None:
    """As where HyperBand stops a paused trial."""
    callback = callback_of(Store.create(study, {}, "study"), study)
    with pytest.raises(UserError, match="no space"), callback.writing():
        raise UserError("no space")
    with pytest.raises(UserError, match="no space"):
        callback.on_step_end(1, [])


@pytest.mark.parametrize("where", ["a dead process", "a killed command"])
def test_a_run_that_is_started_again_counts_its_attempts(study: Study, where: str) -> None:
    store = Store.create(study, {}, "study")
    callback = callback_of(store, study)
    run = callback.planner.next_run()

    def train(epochs: int) -> None:
        for epoch in range(1, epochs + 1):
            record = {"epoch": epoch, "val_auroc": 0.5, "train_seconds": 1.0, "score_seconds": 0.0}
            callback.recorder.epoch(run, record)

    train(4)
    if where == "a dead process":
        callback.fail(run, RayActorError())
    else:
        callback = callback_of(store, study)
    assert callback.planner.next_run() == run
    train(2)
    best = {"epoch": 2, "val_auroc": 0.5, "objective": 0.5}
    changed = run.config | {"components": 7}  # as PBT leaves it
    callback.finish(run, columns.of_chosen_epoch(best, epochs=2), config=changed)
    study_results = results.read(store.path)
    row = study_results.trials[["epochs", "train_seconds", "attempt"]]
    assert row.to_numpy().tolist() == [[2, 2.0, 2]]
    figures = study_results.trials[["config_components", "tried_components"]]
    assert figures.to_numpy().tolist() == [[7, run.config["components"]]]
    assert study_results.epochs.epoch.tolist() == [1, 2]


def test_what_a_dead_attempt_trained_is_not_in_the_row_of_the_next(study: Study) -> None:
    """The process dies after an epoch; begun again, the run fails before its first."""
    store = Store.create(study, {}, "study")
    callback = callback_of(store, study)
    run = callback.planner.next_run()
    record = {"epoch": 1, "val_auroc": 0.5, "train_seconds": 1.0, "score_seconds": 0.0}
    callback.recorder.epoch(run, record | {"generator_steps": 9, "images_seen": 99})
    callback.fail(run, RayActorError())
    callback.fail(run, ValueError("no"))
    row = read_rows(store.path / "trials.jsonl")[0]
    assert (row["status"], row["attempt"]) == ("error", 2)
    assert row["train_seconds"] is row["score_seconds"] is None
    assert not {"generator_steps", "images_seen"} & set(row)
