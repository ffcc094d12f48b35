"""A data set in a Python file outside this project."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.choices import outside
from bench.choices.errors import UserError
from bench.data.datasets import Dataset


def load(path: str, root: Path) -> Dataset:
    """What the file's `load(root)` gives, named after the file.

    UserError for an error in it, or for arrays that are not a Dataset's.
    """
    file = outside.file("dataset", path)
    module = file.load()
    try:
        dataset = module.load(root)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise file.fault(error) from None
    if reason := mistake(dataset, module.CLASSES):
        raise UserError(f"--dataset: {path}: load(root) {reason}")
    return replace(dataset, name=file.name, classes=module.CLASSES)


def mistake(dataset: object, classes: Sequence[str]) -> str | None:
    """What is wrong with what `load` gave; None where nothing is."""
    if not isinstance(dataset, Dataset):
        return f"gives no bench.data.datasets.Dataset but a {type(dataset).__name__}"
    if not isinstance(dataset.classes, list | tuple):
        return f"gives classes as a {type(dataset.classes).__name__}; they must be a tuple of names"
    if tuple(dataset.classes) != tuple(classes):
        return f"gives the classes {', '.join(map(str, dataset.classes))}, not those of CLASSES"
    if unfit := [name for name in classes if "/" in name or not name.strip()]:
        return f"gives a class called '{unfit[0]}', and runs' files are named after classes"
    for part, first in (("train", 0), ("test", -1)):
        images: np.ndarray = getattr(dataset, f"{part}_images")
        labels: np.ndarray = getattr(dataset, f"{part}_labels")
        if not isinstance(labels, np.ndarray):
            return f"gives {part}_labels as a {type(labels).__name__}; they must be an array"
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            given = f"{images.dtype} {images.shape}"
            cast = ": np.round(255 * x).astype(np.uint8), where x is 0 to 1"
            hint = cast if images.dtype.kind == "f" else ""
            return f"gives {part}_images {given}; they must be uint8 (N, 1 or 3, H, W){hint}"
        if images.size and images.max() == 1:
            return f"gives {part}_images of pixels 0 and 1; they must be 0 to 255"
        if images.shape[2] != images.shape[3]:
            return (
                f"gives {part}_images of {images.shape[2]} x {images.shape[3]}; they must be square"
            )
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            given = f"{labels.dtype} {labels.shape}"
            return f"gives {part}_labels {given}; they must be int64 ({len(images)},)"
        if len(labels) and not first <= labels.min() <= labels.max() < len(classes):
            return f"gives {part}_labels that are no index into CLASSES"
    if (masks := dataset.masks) is not None:
        wanted = (len(dataset.test_images), *dataset.test_images.shape[2:])
        array = np.asarray(masks)
        if array is not masks or array.dtype != bool or array.shape != wanted:
            return f"gives masks {array.dtype} {array.shape}; they must be a bool array {wanted}"
    return None
