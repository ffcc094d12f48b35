"""Which images a folder has, of which class, and which masks.

train/<class>/* and test/<class>/*, with the test images' masks in ground_truth/<class>/*; or
several such folders side by side, one for each category, as MVTec AD has them (Bergmann et al.,
CVPR 2019).
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.choices.errors import UserError, unknown
from bench.choices.names import legible, on_disk
from bench.choices.tasks import NORMAL
from bench.data.datasets._files import find_images, is_junk, no_images

PARTS = {"train", "test", "ground_truth"}
MARK = "_mask"  # ends the names of masks in MVTec AD
UNSORTED = {"train": "normal", "test": ""}  # the class of images that lie in no folder of their own


class Item(NamedTuple):
    """An image's file, its class ("": none known), and the masks that together mark its anomaly."""

    path: Path
    cls: str
    masks: tuple[Path, ...] = ()


def categories_of(folder: Path, given: Sequence[str] = ()) -> tuple[str, ...]:
    """The folder's categories in order, or the `given` ones of them; none where it has a train/.

    UserError for a folder without any train/, and for a category that it lacks.
    """
    if (folder / "train").is_dir():
        if given:
            raise UserError(f"--category: {folder} has none, it has a folder train/ itself")
        return ()
    known = [legible(name) for name, is_category in _folders(folder).items() if is_category]
    if not known:
        raise UserError(
            f"--dataset: {folder} has no folder train/ (wanted: train/<class>/* and "
            f"test/<class>/*, or <category>/train/{NORMAL}/* and <category>/test/<defect>/*)"
        )
    names = set(map(legible, given or ["all"]))
    if strange := sorted(names - {*known, "all"}):
        raise unknown("--category", strange[0], known)
    return tuple(name for name in known if names & {name, "all"})


def items_of(
    folder: Path, categories: Sequence[str]
) -> tuple[list[Item], list[Item], Counter[str]]:
    """Training and test images of the folder, or of its `categories`; other files, by kind.

    A category's normal class is called like the category, a defect `<category>/<defect>`.
    UserError where there is nothing to train on, or where it is unclear what is normal.
    """
    train, test, others = [], [], Counter[str]()
    if categories and (lacking := sum(not is_one for is_one in _folders(folder).values())):
        others["folder(s) without train/"] = lacking
    for category in categories or [""]:
        top = on_disk(folder / category)
        beside = {name for name in _folders(top) if not is_junk(name)} - PARTS
        others.update(f"folder {name}/ beside train/" for name in beside)
        trained, tested = _items(top, "train", others), _items(top, "test", others)
        if not trained:
            raise no_images("--dataset", top / "train", others)
        trained = _in_folders(trained, top / "train", others)
        tested = _in_folders(tested, top / "test", others)
        if category:
            names = {_normal(top, trained, tested): category, "": ""}
            trained, tested = (
                [item._replace(cls=names.get(item.cls, f"{category}/{item.cls}")) for item in items]
                for items in (trained, tested)
            )
        train += trained
        test += tested
    return train, test, others


def _folders(folder: Path) -> dict[str, bool]:
    """The folders in it, and whether each has a train/."""
    try:
        names = sorted((n for n in os.listdir(folder) if not n.startswith(".")), key=legible)
    except OSError as error:
        raise UserError(f"--dataset: cannot list {folder}: {error.strerror}") from None
    return {
        name: os.path.isdir(folder / name / "train")
        for name in names
        if os.path.isdir(folder / name)
    }


def _items(top: Path, part: str, others: Counter[str]) -> list[Item]:
    """The images in train/ or test/ in natural order; counts other files."""
    folder = top / part
    if not folder.exists():
        return []
    names, other_files = find_images(folder, "--dataset")
    others.update(other_files)
    masks = _masks(top / "ground_truth", names, others) if part == "test" else {}
    return [
        Item(
            folder / name,
            legible(name.parts[0]) if len(name.parts) > 1 else UNSORTED[part],
            tuple(masks.get(name.with_suffix(""), ())),
        )
        for name in names
    ]


def _in_folders(items: list[Item], part: Path, others: Counter[str]) -> list[Item]:
    """The items in folders of classes, or all if none is; counts the others, directly in `part`."""
    inside = [item for item in items if item.path.parent != part]
    if inside and len(inside) < len(items):
        others[f"directly in {part.name}/, beside folders of classes"] += len(items) - len(inside)
    return inside or items


def _masks(folder: Path, images: list[Path], others: Counter[str]) -> dict[Path, list[Path]]:
    """The masks by the path of their image below test/, without suffix.

    Of crack/1.png: crack/1_mask.png as in MVTec AD, crack/1.png as in VisA, crack/1/*.png as in
    MVTec LOCO AD. Next best is an image of the same legible name: file systems differ in accents.
    """
    if not folder.is_dir():
        return {}
    masks: dict[Path, list[Path]] = {name.with_suffix(""): [] for name in images}
    alike = {legible(str(image)): image for image in masks}
    names, other_files = find_images(folder, "--dataset")
    others.update(other_files)
    for name in names:
        own = name.with_suffix("")
        is_marked = own.name[1:].lower().endswith(MARK)
        plain = own.with_name(own.name[: -len(MARK)]) if is_marked else own
        candidates = [own, plain, name.parent]
        candidates += [alike[key] for key in map(legible, map(str, candidates)) if key in alike]
        if image := next((image for image in candidates if image in masks), None):
            masks[image].append(folder / name)
        else:
            others[f"in {folder.name}/ (masks of no test image)"] += 1
    return masks


def _normal(top: Path, train: list[Item], test: list[Item]) -> str:
    """A category's normal class: good, or the only training class if it is (or could be) tested."""
    trained, tested = ({item.cls for item in items} - {""} for items in (train, test))
    if NORMAL in trained:
        return NORMAL
    if len(trained) == 1 and (trained <= tested or not tested):
        return trained.pop()
    raise UserError(
        f"--dataset: {top / 'train'} has no folder {NORMAL}, so what is normal there is unclear "
        f"(it has: {', '.join(sorted(trained))})"
    )
