"""What real studies on Ray write for their user to watch.

The screen, ray.log, TensorBoard, MLflow and Optuna's journal.
"""

import json
import logging
from pathlib import Path

import optuna
import pytest
from commands import TINY
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train_tune
from bench import results
from bench.choices.errors import UserError
from bench.tuning.trackers import Tracker
from bench.watching.live_curves import PICTURE

SHORT = [*TINY, "--epochs", "2", "--trials", "2", "--seeds", "1"]
SHORT += ["--scheduler", "fifo", "--name", "study"]


@pytest.mark.slow
def test_a_quiet_study_writes_its_curves_and_its_journal_also_when_resumed(
    tmp_path: Path, ray_session, capsys: pytest.CaptureFixture
) -> None:
    handlers = logging.getLogger("ray").handlers[:]
    out = ["--results_dir", str(tmp_path)]
    assert train_tune.main([*SHORT, *out, "--quiet", "--display"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("TensorBoard: http://127.0.0.1:")
    assert printed[2].startswith("w_skipganomaly, 3: configuration"), printed
    assert logging.getLogger("ray").handlers == handlers
    assert "INFO" in (tmp_path / "study" / "ray.log").read_text()
    choices = json.loads((tmp_path / "study" / "study.json").read_text())["study"]
    assert not {"quiet", "verbose", "display", "mlflow", "wandb", "dry_run"} & set(choices)

    curves = tmp_path / "study" / "tensorboard"
    for trial in results.read(tmp_path / "study").trials.trial:
        events = EventAccumulator(str(curves / trial), {"histograms": 0})
        events.Reload()
        assert [event.step for event in events.Images(PICTURE)] == [1, 2]
        assert [event.step for event in events.Histograms("scores/abnormal")] == [1, 2]

    journal, trials = tmp_path / "study" / "optuna.log", tmp_path / "study" / "trials.jsonl"
    assert f"optuna-dashboard {journal}" in "\n".join(printed)
    trials.write_text("".join(trials.read_text().splitlines(keepends=True)[:1]))
    journal.write_bytes(journal.read_bytes()[:-9])
    assert train_tune.main(["--name", "study", *out, "--resume"]) == 0
    assert "[2/3] " in capsys.readouterr().out
    storage = JournalStorage(JournalFileBackend(str(journal)))
    search = optuna.load_study(study_name="w_skipganomaly 3", storage=storage)
    rows = results.read(tmp_path / "study").trials.sort_values("number")
    tuning = rows[rows.kind == "tuning"]
    assert [trial.value for trial in search.trials] == tuning.objective.tolist()


@pytest.mark.slow
def test_mlflow_has_hyperparameters_and_figures_only(tmp_path: Path, ray_session) -> None:
    mlflow = pytest.importorskip("mlflow")
    flags = ["--results_dir", str(tmp_path), "--mlflow", "--display"]
    assert train_tune.main([*SHORT, *flags]) == 0
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'study' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("study").experiment_id])
    study = results.read(tmp_path / "study")
    assert {run.info.run_name for run in runs} == set(study.trials.trial)
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        row = study.trials.set_index("trial").loc[run.info.run_name]
        assert float(run.data.params["lr"]) == row.config_lr
        epochs = study.epochs[study.epochs.trial == run.info.run_name]
        history = client.get_metric_history(run.info.run_id, "val_auroc")
        assert [point.step for point in history] == epochs.epoch.tolist()
        assert [point.value for point in history] == epochs.val_auroc.tolist()
        assert set(run.data.metrics) <= {*study.epochs.columns, "training_iteration"}


class Log:
    """Stands for MLflow's or W&B's: keeps what it is told, and fails from its second result on."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def setup(self) -> None:
        pass

    def log_trial_start(self, trial: str) -> None:
        pass

    def log_trial_result(self, iteration: int, trial: str, figures: dict) -> None:
        self.told.append((iteration, trial, figures))
        if len(self.told) > 1:
            raise ConnectionError("the server  is\ngone")

    def log_trial_end(self, trial: str, failed: bool) -> None:
        self.told.append((trial, failed))


def test_a_tracker_gets_figures_and_may_fail_without_the_study(capsys) -> None:
    log = Log()
    tracker = Tracker("--mlflow", log)
    result = {"record": {"val_auroc": 0.9, "val_loss": None}, "training_iteration": 3}
    for _ in range(3):
        tracker.on_trial_result(1, [], "t", result)
    tracker.on_trial_complete(2, [], "t")
    assert log.told == [(1, "t", {"val_auroc": 0.9, "training_iteration": 3})] * 2
    line = "--mlflow gets nothing more (ConnectionError: the server is gone)"
    assert capsys.readouterr().err == f"note: {line}\n"


@pytest.mark.parametrize("event", ["on_trial_complete", "on_trial_error"])
def test_a_tracker_hears_of_no_end_of_a_trial_that_never_started(event: str) -> None:
    log = Log()
    tracker = Tracker("--mlflow", log)
    getattr(tracker, event)(1, [], "held back, or dead at once")
    tracker.on_trial_start(1, [], "t")
    getattr(tracker, event)(2, [], "t")
    assert log.told == [("t", event == "on_trial_error")]


def test_a_tracker_whose_service_does_not_answer_is_one_line() -> None:
    class Closed(Log):
        def setup(self) -> None:
            raise ConnectionError("refused")

    with pytest.raises(UserError, match=r"^--wandb: ConnectionError: refused$"):
        Tracker("--wandb", Closed())
