"""Finished studies as plain files, for the tests of what reads them; and their comparison."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import results
from bench.judging import metrics
from bench.judging.comparison import compare
from bench.reporting import cautions, fair, frames, headline
from bench.reporting.writers import Table
from bench.results.gallery import sheet

MODELS, CLASSES = ("w_skipganomaly", "pca"), ("bird", "cat")
ONE_RUN = {"models": ("pca",), "classes": ("bird",), "seeds": (1,)}  # final-0-0-1
# Columns in which two equal runs differ.
COSTS = ("train_seconds", "score_seconds", "score_ms", "peak_memory_mb")


def make_study(
    folder: Path, *, models=MODELS, classes=CLASSES, seeds=(1, 2, 3), study=None, provenance=None
) -> Path:
    """A finished study as files. The first model scores worst, the last one best."""
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], [60, 30])
    choices = {"model": list(models), "dataset": "cifar10", "dataroot": "my data"}
    choices |= {"abnormal_class": list(classes)}
    choices |= {"protocol": "sound", "selection": None, "epochs": 3, "limit_test": 200, "seed": 0}
    choices |= {"precision": "float32", "device": "auto", "select_on": "val_auroc"} | (study or {})
    origin = {"commit": "abc", "dirty": False, "dataset": {"name": "cifar10", "fingerprint": "f"}}
    trials, epochs = [], []
    for (level, model), (place, name) in itertools.product(enumerate(models), enumerate(classes)):
        base = {"model": model, "dataset": "cifar10", "task": "leave-one-class-out", "class": name}
        base |= {"protocol": "sound", "status": "done", "error": None, "select_on": "val_auroc"}
        base |= {"epoch": 2, "epochs": 3, "device": "cpu", "config_skip": True}
        base |= {"family": "baseline" if model == "pca" else "GAN"}
        for number in range(3):
            row = {"trial": f"tune-{level}-{place}-{number}", "kind": "tuning", "number": number}
            row |= {"seed": 0, "objective": 0.5 + 0.1 * number, "config_lr": 0.001 * (number + 1)}
            trials.append(base | row)
        for seed in seeds:
            strong, weak = rng.normal(size=90) + (1 + level) * labels, rng.normal(size=90)
            scores = strong + 0.1 * weak
            trial, area = f"final-{level}-{place}-{seed}", metrics.auroc(labels, scores)
            row = {"trial": trial, "kind": "final", "number": 2, "seed": seed, "config_lr": 0.003}
            row |= {"objective": 0.7, "test_auroc": area, "test_ap": 0.5, "test_f1": 0.25}
            trials.append(base | row | {"config_nz": 100 if level else None})
            path = folder / "scores" / trial / "histogram.csv"
            path.parent.mkdir(parents=True)
            columns = {"scores": scores, "labels": labels}
            columns |= {"part_reconstruction": strong, "part_latent": weak}
            pd.DataFrame(columns).to_csv(path, index=False)
            images = rng.integers(0, 256, (2, 24, 3, 8, 8), np.uint8)
            gallery = sheet(images[0], images[1] if level else None)
            path.with_name("gallery.png").write_bytes(gallery)
            row = {"trial": trial, "kind": "final", "model": model, "class": name}
            for epoch in (1, 2, 3):
                test = min(1.0, area + 0.01 * (epoch - 2))
                figures = {"epoch": epoch, "val_auroc": 0.6 + 0.05 * epoch, "test_auroc": test}
                epochs.append(row | figures)
    write_rows(folder / "trials.jsonl", trials)
    write_rows(folder / "epochs.jsonl", epochs)
    (folder / "study.json").write_text(
        json.dumps({"study": choices, "provenance": origin | (provenance or {})})
    )
    return folder


def new_study(folder: Path, **choices: Any) -> Path:
    """A study of train_tune.py that has no run yet, as files."""
    folder.mkdir()
    content = {"study": choices, "provenance": {}, "made_by": "train_tune.py"}
    (folder / "study.json").write_text(json.dumps(content))
    return folder


def write_rows(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def every_run(folder: Path) -> dict[str, pd.DataFrame]:
    """The scores of a study's final runs by trial."""
    study = results.read(folder)
    return {trial: study.scores(trial) for trial in study.trials.query("kind == 'final'")["trial"]}


def edit(folder: Path, change) -> Path:
    """The study with each trial row as `change` gives it; None drops the row."""
    rows = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    write_rows(folder / "trials.jsonl", [row for row in map(change, rows) if row is not None])
    return folder


def with_default_beside(folder: Path, model: str, seed: int) -> Path:
    """The study, with its final runs of this seed as the default's, beside the winner's."""
    won = {"trial": "t", "model": model, "number": 2, "steps": None}
    write_rows(folder / "winners.jsonl", [won | {"class": name} for name in CLASSES])
    default = {"number": 0, "config_lr": 0.1}
    return edit(folder, lambda row: row | (default if row["seed"] == seed else {}))


def load(*folders: Path):
    """What reports work on: studies, trials, epochs, final runs, scores, AUROC of results."""
    studies = {folder.name: results.read(folder) for folder in folders}
    trials, epochs = frames.join(studies)
    finals = frames.tested(trials)
    scores, _ = frames.read_scores(studies, finals)
    return studies, trials, epochs, finals, scores, frames.auroc(finals, scores)[0]


def caution_lines(studies, trials: pd.DataFrame, aurocs: pd.DataFrame) -> list[str]:
    return [*itertools.chain(*cautions.cautions(studies, trials, aurocs).values())]


def auroc_table(aurocs: pd.DataFrame) -> Table:
    """The report's main table of AUROCs, the last of what `load` gives."""
    return headline.auroc_table(aurocs, compare(fair.shared(fair.rivals(aurocs))))


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """A study's rows in one order, without COSTS and attempts, which a kill may change."""
    frame = frame.drop(columns=[*COSTS, "attempt"], errors="ignore").sort_index(axis=1)
    keys = [name for name in ("trial", "epoch") if name in frame]
    return frame.sort_values(keys, ignore_index=True)


def assert_same_results(one: results.Results, other: results.Results) -> None:
    """Fails unless rows, and final runs' scores and pictures, are the same to the bit."""
    for rows in ((one.trials, other.trials), (one.epochs, other.epochs)):
        pd.testing.assert_frame_equal(*map(comparable, rows), check_exact=True)
    for trial in one.trials.trial[one.trials.kind == "final"]:
        pd.testing.assert_frame_equal(one.scores(trial), other.scores(trial), check_exact=True)
        assert one.gallery(trial) == other.gallery(trial) is not None
