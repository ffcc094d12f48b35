"""Where networks run: which device, and whether it repeats its results to the bit."""

import contextlib
import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import Any

import torch

import models
from bench.choices.errors import UserError, note
from bench.choices.study import Study
from models.base import AnomalyModel

# malloc.h's names and numbers, and the most bytes that mallopt takes
TRIM_THRESHOLD, MMAP_THRESHOLD, MOST = -1, -3, 2**31 - 1
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes: macOS counts in bytes, Linux in KiB


def choose_device(study: Study) -> str:
    """The study's device, cpu or cuda.

    UserError for a GPU that this machine lacks, unless training runs on a cluster.
    """
    device, elsewhere = study.device, study.address is not None
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not elsewhere and not torch.cuda.is_available():
        raise UserError("--device cuda: there is no CUDA device (give --device cpu)")
    if study.precision == "tf32" and device == "cpu":
        raise UserError(
            "--precision tf32: only a GPU has it, and this runs on a CPU (give float32)"
        )
    on_this_cpu = device == "cpu" and not elsewhere
    if study.precision == "bfloat16" and on_this_cpu and not cpu_has_bfloat16():
        note(
            "--precision bfloat16: this processor has no instructions for it and emulates them, "
            "tens of times as slowly as float32"
        )
    return device


def cpu_has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; True where the system does not say."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
    return "bf16" in flags  # avx512_bf16, amx_bf16, or Arm's bf16


def create(model: str, image_shape: tuple[int, int, int], **form: Any) -> AnomalyModel:
    """models.create; UserError where the networks do not fit into memory."""
    try:
        return models.create(model, image_shape, **form)
    except RuntimeError as error:
        if "allocate" not in str(error):
            raise
        reason = str(error).splitlines()[0].rpartition("] ")[2]
        raise UserError(f"{model}: its networks do not fit into memory: {reason}") from None


def device_of(model: str, device: str) -> str:
    """Where a model runs in a study on `device`: some models use no GPU."""
    return device if models.get(model).USES_GPU else "cpu"


def mps_is_running() -> bool:
    """Whether NVIDIA's Multi-Process Service runs: processes then compute on a GPU side by side.

    Without it they take turns, and each leaves most of a large GPU idle.
    """
    folder = os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")
    return Path(folder, "control").exists()


def ready_process(threads: int) -> None:
    """Sets how many threads this process computes with, and has it keep the memory that it frees.

    Each batch then reuses the memory that the last one freed. Otherwise glibc returns each large
    tensor's memory to Linux, which zeroes it before it hands it out again: more than half of the
    time of scoring large images.
    """
    torch.set_num_threads(threads)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    # Older glibc refuses more than 32 MiB here. TRIM_THRESHOLD alone would make things worse: once
    # it is set, glibc no longer raises MMAP_THRESHOLD by itself.
    if mallopt and (mallopt(MMAP_THRESHOLD, MOST) or mallopt(MMAP_THRESHOLD, 2**25)):
        mallopt(TRIM_THRESHOLD, MOST)


def reset_peak_memory(device: str) -> None:
    """Resets `peak_memory` where the system can: a process trains one run after another."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)  # gives back what `ready_process` kept of an earlier run
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str) -> int:
    """The most bytes that this process has held since `reset_peak_memory`.

    On a GPU those of tensors there, without recorded graphs, cached blocks and CUDA's own.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    with contextlib.suppress(OSError, IndexError):  # gVisor has the file, without this line
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def be_deterministic(on: bool) -> None:
    """Makes this process's GPU repeat its results to the bit if `on`, and not if off.

    If on, torch raises an error where it has no deterministic algorithm.
    """
    if on:
        # torch reads it at the first matrix product.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Does what torch.use_deterministic_algorithms does, which also imports torch's compiler.
    torch.set_deterministic_debug_mode("error" if on else "default")
    torch.backends.cudnn.benchmark = False
