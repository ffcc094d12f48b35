"""All columns of a study's rows, in one place, with what each holds.

trials.jsonl has a row per training run, epochs.jsonl one per epoch of a run. To add a column: name
it in COLUMNS, and give its value in the function below that knows it. `Run.step` and `Run.cost`
(bench/training/run.py) give those of the chosen epoch; OF_THE_CHOSEN_EPOCH names the ones to keep.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.choices.study import Study
from bench.choices.tasks import AMOUNTS, PlannedRun, Protocol, Task
from bench.judging import metrics, pixels, verdicts
from bench.judging.intervals import auroc_interval

COLUMNS = {
    # of a planned run, so of its epochs too
    "trial": "the run's name, unique in its study",
    "kind": "tuning (part of a search), finalist (one of its best, trained again under a fresh seed) "
    "or final (the winner or the default, trained under a further seed and tested)",
    "role": "winner, default, superseded, pending or undecided; not in the file: winners.jsonl tells",
    "model": "the model's name",
    "family": "the model's family: GAN, baseline, labelled (knows the classes of normal images) or "
    "pretrained (uses outside data)",
    "class": "the class that is abnormal (leave-one-class-out) or normal (one-class), or the category",
    "variant": "which training images, contamination or anomalies, where a study has several",
    "attempt": "1, or one more for each time that the run died or was stopped, and began again",
    "number": "number of the configuration within its search; 0 is the model's default",
    "seed": "seed of weights and batches",
    "config_*": "every hyperparameter, as the chosen epoch had it",
    "tried_*": "a hyperparameter as the search proposed it, where the scheduler changed it since",
    # of the study and the task
    "dataset": "the data set's name",
    "task": "leave-one-class-out, one-class or category",
    "protocol": "sound or published",
    "protocol_*": "each field of the protocol",
    "limit_train": "training images of all classes that were kept; empty: all",
    "contamination": "share of the images trained on that is abnormal",
    "limit_anomalies": "how many abnormal validation images were to choose; empty: the protocol's",
    "n_train": "images trained on: no held-out ones, and no abnormal ones but the contamination",
    "n_val_abnormal": "abnormal validation images",
    "select_on": "the signal that chooses epoch and configuration",
    "deterministic": "whether a GPU had to come to the same bits each time",
    "commit": "the code's commit",
    "dirty": "whether the code had uncommitted changes",
    "fingerprint": "hash of the images and their labels",
    "sha256_*": "SHA-256 of the run's model, dataset or space: a Python file outside this project",
    "sha256_load": "SHA-256 of the trained model whose weights the run began with (train.py --load)",
    # of how the run ended
    "status": "done, stopped (early, by the scheduler) or error",
    "error": "why the run failed",
    "stopped_by": "the scheduler that stopped the run early",
    "stop_reason": "how the run stood among its task's runs when the scheduler stopped it",
    "epochs": "epochs that were trained",
    "generator_steps": "updates of the network that generates or reconstructs images, until then; "
    "with those of a model that was loaded",
    "images_seen": "images that training took in until then, repeats counted",
    "passes": "the same in passes over the training images",
    "steps": "generator steps that the run was to have; empty where its epochs were passes",
    "fair_steps": "the model's fair budget in generator steps: STEPS or DIGITS_STEPS of its file",
    "train_seconds": "seconds of training, over all epochs",
    "score_seconds": "seconds of scoring images, over all epochs",
    # of the chosen epoch
    "epoch": "the chosen epoch; in epochs.jsonl, the row's epoch",
    "objective": "what searchers and schedulers maximise: the signal, negated where less is better",
    "val_*": "figures of the validation images",
    "mix_*": "each part's weight in the score, where that mixes standardised parts; in all 1",
    "parameters": "weights of the model's networks",
    "score_ms": "milliseconds that the chosen epoch's model took to score an image",
    "peak_memory_mb": "most memory of the run's process, from its start until then; on a GPU, of its tensors there",
    "threshold": "a score above it is abnormal: held-out normal images set it (--false_alarms)",
    "threshold_balanced": "that at which validation images of both kinds are mistaken equally often",
    "device": "cpu or cuda, where the networks ran",
    "hardware": "the processor or GPU that they ran on",
    "precision": "the networks' arithmetic",
    # of the test images
    "test_true_alarms": "share of the abnormal test images whose score is above the threshold",
    "test_false_alarms": "share of the normal ones; --false_alarms is what was promised",
    "test_alarm_f1": "F1 at that threshold",
    "test_*": "metrics of the final run's test images (bench/judging/metrics.py)",
    "test_default_mix_auroc": "the test AUROC by the model's own weights of its standardised parts",
    "n_test_*": "how many normal and abnormal test images there are",
    "test_pixel_auroc": "AUROC of the test images' pixels by their anomaly maps, where masks mark "
    "the anomalous ones; of reconstructions in evaluation mode",
    "test_aupro": "area under the mean overlap of the masks' regions, up to 30 % false positives",
    "defect_*": "figures of one kind of defect against the normal test images, where there are "
    "several kinds: defect_images_<defect>, and auroc, pixel_auroc and aupro in place of images",
    # of an epoch alone
    "loss_*": "the mean of each training loss, without its weight (of rotations and classes, rows of "
    "an earlier version have it)",
}
SECONDS = ("train_seconds", "score_seconds")
# An epoch's record has these of all epochs until then.
CUMULATIVE = ("generator_steps", "images_seen", "passes")
NO_EPOCHS: dict[str, Any] = dict.fromkeys(SECONDS)
OF_THE_CHOSEN_EPOCH = (
    *("epoch", "objective", "test_default_mix_auroc", "threshold", "threshold_balanced"),
    *(f"test_{name}" for name in verdicts.ALARMS),
    *("family", "device", "hardware", "precision", "parameters", "score_ms", "peak_memory_mb"),
    "sha256_load",
)


def of_task(
    study: Study,
    protocol: Protocol,
    task: Task,
    select_on: str,
    counts: Mapping[str, int],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """The columns that all rows of a task share; `counts`: see `Split.counts`."""
    return {
        "dataset": provenance["dataset"]["name"],
        "task": task.kind,
        "protocol": study.protocol,
        **{f"protocol_{name}": value for name, value in dataclasses.asdict(protocol).items()},
        **{name: getattr(task, name) for name in AMOUNTS},
        **counts,
        **of_variant(task),
        "select_on": select_on,
        "deterministic": study.deterministic,
        "commit": provenance["commit"],
        "dirty": provenance["dirty"],
        "fingerprint": provenance["dataset"]["fingerprint"],
    }


def of_variant(task: Task) -> dict[str, str]:
    """The column that tells a task from the study's others of its class, where there are any."""
    return {"variant": task.variant} if task.variant else {}


def of_files(files: Mapping[str, Mapping[str, str]], model: str) -> dict[str, str]:
    """The columns of the Python files from outside that a model's runs use.

    `files`: SHA-256 of all of the study's files, by kind (model, dataset or space) and name.
    """
    return {
        f"sha256_{kind}": sha256
        for kind, hashes in files.items()
        for name, sha256 in hashes.items()
        if kind != "model" or name == model
    }


def of_epoch(run: PlannedRun, attempt: int, record: Mapping[str, Any]) -> dict[str, Any]:
    """A row of epochs.jsonl; `record` is what `Run.step` gives."""
    names = {"trial": run.trial, "kind": run.kind, "model": run.model, "class": run.task.cls}
    return names | of_variant(run.task) | {"attempt": attempt} | dict(record)


def running_totals(before: Mapping[str, Any] | None, record: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that count all epochs so far: those `before`, if any, and this record's."""
    totals = {name: record[name] for name in CUMULATIVE if name in record}
    seconds = {name: (before[name] if before else 0.0) + record[name] for name in SECONDS}
    return totals | seconds


def of_run(run: PlannedRun, attempt: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a run, whatever came of it; `config` has the hyperparameters as it ended."""
    row = of_epoch(run, attempt, {"number": run.number, "seed": run.seed})
    row |= {"steps": run.budget.steps, "fair_steps": run.budget.fair}
    row |= {f"config_{name}": value for name, value in config.items()}
    changed = {name: value for name, value in run.config.items() if config[name] != value}
    return row | {f"tried_{name}": value for name, value in changed.items()}


def of_chosen_epoch(best: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """The columns of a run that ended well.

    `best` is the chosen epoch's record, with where it ran.
    """
    figures = {
        name: value
        for name, value in best.items()
        if name.startswith(("val_", "mix_")) or name in OF_THE_CHOSEN_EPOCH
    }
    return {"status": "done", "error": None, "epochs": epochs} | figures


def of_stop(scheduler: str, reason: str) -> dict[str, Any]:
    """The columns of a run that its scheduler stopped early."""
    return {"status": "stopped", "stopped_by": scheduler, "stop_reason": reason}


def of_failure(reason: str) -> dict[str, Any]:
    """The columns of a run that failed."""
    return {"status": "error", "error": reason, "objective": None}


def of_scores(scores: pd.DataFrame) -> dict[str, float]:
    """The columns of a final run's test images, from their scores and labels."""
    labels, values = scores["labels"].to_numpy(), scores["scores"].to_numpy()
    _, low, high = auroc_interval([(labels, values)])
    figures = metrics.evaluate(labels, values) | {"auroc_low": low, "auroc_high": high}
    normal, abnormal = (int((labels == label).sum()) for label in (0, 1))
    counts = {"n_test_normal": normal, "n_test_abnormal": abnormal}
    return {f"test_{name}": value for name, value in figures.items()} | counts


def of_defects(
    labels: np.ndarray,
    scores: np.ndarray,
    defects: np.ndarray | None,
    maps: np.ndarray | None,
    masks: np.ndarray | None,
) -> dict[str, float]:
    """The columns of pixels and of each defect, of a final run's N test images.

    `labels`, `scores` and `defects` are (N,), anomaly maps and masks (N, H, W); see
    bench.data.splits.Labelled. Only pixels of normal images and of images with a mask count.
    """

    def of_pixels(chosen: np.ndarray) -> dict[str, float]:
        if maps is None or masks is None:
            return {}
        index = np.flatnonzero(chosen & (masks.any(axis=(1, 2)) | (labels == 0)))
        return pixels.evaluate(maps[index], masks[index]) if masks[index].any() else {}

    figures = {f"test_{name}": value for name, value in of_pixels(labels >= 0).items()}
    kinds = np.full(len(labels), "") if defects is None else defects
    for defect in sorted(set(kinds[labels == 1].tolist()) - {""}):
        is_it = kinds == defect
        chosen = is_it | (labels == 0)
        own = {"images": is_it.sum(), "auroc": metrics.auroc(labels[chosen], scores[chosen])}
        own |= of_pixels(chosen)
        figures |= {f"defect_{name}_{defect}": value for name, value in own.items()}
    return figures
