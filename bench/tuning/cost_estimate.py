"""What a study would cost: its runs, and the time of an epoch, measured on a few images."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from joblib import cpu_count

from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import Budget, Budgets, RunKind, Task
from bench.results.columns import of_variant
from bench.training.devices import create, device_of, mps_is_running, ready_process
from bench.training.prepare import Prepared
from bench.training.run import score_parts
from bench.tuning.planner import Planner
from bench.tuning.spaces import SearchSpace
from bench.watching.time_left import clock
from models.fitted import FittedModel

Spaces = Mapping[str, SearchSpace]
ENOUGH = 1.0  # seconds that a measurement takes at least, unless the images are too few
# Images that are scored first, by device.
FIRST = {"cpu": 16, "cuda": 256}


@dataclass(frozen=True)
class Epoch:
    """Seconds: before the first epoch, then of an epoch of a tuning run and of a final one."""

    start: float
    tuning: float
    final: float


def timed(call: Callable[[int], Any], items: int, device: str) -> float:
    """Seconds that `call(items)` takes."""
    start = time.perf_counter()
    call(items)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def seconds_of(
    call: Callable[[int], Any], first: int, most: int, device: str, fixed: bool = False
) -> tuple[float, float]:
    """Seconds of a call without items (0 unless `fixed`), and those that each item adds.

    `call(items)` is called with more and more items until they take ENOUGH. A first call, which is
    not timed, warms up.
    """
    items = min(first, most)
    call(items)
    once = timed(call, 0, device) if fixed else 0.0
    while True:
        taken = max(0.0, timed(call, items, device) - once)
        if taken >= ENOUGH or items >= most:
            return once, taken / items
        items = min(most, items * 4)


def time_epoch(
    study: Study, ready: Prepared, config: dict[str, Any], model: str, task: Task, budget: Budget
) -> Epoch:
    """Times a few steps on few images, and extrapolates to an epoch of the budget."""
    torch.manual_seed(study.seed)
    device = device_of(model, ready.device)
    split = ready.splits[task].to(device)
    shape = tuple(split.train.shape[1:])
    detector = create(model, shape, device=device, precision=study.precision, **config)  # type: ignore[arg-type]
    generator, images = torch.Generator().manual_seed(study.seed), split.train
    batch, fit, train = detector.config.batch_size, 0.0, 0.0

    def train_epoch(turns: int) -> None:
        detector.train_epoch(images, generator, turns)

    if isinstance(detector, FittedModel):  # fitted in one piece, to a sample of the images
        fit = timed(train_epoch, 1, device)
    else:
        turns = budget.turns or len(images) // batch / detector.turn
        # Each epoch costs something by itself, such as the features that score_near keeps.
        once, each = seconds_of(train_epoch, 1, math.ceil(turns), device, fixed=True)
        train = once + turns * each
    labelled = split.val or split.test
    score_one = 0.0
    if labelled is not None:
        _, score_one = seconds_of(
            lambda n: score_parts(detector, labelled.images[:n], ready.protocol),
            FIRST[device],
            len(labelled.images),
            device,
        )
    tuning, final = (train + score_one * ready.scored(task, final) for final in (False, True))
    return Epoch(fit, tuning, final)


def plan(study: Study, ready: Prepared, planner: Planner) -> pd.DataFrame:
    """The runs that are left, and the hours that they take at most.

    One line per model that has runs left, and per combination of amounts (AMOUNTS) where the study
    varies some.
    """
    left = planner.planned() - planner.done
    machine = {"cpu": cpu_count(), "gpu": torch.cuda.device_count()}
    lines = []
    for variant in dict.fromkeys(task.variant for task in ready.tasks):
        tasks = [task for task in ready.tasks if task.variant == variant]
        task = max(tasks, key=lambda task: len(ready.splits[task].train))
        for model in study.model_names():
            tuning, finalists, final = (
                left[RunKind(model, kind, variant)] for kind in ("tuning", "finalist", "final")
            )
            if not tuning + finalists + final:
                continue
            budget, config = planner.budgets[model, task], planner.spaces[model].default
            try:
                epoch = time_epoch(study, ready, config, model, task, budget)
            except FloatingPointError as error:
                raise UserError(f"{model} fails with its default configuration: {error}") from None
            device = device_of(model, ready.device)
            slots = study.at_a_time(device, machine)
            line: dict[str, Any] = {"model": model} | of_variant(task) | {"classes": len(tasks)}
            line |= {"tuning runs": tuning, "finalists": finalists, "final runs": final}
            line["epochs at most"] = budget.epochs * (tuning + finalists + final)
            line |= {"s/epoch": epoch.tuning, "final s/epoch": epoch.final}
            line["at a time"] = slots
            rounds = [(tuning + finalists, epoch.tuning), (final, epoch.final)]
            per_gpu = slots / machine["gpu"] if device == "cuda" else 1.0
            seconds = sum(
                math.ceil(runs / slots)
                * (epoch.start + budget.epochs * each * slowdown(min(per_gpu, runs)))
                for runs, each in rounds
            )
            lines.append(line | {"hours at most": seconds / 3600})
    return pd.DataFrame(lines)


def slowdown(runs: float) -> float:
    """By what factor an epoch takes longer at most if this many runs share a GPU in turns.

    Under NVIDIA's Multi-Process Service they run side by side, 1.5 to 2.3 times as fast on an H200
    (results/speed.md); counting on 1.4 keeps the estimate on the safe side.
    """
    return max(1.0, runs / 1.4 if mps_is_running() else runs)


def show(
    study: Study, ready: Prepared, spaces: Spaces, budgets: Budgets, rows: list[dict[str, Any]]
) -> float:
    """Prints what a study costs on this machine; returns its seconds at most."""
    if ready.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--dry_run: there is no CUDA device on this machine to time an epoch on")
    ready_process(study.cpus_per_trial or 1)
    planner = Planner(study, ready.tasks, spaces, budgets, rows, lambda model: 1)
    lines = plan(study, ready, planner)
    if lines.empty:
        print("0 runs: this study is done")
        return 0.0
    slots = lines.pop("at a time")
    runs = int(lines[["tuning runs", "finalists", "final runs"]].to_numpy().sum())
    epochs = int(lines["epochs at most"].sum())
    # Runs of a search may be stopped early, and a default that wins is not tested beside itself.
    searched = planner.has_search and lines[["tuning runs", "finalists"]].any(axis=None)
    cap = " at most" if searched else ""
    titles = lines.columns if searched else lines.columns.str.removesuffix(" at most")
    print(lines.set_axis(titles, axis=1).to_markdown(index=False, floatfmt=".3g"))
    at_a_time = " to ".join(map(str, sorted({slots.min(), slots.max()})))
    seconds = lines["hours at most"].sum() * 3600
    print(
        f"\n{runs} run(s), {epochs} epoch(s){cap}: about {clock(seconds)}{cap}, {at_a_time} run(s) "
        "at a time on this machine"
    )
    print(
        "(extrapolated from a few steps and images of the default configuration; starting "
        "each run's process takes more time)"
    )
    if study.time_budget:
        print(f"--time_budget {study.time_budget}: no run is started after that")
    return float(seconds)
