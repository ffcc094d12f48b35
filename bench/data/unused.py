"""Which images of a data set take no part in a study, or less than was asked for."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.choices.errors import UserError
from bench.choices.tasks import Protocol, Task
from bench.data.datasets import Dataset


def usable(dataset: Dataset, protocol: Protocol) -> np.ndarray:
    """int64: the indices of the training images that may train or choose."""
    if protocol.selection == "test":
        return np.arange(len(dataset.train_images))
    return np.flatnonzero(~np.logical_or(*dataset.duplicates))


def untrained(dataset: Dataset, protocol: Protocol) -> list[int]:
    """The classes that have test images but none to train on."""
    trained = dataset.train_labels[usable(dataset, protocol)]
    return sorted(set(dataset.test_labels.tolist()) - set(trained.tolist()) - {-1})


def left_out(dataset: Dataset, tasks: list[Task], protocol: Protocol) -> list[str]:
    """A line for each reason why images take no part, or take part twice."""

    def counted(chosen: np.ndarray) -> str:
        labels, counts = np.unique(dataset.train_labels[chosen], return_counts=True)
        sizes = zip(labels, counts, strict=True)
        classes = ", ".join(f"{dataset.classes[k]}: {n}" for k, n in sizes)
        return f"{chosen.sum()} of {len(chosen)} training images ({classes})"

    tested, repeated = dataset.duplicates
    facts = [(tested, "are in the test set too, and train all the same (--selection test)")]
    if protocol.selection == "val":
        facts = [
            (tested, "are left out: the test set holds the same images"),
            (repeated, "are left out: they equal another training image"),
        ]
    lines = [f"{counted(which)} {fact}" for which, fact in facts if which.any()]
    numbers = {*dataset.train_labels.tolist(), *dataset.test_labels.tolist()}
    if empty := [name for k, name in enumerate(dataset.classes) if k not in numbers]:
        lines.append(f"there are no images of {', '.join(empty)}")
    conflicts = copies = 0
    train, test = dataset.contents
    for trains, tests in dataset.by_category():
        content = np.concatenate([train[trains], test[tests]])
        labels = np.concatenate([dataset.train_labels[trains], dataset.test_labels[tests]])
        known = labels >= 0
        alike = pd.Series(labels[known]).groupby(content[known])
        conflicts += (alike.transform("nunique") > 1).sum()
        copies += pd.Series(test[tests]).duplicated().sum()
    if conflicts:
        lines.append(f"{conflicts} image(s) equal one of another class: are their labels right?")
    if copies:
        lines.append(f"{copies} test image(s) equal others, and each counts by itself")
    others = untrained(dataset, protocol)
    others = [k for k in others if any(task.leaves_out(dataset.classes[k]) for task in tasks)]
    if others:
        names = ", ".join(dataset.classes[k] for k in others)
        count = np.isin(dataset.test_labels, others).sum()
        lines.append(
            f"{names}: no training images, so not normal: the {count} test images are left out "
            "unless they are of the abnormal class (--untrained_classes normal counts them as "
            "normal)"
        )
    return lines


def too_many(
    dataset: Dataset, sizes: Sequence[int | None], limit_test: int | None = None
) -> list[str]:
    """A line where --limit_train or --limit_test asks for more images than there are.

    UserError if no category has that many training images, or if there are several sizes.
    """
    names, parts = dataset.categories or [""], dataset.by_category()
    trained, tested = (
        {name: int(part[k].sum()) for name, part in zip(names, parts, strict=True)} for k in (0, 1)
    )
    lines = [
        f"--limit_test: {limit_test} is more than the {count} test images"
        f"{f' of {name}' if name else ''}: all are kept"
        for name, count in tested.items()
        if limit_test and limit_test > count
    ]
    fewest, largest = min(trained, key=lambda name: trained[name]), max(size or 0 for size in sizes)
    if largest <= trained[fewest]:
        return lines
    owner = f" of {fewest}" if fewest else ""
    line = f"--limit_train: {largest} is more than the {trained[fewest]} training images{owner}"
    if len(sizes) > 1 or largest > max(trained.values()):
        raise UserError(line)
    return [*lines, f"{line}, which are all kept"]
