"""Where a result comes from: code, versions, hardware, time."""

import datetime
import importlib.metadata
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.watching.machine_load import gpu_names

CODE = ("bench", "models", "search_spaces")  # a file that git does not know runs all the same
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "ray", "optuna", "pandas")


def git(*args: str) -> str | None:
    """What git prints in this project's folder; None where it fails."""
    root = Path(__file__).resolve().parents[2]
    command = ["git", "--no-optional-locks", "-C", str(root), *args]
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """What ran where and when: commit, command, time, versions, and this machine's hardware."""
    from joblib import cpu_count  # not at the start of a command that only reads results

    status = git("status", "--porcelain", "--untracked-files=no")
    new_code = git("status", "--porcelain", "--untracked-files=normal", "--", *CODE)
    module = getattr(sys.modules["__main__"], "__spec__", None)  # of `python -m`
    program = ["-m", module.name.removesuffix(".__main__")] if module else sys.argv[:1]
    return {
        "commit": git("rev-parse", "HEAD"),
        "dirty": None if status is None else bool(status or new_code),
        "command": shlex.join(["python", *program, *sys.argv[1:]]),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "hardware": {
            "cpu": cpu_name(),
            "cores": cpu_count(),  # those that this process may use
            "gpu": ", ".join(dict.fromkeys(gpu_names())) or None,
        },
    }
