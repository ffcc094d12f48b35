"""What a study would cost: its runs, and the time of an epoch, measured on a few images."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

import models
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.data.splits import Split
from bench.training.devices import device_of
from bench.training.prepare import Prepared
from bench.training.run import score_parts
from bench.tuning.searchers import Search
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


def seconds_each(call: Callable[[int], Any], first: int, most: int, device: str) -> float:
    """Seconds per item of `call(items)`: called with more and more items until it takes ENOUGH.

    A first call, which is not timed, warms up.
    """
    items = min(first, most)
    call(items)
    while True:
        start = time.perf_counter()
        call(items)
        if device == "cuda":
            torch.cuda.synchronize()
        taken = time.perf_counter() - start
        if taken >= ENOUGH or items >= most:
            return taken / items
        items = min(most, items * 4)


def time_epoch(
    study: Study, ready: Prepared, config: dict[str, Any], model: str, split: Split
) -> Epoch:
    """Measures a model on few images; in proportion, an epoch over all of them."""
    torch.manual_seed(study.seed)
    shape, device = tuple(split.train.shape[1:]), device_of(model, ready.device)
    detector = models.create(model, shape, device=device, precision=study.precision, **config)  # type: ignore[arg-type]
    split = split.to(device)
    generator, images = torch.Generator().manual_seed(study.seed), split.train
    batch, fit, train = detector.config.batch_size, 0.0, 0.0
    if isinstance(detector, FittedModel):  # fitted in one piece, to a sample of the images
        start = time.perf_counter()
        detector.train_epoch(images, generator)
        fit = time.perf_counter() - start
    else:
        steps = len(images) // batch
        first = getattr(detector.config, "n_critic", 1)  # whole turns of critic and generator
        per_step = seconds_each(
            lambda n: detector.train_epoch(images[: n * batch], generator), first, steps, device
        )
        train = steps * per_step
    some = split.val or split.test
    each = 0.0
    if some is not None:
        each = seconds_each(
            lambda n: score_parts(detector, some.images[:n], ready.protocol),
            FIRST[device],
            len(some.images),
            device,
        )
    val, test = (len(part.labels) if part is not None else 0 for part in (split.val, split.test))
    if "pseudo_auroc" in ready.select_on.values() and split.val is not None:
        val += 2 * int((split.val.labels == 0).sum())
    tuning = val + (test if ready.protocol.selection == "test" else 0)
    return Epoch(fit, train + each * tuning, train + each * (val + test))


def plan(
    study: Study, ready: Prepared, spaces: Spaces, rows: Iterable[dict[str, Any]]
) -> pd.DataFrame:
    """One line per model: what is left to run after `rows`, and the seconds of it, run by run."""
    done = Counter((row["model"], row["kind"]) for row in rows)
    split = max(ready.splits.values(), key=lambda split: len(split.train))
    lines = []
    for model in study.model:
        space = spaces[model]
        search = Search(model, study.searcher, space.distributions, space.default, study.seed)
        tuning = len(ready.tasks) * search.trials(study.trials) - done[model, "tuning"]
        final = len(ready.tasks) * study.seeds - done[model, "final"]
        epoch = time_epoch(study, ready, space.default, model, split)
        line: dict[str, Any] = {"model": model, "classes": len(ready.tasks)}
        line |= {"configurations": tuning, "final runs": final}
        line["epochs at most"] = study.epochs * (tuning + final)
        line |= {"s/epoch": epoch.tuning, "final s/epoch": epoch.final}
        seconds = (tuning + final) * epoch.start
        seconds += study.epochs * (tuning * epoch.tuning + final * epoch.final)
        lines.append(line | {"seconds": seconds})
    return pd.DataFrame(lines)


def show(study: Study, ready: Prepared, spaces: Spaces, rows: Iterable[dict[str, Any]]) -> None:
    """Prints what a study comes to on this machine."""
    if ready.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--dry_run: there is no CUDA device on this machine to time an epoch on")
    threads = torch.get_num_threads()
    torch.set_num_threads(study.cpus_per_trial or 1)
    try:
        lines = plan(study, ready, spaces, rows)
    finally:
        torch.set_num_threads(threads)
    machine = {"cpu": os.cpu_count() or 1, "gpu": torch.cuda.device_count()}
    slots = [study.at_a_time(device_of(model, ready.device), machine) for model in lines["model"]]
    lines["hours at most"] = lines.pop("seconds") / slots / 3600
    print(lines.to_markdown(index=False, floatfmt=".3g"))
    runs = int(lines[["configurations", "final runs"]].to_numpy().sum())
    epochs = int(lines["epochs at most"].sum())
    at_a_time = " to ".join(map(str, sorted({min(slots), max(slots)})))
    left = clock(lines["hours at most"].sum() * 3600)
    print(
        f"\n{runs} runs, {epochs} epochs at most: about {left} at most, {at_a_time} run(s) at a "
        "time on this machine"
    )
    print(
        "(timed: the default configuration, a few images in proportion; starting a run's process "
        "comes on top)"
    )
    if study.time_budget:
        print(f"--time_budget {study.time_budget}: no run is started after that")
