"""Nothing is lost: Ctrl-C, a dying process, a full or read-only disk, a lost machine."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from commands import (
    PATIENCE,
    ROOT,
    TINY,
    command,
    descendants,
    fill,
    kill,
    replaced,
    running,
    size,
    wait_for,
)

import train_tune
from bench import results
from bench.choices.errors import UserError
from bench.choices.study import RUN_CHECKPOINT, Study
from bench.commands.checks import usable_cores
from bench.results.store import Store


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.long)])
def test_control_c(tmp_path: Path, times: int) -> None:
    process = command(tmp_path, *TINY, "--epochs", "500", "--trials", "2", "--scheduler", "fifo")
    rows = tmp_path / "study" / "epochs.jsonl"
    wait_for(lambda: rows.exists() and rows.stat().st_size, process)
    below = descendants(process.pid)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        time.sleep(0.1)
    assert process.wait(PATIENCE) == 130
    log = tmp_path.with_suffix(".log").read_text()
    assert "Traceback" not in log
    assert ("--name study" in log and "--resume" in log) == (times == 1), log
    wait_for(lambda: not any(map(running, below)))


@pytest.mark.slow
def test_an_end_while_ray_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C, and a mistake that is only found when the data are read."""

    def starting(process: subprocess.Popen) -> dict[int, str]:
        return {pid: line for pid, line in descendants(process.pid).items() if "gcs_server" in line}

    process = command(tmp_path, *TINY)
    wait_for(lambda: starting(process), process)
    below = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    wait_for(lambda: not any(map(running, below)))
    mistaken = command(tmp_path, *TINY[:4], "--limit_train", "4")
    wait_for(lambda: starting(mistaken), mistaken)
    below = descendants(mistaken.pid)
    assert mistaken.wait(PATIENCE) == 2
    wait_for(lambda: not any(map(running, below)))
    interrupted, error = tmp_path.with_suffix(".log").read_text().splitlines()
    assert interrupted == "interrupted"
    assert error.startswith("error: --limit_train: 4 is not one image")


def test_a_start_of_ray_that_hangs_does_not_keep_an_ended_command() -> None:
    code = (
        "import subprocess, time, ray; from bench.tuning import ray_start; ray_start.PATIENCE = 1\n"
        "def hang(**_):\n"
        "  print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)\n"
        "ray.init = hang; own = ray_start.start(verbose=False)\n"
        "while not own.children(): time.sleep(0.1)"
    )
    run = [sys.executable, "-c", code]
    ended = subprocess.run(run, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert ended.returncode == 0
    wait_for(lambda: not running(int(ended.stdout)))


def test_two_commands_on_one_study(tmp_path: Path) -> None:
    study = Study(
        model=("knn",), dataset="digits", abnormal_class=("3",), finalists=0, name="study",
        results_dir=str(tmp_path),
    )  # fmt: skip
    second = ["--results_dir", str(tmp_path), "--name", "study", "--resume"]
    with (
        contextlib.closing(Store.create(study, {}, "study")),
        pytest.raises(UserError, match="another command is working on this study"),
    ):
        train_tune.main(second)


def test_what_a_killed_command_left_half_written_is_removed(tmp_path: Path) -> None:
    """And nothing else, such as a file that a report is being written to, or a user's own."""
    with contextlib.closing(Store.create(Study(results_dir=str(tmp_path)), {}, "study")) as store:
        row = {"trial": "one", "kind": "final", "status": "done", "model": "pca", "class": "3"}
        store.add_trial(row, pd.DataFrame({"score": [1.0]}), gallery=b"x", packed=b"x")
    files = [file for file in store.path.rglob("*") if file.suffix not in (".jsonl", ".lock", "")]
    assert len(files) == 4, "study.json and what the run has"
    left = [file.with_name(f".{file.name}.21253") for file in (*files, store.path / RUN_CHECKPOINT)]
    others = [store.path / name for name in (".report.html.21253", ".study.json.mine", "models/.x")]
    for file in (*left, *others):
        file.write_text("half")
    Store(store.path).close()
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in (*files, *others))


def test_a_full_disk_loses_no_row(small_disk: Path) -> None:
    store = Store.create(Study(results_dir=str(small_disk)), {}, "study")
    row = {"trial": "one", "kind": "tuning", "status": "done", "model": "pca", "class": "3"}
    row |= {"text": "x" * 3000}
    store.add_trial(row)
    before = (store.path / "trials.jsonl").read_bytes()
    fill(small_disk)
    full = r"trials\.jsonl cannot be written \(No space left on device\)"
    with pytest.raises(UserError, match=full):
        store.add_trial(row | {"trial": "more", "text": "x" * 9000})
    after = (store.path / "trials.jsonl").read_bytes()
    assert after.startswith(before)
    assert after.endswith(b"\n"), "half a row was left behind"
    with pytest.raises(UserError, match="cannot be written"):
        store.add_trial(row, pd.DataFrame({"scores": range(9999)}), packed=b"x" * 2**21)
    assert not list((store.path / "models").glob("*")), "half a model was left behind"
    (small_disk / "filler").unlink()
    store.add_trial(row | {"trial": "last"})
    assert results.read(store.path).trials.trial.iloc[-1] == "last"
    store.close()


@pytest.mark.slow
@pytest.mark.long
def test_a_study_on_a_full_disk_says_so_and_goes_on_later(small_disk: Path) -> None:
    flags = "--epochs 2 --trials 6 --scheduler fifo --seeds 1 --keep_models none".split()
    process = command(small_disk, *TINY, *flags)
    rows = small_disk / "study" / "trials.jsonl"
    wait_for(lambda: rows.exists() and rows.stat().st_size, process)
    fill(small_disk)
    assert process.wait(PATIENCE) == 2, small_disk.with_suffix(".log").read_text()
    kept = len(results.read(small_disk / "study").trials)
    assert kept >= 1
    (small_disk / "filler").unlink()
    assert command(small_disk, "--resume").wait(PATIENCE) == 0
    trials = results.read(small_disk / "study").trials
    assert len(trials) == 7
    assert trials.trial.is_unique
    assert "No space left on device" in small_disk.with_suffix(".log").read_text()


def test_a_read_only_results_folder(small_disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    process = subprocess.run(
        [sys.executable, "train.py", *TINY[:4], "--results_dir", str(small_disk), "--name", "s"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1
    assert "Read-only file system" in process.stderr


@pytest.mark.slow
def test_a_failure_that_repeats_ends_the_study(tmp_path: Path) -> None:
    """No memory holds these networks: each trial fails with its reason; the study ends early."""
    process = command(tmp_path, *TINY[:4], "--set", "ngf=200000", "--trials", "50", "--epochs", "1")
    assert process.wait(PATIENCE) == 1
    trials = results.read(tmp_path / "study").trials
    assert len(trials) < 10
    assert trials.error.str.contains("memory").all()
    assert "trials all failed" in tmp_path.with_suffix(".log").read_text()


@pytest.mark.long
@pytest.mark.slow
def test_failed_runs_are_tried_again_once_their_cause_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And Ray's memory monitor, with a limit that any machine is over, ends none of them."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.01")
    model, needed = tmp_path / "mine.py", tmp_path / "needed"
    model.write_text(
        "import pathlib\nfrom models import autoencoder\n"
        "class Config(autoencoder.Config): pass\n"
        "class Model(autoencoder.Model):\n  Config = Config\n"
        "  def train_step(self, x, rng):\n"
        f"    assert pathlib.Path({str(needed)!r}).exists(), 'it is not there'\n"
        "    return super().train_step(x, rng)\n"
    )
    flags = ["--model", str(model), "--trials", "0", "--seeds", "4", "--set", "width=4"]
    assert command(tmp_path, *TINY[:6], "--epochs", "1", *flags).wait(PATIENCE) == 1
    log = tmp_path.with_suffix(".log")
    assert log.read_text().count("  error  AssertionError: it is not there") >= 3
    assert "--resume" in log.read_text()
    needed.touch()
    assert command(tmp_path, "--resume").wait(PATIENCE) == 0, log.read_text()
    trials = results.read(tmp_path / "study").trials
    assert sorted(trials["seed"]) == [1, 2, 3, 4]
    assert (trials["status"] == "done").all()


@pytest.mark.long
@pytest.mark.slow
def test_a_run_whose_process_keeps_dying(tmp_path: Path) -> None:
    """As under the out-of-memory killer: its row says so after three attempts."""
    flags = ["--epochs", "500", "--trials", "2", "--scheduler", "fifo"]
    flags += ["--cpus_per_trial", str(usable_cores())]  # one run at a time
    process = command(tmp_path, *TINY, *flags)
    rows, epochs = tmp_path / "study" / "trials.jsonl", tmp_path / "study" / "epochs.jsonl"
    for _ in range(3):
        before = size(epochs)
        wait_for(lambda before=before: size(epochs) > before, process)
        below = descendants(process.pid).items()
        pid = next(pid for pid, line in below if "ray::" in line and "Trainable" in line)
        kill(pid)
        wait_for(lambda pid=pid: not running(pid))
    wait_for(rows.exists, process)
    row = results.read(tmp_path / "study").trials.iloc[0]
    assert row.status == "error"
    assert "died" in row.error
    before = size(epochs)
    wait_for(lambda: size(epochs) > before, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130


@pytest.mark.long
@pytest.mark.slow
def test_paused_trials_take_bounded_disk(tmp_path: Path) -> None:
    """Three checkpoints at most for each trial, and none once its search is over."""
    flags = "--abnormal_class 3 4 --scheduler pbt --searcher random --trials 4 --epochs 6".split()
    process = command(tmp_path, *replaced(TINY, flags), "--seeds", "2", "--cpus_per_trial", "1")
    most, last = 0, -1
    while process.poll() is None:
        try:
            kept = list((tmp_path / "study").glob(".ray-*/**/run.pt"))
        except FileNotFoundError:  # Ray deleted a folder meanwhile
            continue
        most = max(most, len(kept))
        with contextlib.suppress(UserError, FileNotFoundError, AttributeError):
            rows = results.read(tmp_path / "study").trials
            last = len(kept) if (rows.kind == "tuning").sum() == 8 else last
        time.sleep(0.2)
    assert process.returncode == 0, tmp_path.with_suffix(".log").read_text()[-2000:]
    assert 1 <= most <= 3 * 8
    assert 0 <= last <= 3, "a finished search left its checkpoints"
    assert not list((tmp_path / "study").glob(".ray-*"))
