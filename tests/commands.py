"""Studies as commands in processes of their own, and what runs below them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
TINY = ["--dataset", "digits", "--abnormal_class", "3", "--set", "ngf=4", "ndf=4", "--limit_train", "300"]
PATIENCE = 300  # seconds that a command may take until the awaited happens


def command(
    folder: Path, *flags: str, script: str = "train_tune.py", root: Path = ROOT, python: str | Path = sys.executable
) -> subprocess.Popen:
    """A study in a process group of its own, in `folder`/study; what it prints goes to `folder`.log."""
    arguments = [str(python), script, "--results_dir", str(folder), "--name", "study", *flags]
    with folder.with_suffix(".log").open("a") as log:
        return subprocess.Popen(
            arguments, cwd=root, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (a shell's background ignores it)
        )  # fmt: skip


def wait_for(what: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        assert process is None or process.poll() is None, f"ended early with {process and process.returncode}"
        time.sleep(0.1)


def descendants(pid: int) -> dict[int, str]:
    """Process id -> command line of all processes below one."""
    found: dict[int, str] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                found[process.pid] = " ".join(process.cmdline())
    return found


def running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def fill(folder: Path) -> None:
    """Leaves no room on a file system."""
    with contextlib.suppress(OSError), (folder / "filler").open("wb") as file:
        while file.write(b"x" * 4096):
            file.flush()
