"""How busy this machine is, looked at now and then beside the work."""

import os
import shutil
import subprocess
import threading
from typing import Self

import psutil

EVERY = 2.0  # seconds
GPU_QUERY = ["--query-gpu=index,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"]


def gigabytes(used: float, total: float) -> str:
    return f"{used / 2**30:.1f} of {total / 2**30:.0f} GB"


def processor() -> str:
    memory = psutil.virtual_memory()
    used = gigabytes(memory.total - memory.available, memory.total)
    return f"cpu {psutil.cpu_percent():.0f} % of {os.cpu_count()} cores, memory {used}"


def gpus() -> list[str]:
    """A text each GPU, from NVIDIA's own tool: asking through torch would hold some of the GPU's memory."""
    if not (tool := shutil.which("nvidia-smi")):
        return []
    chosen = ["-i", visible] if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) else []
    found = []
    try:
        asked = subprocess.run([tool, *chosen, *GPU_QUERY], capture_output=True, text=True, timeout=10, check=True)
        for line in asked.stdout.splitlines():
            index, busy, used, total = (part.strip() for part in line.split(","))
            memory = gigabytes(float(used) * 2**20, float(total) * 2**20)
            found.append(f"gpu {index} {busy} %, {memory}" if busy.isdigit() else f"gpu {index} {memory}")
    except (OSError, ValueError, subprocess.SubprocessError):
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
