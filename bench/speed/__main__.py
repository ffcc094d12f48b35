"""How fast the models are beside plain loops in the form of released code (plain_loops.py), and the harness.

examples:
  python -m bench.speed                                        # training and scoring of w_skipganomaly
  python -m bench.speed --table cifar10 --epochs 15 --precision bfloat16  # all classes of a data set
  python -m bench.speed --latent MODEL.safetensors DIR         # AnoGAN's search on the images of a folder
  python -m bench.speed --study 100                            # a study's wall time against its training time
  python -m bench.speed --study 1000 --epochs 1 --limit_train 100    # many short trials
  python -m bench.speed --scale 1000 10000 45000               # an epoch's time by its images
  python -m bench.speed --report 10000                         # report.py on so many trials
  python -m bench.speed --search 5                             # TPE with ASHA against a whole grid, under 5 seeds

Prints a table and appends its rows, with hardware and versions, to results/speed/.
"""

import dataclasses
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import models.base
from bench.choices.errors import Parser, UserError, run_main
from bench.choices.flags import path_of, study_from
from bench.data.datasets import Decoding
from bench.data.datasets.folder import read_images
from bench.results import columns
from bench.results.provenance import machine
from bench.speed import harness, plain_loops
from bench.training import model_files
from bench.training.prepare import prepare
from bench.training.run import Run, train
from models.base import AnomalyModel

BATCH = 64  # images a step in released code
Turn = tuple[Callable[[], Any], int]  # some work as a call, and its images


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def row(what: str, unit: str, plain: float, ours: float, **about: Any) -> dict[str, Any]:
    """`plain` and `ours` in units a second."""
    return {"what": what, "unit": unit, "plain": plain, "ours": ours, "ratio": ours / plain} | about


def new_model(precision: str, device: str = "cpu") -> AnomalyModel:
    torch.manual_seed(0)
    return models.create("w_skipganomaly", (3, 32, 32), device=device, precision=precision)


def training(precision: str | None) -> Turn:
    """A turn of w_skipganomaly's training, `n_critic` steps; the plain loop where `precision` is None."""
    model = new_model(precision or "float32")
    steps = range(model.config.n_critic)
    images = np.random.default_rng(0).integers(0, 256, (BATCH * len(steps), 3, 32, 32), dtype=np.uint8)
    rng, tensor = torch.Generator().manual_seed(0), torch.from_numpy(images)
    if precision is not None:
        return lambda: model.train_epoch(tensor, rng), len(images)
    optimizers = plain_loops.adams(plain_loops.plain_layers(model))

    def plainly() -> None:
        for step in steps:
            plain_loops.wgan_step(model, optimizers, images[step * BATCH : (step + 1) * BATCH], step, rng)

    return plainly, len(images)


def on_one_core(work: Callable[[str | None], Turn], precision: str, rounds: int) -> float:
    """Images a second on one thread, for a process of its own."""
    torch.set_num_threads(1)
    ours, images = work(precision)
    ours()
    return images * rounds / seconds(lambda: [ours() for _ in range(rounds)])


def a_trial_a_core(what: str, work: Callable[[str | None], Turn], precision: str, rounds: int) -> dict[str, Any]:
    """As a study does it: the plain loop on all cores against as many of our trials at a time as there are cores."""
    cores = os.cpu_count() or 1
    plainly, images = work(None)
    plainly()
    plain = images / np.median([seconds(plainly) for _ in range(rounds)])
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        ours = sum(pool.map(on_one_core, [work] * cores, [precision] * cores, [rounds] * cores))
    return row(f"{what}, a trial a core", "images/s", plain, ours, precision=precision, batch=BATCH)


def table(name: str, epochs: int, **given: Any) -> dict[str, Any]:
    """Seconds of w_skipganomaly's training, and of scoring its validation and test images each epoch, a data set's
    every class abnormal in turn."""
    study = study_from({"dataset": name, "abnormal_class": ("all",), "epochs": epochs} | given)
    ready = prepare(study)
    config = dataclasses.asdict(models.get("w_skipganomaly").Config())
    aurocs, start = [], time.perf_counter()
    for task, split in ready.splits.items():
        run = Run(
            "w_skipganomaly", split, ready.protocol, hyperparameters=config, seed=1, select_on=ready.select_on[task],
            device=ready.device, precision=study.precision, final=True,
        )  # fmt: skip
        for record in train(run, epochs):
            print(f"{task.cls}, epoch {record['epoch']}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
        aurocs.append(columns.of_scores(run.test_scores())["test_auroc"])
        del run  # a GPU then holds one model at a time
    seconds = time.perf_counter() - start
    about = {"what": "a table", "dataset": name, "classes": len(ready.splits), "epochs": epochs}
    about |= {"images": len(ready.splits[ready.tasks[0]].train), "device": ready.device} | given
    return about | {"seconds": seconds, "mean_test_auroc": float(np.mean(aurocs))}


def scoring(precision: str | None) -> Turn:
    """The scoring of 1,024 images by w_skipganomaly; the plain loop where `precision` is None."""
    model = new_model(precision or "float32")
    images = np.random.default_rng(0).integers(0, 256, (1024, 3, 32, 32), dtype=np.uint8)
    if precision is not None:
        tensor = torch.from_numpy(images)
        return lambda: model.score(tensor), len(images)
    plain = plain_loops.plain_layers(model)
    return lambda: plain_loops.wgan_scores(plain, images, BATCH), len(images)


def one_process(what: str, work: Callable[[str | None], Turn], precision: str, rounds: int) -> dict[str, Any]:
    """Images a second on all cores, both ways in turns."""
    (plainly, images), (ours, _) = work(None), work(precision)
    taken = in_turns(plainly, ours, rounds)
    return row(what, "images/s", *(images / t for t in taken), precision=precision, batch=BATCH)


def scale(images: int) -> dict[str, Any]:
    """Seconds of an epoch of so many 32 x 32 images, with a small w_skipganomaly, and of scoring them."""
    model = models.create("w_skipganomaly", (3, 32, 32), ngf=8, ndf=8)
    tensor = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8)
    rng = torch.Generator().manual_seed(0)
    model.train_epoch(tensor[:320], rng)
    training, scoring = seconds(lambda: model.train_epoch(tensor, rng)), seconds(lambda: model.score(tensor))
    thousand = 1000 / images
    return {
        "what": "an epoch",
        "images": images,
        "training_seconds": training,
        "scoring_seconds": scoring,
        "training_seconds_per_1000": training * thousand,
        "scoring_seconds_per_1000": scoring * thousand,
    }


def in_turns(plain: Callable[[], Any], ours: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """The median seconds of each, called in turns after one call of each that does not count."""
    taken = [(seconds(plain), seconds(ours)) for _ in range(rounds + 1)][1:]
    return tuple(np.median(taken, axis=0))


def latent_search(model: AnomalyModel, decoding: Decoding, folder: Path, slice_: int, steps: int) -> dict[str, Any]:
    """Images a second of AnoGAN's search, and the mean residual it reaches: ours on all images, plain on a slice."""
    channels, size, _ = model.image_shape
    images = torch.from_numpy(read_images(folder, size, channels, decoding, "--latent")[1])
    start = time.perf_counter()
    residuals = model.score_parts(images)["residual"]
    ours = len(images) / (time.perf_counter() - start)
    chosen = torch.linspace(0, len(images) - 1, slice_).long()
    torch.manual_seed(0)
    found = []
    start = time.perf_counter()
    with model.frozen(training=False):
        for done, i in enumerate(chosen.tolist(), start=1):
            x = model.normalise(images[i : i + 1])
            found.append(plain_loops.search_latent(model.networks["generator"], x, model.config.nz, steps))
            print(f"plain search: {done} of {slice_} images, {time.perf_counter() - start:.0f} s", file=sys.stderr)
    plain = slice_ / (time.perf_counter() - start)
    about: dict[str, Any] = {"images": len(images), "slice": slice_, "steps": steps}
    about |= {"plain_residual": float(np.mean(found)), "our_residual": float(residuals[chosen].mean())}
    return row("latent search", "images/s", plain, ours, **about, config=dataclasses.asdict(model.config))


def main(arguments: Sequence[str] | None = None) -> int:
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = Parser(prog="python -m bench.speed", description=summary, epilog=details)
    parser.add_argument(
        "--latent", type=path_of, nargs=2, metavar=("MODEL", "DIR"), help="an anogan's file, and images to search for"
    )
    parser.add_argument("--slice", type=int, default=10, metavar="N", help="images of the plain search (default: 10)")
    parser.add_argument("--steps", type=int, default=15_000, metavar="N", help="its steps an image (default: 15000)")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="our search's hyperparameters")
    parser.add_argument("--study", type=int, metavar="TRIALS", help="time a study of so many trials")
    parser.add_argument("--epochs", type=int, default=5, metavar="N", help="of --study and --table (default: 5)")
    parser.add_argument("--limit_train", type=int, metavar="N", help="its training images (default: 1000; table: all)")
    parser.add_argument(
        "--table", type=os.path.expanduser, metavar="NAME|DIR", help="a data set whose every class is trained once"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of --table")
    parser.add_argument("--precision", default="float32", choices=models.base.PRECISIONS, help="of --table")
    parser.add_argument("--report", type=int, metavar="TRIALS", help="time report.py on so many trials")
    parser.add_argument("--search", type=int, metavar="SEEDS", help="epochs to a grid's best, under so many seeds")
    parser.add_argument("--scale", type=int, nargs="+", metavar="IMAGES", help="time epochs of so many images")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of training and scoring (default: 5)")
    parser.add_argument("--threads", type=int, metavar="N", help="torch threads (default: all cores)")
    parser.add_argument(
        "--out", type=path_of, default=Path("results/speed"), metavar="DIR", help="(default: results/speed)"
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads or torch.get_num_threads())
    if given.latent:
        model, content = model_files.load(given.latent[0])
        if content["model"] != "anogan":
            raise UserError(f"--latent: {given.latent[0]} is a model of {content['model']}, not of anogan")
        changes = dict(item.split("=", 1) for item in given.set)
        model.config = type(model.config).make(dataclasses.asdict(model.config) | changes)
        rows = [latent_search(model, content["decoding"], given.latent[1], given.slice, given.steps)]
    elif given.table:
        about = {"precision": given.precision, "device": given.device}
        if given.limit_train:
            about["limit_train"] = given.limit_train
        rows = [table(given.table, given.epochs, **about)]
    elif given.study:
        rows = [harness.study(given.study, given.limit_train or 1000, given.epochs)]
    elif given.scale:
        rows = [scale(images) for images in given.scale]
    elif given.report:
        rows = [harness.report(given.report)]
    elif given.search:
        rows = [row for seed in range(given.search) for row in harness.search(seed)]
    else:
        rows = [
            measure(what, work, precision, given.rounds)
            for what, work in (("training", training), ("scoring", scoring))
            for measure in (one_process, a_trial_a_core)
            for precision in ("float32", "bfloat16")
        ]
    print(pd.DataFrame(rows).drop(columns="config", errors="ignore").to_markdown(index=False, floatfmt=".4g"))
    about = {"threads": torch.get_num_threads()} | machine()
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "speed.jsonl").open("a") as file:
        for found in rows:
            file.write(json.dumps(found | about) + "\n")
    return 0


if __name__ == "__main__":
    run_main(main)
