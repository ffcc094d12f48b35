"""Protocols: which images train, choose and test, and how they are scored."""

import hashlib
import warnings
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from bench.datasets import Dataset
from bench.errors import UserError, unknown
from bench.study import Study

HELD_OUT = 0.1  # of the normal training images, for validation
LEAVE_ONE_CLASS_OUT, ONE_CLASS = "leave-one-class-out", "one-class"


@dataclass(frozen=True)
class Protocol:
    """How figures are made. Each field is one departure of the released code from a sound protocol."""

    scoring_mode: str = "evaluation"  # or training: batch normalisation sees the rest of the batch
    test_order: str = "shuffled"  # or sorted: all normal images, then all abnormal ones
    selection: str = "val"  # or test: epoch and configuration are those with the best test AUROC
    test_pool: str = "official"  # or with_training: the abnormal class's training images are tested on too


SOUND = Protocol()
PUBLISHED = Protocol(scoring_mode="training", test_order="sorted", selection="test", test_pool="with_training")


def protocol_of(study: Study) -> Protocol:
    """The study's protocol with the fields that were switched by themselves."""
    base = PUBLISHED if study.protocol == "published" else SOUND
    given = {f.name: getattr(study, f.name) for f in fields(Protocol) if getattr(study, f.name) is not None}
    return replace(base, **given)


@dataclass(frozen=True)
class Task:
    """One normal/abnormal division of a data set's classes."""

    kind: str  # LEAVE_ONE_CLASS_OUT or ONE_CLASS
    cls: str  # the abnormal class of the former, the normal class of the latter


@dataclass(frozen=True)
class Labelled:
    images: Tensor  # uint8 (N, C, H, W)
    labels: np.ndarray  # int64 (N,), 1: abnormal

    def normal(self) -> Tensor:
        return self.images[torch.from_numpy(self.labels == 0)]

    def to(self, device: str) -> "Labelled":
        return Labelled(self.images.to(device), self.labels)

    def __reduce__(self) -> tuple:
        return _labelled, (self.images.numpy(), self.labels)


@dataclass(frozen=True)
class Split:
    train: Tensor  # uint8 (N, C, H, W), normal only
    val: Labelled | None  # chooses; None where the protocol chooses on the test images
    test: Labelled | None  # is only reported; None where no test image has a label

    def to(self, device: str) -> "Split":
        """The split with its images on a device; those that are there already are not copied."""
        val, test = (part.to(device) if part else None for part in (self.val, self.test))
        return Split(self.train.to(device), val, test)

    def __reduce__(self) -> tuple:
        """Pickled as NumPy arrays, which Ray's object store hands to all trials uncopied; tensors it would copy."""
        return _split, (self.train.numpy(), self.val, self.test)


def _tensor(array: np.ndarray) -> Tensor:
    with warnings.catch_warnings():  # the store's memory is read-only, and so are images here
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def _labelled(images: np.ndarray, labels: np.ndarray) -> Labelled:
    return Labelled(_tensor(images), labels)


def _split(train: np.ndarray, val: Labelled | None, test: Labelled | None) -> Split:
    return Split(_tensor(train), val, test)


def tasks_of(study: Study, dataset: Dataset) -> list[Task]:
    """The study's tasks, one a class; UserError for a class that the data set does not have."""
    kind, given = (ONE_CLASS, study.normal_class) if study.normal_class else (LEAVE_ONE_CLASS_OUT, study.abnormal_class)
    flag = "--normal_class" if study.normal_class else "--abnormal_class"
    if not given:
        # Skip-WGANomaly's folders hold one class for training and one more for testing: that one is abnormal.
        unseen = set(range(len(dataset.classes))) - set(dataset.train_labels.tolist())
        if len(unseen) == 1:
            return [Task(LEAVE_ONE_CLASS_OUT, dataset.classes[unseen.pop()])]
        if len(dataset.classes) == 1:
            return [Task(ONE_CLASS, dataset.classes[0])]
        raise UserError(f"--abnormal_class or --normal_class is needed (classes: {', '.join(dataset.classes)}; or all)")
    classes = dataset.classes if "all" in given else given
    for cls in classes:
        if cls not in dataset.classes:
            raise unknown(flag, cls, dataset.classes)
    return [Task(kind, cls) for cls in classes]


def digests(images: np.ndarray) -> np.ndarray:
    """A content hash of each image: (N, C, H, W) -> (N,)."""
    return np.array([hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images], dtype="U32")


def make_split(dataset: Dataset, task: Task, protocol: Protocol, seed: int) -> Split:
    """The images that train, choose and test for a task; the same for the same seed.

    Where epochs are chosen on validation images, no image (by content) is in two of the three: a training image that
    the test set holds too, or that was there before, is left out. UserError where a part would be empty.
    """
    if task.cls not in dataset.classes:
        raise unknown("class", task.cls, dataset.classes)
    own = dataset.classes.index(task.cls)

    def abnormal(labels: np.ndarray) -> np.ndarray:
        return (labels == own) == (task.kind == LEAVE_ONE_CLASS_OUT)

    rng = np.random.default_rng(seed)
    pool = np.arange(len(dataset.train_images))
    if protocol.selection == "val":
        content = digests(dataset.train_images)
        first = np.unique(content, return_index=True)[1]
        pool = np.sort(first[~np.isin(content[first], digests(dataset.test_images))])
    is_abnormal = abnormal(dataset.train_labels[pool])
    normal, anomalies = rng.permutation(pool[~is_abnormal]), rng.permutation(pool[is_abnormal])
    if len(normal) < 2:
        raise UserError(f"'{task.cls}' as {task.kind} task leaves no normal training images")

    val = None
    if protocol.selection == "val":
        held_out = max(1, round(len(normal) * HELD_OUT))
        chosen, normal = normal[:held_out], normal[held_out:]
        indices = np.concatenate([chosen, anomalies[:held_out]])
        labels = np.repeat([0, 1], [len(chosen), len(indices) - len(chosen)])
        val = Labelled(torch.from_numpy(dataset.train_images[indices]), labels)

    train = torch.from_numpy(dataset.train_images[np.sort(normal)])
    known = np.flatnonzero(dataset.test_labels >= 0)
    if not len(known) and protocol.selection == "val":
        return Split(train, val, None)
    images, labels = dataset.test_images[known], abnormal(dataset.test_labels[known]).astype(np.int64)
    if protocol.test_pool == "with_training":
        extra = np.flatnonzero(abnormal(dataset.train_labels))
        images = np.concatenate([images, dataset.train_images[extra]])
        labels = np.concatenate([labels, np.ones(len(extra), np.int64)])
    if len(set(labels.tolist())) < 2:
        raise UserError(
            f"'{task.cls}' as {task.kind} task leaves no {'normal' if labels.all() else 'abnormal'} test images"
        )
    order = np.argsort(labels, kind="stable") if protocol.test_order == "sorted" else rng.permutation(len(labels))
    test = Labelled(torch.from_numpy(images[order]), labels[order])
    return Split(train, val, test)
