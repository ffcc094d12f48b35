"""Splits: which images train, choose and test for a task."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import (
    CATEGORY,
    LEAVE_ONE_CLASS_OUT,
    ONE_CLASS,
    Protocol,
    Task,
    suggested,
    variants,
)
from bench.data.datasets import Dataset
from bench.data.images import IndexedImages
from bench.data.unused import left_out, too_many, untrained, usable

# Normal training images held out for validation: a tenth; at least 25, or chance would choose; never
# more than about a quarter.
HELD_OUT, FEWEST_HELD_OUT, MOST_HELD_OUT = 0.1, 25, 0.25
FEWEST_ABNORMAL = 100  # validation images, where there are as many


@dataclass(frozen=True)
class Labelled:
    """Images with their labels and, where these are known, their defects and masks."""

    images: IndexedImages | Tensor  # uint8 (N, C, H, W)
    labels: np.ndarray  # int64 (N,), 1: abnormal
    defects: np.ndarray | None = None  # str (N,): what is wrong with an image, where that is known
    masks: np.ndarray | None = None  # bool (N, H, W): where it is; all False: unknown, or normal

    def normal(self) -> Tensor:
        """uint8 (N normal, C, H, W): a copy of the normal images."""
        return self.images[torch.from_numpy(self.labels == 0)]

    def to(self, device: str) -> "Labelled":
        return replace(self, images=self.images.to(device))


@dataclass(frozen=True)
class Split:
    """Parts of a data set's images. All splits of a data set share one ImageArray."""

    train: IndexedImages  # uint8 (N, C, H, W), normal but for --contamination
    val: Labelled | None  # chooses; None where the protocol chooses on the test images
    test: Labelled | None  # reported; chooses if val is None. None: no image has a label

    @property
    def counts(self) -> dict[str, int]:
        """Columns of rows: images that train, and abnormal images that may choose."""
        abnormal = int(self.val.labels.sum()) if self.val else 0
        return {"n_train": len(self.train), "n_val_abnormal": abnormal}

    @property
    def pseudo_count(self) -> int:
        """How many images val_pseudo_auroc is of: held-out normal ones, and an anomaly of each."""
        return 2 * int((self.val.labels == 0).sum()) if self.val else 0

    def to(self, device: str) -> "Split":
        """The split on a device; all splits of a data set share one copy of its images there."""
        val, test = (part.to(device) if part else None for part in (self.val, self.test))
        return Split(self.train.to(device), val, test)

    def reindexed(self, dataset: Dataset, kept: np.ndarray) -> "Split":
        """The same split with indices into `dataset`; the split's own data set is a subset of that.

        `kept`: the indices in `dataset` of the subset's training images.
        """
        places = np.concatenate([kept, np.arange(len(dataset.train_images), len(dataset.images))])
        source = dataset.image_array
        val, test = (
            part and replace(part, images=part.images.moved(source, places))  # type: ignore
            for part in (self.val, self.test)
        )
        return Split(self.train.moved(source, places), val, test)


def tasks_of(study: Study, dataset: Dataset) -> list[Task]:
    """The study's tasks: each class or category with each of its amounts.

    Raises UserError for a class that the data set does not have.
    """
    if dataset.categories:
        kind, classes = CATEGORY, dataset.categories
    elif guess := guessed(study, dataset):
        kind, classes = guess[0], (guess[1],)
    else:
        kind = ONE_CLASS if study.normal_class else LEAVE_ONE_CLASS_OUT
        classes = study.chosen_classes(dataset.classes)
        if kind == ONE_CLASS and "all" in study.normal_class:
            trained = set(dataset.train_labels.tolist())
            classes = tuple(name for k, name in enumerate(dataset.classes) if k in trained)
    return [
        Task(kind, cls, study.untrained_classes, **variant)
        for variant in variants(study)
        for cls in classes
    ]


def guessed(study: Study, dataset: Dataset) -> tuple[str, str] | None:
    """The kind and the class of the study's task, where the data set tells them and no flag does."""
    if dataset.categories or study.abnormal_class or study.normal_class:
        return None
    trained = [dataset.classes[k] for k in set(dataset.train_labels.tolist())]
    return suggested(dataset.classes, trained)


def guess_notes(study: Study, dataset: Dataset) -> list[str]:
    """A line that says which classes are normal, where no flag does."""
    if len(dataset.classes) < 2 or not (guess := guessed(study, dataset)):
        return []
    kind, cls = guess
    what, others = ("normal", "abnormal") if kind == ONE_CLASS else ("abnormal", "normal")
    return [
        f"{cls} is {what} and any other class {others} (or name one: --normal_class, --abnormal_class)"
    ]


def make_splits(
    dataset: Dataset, tasks: list[Task], protocol: Protocol, limit_test: int | None, seed: int
) -> tuple[Dataset, dict[Task, Split], list[str]]:
    """The data set whose images the tasks share, their splits, and which images take no part.

    Under the same seed, a task gets the training images that a study of its size alone would get,
    and a smaller task a subset of a larger one's. UserError as in `too_many`.
    """
    sizes = list(dict.fromkeys(task.limit_train for task in tasks))
    lines = too_many(dataset, sizes, limit_test)
    shared = dataset.limit(sizes[0] if len(sizes) == 1 else None, limit_test, seed)
    splits = {}
    for size in sizes:
        subset, kept = shared.limit(size, None, seed), shared.kept(size, seed)
        members = [task for task in tasks if task.limit_train == size]
        lines += left_out(subset, members, protocol)
        for task in members:
            split = make_split(subset, task, protocol, seed)
            splits[task] = split.reindexed(shared, kept)
    return shared, splits, list(dict.fromkeys(lines))


def make_split(dataset: Dataset, task: Task, protocol: Protocol, seed: int) -> Split:
    """The images that train, choose and test for a task; the same for the same seed.

    Where validation images choose the epoch, no two parts share an image (by content): training
    images that equal a test image or an earlier training image are left out.

    A task's `contamination` is the share of the images to train on that is abnormal; it leaves
    validation alone. Raises UserError where a part would be empty or lacks images.
    """
    own = dataset.classes.index(task.cls)
    leaves = f"'{task.name}' as {task.kind} task leaves"

    def abnormal(labels: np.ndarray) -> np.ndarray:
        return (labels == own) == (task.kind == LEAVE_ONE_CLASS_OUT)

    category = task.cls if task.kind == CATEGORY else ""
    trains, tests = (
        dataset.in_category(category, labels)
        for labels in (dataset.train_labels, dataset.test_labels)
    )
    rng = np.random.default_rng(seed)
    pool = usable(dataset, protocol)
    pool = pool[trains[pool]]
    is_abnormal = abnormal(dataset.train_labels[pool])
    normal = rng.permutation(pool[~is_abnormal])
    anomalies = rng.permutation(pool[is_abnormal])
    if len(normal) < 2:
        lost = int((trains & ~abnormal(dataset.train_labels)).sum()) - len(normal)
        why = ""
        if lost:
            why = f" ({lost} are left out: they equal test images or other training images)"
        if task.kind == LEAVE_ONE_CLASS_OUT and len(anomalies) == len(pool) and not lost:
            why = f" (all are of this class: did you mean --normal_class {task.cls}?)"
        raise UserError(f"{leaves} {len(normal) or 'no'} normal training images{why}")

    def images(indices: np.ndarray, classes: np.ndarray | None = None) -> IndexedImages:
        return IndexedImages(dataset.image_array, indices, classes=classes)

    val = None
    if protocol.selection == "val":
        fewest = min(FEWEST_HELD_OUT, round(len(normal) * MOST_HELD_OUT))
        held_out = max(1, fewest, round(len(normal) * HELD_OUT))
        val_normal, normal = normal[:held_out], normal[held_out:]
        val_abnormal, anomalies = np.split(anomalies, [max(held_out, FEWEST_ABNORMAL)])
        val_abnormal = limited(val_abnormal, task.limit_anomalies, leaves)
        indices = np.concatenate([val_normal, val_abnormal])
        labels = np.repeat([0, 1], [len(val_normal), len(val_abnormal)])
        if protocol.mixes_batches:
            mixed = np.random.default_rng(seed).permutation(len(labels))
            indices, labels = indices[mixed], labels[mixed]
        val = Labelled(images(indices), labels)

    contamination = task.contamination
    hidden = round(len(normal) * contamination / (1 - contamination))
    if contamination and not hidden:
        least = math.ceil(1000 / (len(normal) + 1)) / 1000  # one image
        raise UserError(
            f"--contamination: {leaves} {len(normal)} normal images to train on, and a share of "
            f"{contamination:g} adds none (give {least:g} or more)"
        )
    if hidden > len(anomalies):
        most = math.floor(1000 * len(anomalies) / (len(normal) + len(anomalies))) / 1000
        hint = f"give {most:g} or less" if most else "leave it out"
        raise UserError(
            f"--contamination: {leaves} {len(anomalies)} abnormal images to train on, and a share "
            f"of {contamination:g} takes {hidden} ({hint})"
        )
    chosen = np.sort(np.concatenate([normal, anomalies[:hidden]]))
    # The class of a hidden anomaly would give it away.
    classes = None if hidden else dataset.train_labels[chosen]
    train = images(chosen, classes)
    known = np.flatnonzero(tests & (dataset.test_labels >= 0))
    if not len(known) and protocol.selection == "val":
        return Split(train, val, None)
    others = [k for k in untrained(dataset, protocol) if task.leaves_out(dataset.classes[k])]
    known = known[~np.isin(dataset.test_labels[known], others)]
    # In image_array, the test images follow the training images.
    indices = len(dataset.train_images) + known
    labels = abnormal(dataset.test_labels[known]).astype(np.int64)
    if protocol.test_pool == "with_training":
        trained = np.flatnonzero(trains & abnormal(dataset.train_labels))
        extra = trained if val is None else np.sort(anomalies)  # without those that choose
        indices = np.concatenate([indices, extra])
        labels = np.concatenate([labels, np.ones(len(extra), np.int64)])
    if len(set(labels.tolist())) < 2:
        names = ", ".join(dataset.classes[k] for k in others)
        hint = ": --untrained_classes normal counts them as normal"
        hint = f" (no training images of {names}{hint})" if names else ""
        lacking = (
            f"normal test images{hint}" if labels.all() else "abnormal test images; leave it out"
        )
        raise UserError(f"{leaves} no {lacking}")
    order = rng.permutation(len(labels))
    if protocol.test_order == "sorted":
        # The classes of normal images stay mixed, as in CIFAR-10's own order: sorted by class,
        # whole batches would have one class, which batch normalisation in training mode would see.
        order = order[np.argsort(labels[order], kind="stable")]
    indices, labels = indices[order], labels[order]
    defects, masks = defects_and_masks(dataset, task, protocol, indices, labels)
    return Split(train, val, Labelled(images(indices), labels, defects, masks))


def limited(anomalies: np.ndarray, limit: int | None, leaves: str) -> np.ndarray:
    """The first `limit` of a task's abnormal validation images; UserError if there are fewer."""
    if limit is not None and limit > len(anomalies):
        hint = f"give {len(anomalies)} or less" if len(anomalies) else "leave it out"
        raise UserError(
            f"--limit_anomalies: {leaves} {len(anomalies)} abnormal images to choose by, not "
            f"{limit} ({hint})"
        )
    return anomalies[:limit]


def defects_and_masks(
    dataset: Dataset, task: Task, protocol: Protocol, indices: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """`defects` and `masks` (see Labelled) of these images of image_array.

    The abnormal classes are kinds of defects if the task is a category, or if none of them has
    training images. A single kind is not told apart: its figures would be the task's.
    """
    defects = masks = None
    n, abnormal = len(dataset.train_images), labels == 1
    classes = np.concatenate([dataset.train_labels, dataset.test_labels])[indices]
    kinds = set(classes[abnormal].tolist())
    if len(kinds) > 1 and (task.kind == CATEGORY or kinds <= set(untrained(dataset, protocol))):
        names = np.array([name.rpartition("/")[2] for name in dataset.classes])
        defects = np.where(abnormal, names[classes], "")
    if dataset.masks is not None:
        known = abnormal & (indices >= n)
        masks = dataset.masks[np.maximum(indices - n, 0)] & known[:, None, None]
    return defects, masks


def missing_mask_notes(splits: Mapping[Task, Split]) -> list[str]:
    """A line on the images that pixel metrics leave out, if there are any."""
    counts = []
    for task, split in splits.items():
        if split.test is not None and split.test.masks is not None:
            marked = split.test.masks[split.test.labels == 1].any(axis=(1, 2))
            if not marked.all():
                counts.append(f"{task.cls}: {(~marked).sum()} of {len(marked)}")
    if not counts:
        return []
    return [
        f"abnormal test images that no mask marks, or none at this size ({', '.join(counts)}): they "
        "are left out of pixel metrics"
    ]
