"""Real studies on Ray that are watched: the screen, ray.log, TensorBoard, MLflow and Optuna's journal."""

import json
import logging
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train_tune
from bench import results
from bench.watching.live_curves import PICTURE

TINY = ["--dataset", "digits", "--abnormal_class", "3", "--set", "ngf=4", "ndf=4", "--limit_train", "300"]
SHORT = ["--epochs", "2", "--trials", "2", "--seeds", "1", "--scheduler", "fifo", "--name", "study"]


@pytest.mark.slow
def test_a_quiet_study_displayed_and_resumed(tmp_path: Path, ray_session, capsys: pytest.CaptureFixture) -> None:
    handlers = logging.getLogger("ray").handlers[:]
    out = ["--results_dir", str(tmp_path)]
    assert train_tune.main([*TINY, *SHORT, *out, "--quiet", "--display"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("TensorBoard: http://127.0.0.1:")
    assert said[2].startswith("w_skipganomaly, 3: configuration"), said
    assert logging.getLogger("ray").handlers == handlers
    assert "INFO" in (tmp_path / "study" / "ray.log").read_text()
    choices = json.loads((tmp_path / "study" / "study.json").read_text())["study"]
    assert not {"quiet", "verbose", "display", "mlflow", "wandb", "dry_run"} & set(choices)

    found = results.read(tmp_path / "study")
    for trial in found.trials.trial:
        events = EventAccumulator(str(tmp_path / "study" / "tensorboard" / trial), {"histograms": 0})
        events.Reload()
        assert [event.step for event in events.Images(PICTURE)] == [1, 2]
        assert [event.step for event in events.Histograms("scores/abnormal")] == [1, 2]

    journal, rows = tmp_path / "study" / "optuna.log", tmp_path / "study" / "trials.jsonl"
    assert f"optuna-dashboard {journal}" in "\n".join(said)
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:1]))
    journal.write_bytes(journal.read_bytes()[:-9])
    assert train_tune.main(["--name", "study", *out, "--resume"]) == 0
    assert "[2/3] " in capsys.readouterr().out
    kept = optuna.load_study(study_name="w_skipganomaly 3", storage=JournalStorage(JournalFileBackend(str(journal))))
    again = results.read(tmp_path / "study").trials.sort_values("number")
    assert [trial.value for trial in kept.trials] == again[again.kind == "tuning"].objective.tolist()


@pytest.mark.slow
def test_mlflow_has_hyperparameters_and_figures_only(tmp_path: Path, ray_session) -> None:
    mlflow = pytest.importorskip("mlflow")
    assert train_tune.main([*TINY, *SHORT, "--results_dir", str(tmp_path), "--mlflow", "--display"]) == 0
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'study' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("study").experiment_id])
    found = results.read(tmp_path / "study")
    assert {run.info.run_name for run in runs} == set(found.trials.trial)
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        row = found.trials.set_index("trial").loc[run.info.run_name]
        assert float(run.data.params["lr"]) == row.config_lr
        epochs = found.epochs[found.epochs.trial == run.info.run_name]
        history = client.get_metric_history(run.info.run_id, "val_auroc")
        assert [point.step for point in history] == epochs.epoch.tolist()
        assert [point.value for point in history] == epochs.val_auroc.tolist()
        assert set(run.data.metrics) <= {*found.epochs.columns, "training_iteration"}
