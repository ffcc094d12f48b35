"""Measures the speed of the models, against loops as released code writes them, and of the harness.

examples:
  python -m bench.speed                                 # training and scoring of w_skipganomaly
  python -m bench.speed --gpu 10                        # a GPU: one run, 10 in one process, 10 processes
  python -m bench.speed --latent MODEL.safetensors DIR  # AnoGAN's search on a folder of images
  python -m bench.speed --study 100                     # wall time over training time
  python -m bench.speed --scale 1000 10000 45000        # an epoch's time by number of images
  python -m bench.speed --report 10000                  # report.py on this many trials
  python -m bench.speed --search 5                      # TPE with ASHA against a grid, 5 seeds

Prints a table and appends its rows, with hardware and versions, to results/speed/speed.jsonl.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import cpu_count

import models
from bench.choices.errors import UserError
from bench.choices.flags import held_values, path_of
from bench.choices.script import Parser, run_main
from bench.choices.study import Study
from bench.data.datasets import Decoding
from bench.data.datasets.folder import read_images
from bench.results.provenance import machine
from bench.speed import gpu, harness, plain_loops
from bench.speed.gpu import BATCH, LIMIT, SPAWN
from bench.training import model_files
from bench.training.devices import ready_process
from models.base import AnomalyModel

LATENT = "AnoGAN's search: a model file of anogan, and a folder of images to search for"
GPU = "train w_skipganomaly on a GPU: one run; N in one process; N processes with one run each"
SEARCH = "under this many seeds: epochs until TPE with ASHA is as good as a whole grid"
OUT = "folder of speed.jsonl (default: results/speed)"

Work = tuple[Callable[[], Any], int]  # a call, and how many images it trains on or scores
MakeWork = Callable[[str | None], Work]  # from a precision, or None for the plain loop


def seconds(call: Callable[[], Any]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def row(what: str, unit: str, plain: float, ours: float, **details: Any) -> dict[str, Any]:
    """A row of the printed table; `plain` and `ours`: the two speeds, in `unit`."""
    speeds = {"plain": plain, "ours": ours, "ratio": ours / plain}
    return {"what": what, "unit": unit} | speeds | details


def new_model(precision: str) -> AnomalyModel:
    """A w_skipganomaly for 32 x 32 colour images, with the same weights each time."""
    torch.manual_seed(0)
    return models.create("w_skipganomaly", (3, 32, 32), precision=precision)


def random_images(count: int) -> np.ndarray:
    """uint8 (count, 3, 32, 32), the same ones each time."""
    return np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def training(precision: str | None) -> Work:
    """`n_critic` training steps of w_skipganomaly; by the plain loop where `precision` is None."""
    model = new_model(precision or "float32")
    steps = range(model.config.n_critic)
    images = random_images(BATCH * len(steps))
    rng, tensor = torch.Generator().manual_seed(0), torch.from_numpy(images)
    if precision is not None:
        return lambda: model.train_epoch(tensor, rng), len(images)
    optimizers = plain_loops.adams(plain_loops.plain_layers(model))

    def plain_steps() -> None:
        for step in steps:
            batch = images[step * BATCH : (step + 1) * BATCH]
            plain_loops.wgan_step(model, optimizers, batch, step, rng)

    return plain_steps, len(images)


def on_one_core(make_work: MakeWork, precision: str, rounds: int, barrier: Any) -> float:
    """Our images per second on one thread; run it in a process of its own.

    It is timed from when all processes of the barrier are ready.
    """
    try:
        ready_process(1)
        ours, images = make_work(precision)
        ours()
    except BaseException:
        barrier.abort()  # or the others would wait
        raise
    barrier.wait(LIMIT)
    return images * rounds / seconds(lambda: [ours() for _ in range(rounds)])


def one_trial_per_core(
    what: str, make_work: MakeWork, precision: str, rounds: int
) -> dict[str, Any]:
    """The plain loop on all cores, against one process of ours per core, as in a study."""
    cores = cpu_count()
    plain_work, images = make_work(None)
    plain_work()
    plain = images / np.median([seconds(plain_work) for _ in range(rounds)])
    with SPAWN.Manager() as manager, ProcessPoolExecutor(cores, SPAWN) as pool:
        arguments = make_work, precision, rounds, manager.Barrier(cores)
        runs = [pool.submit(on_one_core, *arguments) for _ in range(cores)]
        failures = [run.exception() for run in runs]
        for failure in failures:
            if failure and not isinstance(failure, BrokenBarrierError):
                raise failure
        ours = sum(run.result() for run in runs)
    return row(f"{what}, a trial a core", "images/s", plain, ours, precision=precision, batch=BATCH)


def scoring(precision: str | None) -> Work:
    """w_skipganomaly scores 1,024 images; by the plain loop where `precision` is None."""
    model = new_model(precision or "float32")
    images = random_images(1024)
    if precision is not None:
        tensor = torch.from_numpy(images)
        return lambda: model.score(tensor), len(images)
    plain = plain_loops.plain_layers(model)
    return lambda: plain_loops.wgan_scores(plain, images, BATCH), len(images)


def one_process(what: str, make_work: MakeWork, precision: str, rounds: int) -> dict[str, Any]:
    """The plain loop against our model, each with all cores to itself, in turns."""
    (plain, images), (ours, _) = make_work(None), make_work(precision)
    speeds = [images / median for median in in_turns(plain, ours, rounds)]
    return row(what, "images/s", *speeds, precision=precision, batch=BATCH)


def scale(images: int) -> dict[str, Any]:
    """Times a small w_skipganomaly's training epoch and scoring on so many 32 x 32 images."""
    model = models.create("w_skipganomaly", (3, 32, 32), ngf=8, ndf=8)
    tensor = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8)
    rng = torch.Generator().manual_seed(0)
    model.train_epoch(tensor[:320], rng)
    training = seconds(lambda: model.train_epoch(tensor, rng))
    scoring = seconds(lambda: model.score(tensor))
    return {
        "what": "an epoch",
        "images": images,
        "training_seconds": training,
        "scoring_seconds": scoring,
        "training_seconds_per_1000": training * 1000 / images,
        "scoring_seconds_per_1000": scoring * 1000 / images,
    }


def in_turns(plain: Callable[[], Any], ours: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """The median seconds of each call, in turns; the first round warms up and does not count."""
    times = [(seconds(plain), seconds(ours)) for _ in range(rounds + 1)][1:]
    return tuple(np.median(times, axis=0))


def latent_search(
    model: AnomalyModel, decoding: Decoding, folder: Path, slice_: int, steps: int
) -> dict[str, Any]:
    """Times AnoGAN's search: ours on all images of a folder, the plain loop on `slice_` of them.

    The row has the mean residual of both too, on those `slice_` images. `steps`: the plain search's
    steps per image.
    """
    channels, size = model.image_shape[0], model.image_shape[1:]
    images = torch.from_numpy(read_images(folder, size, channels, decoding, "--latent")[1])
    start = time.perf_counter()
    residuals = model.score_parts(images)["residual"]
    ours = len(images) / (time.perf_counter() - start)
    chosen = torch.linspace(0, len(images) - 1, slice_).long()
    torch.manual_seed(0)
    plain_residuals = []
    start = time.perf_counter()
    with model.frozen(training=False):
        for done, i in enumerate(chosen.tolist(), start=1):
            x = model.normalise(images[i : i + 1])
            generator, latent = model.networks["generator"], model.config.nz
            plain_residuals.append(plain_loops.search_latent(generator, x, latent, steps))
            elapsed = time.perf_counter() - start
            print(f"plain search: {done} of {slice_} images, {elapsed:.0f} s", file=sys.stderr)
    plain = slice_ / (time.perf_counter() - start)
    details: dict[str, Any] = {"images": len(images), "slice": slice_, "steps": steps}
    details["plain_residual"] = float(np.mean(plain_residuals))
    details["our_residual"] = float(residuals[chosen].mean())
    details["config"] = dataclasses.asdict(model.config)
    return row("latent search", "images/s", plain, ours, **details)


def positive(text: str) -> int:
    """A flag's whole number above 0; argparse's error for any other word."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number above 0")
    return int(text)


def command_line() -> Parser:
    """The flags of python -m bench.speed."""
    parser = Parser(__doc__, prog="python -m bench.speed")
    add = parser.add_argument
    number: dict[str, Any] = {"type": positive, "metavar": "N"}
    add("--latent", type=path_of, nargs=2, metavar=("MODEL", "DIR"), help=LATENT)
    add("--slice", **number, default=10, help="images of the plain search (default: 10)")
    add("--steps", **number, default=15_000, help="its steps per image (default: 15000)")
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="our search's hyperparameters")
    add("--study", type=positive, metavar="TRIALS", help="time a study of this many trials")
    add("--epochs", **number, default=5, help="epochs of --study (default: 5)")
    add("--limit_train", **number, default=1000, help="their training images (default: 1000)")
    add("--gpu", type=positive, metavar="N", help=GPU)
    add("--report", type=positive, metavar="TRIALS", help="time report.py on this many trials")
    add("--search", type=positive, metavar="SEEDS", help=SEARCH)
    add(
        "--scale",
        type=positive,
        nargs="+",
        metavar="IMAGES",
        help="time epochs of this many images",
    )
    add("--rounds", **number, default=5, help="turns of training and scoring (default: 5)")
    add("--threads", **number, help="torch threads (default: all cores)")
    add("--out", type=path_of, default=Path("results/speed"), metavar="DIR", help=OUT)
    return parser


def measure(flags: argparse.Namespace) -> Iterable[dict[str, Any]]:
    """The rows of the measurement that the flags ask for."""
    if flags.gpu:
        return gpu.speeds(flags.gpu)
    if flags.latent:
        model, content = model_files.load(flags.latent[0])
        if content["model"] != "anogan":
            reason = f"{flags.latent[0]} is a model of {content['model']}, not of anogan"
            raise UserError(f"--latent: {reason}")
        changes = held_values(Study(model=("anogan",), set=tuple(flags.set)), "anogan")
        model.config = dataclasses.replace(model.config, **changes)
        folder, decoding = flags.latent[1], content["decoding"]
        return [latent_search(model, decoding, folder, flags.slice, flags.steps)]
    if flags.study:
        return [harness.time_study(flags.study, flags.limit_train, flags.epochs)]
    if flags.scale:
        return [scale(images) for images in flags.scale]
    if flags.report:
        return [harness.time_report(flags.report)]
    if flags.search:
        return [row for seed in range(flags.search) for row in harness.compare_searches(seed)]
    return (
        compare(what, make_work, precision, flags.rounds)
        for what, make_work in (("training", training), ("scoring", scoring))
        for compare in (one_process, one_trial_per_core)
        for precision in ("float32", "bfloat16")
    )


def main(arguments: Sequence[str] | None = None) -> int:
    flags = command_line().parse_args(arguments)
    ready_process(flags.threads or torch.get_num_threads())
    origin, rows = {"threads": torch.get_num_threads()} | machine(), []
    flags.out.mkdir(parents=True, exist_ok=True)
    with (flags.out / "speed.jsonl").open("a") as file:
        for row in measure(flags):
            rows.append(row)
            print(row, file=sys.stderr)
            file.write(json.dumps(row | origin) + "\n")
            file.flush()
    table = pd.DataFrame(rows).drop(columns="config", errors="ignore")
    print(table.to_markdown(index=False, floatfmt=".4g"))
    return 0


if __name__ == "__main__":
    run_main(main)
