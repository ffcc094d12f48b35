"""Image data sets.

The folder is the registry: a file here is a data set, and its name is its command-line name.

A data set file has CLASSES and `load(root) -> Dataset`, which gives square images of their native
size; CLASSES can be imported without the packages that loading needs. It may have DEFAULTS: the
hyperparameters that suit its images where no flag says otherwise, in the models that have them or, as
`model.hyperparameter`, in one. Files whose names begin with an underscore, and folder.py (any folder
of images), are not named data sets.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import models
from bench.choices import outside
from bench.choices.errors import UserError, unknown
from bench.choices.image_size import ImageSize, sides
from bench.choices.names import on_disk
from bench.data.datasets._decoding import Decoding
from bench.data.datasets._pixels import hashes, joined, nearest_pixels, recoloured, resized
from models.sizes import MAX_SIDE, MIN_SIDE

if TYPE_CHECKING:
    from bench.data.images import ImageArray

NAMES = sorted(
    file.stem
    for file in Path(__file__).parent.glob("*.py")
    if file.stem != "folder" and not file.stem.startswith("_")
)
SIZES = (16, 32, 64, 128, 256)  # every model takes these; the default size is one of them


@dataclass(frozen=True, eq=False)
class Dataset:
    """A labelled image data set with its official train/test split, in memory.

    `train_images` and `test_images` become views of one array, `images`, which splits index.
    """

    name: str
    classes: tuple[str, ...]
    train_images: np.ndarray  # uint8 (N, C, H, W)
    train_labels: np.ndarray  # int64 (N,): index into classes
    test_images: np.ndarray  # uint8 (M, C, H, W)
    test_labels: np.ndarray  # int64 (M,): index into classes; -1: no label known
    # How image files were decoded; new ones that its models score are decoded alike.
    decoding: Decoding = field(default_factory=Decoding)
    notes: tuple[str, ...] = ()  # what was left out, scaled, cropped or guessed
    few: bool = False  # few and small images: models train for DIGITS_STEPS, not STEPS
    # Of folders only: each a task, with a normal class of that name and the defects `<category>/…`.
    categories: tuple[str, ...] = ()
    masks: np.ndarray | None = None  # bool (M, H, W): where test images are anomalous, if known
    # uint8 (N + M, C, H, W): training images, then test images.
    images: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        images, n = joined(self.train_images, self.test_images), len(self.train_images)
        views = {"images": images, "train_images": images[:n], "test_images": images[n:]}
        for name, array in views.items():
            object.__setattr__(self, name, array)  # the only way in a frozen dataclass

    @cached_property
    def image_array(self) -> "ImageArray":
        """`images` as all splits of this data set share them."""
        from bench.data.images import ImageArray  # needs torch, which takes seconds to import

        return ImageArray(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.train_images.shape[1:]

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of a SHA-256 over class names, images, labels and masks."""
        digest = hashlib.sha256(repr(self.classes).encode())
        arrays = [self.train_images, self.train_labels, self.test_images, self.test_labels]
        for array in arrays if self.masks is None else [*arrays, self.masks]:
            digest.update(repr((array.dtype.str, array.shape)).encode())
            digest.update(np.ascontiguousarray(array).data)  # tobytes() would copy all images
        return digest.hexdigest()[:16]

    def description(self, notes: Sequence[str]) -> dict[str, Any]:
        """What a reader needs to judge a figure by.

        `notes`: what was done to the images, a line each.
        """
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "classes": list(self.classes),
            "categories": list(self.categories),
            "train": len(self.train_images),
            "test": len(self.test_images),
            "image_shape": list(self.image_shape),
            "decoding": asdict(self.decoding),
            "notes": list(notes),
        }

    @cached_property
    def duplicates(self) -> tuple[np.ndarray, np.ndarray]:
        """Two bool (N,): training images that the test set holds too, and other repeats.

        Each category is compared by itself, as it is a task of its own.
        """
        train, test = self.contents
        tested, first = np.zeros((2, len(train)), bool)
        for trains, tests in self.by_category():
            places = np.flatnonzero(trains)
            tested[places] = np.isin(train[places], test[tests])
            first[places[np.unique(train[places], return_index=True)[1]]] = True
        return tested, ~first & ~tested

    @cached_property
    def contents(self) -> tuple[np.ndarray, np.ndarray]:
        """A hash of each training image's content, (N,), and of each test image's, (M,)."""
        return hashes(self.train_images), hashes(self.test_images)

    def by_category(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each category, or once for all images: bool masks of its training and test images."""
        names = self.categories or [""]
        both = (self.train_labels, self.test_labels)
        return [tuple(self.in_category(name, labels) for labels in both) for name in names]  # type: ignore[misc]

    def limit(self, train: int | None, test: int | None, seed: int = 0) -> "Dataset":
        """A class-balanced subset of `train` and `test` images, of each category; None keeps all.

        The same seed gives the same images. A class that is too small for its share is kept whole,
        and the others fill up. Images without a label count as a class of their own. UserError for
        fewer images than classes.
        """
        trains = self.kept(train, seed)
        tests = self._of_each_category(self.test_labels, test, seed, "--limit_test")
        if len(trains) + len(tests) == len(self.images):
            return self
        images = self.images[np.concatenate([trains, len(self.train_images) + tests])]
        return replace(
            self,
            train_images=images[: len(trains)],
            train_labels=self.train_labels[trains],
            test_images=images[len(trains) :],
            test_labels=self.test_labels[tests],
            masks=None if self.masks is None else self.masks[tests],
        )

    def kept(self, count: int | None, seed: int) -> np.ndarray:
        """int64: the training images that `limit` keeps; a larger count keeps these, and more."""
        return self._of_each_category(self.train_labels, count, seed, "--limit_train")

    def _of_each_category(
        self, labels: np.ndarray, count: int | None, seed: int, flag: str
    ) -> np.ndarray:
        """int64: sorted indices of `count` labels of each category, or all; classes in equal shares."""
        if count is None:
            return np.arange(len(labels))
        parts = [np.flatnonzero(self.in_category(name, labels)) for name in self.categories or [""]]
        chosen = [part[_balanced(labels[part], count, seed, flag)] for part in parts]
        return np.sort(np.concatenate(chosen))

    def in_category(self, category: str, labels: np.ndarray) -> np.ndarray:
        """bool (N,): which of the labels (N,) are of the category's classes; of "", all are."""
        own = [name.partition("/")[0] == category for name in self.classes]
        return np.isin(labels, np.flatnonzero(own)) | (not category)


def check_form(image_size: ImageSize | None, channels: int | None) -> None:
    """UserError for a size or a number of channels that no model takes."""
    if image_size is not None and not all(MIN_SIDE <= s <= MAX_SIDE for s in sides(image_size)):
        raise UserError(f"--image_size: {image_size} is not between {MIN_SIDE} and {MAX_SIDE}")
    if channels not in (None, 1, 3):
        raise UserError(f"--channels: {channels} is neither 1 nor 3")


def check_square(name: str, image_size: ImageSize | None) -> None:
    """UserError for another size of the square images of a named data set."""
    if image_size and len(set(sides(image_size))) > 1:
        raise UserError(f"--image_size: the images of {name} are square (give one number)")


def folder_of(name_or_folder: str, root: Path) -> Path | None:
    """The folder of images of this name, which may be relative to `root`.

    None for a named data set, or one in a Python file. UserError for what is neither.
    """
    if name_or_folder in NAMES or outside.is_file(name_or_folder):
        return None
    for path in (on_disk(Path(name_or_folder)), on_disk(root / name_or_folder)):
        if path.is_dir():
            return path
    if "/" in name_or_folder or "\\" in name_or_folder:
        raise UserError(f"--dataset: the folder {name_or_folder} does not exist")
    raise unknown("--dataset", name_or_folder, [*NAMES, "a folder of images", "a Python file"])


def classes_of(name: str) -> tuple[str, ...]:
    """The classes of a named data set, without loading it; UserError where they are no names."""
    classes = outside.module("dataset", name).CLASSES
    named = isinstance(classes, tuple) and all(isinstance(cls, str) for cls in classes)
    if not (named and classes):
        raise UserError(f"--dataset: {name}: CLASSES must be a tuple of names")
    if len(set(classes)) < len(classes):
        raise UserError(f"--dataset: {name}: CLASSES has a name twice")
    return classes


def defaults_of(name_or_folder: str) -> dict[str, Any]:
    """The hyperparameters that suit a data set's images, without loading it."""
    if not (name_or_folder in NAMES or outside.is_file(name_or_folder)):
        return {}
    values = getattr(outside.module("dataset", name_or_folder), "DEFAULTS", {})
    if name_or_folder in NAMES:
        return values
    if not (isinstance(values, dict) and all(isinstance(key, str) for key in values)):
        raise UserError(f"--dataset: {name_or_folder}: DEFAULTS must be a dict by hyperparameter")
    for key, value in values.items():
        model, _, name = key.rpartition(".")
        # A model that is not known here may be a user's own file.
        owners = {model} & {*models.NAMES} if model else models.NAMES
        known = dict(item for owner in owners for item in models.hyperparameters(owner).items())
        where = f"--dataset: {name_or_folder}: DEFAULTS"
        if known and name not in known:
            raise unknown(where, name, sorted(known))
        kind: type = known[name].type if known else object
        if not isinstance(value, (int, float) if kind is float else kind):
            raise UserError(f"{where}: {key} must be of type {kind.__name__}, not {value!r}")
        try:
            models.fields.check(name, kind, value)
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
    return values


def load(
    name_or_folder: str,
    *,
    root: Path,
    image_size: ImageSize | None = None,
    channels: int | None = None,
    resize: str = Decoding.resize,
    categories: Sequence[str] = (),
) -> Dataset:
    """The named data set, or the folder of images, as images of this size and so many channels.

    `root` is where data sets lie, are downloaded to and are cached; a folder may be named relative
    to it. By default the size is the smallest of SIZES that holds the data's own, and the channels
    are theirs. `resize` says how images get other proportions (see Decoding); `categories`: of a
    folder that has some, only these. UserError for a choice that does not exist, and for data that
    cannot be read or downloaded.
    """
    check_form(image_size, channels)
    if path := folder_of(name_or_folder, root):
        from bench.data.datasets import folder

        return folder.load(path, root / ".cache", image_size, channels, resize, categories)
    check_square(name_or_folder, image_size)
    if outside.is_file(name_or_folder):
        from bench.data.datasets._outside import load as load_file

        dataset = load_file(name_or_folder, root)
    else:
        dataset = outside.module("dataset", name_or_folder).load(root)
    size = sides(image_size)[0] if image_size else smallest_size(max(dataset.image_shape[1:]))
    images = recoloured(resized(dataset.images, size), channels)
    return replace(
        dataset,
        train_images=images[: len(dataset.train_images)],
        test_images=images[len(dataset.train_images) :],
        masks=None if dataset.masks is None else nearest_pixels(dataset.masks, size),
        decoding=Decoding(resize),
    )


def smallest_size(side: int) -> int:
    """The smallest of SIZES that is at least `side` pixels; the largest if none is."""
    return next((size for size in SIZES if size >= side), SIZES[-1])


def _balanced(labels: np.ndarray, count: int, seed: int, flag: str) -> np.ndarray:
    """int64: sorted indices of `count` labels, in shares as equal as the classes' sizes allow."""
    if count >= len(labels):
        return np.arange(len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    if count < len(classes):
        raise UserError(f"{flag}: {count} is not one image for each of the {len(classes)} classes")
    random = np.random.default_rng(seed)
    shuffled = [random.permutation(np.flatnonzero(labels == value)) for value in classes]
    chosen: list[int] = []
    smallest_first = np.argsort(sizes, kind="stable")
    for left, k in zip(range(len(classes), 0, -1), smallest_first, strict=True):
        chosen.extend(shuffled[k][: (count - len(chosen)) // left])
    return np.sort(np.array(chosen))
