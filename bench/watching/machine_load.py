"""How busy this machine's processor, memory and GPUs are, measured in a thread."""

import os
import shutil
import subprocess
import threading
from typing import Self

import psutil

INTERVAL = 2.0  # seconds between two measurements


def gigabytes(used: float, total: float) -> str:
    """`5.1 of 8 GB`, from bytes."""
    return f"{used / 2**30:.1f} of {total / 2**30:.0f} GB"


def processor() -> str:
    """The processor's load since the last call, and the memory in use, as text."""
    memory = psutil.virtual_memory()
    used = gigabytes(memory.total - memory.available, memory.total)
    return f"cpu {psutil.cpu_percent():.0f} % of {os.cpu_count()} cores, memory {used}"


def ask_gpus(fields: str) -> list[list[str]]:
    """The values of nvidia-smi's `fields` for each GPU; no rows if the tool is missing or fails.

    Asking torch instead would occupy some of each GPU's memory.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "" or not (tool := shutil.which("nvidia-smi")):  # "": torch sees no GPU
        return []
    chosen = ["-i", visible] if visible else []
    query = [tool, *chosen, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[part.strip() for part in line.split(",")] for line in answer.stdout.splitlines()]


def gpu_names() -> list[str]:
    return [row[1] for row in ask_gpus("index,name") if len(row) == 2]


def gpus() -> list[str]:
    """One text per GPU: its load and its memory in use."""
    texts = []
    try:
        for index, load, used, total in ask_gpus("index,utilization.gpu,memory.used,memory.total"):
            memory = gigabytes(float(used) * 2**20, float(total) * 2**20)
            percent = f"{load} %, " if load.isdigit() else ""  # a part of a GPU (MIG) has no load
            texts.append(f"gpu {index} {percent}{memory}")
    except ValueError:  # the tool printed a message in place of values
        return []
    return texts


class Machine(threading.Thread):
    """Keeps `lines`, the machine's load as text, up to date within a `with` block."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.lines: list[str] = []

    def run(self) -> None:
        psutil.cpu_percent()  # the first measurement covers the time from here
        has_gpus = True
        while not self.ended.wait(INTERVAL):
            texts = gpus() if has_gpus else []
            has_gpus = bool(texts)
            self.lines = [processor(), *([", ".join(texts)] if texts else [])]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended.set()
