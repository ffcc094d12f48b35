"""Ray's network: on this machine alone, or a cluster of several."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from commands import (
    PATIENCE,
    STARTED,
    TINY,
    command,
    descendants,
    kill,
    lines,
    listening,
    size,
    wait_for,
)

from bench import results
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.tuning import study_run
from bench.tuning.cluster import connected
from bench.tuning.study_run import check_room


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.Popen]:
    """Starts a Ray node, as a machine of a cluster would."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray = str(Path(sys.executable).with_name("ray"))
    words = [ray, "start", "--num-cpus", "1", "--include-dashboard", "false", "--block"]
    words += ["--node-ip-address", "127.0.0.1"]

    def start(*flags: str) -> subprocess.Popen:
        process = subprocess.Popen([*words, *flags], cwd=tmp_path, start_new_session=True)
        STARTED.append(process)
        return process

    return start


@pytest.mark.slow
@pytest.mark.long
def test_a_cluster_that_loses_a_machine(tmp_path: Path, node) -> None:
    """One of two machines is killed in mid-study: its trials run again."""
    head = node("--head", "--port", "6399")
    wait_for(lambda: any(port == 6399 for _, _, port in listening(head.pid)), head)
    other = node("--address", "127.0.0.1:6399")
    flags = "--trials 6 --epochs 6 --seeds 2 --searcher random --scheduler fifo".split()
    process = command(tmp_path, *TINY, *flags, "--address", "127.0.0.1:6399")
    wait_for(lambda: lines(tmp_path / "study" / "trials.jsonl") >= 2, process)
    for pid in [*descendants(other.pid), other.pid]:
        kill(pid)
    assert process.wait(PATIENCE) == 0, tmp_path.with_suffix(".log").read_text()[-2000:]
    trials = results.read(tmp_path / "study").trials
    assert len(trials) == 8
    assert set(trials.status) == {"done"}
    assert len(list((tmp_path / "study" / "models").glob("*.safetensors"))) == 2


@pytest.mark.slow
@pytest.mark.long
def test_a_signal_to_a_study_on_a_cluster(tmp_path: Path, node) -> None:
    head = node("--head", "--port", "6398")
    wait_for(lambda: any("raylet" in line for line in descendants(head.pid).values()), head)
    flags = "--epochs 500 --trials 2 --searcher random --scheduler pbt".split()
    process = command(tmp_path, *TINY, *flags, "--address", "127.0.0.1:6398")
    wait_for(lambda: size(tmp_path / "study" / "epochs.jsonl"), process)
    process.terminate()
    assert process.wait(PATIENCE) == 130
    assert "--resume" in tmp_path.with_suffix(".log").read_text()
    assert not list((tmp_path / "study").glob(".ray-*"))


def test_runs_that_no_machine_has_room_for(monkeypatch, capsys: pytest.CaptureFixture) -> None:
    """On this machine they never start; a cluster may get a larger machine yet."""
    monkeypatch.setattr(study_run.ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2}}])
    check_room(Study(model=("pca",), cpus_per_trial=1), "cpu")
    much = Study(model=("pca",), cpus_per_trial=9999)
    line = "no machine has the 9999 CPU of a run of pca"
    with pytest.raises(UserError, match=f"--cpus_per_trial, --gpus_per_trial: {line}"):
        check_room(much, "cpu")
    assert capsys.readouterr().err == ""
    check_room(replace(much, address="auto"), "cpu")
    assert capsys.readouterr().err == f"note: {line}; the study waits for one\n"


def test_no_cluster_is_a_clear_error() -> None:
    with (
        pytest.raises(UserError, match=r"--address 127\.0\.0\.1:1: no Ray cluster answers there"),
        connected("127.0.0.1:1", verbose=False, own=None),
    ):
        pass
