"""A run that was started again: its epochs are those of the attempt that counts."""

from pathlib import Path

import pandas as pd
import pytest
from ray.exceptions import RayActorError
from studies import write_rows

from bench import results
from bench.choices.study import Study
from bench.data.splits import Task
from bench.results.store import Store
from bench.tuning.planner import Planner
from bench.tuning.study_run import Recorder
from bench.watching.progress import Progress
from bench.watching.time_left import Eta


def epochs(trial: str, count: int, attempt: int | None = None, offset: float = 0.0) -> list[dict]:
    about = {"trial": trial} | ({} if attempt is None else {"attempt": attempt})
    return [about | {"epoch": epoch, "val_auroc": offset + epoch / 10} for epoch in range(1, count + 1)]


def read(folder: Path, trials: list[dict], rows: list[dict]) -> pd.DataFrame:
    write_rows(folder / "trials.jsonl", trials)
    write_rows(folder / "epochs.jsonl", rows)
    return results.Results(folder, {}, {}).epochs


def test_only_the_epochs_of_the_attempt_that_counts(tmp_path: Path) -> None:
    rows = [*epochs("stopped sooner", 5, 1), *epochs("stopped sooner", 2, 2, offset=1)]
    rows += epochs("died at once", 3, 1)
    rows += [*epochs("running", 4, 1), *epochs("running", 1, 2)]
    trials = [{"trial": "stopped sooner", "attempt": 2}, {"trial": "died at once", "attempt": 2, "status": "error"}]
    found = read(tmp_path, trials, rows)
    assert found.groupby("trial").size().to_dict() == {"stopped sooner": 2, "running": 1}
    assert found[found.trial == "stopped sooner"].val_auroc.tolist() == [1.1, 1.2]


def test_rows_of_earlier_versions_count_as_a_first_attempt(tmp_path: Path) -> None:
    rows = [*epochs("old", 3), *epochs("old", 3, offset=1), *epochs("resumed", 3), *epochs("resumed", 1, 2)]
    found = read(tmp_path, [{"trial": "old"}, {"trial": "resumed", "attempt": 2}], rows)
    assert found.groupby("trial").val_auroc.apply(list).to_dict() == {"old": [1.1, 1.2, 1.3], "resumed": [0.1]}
    assert len(read(tmp_path, [{"trial": "old"}], epochs("old", 3))) == 3
    assert read(tmp_path, [], []).empty


def recorder_of(store: Store, study: Study) -> Recorder:
    planner = Planner(study, [Task("leave-one-class-out", "3")], [], lambda model: 1)
    progress = Progress(Eta(planner.planned(), study.epochs), [], "val_auroc", quiet=True)
    return Recorder(study, store, planner, {"3": {"select_on": "val_auroc"}}, progress, None, None)


@pytest.mark.parametrize("where", ["a dead process", "a killed command"])
def test_a_run_that_is_started_again_counts_its_attempts(tmp_path: Path, where: str) -> None:
    study = Study(model=("pca",), dataset="digits", abnormal_class=("3",), results_dir=str(tmp_path), epochs=5)
    store = Store.create(study, {}, "study")
    recorder = recorder_of(store, study)
    job = recorder.planner.next_job()
    assert job is not None

    def run(count: int) -> None:
        for epoch in range(1, count + 1):
            recorder.epoch(job, {"epoch": epoch, "val_auroc": 0.5, "train_seconds": 1.0, "score_seconds": 0.0}, {})

    run(4)
    if where == "a dead process":
        recorder.fail(job, RayActorError())
    else:
        recorder = recorder_of(store, study)
    assert recorder.planner.next_job() == job
    run(2)
    recorder.finish(job, recorder.row(job, job.config) | {"epoch": 2, "epochs": 2, "objective": 0.5})
    found = results.read(store.path)
    assert found.trials[["epochs", "train_seconds", "attempt"]].to_numpy().tolist() == [[2, 2.0, 2]]
    assert found.epochs.epoch.tolist() == [1, 2]
