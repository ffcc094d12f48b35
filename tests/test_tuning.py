"""Real studies on Ray: every searcher and every scheduler, what they write, and how they fail and go on."""

import json
import re
import shlex
import shutil
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import train
import train_tune
from bench import results
from bench.choices.errors import UserError
from bench.choices.study import SCHEDULERS, SEARCHERS
from bench.choices.tasks import SOUND, Task
from bench.data.datasets import Dataset
from bench.data.splits import make_split
from bench.reporting import report as reporting
from bench.reporting import reproduce
from bench.results.columns import COLUMNS

TINY = [
    "--dataset",
    "digits",
    "--abnormal_class",
    "3",
    "--set",
    "ngf=4",
    "ndf=4",
    "--limit_train",
    "300",
]


@pytest.fixture
def study(tmp_path: Path, ray_session, monkeypatch: pytest.MonkeyPatch):
    """Runs a study and gives its exit status and results."""

    def run(*flags: str, name: str = "study") -> tuple[int, results.Results]:
        status = train_tune.main([*TINY, "--results_dir", str(tmp_path), "--name", name, *flags])
        return status, results.read(tmp_path / name)

    return run


def check_study(found: results.Results, trials: int, seeds: int) -> None:
    rows = found.trials
    assert (rows.kind == "tuning").sum() == trials
    assert (rows.kind == "final").sum() == seeds
    assert rows.trial.is_unique
    assert set(rows.status) <= {"done", "stopped"}
    for name in (*map(str, rows), *map(str, found.epochs)):
        assert any(fnmatch(name, column) for column in COLUMNS), f"{name} is not in COLUMNS"
    for row in rows[rows.status == "stopped"].itertuples():
        assert row.kind == "tuning"
        assert row.stopped_by == found.study["scheduler"]
        assert re.fullmatch(
            rf"after epoch {row.epochs}: objective \S+, place \d of \d", row.stop_reason
        )
    assert rows[rows.kind == "tuning"].filter(regex="^test_").isna().all(axis=None), (
        "a tuning run saw the test images"
    )
    default = rows[rows.number == 0].iloc[0]
    assert default.config_w_con == 50
    for row in rows[rows.kind == "final"].itertuples():
        scores = found.scores(row.trial)
        assert len(scores) == row.n_test_normal + row.n_test_abnormal
        assert scores.columns[:2].tolist() == ["scores", "labels"]
    epochs = found.epochs.groupby("trial").size()
    assert (epochs[rows.trial].to_numpy() == rows.epochs.to_numpy()).all()


@pytest.mark.slow
@pytest.mark.parametrize("searcher", SEARCHERS)
def test_searchers(study, searcher: str) -> None:
    status, found = study(
        "--searcher",
        searcher,
        "--scheduler",
        "fifo",
        "--trials",
        "4",
        "--epochs",
        "1",
        "--seeds",
        "1",
    )
    assert status == 0
    check_study(found, trials=4, seeds=1)
    tuning = found.trials[found.trials.kind == "tuning"]
    assert not tuning.filter(like="config_").astype(str).duplicated().any()


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers(study, scheduler: str) -> None:
    status, found = study(
        "--searcher",
        "random",
        "--scheduler",
        scheduler,
        "--trials",
        "4",
        "--epochs",
        "3",
        "--seeds",
        "1",
    )
    assert status == 0
    check_study(found, trials=4, seeds=1)
    finals = found.trials[found.trials.kind == "final"]
    assert (finals.epochs == 3).all(), "a final run is never stopped early"


@pytest.mark.slow
def test_paused_trials_may_lie_elsewhere(study, tmp_path: Path) -> None:
    storage = tmp_path / "scratch"
    flags = [
        "--searcher",
        "random",
        "--scheduler",
        "pbt",
        "--trials",
        "2",
        "--epochs",
        "4",
        "--seeds",
        "1",
    ]
    status, found = study(*flags, "--storage", f"file://{storage}")
    assert status == 0
    check_study(found, trials=2, seeds=1)
    assert storage.is_dir()
    assert not list(storage.glob("**/*.pt"))
    assert not list((tmp_path / "study").glob(".ray-*"))


def test_two_models_two_classes(study) -> None:
    """The sweep: every task has its own default, winner and final runs; a trial is compared within its task only."""
    flags = [
        "--model",
        "w_skipganomaly",
        "skipganomaly",
        "--abnormal_class",
        "0",
        "1",
        "--trials",
        "2",
        "--epochs",
        "1",
    ]
    status, found = study(*flags, "--seeds", "2")
    assert status == 0
    finals = found.trials[found.trials.kind == "final"]
    assert (finals.groupby(["model", "class"]).size() == 2).all()
    assert finals.groupby(["model", "class"]).ngroups == 4
    for (model, cls), group in found.trials.groupby(["model", "class"]):
        tuning = group[group.kind == "tuning"]
        assert sorted(tuning.number) == [0, 1]
        winner = tuning.sort_values(["objective", "number"], ascending=[False, True]).iloc[0].number
        assert set(group[group.kind == "final"].number) == {winner}, (model, cls)


@pytest.mark.slow
def test_space_and_set(study) -> None:
    flags = [
        "--space",
        "w_con=25,75",
        "lr=1e-5..1e-3:log",
        "nz=10..20:int",
        "--searcher",
        "random",
        "--trials",
        "4",
    ]
    _, found = study(*flags, "--set", "ngf=4", "ndf=4", "w_gp=5", "--epochs", "1", "--seeds", "1")
    tuned = found.trials[(found.trials.kind == "tuning") & (found.trials.number > 0)]
    assert set(tuned.config_w_con) <= {25, 75}
    assert tuned.config_lr.between(1e-5, 1e-3).all()
    assert tuned.config_lr.nunique() == len(tuned)
    assert tuned.config_nz.between(10, 20).all()
    assert (found.trials.config_w_gp == 5).all()
    assert (tuned.config_w_adv == 1).all(), "what the space does not name keeps its default"


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """Images of three classes, one of which is in the test set alone: nothing abnormal to validate it on."""
    rng = np.random.default_rng(0)
    for place, count in (
        ("train/a", 30),
        ("train/b", 30),
        ("test/a", 8),
        ("test/b", 8),
        ("test/c", 8),
    ):
        (tmp_path / "uneven" / place).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "uneven" / place / f"{i}.png")
    return tmp_path / "uneven"


@pytest.mark.parametrize("classes", [["a", "c"], pytest.param(["c", "a"], marks=pytest.mark.slow)])
def test_each_class_has_its_own_signal_to_choose_by(
    study, uneven: Path, classes: list[str]
) -> None:
    flags = [
        "--dataset",
        str(uneven),
        "--dataroot",
        str(uneven),
        "--abnormal_class",
        *classes,
        "--batch_size",
        "8",
    ]
    flags += ["--limit_train", "999"]
    for mistake in (["--tune_for", "mean"], ["--select_on", "val_auroc"]):
        with pytest.raises(UserError, match="val_loss"):
            study(*flags, *mistake)
    status, found = study(
        *flags, "--trials", "2", "--epochs", "2", "--seeds", "1", "--scheduler", "fifo"
    )
    assert status == 0
    assert set(found.trials.status) == {"done"}
    assert found.trials.groupby("class").select_on.unique().map(list).to_dict() == {
        "a": ["val_auroc"],
        "c": ["val_loss"],
    }
    for name, signal in (("a", found.trials.val_auroc), ("c", -found.trials.val_loss)):
        mine = found.trials["class"] == name
        assert found.trials.objective[mine].tolist() == signal[mine].tolist()
    reporting.report({"study": found}, found.path / "report")
    names = {path.stem for path in (found.path / "report").glob("*.svg")}
    assert {"learning", "learning_val_loss"} <= names
    settings = (found.path / "report" / "settings.csv").read_text()
    assert "validation AUROC, validation loss" in settings


@pytest.mark.slow
def test_classical_models_run_where_all_gpus_are_taken(study) -> None:
    """Here there are none at all: a trial that reserved one would wait for ever."""
    flags = [
        "--model",
        "pca",
        "knn",
        "--device",
        "cuda",
        "--address",
        "auto",
        "--trials",
        "2",
        "--epochs",
        "1",
    ]
    status, found = study(*flags, "--set", "samples=100", "--seeds", "1", "--precision", "tf32")
    assert status == 0
    assert set(found.trials["device"]) == {"cpu"}
    assert set(found.trials["precision"]) == {"float32"}
    assert found.trials["hardware"].notna().all()


@pytest.mark.slow
def test_grid_runs_each_point_once(study) -> None:
    flags = [
        "--searcher",
        "grid",
        "--scheduler",
        "fifo",
        "--space",
        "w_con=25,50,75",
        "w_lat=1.0,2.0",
    ]
    _, found = study(*flags, "--epochs", "1", "--seeds", "1")
    points = found.trials[found.trials.kind == "tuning"][["config_w_con", "config_w_lat"]]
    assert len(points) == 6
    assert not points.duplicated().any()


def test_failed_trials_are_recorded_and_the_study_goes_on(
    study, capsys: pytest.CaptureFixture
) -> None:
    """A learning rate that blows the networks up fails its trial with the reason, and the exit status says so."""
    flags = [
        "--searcher",
        "grid",
        "--scheduler",
        "fifo",
        "--space",
        "lr=1e-4,1e30",
        "--epochs",
        "2",
        "--seeds",
        "1",
    ]
    status, found = study(*flags)
    assert status == 1
    failed = found.trials[found.trials.status == "error"]
    assert failed.config_lr.tolist() == [1e30]
    assert "FloatingPointError" in failed.error.iloc[0]
    assert (found.trials[found.trials.kind == "final"].status == "done").all()
    assert "failed: w_skipganomaly-3-" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "searcher", ["random", "tpe"]
)  # test_journal.py has the others, without Ray
def test_resume_runs_only_what_is_missing(study, tmp_path: Path, searcher: str) -> None:
    """Cut the rows of a finished study and move it: resumed, it ends with the same rows, to the bit.

    One trial at a time, so that a searcher which learns from results has the same ones before each proposal.
    """
    flags = [
        "--searcher",
        searcher,
        "--scheduler",
        "fifo",
        "--trials",
        "6",
        "--epochs",
        "1",
        "--seeds",
        "2",
    ]
    _, whole = study(*flags, "--cpus_per_trial", "2", name="whole")
    moved = tmp_path / "elsewhere" / "cut"
    shutil.copytree(whole.path, moved)
    path = moved / "trials.jsonl"
    kept = path.read_text().splitlines(keepends=True)[:4]
    path.write_text("".join(kept) + '{"trial": "half a li')
    assert train_tune.main(["--results_dir", str(moved.parent), "--name", "cut", "--resume"]) == 0
    again = results.read(moved)
    assert path.read_text().splitlines(keepends=True)[:4] == kept

    def comparable(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.drop(columns=["train_seconds", "score_seconds", "attempt"])
        return frame.sort_values(["trial", "epoch"], ignore_index=True)

    for before, after in ((whole.trials, again.trials), (whole.epochs, again.epochs)):
        pd.testing.assert_frame_equal(comparable(before), comparable(after), check_exact=True)
    for trial in whole.trials[whole.trials.kind == "final"].trial:
        pd.testing.assert_frame_equal(whole.scores(trial), again.scores(trial), check_exact=True)


@pytest.mark.slow
def test_reproduce_gives_the_same_scores_to_the_bit(
    study, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The command that report.py prints makes a final run's scores and a tuning run's figures again."""
    _, found = study(
        "--searcher",
        "random",
        "--scheduler",
        "fifo",
        "--trials",
        "2",
        "--epochs",
        "2",
        "--seeds",
        "1",
    )
    for trial in ("w_skipganomaly-3-seed1", "w_skipganomaly-3-001"):
        command = shlex.split(reproduce.find({"study": found}, trial))
        assert command[:2] == ["python", "train.py"]
        assert (
            train.main([*command[2:], "--results_dir", str(tmp_path), "--name", f"again-{trial}"])
            == 0
        )
        again = results.read(tmp_path / f"again-{trial}")
        before, after = found.trials.set_index("trial").loc[trial], again.trials.iloc[0]
        for column in ("epoch", "epochs", "objective", "val_auroc", "val_loss"):
            assert after[column] == before[column]
        if before.kind == "final":
            pd.testing.assert_frame_equal(
                again.scores(again.trials.iloc[0].trial), found.scores(trial), check_exact=True
            )


@pytest.mark.slow
def test_time_budget_starts_no_more_trials(study, capsys: pytest.CaptureFixture) -> None:
    status, found = study("--trials", "50", "--epochs", "1", "--time_budget", "1s")
    assert status == 0
    assert len(found.trials) < 50
    assert "time budget of 1s is used up" in capsys.readouterr().out


@pytest.mark.slow
def test_tune_for_mean_gives_all_classes_one_configuration(study) -> None:
    flags = [
        "--abnormal_class",
        "0",
        "1",
        "2",
        "--tune_for",
        "mean",
        "--trials",
        "3",
        "--epochs",
        "1",
        "--seeds",
        "1",
    ]
    _, found = study(*flags, "--searcher", "random", "--scheduler", "fifo")
    tuning = found.trials[found.trials.kind == "tuning"]
    winner = tuning.groupby("number").objective.mean().idxmax()
    finals = found.trials[found.trials.kind == "final"]
    assert set(finals.number) == {winner}
    assert set(finals["class"]) == {"0", "1", "2"}
    assert tuning.groupby("number").config_lr.nunique().eq(1).all()


def test_trials_map_the_images_uncopied(ray_session) -> None:
    """The object store holds the images once; every trial on the machine reads the same memory."""
    import ray

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (400, 3, 32, 32), dtype=np.uint8), np.repeat([0, 1], 200)
    made = Dataset("made", ("a", "b"), images, labels, images[::2].copy() // 2, labels[::2])
    splits = {cls: make_split(made, Task("one-class", cls), SOUND, seed=0) for cls in "ab"}
    stored = ray.put(splits)
    parts = [part for got in (ray.get(stored), ray.get(stored)) for split in got.values()
             for part in (split.train, split.val.images, split.test.images)]  # fmt: skip
    (address,) = {part.source.on("cpu").data_ptr() for part in parts}
    assert address != made.images.ctypes.data
    assert torch.equal(ray.get(stored)["a"].train[:], splits["a"].train[:])


def test_study_json_says_how_it_was_made(study) -> None:
    _, found = study("--trials", "1", "--epochs", "1", "--seeds", "1")
    content = json.loads((found.path / "study.json").read_text())
    assert content["study"]["seeds"] == 1
    assert content["provenance"]["versions"]["torch"]
    assert content["provenance"]["dataset"]["fingerprint"]
