"""Where a result comes from: code, versions, hardware, data, time."""

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench.datasets import Dataset
from bench.machine import gpu_names

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "ray", "optuna", "pandas")


def git(*args: str) -> str | None:
    root = Path(__file__).resolve().parents[1]
    try:
        return subprocess.run(
            ["git", "-C", str(root), *args], capture_output=True, text=True, check=True
        ).stdout.strip()
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
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def hardware(device: str) -> str:
    """The name of what computes on that device, cpu or cuda, in this process."""
    return torch.cuda.get_device_name() if device == "cuda" else cpu_name()


def machine() -> dict[str, Any]:
    """What ran where and when: commit, command, time, versions, and this machine's hardware."""
    status = git("status", "--porcelain", "--untracked-files=no")
    module = getattr(sys.modules["__main__"], "__spec__", None)  # of `python -m`
    program = ["-m", module.name] if module else sys.argv[:1]
    return {
        "commit": git("rev-parse", "HEAD"),
        "dirty": None if status is None else bool(status),
        "command": shlex.join(["python", *program, *sys.argv[1:]]),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "hardware": {
            "cpu": cpu_name(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "gpu": ", ".join(dict.fromkeys(gpu_names())) or None,
        },
    }


def provenance(dataset: Dataset, notes: Sequence[str]) -> dict[str, Any]:
    """Everything that a reader needs to judge a row or to make it again; `notes`: what was done to the images."""
    return machine() | {
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "classes": list(dataset.classes),
            "train": len(dataset.train_images),
            "test": len(dataset.test_images),
            "image_shape": list(dataset.image_shape),
            "decoding": asdict(dataset.decoding),
            "notes": list(notes),
        },
    }
