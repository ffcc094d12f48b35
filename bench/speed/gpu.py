"""How fast a GPU trains w_skipganomaly, and how long the published table takes at that speed."""

import dataclasses
import multiprocessing
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from multiprocessing.synchronize import Barrier
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import models
from bench.choices.errors import UserError
from bench.training.devices import be_deterministic, mps_is_running
from models.base import AnomalyModel
from models.precision import PRECISIONS

BATCH = 64  # images in a step, as in released code
IMAGES = 45_000  # normal images that a model of the published table trains on
TABLE = 10 * 15 * IMAGES  # images that the whole table trains on: 10 classes, 15 epochs
LIMIT = 120  # seconds that a mode may take
TIMED = 2.0  # seconds of training that are timed
TURNS = 40  # of n_critic steps, after which a model's losses are read
SEARCHED = 2048  # images that AnoGAN searches for
COMPARED = 3  # models whose bits are compared
SPAWN = multiprocessing.get_context("spawn")
SIDE = 8192  # of the matrices whose product shows what the GPU can do


@dataclass(frozen=True)
class Mode:
    """A way to train several runs on one GPU."""

    recorded: bool = True  # steps are replayed as CUDA graphs, not launched kernel by kernel
    streams: int = 1  # runs in each process
    processes: int = 1


def new_model(
    precision: str, recorded: bool = True, seed: int = 0, name: str = "w_skipganomaly"
) -> AnomalyModel:
    torch.manual_seed(seed)
    model = models.create(name, (3, 32, 32), device="cuda", precision=precision)
    if not recorded:
        model.GRAPHS = False  # type: ignore[misc]
    return model


def random_images() -> Tensor:
    """uint8 (IMAGES, 3, 32, 32) on the GPU, the same ones each time."""
    rng = torch.Generator("cuda").manual_seed(0)
    shape = (IMAGES, 3, 32, 32)
    return torch.randint(0, 256, shape, dtype=torch.uint8, device="cuda", generator=rng)


class Group:
    """Models of one process, trained on the same images, each on a stream of its own."""

    def __init__(self, members: Sequence[AnomalyModel], images: Tensor):
        self.members, self.images = members, images
        self.streams = [torch.cuda.Stream() for _ in members]
        self.threads = ThreadPoolExecutor(len(members))

    def _train(self, member: AnomalyModel, stream: torch.cuda.Stream, turns: int) -> None:
        with torch.cuda.stream(stream):
            member.train_epoch(self.images, torch.Generator().manual_seed(0), turns)

    def warm_up(self, turns: int) -> None:
        """Takes `turns` turns, a model at a time: a GPU records one model's steps at a time."""
        torch.cuda.synchronize()
        for member, stream in zip(self.members, self.streams, strict=True):
            self._train(member, stream, turns)

    def train(self, turns: int) -> None:
        """Takes `turns` turns of `n_critic` steps with all models at a time."""
        list(self.threads.map(self._train, self.members, self.streams, repeat(turns)))


def rate(mode: Mode, precision: str, barrier: Barrier) -> float:
    """Images a second that one process trains on, beside the others at the barrier."""
    members = [new_model(precision, mode.recorded) for _ in range(mode.streams)]
    group, each = Group(members, random_images()), members[0].turn * BATCH
    group.warm_up(turns=8)
    barrier.wait(LIMIT)
    seen, start = 0, time.perf_counter()
    while time.perf_counter() - start < TIMED:
        group.train(TURNS)
        seen += mode.streams * TURNS * each
    result = seen / (time.perf_counter() - start)
    barrier.wait(LIMIT)  # no process ends while another is still timed
    return result


def search_rate(precision: str, recorded: bool) -> float:
    """Images a second for which an untrained AnoGAN searches latents."""
    model, images = new_model(precision, recorded, name="anogan"), random_images()[:SEARCHED]
    model.score(images[: SEARCHED // 4])
    start = time.perf_counter()
    model.score(images)
    return SEARCHED / (time.perf_counter() - start)


def same_bits(precision: str) -> bool:
    """Whether models come to the same weights kernel by kernel, replayed, and on many streams."""
    be_deterministic(True)
    images, outcomes = random_images(), []
    for recorded, streams in ((False, 1), (True, 1), (True, COMPARED)):
        members = [new_model(precision, recorded, seed) for seed in range(COMPARED)]
        for first in range(0, COMPARED, streams):
            group = Group(members[first : first + streams], images)
            group.warm_up(turns=4)
            group.train(turns=4)
        torch.cuda.synchronize()
        states = [member.networks.state_dict() for member in members]
        outcomes.append([value for state in states for value in state.values()])
    plain, *others = outcomes
    return all(
        torch.equal(value, again)
        for other in others
        for value, again in zip(plain, other, strict=True)
    )


def worker(call: Callable[..., Any], arguments: tuple, results: Any, alone: bool) -> None:
    if alone:  # several processes under MPS share 96 connections
        os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = "32"  # the default, 8, is too few for streams
    results.put(call(*arguments))


def in_processes(count: int, call: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What a call returns in each of `count` new processes.

    RuntimeError where one of them fails, or does not end in time.
    """
    results = SPAWN.Queue()
    given_to_all = call, arguments, results, count == 1
    workers = [SPAWN.Process(target=worker, args=given_to_all) for _ in range(count)]
    for process in workers:
        process.start()
    outcomes: list[Any] = []
    end = time.monotonic() + LIMIT
    try:
        while len(outcomes) < count:
            with suppress(queue.Empty):
                outcomes.append(results.get(timeout=1))
            if any(process.exitcode for process in workers) or time.monotonic() > end:
                raise RuntimeError(f"only {len(outcomes)} of {count} processes ended well")
        for process in workers:
            process.join(LIMIT)  # MPS fails all its clients when one is killed at work
        return outcomes
    finally:
        for process in workers:
            process.kill()


def products(precision: str) -> float:
    """Operations a second of a large matrix product, which networks cannot exceed."""
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
    """Counts the floating-point operations of what torch computes within.

    torch's own FlopCounterMode fails within torch.autograd.grad, which the gradient penalty needs.
    """

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if counted := flop_registry.get(func.overloadpacket):
            self.count += counted(*args, **(kwargs or {}), out_val=result)
        return result


def operations_per_image() -> float:
    """Floating-point operations for each image in a turn of training."""
    model = new_model("float32", recorded=False)
    with Operations() as operations:
        model.train_epoch(random_images(), torch.Generator(), turns=1)
    return operations.count / (model.turn * BATCH)


def speed(mode: Mode, precision: str, share: float) -> dict[str, Any]:
    """Columns of a mode's speed.

    `share`: how much of a matrix product's operations per second one image per second takes.
    """
    barrier = SPAWN.Barrier(mode.processes)
    images = sum(in_processes(mode.processes, rate, mode, precision, barrier))
    columns = {"images_per_second": images, "table_seconds": TABLE / images}
    return dataclasses.asdict(mode) | columns | {"share_of_matrix_product": images * share}


def equality(precision: str) -> dict[str, Any]:
    return {"same_bits": in_processes(1, same_bits, precision)[0]}


def search(precision: str, recorded: bool) -> dict[str, Any]:
    """Columns of the speed of AnoGAN's search."""
    images = in_processes(1, search_rate, precision, recorded)[0]
    return {"recorded": recorded, "searched_images_per_second": images}


def speeds(runs: int) -> Iterator[dict[str, Any]]:
    """Rows for each precision: whether training gives the same bits in each mode, then its speeds.

    Two modes train `runs` models at a time. bfloat16, where networks are fastest, has rows of
    AnoGAN's search as well. UserError where there is no GPU.
    """
    if not torch.cuda.is_available():
        raise UserError("--gpu: there is no CUDA device")
    each = operations_per_image()
    modes = Mode(recorded=False), Mode(), Mode(streams=runs), Mode(processes=runs)
    for precision in PRECISIONS[::-1]:
        share = each / products(precision)
        measured = [partial(equality, precision)]
        measured += [partial(speed, mode, precision, share) for mode in modes]
        if precision == "bfloat16":
            measured += [partial(search, precision, recorded) for recorded in (False, True)]
        for columns in measured:
            row = {"what": "a GPU", "precision": precision, "batch": BATCH, "mps": mps_is_running()}
            try:
                yield row | columns()
            except Exception as error:
                yield row | {
                    "measured": str(columns.args),
                    "error": f"{type(error).__name__}: {error}",
                }
