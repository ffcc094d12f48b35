"""How busy this machine is, looked at now and then beside the work."""

import os
import shutil
import subprocess
import threading
from typing import Self

import psutil

EVERY = 2.0  # seconds


def gigabytes(used: float, total: float) -> str:
    return f"{used / 2**30:.1f} of {total / 2**30:.0f} GB"


def processor() -> str:
    memory = psutil.virtual_memory()
    used = gigabytes(memory.total - memory.available, memory.total)
    return f"cpu {psutil.cpu_percent():.0f} % of {os.cpu_count()} cores, memory {used}"


def ask_gpus(what: str) -> list[list[str]]:
    """NVIDIA's own tool's values for each GPU; asking through torch would hold some of the GPU's memory."""
    if not (tool := shutil.which("nvidia-smi")):
        return []
    chosen = ["-i", visible] if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) else []
    query = [tool, *chosen, f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[part.strip() for part in line.split(",")] for line in asked.stdout.splitlines()]


def gpu_names() -> list[str]:
    return [row[1] for row in ask_gpus("index,name") if len(row) == 2]


def gpus() -> list[str]:
    """A text each GPU."""
    found = []
    try:
        for index, busy, used, total in ask_gpus("index,utilization.gpu,memory.used,memory.total"):
            memory = gigabytes(float(used) * 2**20, float(total) * 2**20)
            found.append(f"gpu {index} {busy} %, {memory}" if busy.isdigit() else f"gpu {index} {memory}")
    except ValueError:
        return []
    return found


class Machine(threading.Thread):
    """Keeps `lines` up to date while it is entered."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.lines: list[str] = []

    def run(self) -> None:
        psutil.cpu_percent()  # counts from here
        asks = True
        while not self.over.wait(EVERY):
            busy = gpus() if asks else []
            asks = bool(busy)
            self.lines = [processor(), *([", ".join(busy)] if busy else [])]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.over.set()
