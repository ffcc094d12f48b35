"""How fast a GPU trains w_skipganomaly, and how long the published table takes at that speed."""

import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import models
from bench.choices.errors import UserError
from bench.training.devices import mps_runs
from models.base import AnomalyModel
from models.precision import PRECISIONS

BATCH = 64  # images in a step, as in released code
IMAGES = 45_000  # normal ones that a model of the published table trains on
TABLE = 10 * 15 * IMAGES  # that the whole table trains on: 10 classes, 15 epochs
LIMIT = 120  # seconds that a mode may take
TIMED = 2.0  # seconds of training that are timed
SIDE = 8192  # of the matrices whose product shows what the GPU can do


def model_and_images(precision: str, recorded: bool) -> tuple[AnomalyModel, Tensor]:
    torch.manual_seed(0)
    model = models.create("w_skipganomaly", (3, 32, 32), device="cuda", precision=precision)
    if not recorded:
        model.GRAPHS = False  # type: ignore[misc]
    shape = (IMAGES, 3, 32, 32)
    return model, torch.randint(0, 256, shape, dtype=torch.uint8, device="cuda")


def rate(precision: str, recorded: bool, barrier: Barrier) -> float:
    """Images a second that one process trains on, beside the others at the barrier."""
    model, images = model_and_images(precision, recorded)
    generator = torch.Generator().manual_seed(0)
    model.train_epoch(images, generator, turns=8)  # warms up, and records the steps
    turns = 40
    barrier.wait(LIMIT)
    seen, start = 0, time.perf_counter()
    while time.perf_counter() - start < TIMED:
        model.train_epoch(images, generator, turns)
        seen += turns * model.turn * BATCH
    result = seen / (time.perf_counter() - start)
    barrier.wait(LIMIT)  # until then the others had company
    return result


def worker(precision: str, recorded: bool, barrier: Barrier, rates: Any) -> None:
    rates.put(rate(precision, recorded, barrier))


def together(precision: str, recorded: bool, processes: int) -> float:
    """Images a second that so many processes train on in all.

    queue.Empty where one of them does not end in time.
    """
    context = multiprocessing.get_context("spawn")
    barrier, rates = context.Barrier(processes), context.Queue()
    arguments = precision, recorded, barrier, rates
    workers = [context.Process(target=worker, args=arguments) for _ in range(processes)]
    for process in workers:
        process.start()
    try:
        return sum(rates.get(timeout=LIMIT) for _ in workers)
    finally:
        for process in workers:
            process.kill()


def products(precision: str) -> float:
    """Operations a second of a large matrix product, the most that networks could come to."""
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    torch.backends.cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    a, b = torch.randn(2, SIDE, SIDE, device="cuda", dtype=kind)
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(10):
        a @ b
    torch.cuda.synchronize()
    return 10 * 2 * SIDE**3 / (time.perf_counter() - start)


class Operations(TorchDispatchMode):
    """Counts the floating-point operations of what torch computes within."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if counted := flop_registry.get(func.overloadpacket):
            self.count += counted(*args, **(kwargs or {}), out_val=result)
        return result


def operations_per_image() -> float:
    """Floating-point operations for each image in a turn of training."""
    model, images = model_and_images("float32", recorded=False)
    with Operations() as operations:
        model.train_epoch(images, torch.Generator(), turns=1)
    return operations.count / (model.turn * BATCH)


def speeds(processes: int) -> Iterator[dict[str, Any]]:
    """For each precision a row of one process kernel by kernel, one that replays, and so many.

    UserError where there is no GPU.
    """
    if not torch.cuda.is_available():
        raise UserError("--gpu: there is no CUDA device")
    each = operations_per_image()
    for precision in PRECISIONS[::-1]:
        most = products(precision)
        for recorded, count in ((False, 1), (True, 1), (True, processes)):
            row: dict[str, Any] = {"what": "a GPU", "precision": precision, "batch": BATCH}
            row |= {"recorded": recorded, "processes": count, "mps": mps_runs()}
            try:
                images = together(precision, recorded, count)
            except Exception as error:
                yield row | {"error": f"{type(error).__name__}: {error}"}
                continue
            row |= {"images_per_second": images, "table_seconds": TABLE / images}
            yield row | {"share_of_matrix_product": images * each / most}
