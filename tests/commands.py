"""Runs commands: those that must fail here, studies in processes to watch or kill."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

import train
from bench import results
from bench.choices.script import run_main
from bench.results.store import Store

ROOT = Path(__file__).resolve().parents[1]
TINY = ["--dataset", "digits", "--abnormal_class", "3", "--limit_train", "300"]
TINY += ["--set", "ngf=4", "ndf=4", "--finalists", "0"]
PATIENCE = 300  # seconds that a test waits for a command
STARTED: list[subprocess.Popen] = []  # the commands of the test that runs


def command(
    folder: Path,
    *flags: str,
    script: str = "train_tune.py",
    root: Path = ROOT,
    python: str | Path = sys.executable,
) -> subprocess.Popen:
    """Starts a study in a process group of its own.

    The study is `folder`/study; it prints to `folder`.log.
    """
    arguments = [str(python), script, "--results_dir", str(folder), "--name", "study", *flags]
    with folder.with_suffix(".log").open("a") as log:
        process = subprocess.Popen(
            arguments, cwd=root, stdout=log, stderr=log, start_new_session=True,
            # Processes that a shell starts in the background ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )  # fmt: skip
    STARTED.append(process)
    return process


def end_all() -> None:
    """Kills the commands that still run, and all below them: a failed test leaves none behind."""
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            for pid in [*descendants(process.pid), process.pid]:
                kill(pid)
            process.wait()


def fails(capsys: pytest.CaptureFixture, script: ModuleType, flags: list[str], top: Path) -> str:
    """The one line on stderr of a command that must fail, and write no results."""
    out = top / "results"
    place = ["--results_dir", str(out), "--dataroot", str(top / "data")]
    before = set(out.rglob("*")) if out.exists() else set()
    with pytest.raises(SystemExit) as stop:
        run_main(lambda: script.main([*flags, *place]))
    assert stop.value.code == 2
    assert (set(out.rglob("*")) if out.exists() else set()) == before
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "Traceback" not in line
    return line


def finished_run(folder: Path, *flags: str, name: str = "one") -> results.Results:
    """The results of a run of train.py in this process, which must come through."""
    place = ["--results_dir", str(folder), "--dataroot", str(folder), "--name", name]
    assert train.main([*flags, *place]) == 0
    return results.read(folder / name)


def stopped_run(
    monkeypatch: pytest.MonkeyPatch, flags: Sequence[str], epoch: int = 2, written: bool = False
) -> None:
    """A run of train.py with Ctrl-C as that epoch's row is about to be, or is `written`.

    The epoch's checkpoint is not.
    """
    write = Store.add_epoch

    def add_epoch(store: Store, row: dict[str, Any]) -> None:
        if written or row["epoch"] != epoch:
            write(store, row)
        if row["epoch"] == epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_epoch", add_epoch)
        with pytest.raises(SystemExit, match="130"):
            train.main(flags)


def replaced(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """A command's words and these flags, which replace those of the same name."""
    kept, keep = [], True
    for word in words:
        if word.startswith("--"):
            keep = word not in flags
        kept += [word] * keep
    return [*kept, *flags]


def wait_for(condition: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Waits until the condition holds; fails after PATIENCE, or if the process ends before."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain"
        if process is not None:
            assert process.poll() is None, f"the command ended with {process.returncode}"
        time.sleep(0.1)


def descendants(pid: int) -> dict[int, str]:
    """Process id -> command line of each process that this one started, directly or not."""
    command_lines: dict[int, str] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                command_lines[process.pid] = " ".join(process.cmdline())
    return command_lines


def running(pid: int) -> bool:
    """Whether the process exists and has not ended (a zombie has)."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def listening(pid: int) -> set[tuple[str, str, int]]:
    """(process, address, port) of the TCP sockets that a process and those below it listen on."""
    sockets = set()
    with contextlib.suppress(psutil.NoSuchProcess):
        main = psutil.Process(pid)
        for process in [main, *main.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                for socket in process.net_connections("tcp"):
                    if socket.status == psutil.CONN_LISTEN:
                        sockets.add((process.name(), *socket.laddr))
    return sockets


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def fill(folder: Path) -> None:
    """Writes a file that takes all free space of the folder's file system."""
    with contextlib.suppress(OSError), (folder / "filler").open("wb") as file:
        while file.write(b"x" * 4096):
            file.flush()
