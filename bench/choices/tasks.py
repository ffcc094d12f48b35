"""Tasks (which classes are normal), protocols (how scores are made) and planned runs."""

from dataclasses import dataclass, fields, replace
from typing import Any

from bench.choices.study import Study

LEAVE_ONE_CLASS_OUT, ONE_CLASS = "leave-one-class-out", "one-class"


@dataclass(frozen=True)
class Task:
    """One division of a data set's classes into normal and abnormal ones."""

    kind: str  # LEAVE_ONE_CLASS_OUT or ONE_CLASS
    cls: str  # the abnormal class of the former, the normal class of the latter
    # Leave-one-class-out only: whether the test images of a class without training images are
    # left_out of the test, or count as normal.
    untrained: str = "left_out"

    def leaves_out(self, cls: str) -> bool:
        """Whether the test leaves out the images of `cls`, a class without training images."""
        left_out = self.kind == LEAVE_ONE_CLASS_OUT and self.untrained == "left_out"
        return left_out and cls != self.cls


@dataclass(frozen=True)
class Protocol:
    """How images are scored and what chooses.

    Each field is one departure of the released codes from a sound protocol.
    """

    scoring_mode: str = "evaluation"  # or training: batch normalisation sees the rest of the batch
    test_order: str = "shuffled"  # or sorted: all normal images, then all abnormal ones
    selection: str = "val"  # or test: epoch and configuration have the best test AUROC
    test_pool: str = "official"  # or with_training: with the abnormal class's training images


SOUND = Protocol()
PUBLISHED = Protocol(
    scoring_mode="training",
    test_order="sorted",
    selection="test",
    test_pool="with_training",
)
PROTOCOL_FIELDS = tuple(field.name for field in fields(Protocol))


def protocol_of(study: Study) -> Protocol:
    """The study's protocol: the one that `--protocol` names, changed by the more specific flags."""
    base = PUBLISHED if study.protocol == "published" else SOUND
    chosen = {name: getattr(study, name) for name in PROTOCOL_FIELDS}
    return replace(base, **{name: value for name, value in chosen.items() if value is not None})


@dataclass(frozen=True)
class PlannedRun:
    """One training run of a study: a configuration of a model on a task, under a seed."""

    kind: str  # tuning (part of a search), or final (the winner, trained under a fresh seed)
    model: str
    task: Task
    number: int  # the configuration's number within its search; 0 is the model's default
    seed: int
    config: dict[str, Any]  # every hyperparameter

    @property
    def trial(self) -> str:
        """The run's name, unique within its study."""
        last = f"seed{self.seed}" if self.kind == "final" else f"{self.number:03d}"
        return f"{self.model}-{self.task.cls}-{last}"
