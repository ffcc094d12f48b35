"""Prepares what a study's runs need: data, tasks, splits, device; refuses unfit choices."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import models
from bench.choices import outside
from bench.choices.errors import UserError, note
from bench.choices.names import on_disk, stamped
from bench.choices.options import WHOLE_POPULATION
from bench.choices.study import LONG_CLASS, LONGEST, Study
from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, Budget, Budgets, Protocol, Task, protocol_of
from bench.data import datasets
from bench.data.datasets import Dataset
from bench.data.splits import Split, guess_notes, make_splits, missing_mask_notes, tasks_of
from bench.judging.selection import SELECT_ON, SIGNALS
from bench.results.provenance import machine
from bench.training.devices import choose_device
from bench.training.run import check_batch

# Choices of how to search
SEARCHING = (
    *("space", "start_from", "finalists", "finalist_seeds"),
    *("searcher", "scheduler", "grace_period", "reduction_factor"),
)
EVALUATIONS = 20  # epochs of a run; a run of fewer passes over its images has one per pass


@dataclass(frozen=True)
class Prepared:
    """What a study's runs need."""

    dataset: Dataset
    protocol: Protocol
    tasks: list[Task]
    splits: dict[Task, Split]
    select_on: dict[Task, str]  # the signal that chooses
    device: str
    notes: tuple[str, ...]  # what was left out, scaled, cropped or guessed
    files: dict[str, dict[str, str]]  # the SHA-256 of files from outside, by flag and name

    def check(self, model: str, largest: Mapping[str, Any]) -> None:
        """UserError where the images, or a batch of them, do not suit the model.

        `largest`: the largest value of each of its hyperparameters.
        """
        check_shape(model, self.dataset, largest)
        images = min(len(split.train) for split in self.splits.values())
        check_batch(model, largest["batch_size"], images)

    def budgets(self, study: Study, defaults: Mapping[str, Mapping[str, Any]]) -> Budgets:
        """How long the study's runs train.

        `defaults`: each model's default hyperparameters. All runs of a model on a task have the
        same generator steps and epochs, so that they can be compared.
        """
        return {
            (model, task): self.budget(study, model, task, config)
            for model, config in defaults.items()
            for task in self.tasks
        }

    def budget(self, study: Study, model: str, task: Task, config: Mapping[str, Any]) -> Budget:
        """How long a run trains; UserError where that is too short to train all of the model."""
        detector, images = models.get(model), len(self.splits[task].train)
        if not detector.BATCHES:
            return Budget(epochs=1)  # it is fitted at once
        fair = detector.DIGITS_STEPS if self.dataset.few else detector.STEPS
        pass_steps = images // config["batch_size"] / config.get("n_critic", 1)
        if study.epochs and not study.steps:
            budget = Budget(study.epochs, None, fair, study.niter_decay)
        else:
            steps = study.steps or fair
            epochs = study.epochs or min(EVALUATIONS, steps, math.ceil(steps / pass_steps))
            budget = Budget(epochs, math.ceil(steps / epochs), fair, study.niter_decay)
        try:
            trained = budget.steps or budget.epochs * pass_steps
            detector.check_training(config, self.splits[task].train, trained)
        except ValueError as error:
            raise UserError(f"--model: {model} on {task.name}: {error}") from None
        if budget.decay >= budget.epochs:  # no epoch would have the full step size
            reason = f"a run of {model} has {budget.epochs} epochs"
            raise UserError(f"--niter_decay: {budget.decay} is too many: {reason} (give fewer)")
        return budget

    def scored(self, task: Task, final: bool) -> int:
        """How many images a run on the task scores after an epoch (see Run.step)."""
        split = self.splits[task]
        val, test = (len(part.labels) if part else 0 for part in (split.val, split.test))
        pseudo = split.pseudo_count if final or self.select_on[task] == "pseudo_auroc" else 0
        return val + pseudo + (test if final or self.protocol.selection == "test" else 0)

    def facts(self, study: Study, task: Task) -> dict[str, Any]:
        """What a trained model's file says of the images, including what decides the split."""
        decoding, protocol = asdict(self.dataset.decoding), self.protocol
        trains = (task.kind, task.cls, task.untrained, task.limit_train, task.contamination)
        split = [self.dataset.fingerprint, study.seed_of_splits(), *trains]
        split += ["", protocol.selection, protocol.test_pool]  # "": as in files made earlier
        return {"classes": self.dataset.classes, "decoding": decoding, "split": split}

    def provenance(self) -> dict[str, Any]:
        """What a reader needs to judge a row or to make it again."""
        return machine() | {"dataset": self.dataset.description(self.notes), "files": self.files}


def prepare(study: Study) -> Prepared:
    """Loads the data, makes the splits and says what is left out.

    UserError for a choice that does not fit the data or the models.
    """
    device = choose_device(study)
    dataset = datasets.load(
        study.dataset,
        root=on_disk(Path(study.dataroot)),
        image_size=study.image_size,
        channels=study.channels,
        resize=study.resize,
        categories=study.category,
    )
    for line in dataset.notes:
        note(line)
    for model in study.model_names():
        check_shape(model, dataset)
    protocol, tasks = protocol_of(study), tasks_of(study, dataset)
    if any(len(os.fsencode(task.cls)) > LONGEST for task in tasks):
        raise UserError(f"--dataset: {LONG_CLASS}")
    dataset, splits, lines = make_splits(
        dataset, tasks, protocol, study.limit_test, study.seed_of_splits()
    )
    released = [f"{fact} (add {flags})" for fact, flags in released_differences(study)]
    lines += [
        *guess_notes(study, dataset),
        *missing_mask_notes(splits),
        *released,
        *without_effect(study, tasks, device),
    ]
    if all(split.test is None for split in splits.values()):
        lines.append("nothing is tested: there are no test images of a known class")
    for line in lines:
        note(line)
    select_on = {task: choose_select_on(study, task, splits[task]) for task in tasks}
    if study.tune_for == "mean" and len(signals := sorted(set(select_on.values()))) > 1:
        raise UserError(
            f"--tune_for mean: the classes are judged by {' and '.join(signals)} (give --select_on "
            "val_loss)"
        )
    notes = (*dataset.notes, *lines)
    files = outside.hashes(study.files())
    return Prepared(dataset, protocol, tasks, splits, select_on, device, notes, files)


def released_differences(study: Study) -> list[tuple[str, str]]:
    """How released code departs from the published protocol, and the flags that do the same."""
    facts: list[tuple[str, str]] = []
    for model in study.model_names() if study.protocol == "published" else ():
        detector, code = models.get(model), f"{model}: its released code"
        if detector.RELEASED_MODE == "evaluation" and study.scoring_mode is None:
            facts.append((f"{code} scores in evaluation mode", "--scoring_mode evaluation"))
        if detector.RELEASED_EPOCH == "last" and study.selection is None:
            last = "--selection val --select_on last_epoch"
            facts.append((f"{code} reports the last epoch, not the best by test images", last))
        if not study.epochs and (study.steps or detector.STEPS) < detector.RELEASED_STEPS:
            steps = detector.RELEASED_STEPS
            facts.append((f"{code} trains for {steps:,} generator steps", f"--steps {steps}"))
    return facts


def without_effect(study: Study, tasks: list[Task], device: str) -> list[str]:
    """A line for each reason why choices have no effect in this study, with the choices."""
    idle: dict[str, tuple[str, ...]] = {}
    if study.trials in (0, 1):
        idle[", as no configuration but the default is tried"] = SEARCHING
    else:
        if study.scheduler not in ("asha", "hyperband", "median"):
            idle[", as no run is stopped early"] = ("grace_period",)
        if study.scheduler not in ("asha", "hyperband"):
            idle[", without rungs"] = ("reduction_factor",)
        if study.scheduler not in WHOLE_POPULATION:
            idle[", as no run is paused"] = ("storage",)
        if study.finalists == 0 or (
            study.finalists is None and protocol_of(study).selection == "test"
        ):
            idle[", as there are no finalists"] = ("finalist_seeds",)
    if study.select_on and not SIGNALS[study.select_on].needs_abnormal:
        idle[f" on what --select_on {study.select_on} chooses"] = ("limit_anomalies",)
    if all(task.kind != LEAVE_ONE_CLASS_OUT for task in tasks):
        idle[" with one normal class"] = ("untrained_classes",)
    if device == "cpu":
        idle[" on a CPU"] = ("gpus_per_trial",)
    if fitted := [model for model in study.model_names() if not models.get(model).BATCHES]:
        names = ("steps", "epochs", "batch_size", "niter_decay")
        idle[f" on {', '.join(fitted)}, fitted at once"] = names
    default, lines = Study(), []
    for reason, choices in idle.items():
        values = {name: getattr(study, name) for name in choices}
        given = [f"--{k}" for k, v in values.items() if v and v != getattr(default, k)]
        lines += [f"without effect{reason}: {', '.join(given)}"] if given else []
    return lines


def check_shape(model: str, dataset: Dataset, config: Mapping[str, Any] | None = None) -> None:
    """UserError where the model cannot take the images, with these hyperparameters."""
    try:
        models.get(model).check_shape(dataset.image_shape, config)
    except ValueError as error:
        raise UserError(f"--image_size: {model}: {error}") from None


def choose_select_on(study: Study, task: Task, split: Split) -> str:
    """The signal that chooses epoch and configuration; UserError for one that lacks its images.

    Unless the study names one: val_auroc where there are abnormal validation images, else val_loss.
    """
    if split.val is None:
        return study.select_on or "test_auroc"
    anomalies = bool(split.val.labels.any())
    if study.select_on is None:
        return "val_auroc" if anomalies else "val_loss"
    if SIGNALS[study.select_on].needs_abnormal and not anomalies:
        without = [name for name in SELECT_ON if not SIGNALS[name].needs_abnormal]
        raise UserError(
            f"--select_on {study.select_on}: no abnormal training images to validate '{task.cls}' "
            f"on (give {' or '.join(without)})"
        )
    return study.select_on


def default_name(study: Study, tasks: list[Task]) -> str:
    """A study's name where none is given: `w_skipganomaly-cifar10-bird-20260131-235959`."""
    different = {task.cls for task in tasks}
    classes = tasks[0].cls if len(different) == 1 else f"{len(different)}classes"
    data = Path(outside.name_of(study.dataset)).resolve().name
    return stamped("+".join(study.model_names()), data, classes)
