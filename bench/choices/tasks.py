"""Tasks (which classes are normal), protocols (how scores are made) and planned runs."""

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

from bench.choices.errors import UserError
from bench.choices.option_field import as_tuple
from bench.choices.study import Study

LEAVE_ONE_CLASS_OUT, ONE_CLASS, CATEGORY = "leave-one-class-out", "one-class", "category"
# Amounts that a study may vary, fields of Task, and how tasks and tables call them.
AMOUNTS = {
    "limit_train": "{} images",
    "contamination": "contamination {}",
    "limit_anomalies": "{} anomalies",
}
NORMAL = "good"  # the normal class of a category of MVTec AD, and of folders like it


@dataclass(frozen=True)
class Task:
    """One division of a data set's classes into normal and abnormal ones, and of its images."""

    kind: str  # LEAVE_ONE_CLASS_OUT, ONE_CLASS or CATEGORY
    # LEAVE_ONE_CLASS_OUT: the abnormal class. ONE_CLASS: the normal class. CATEGORY: the category,
    # whose normal class has the same name; only its own classes belong to the task.
    cls: str
    # Leave-one-class-out only: whether the test images of a class without training images are
    # left_out of the test, or count as normal.
    untrained: str = "left_out"
    limit_train: int | None = None  # training images of all classes that are kept; None: all
    contamination: float = 0.0  # share of the images trained on that is abnormal
    limit_anomalies: int | None = None  # abnormal validation images; None: see make_split
    variant: str = ""  # what tells it from the study's other tasks of its class: "100 images"

    @property
    def name(self) -> str:
        """What tells it from all other tasks of the study: `3` or `3, 100 images`."""
        return f"{self.cls}, {self.variant}" if self.variant else self.cls

    def leaves_out(self, cls: str) -> bool:
        """Whether the test leaves out the images of `cls`, a class without training images."""
        left_out = self.kind == LEAVE_ONE_CLASS_OUT and self.untrained == "left_out"
        return left_out and cls != self.cls


def suggested(classes: Collection[str], trained: Collection[str]) -> tuple[str, str] | None:
    """The kind and class of the only task that suits these classes; None if several do.

    `trained`: the classes that have training images.
    """
    if NORMAL in trained and len(trained) > 1:  # known anomalies in train/ only choose
        return ONE_CLASS, NORMAL
    if len(unseen := set(classes) - set(trained)) == 1:  # Skip-WGANomaly's folders
        return LEAVE_ONE_CLASS_OUT, unseen.pop()
    return (ONE_CLASS, next(iter(trained))) if len(trained) == 1 else None


def variants(study: Study) -> Iterator[dict[str, Any]]:
    """Each combination of the amounts that a study may vary, as fields of Task.

    Tasks are named only after what varies in the study.
    """
    amounts = {name: as_tuple(getattr(study, name)) for name in AMOUNTS}
    for values in itertools.product(*amounts.values()):
        fields = dict(zip(amounts, values, strict=True))
        names = [
            label.format(f"{fields[name]:.15g}")
            for name, label in AMOUNTS.items()
            if len(amounts[name]) > 1
        ]
        yield fields | {"variant": ", ".join(names)}


@dataclass(frozen=True)
class Protocol:
    """How images are scored and what chooses.

    Each field is one departure of the released codes from a sound protocol.
    """

    scoring_mode: str = "evaluation"  # or training: batch normalisation sees the rest of the batch
    test_order: str = "shuffled"  # or sorted: all normal images, then all abnormal ones
    selection: str = "val"  # or test: epoch and configuration have the best test AUROC
    test_pool: str = "official"  # or with_training: with the abnormal class's training images
    # A score's parts weigh in their own units (raw), or in units of their spread on normal images:
    # by the model's own weights (standardised), or by weights that validation images chose.
    mix: str = "chosen"

    @property
    def mixes_batches(self) -> bool:
        """Whether an image's score depends on both normal and abnormal images in its batch."""
        return self.scoring_mode == "training" and self.test_order == "shuffled"


SOUND = Protocol()
PUBLISHED = Protocol(
    scoring_mode="training",
    test_order="sorted",
    selection="test",
    test_pool="with_training",
    mix="raw",
)
PROTOCOL_FIELDS = tuple(field.name for field in fields(Protocol))


def protocol_of(study: Study) -> Protocol:
    """The study's protocol: the one that `--protocol` names, changed by the more specific flags.

    UserError for flags that do not go together.
    """
    base = PUBLISHED if study.protocol == "published" else SOUND
    given = {name: getattr(study, name) for name in PROTOCOL_FIELDS}
    given = {name: value for name, value in given.items() if value is not None}
    protocol = replace(base, **given)
    if protocol.selection == "test" and protocol.mix != "raw":
        if "mix" in given:
            reason = "is measured on validation images, and --selection test leaves none"
            raise UserError(f"--mix {protocol.mix}: it {reason} (give raw)")
        protocol = replace(protocol, mix="raw")
    if any(as_tuple(study.contamination)) and protocol.test_pool == "with_training":
        reason = "the test set has the abnormal training images (give --test_pool official)"
        raise UserError(f"--contamination: {reason}")
    return protocol


@dataclass(frozen=True)
class Budget:
    """How long a run trains; each epoch ends with an evaluation."""

    epochs: int
    turns: int | None = None  # generator steps of an epoch; None: those of a pass over the images
    fair: int = 0  # the generator steps that do the model justice; 0: it has none
    decay: int = 0  # the number of last epochs in which step sizes fall

    @property
    def steps(self) -> int | None:
        """The generator steps of all epochs; None where epochs are passes over the images."""
        return None if self.turns is None else self.epochs * self.turns

    def step_size(self, epoch: int) -> float:
        """The share of an optimiser's step size in this epoch, 0 for the first.

        As in the released code of CycleGAN (junyanz/pytorch-CycleGAN-and-pix2pix, `lambda_rule`),
        from which the code of both Skip-GANomaly models has its `niter_decay`, without using it.
        """
        return min(1.0, (self.epochs - epoch) / (self.decay + 1)) if self.decay else 1.0


Budgets = Mapping[tuple[str, Task], Budget]  # by model and task


@dataclass(frozen=True)
class PlannedRun:
    """One training run of a study: a configuration of a model on a task, under a seed."""

    kind: str  # tuning, finalist or final (see the planner)
    model: str
    task: Task
    number: int  # the configuration's number within its search; 0 is the model's default
    seed: int
    config: dict[str, Any]  # every hyperparameter
    budget: Budget
    grown: bool = False  # whether the study has runs of the same kind with other budgets

    @property
    def trial(self) -> str:
        """The run's name, unique within its study."""
        variant = self.task.variant.replace(", ", "-").replace(" ", "")
        parts = (self.model, self.task.cls, variant, f"{self.number:03d}")
        name = "-".join(filter(None, parts))
        if self.kind != "tuning":
            name += f"-seed{self.seed}"
        return f"{name}-{self.budget.steps}steps" if self.grown else name


class RunKind(NamedTuple):
    """Runs that take about equally long."""

    model: str
    kind: str  # tuning, finalist or final
    variant: str  # of the task

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The kind of a row's run."""
        return cls(row["model"], row["kind"], row.get("variant", ""))


def search_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Which search a row belongs to: model, class and variant."""
    return row.get("model", ""), row.get("class", ""), row.get("variant", "")
