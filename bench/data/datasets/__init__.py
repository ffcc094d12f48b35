"""Image data sets.

The folder is the registry: a file here is a data set, and its name is its command-line name.

A data set file has CLASSES and `load(root) -> Dataset`, which gives square images of their native
size; CLASSES are there without what loading needs. It may have DEFAULTS: the hyperparameters that
suit its images, in the models that have them, where no flag says otherwise. Files whose names begin
with an underscore, and folder.py (any folder of images), are not named data sets.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.choices.errors import UserError, unknown
from bench.choices.names import on_disk
from bench.data.datasets._decoding import Decoding

if TYPE_CHECKING:
    from bench.data.images import ImageArray

NAMES = sorted(
    file.stem
    for file in Path(__file__).parent.glob("*.py")
    if file.stem != "folder" and not file.stem.startswith("_")
)
SIZES = (16, 32, 64, 128, 256)  # that every model takes


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
    few: bool = False  # so few and so small images that models learn them in their DIGITS_STEPS
    # uint8 (N + M, C, H, W): training images, then test images.
    images: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        images, n = np.concatenate([self.train_images, self.test_images]), len(self.train_images)
        for name, array in (
            ("images", images),
            ("train_images", images[:n]),
            ("test_images", images[n:]),
        ):
            object.__setattr__(self, name, array)  # the one way where a dataclass is frozen

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
        """16 hexadecimal digits of a SHA-256 over class names, images and labels, in order."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
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
            "train": len(self.train_images),
            "test": len(self.test_images),
            "image_shape": list(self.image_shape),
            "decoding": asdict(self.decoding),
            "notes": list(notes),
        }

    @cached_property
    def duplicates(self) -> tuple[np.ndarray, np.ndarray]:
        """Two bool (N,): training images that the test set holds too, and other repeats."""
        content = digests(self.train_images)
        tested = np.isin(content, digests(self.test_images))
        repeated = np.ones(len(content), bool)
        repeated[np.unique(content, return_index=True)[1]] = False
        return tested, repeated & ~tested

    def limit(self, train: int | None, test: int | None, seed: int = 0) -> "Dataset":
        """A class-balanced subset of `train` and `test` images in all; None keeps all.

        The same seed gives the same images. A class that is too small for its share is kept whole,
        and the others fill up. Images without a label count as a class of their own. UserError for
        fewer images than classes.
        """
        if train is None and test is None:
            return self
        trains = self.kept(train, seed)
        tests = _balanced(self.test_labels, test, seed, "--limit_test")
        return replace(
            self,
            train_images=self.train_images[trains],
            train_labels=self.train_labels[trains],
            test_images=self.test_images[tests],
            test_labels=self.test_labels[tests],
        )

    def kept(self, count: int | None, seed: int) -> np.ndarray:
        """int64: the training images that `limit` keeps; of fewer, a subset of those of more."""
        return _balanced(self.train_labels, count, seed, "--limit_train")


def check_form(image_size: int | None, channels: int | None) -> None:
    """UserError for images that no model takes."""
    if image_size is not None and not SIZES[0] <= image_size <= SIZES[-1]:
        raise UserError(f"--image_size: {image_size} is not between {SIZES[0]} and {SIZES[-1]}")
    if channels not in (None, 1, 3):
        raise UserError(f"--channels: {channels} is neither 1 nor 3")


def folder_of(name_or_folder: str, root: Path) -> Path | None:
    """The folder of images that is meant, which may be named relative to `root`.

    None for a named data set.

    UserError for what is neither.
    """
    if name_or_folder in NAMES:
        return None
    for path in (on_disk(Path(name_or_folder)), on_disk(root / name_or_folder)):
        if path.is_dir():
            return path
    if "/" in name_or_folder or "\\" in name_or_folder:
        raise UserError(f"--dataset: the folder {name_or_folder} does not exist")
    raise unknown("--dataset", name_or_folder, [*NAMES, "a folder of images"])


def classes_of(name_or_folder: str, root: Path) -> tuple[str, ...]:
    """The classes of a data set, without loading it; UserError as in `load`."""
    if path := folder_of(name_or_folder, root):
        from bench.data.datasets import folder

        return folder.classes_in(path)
    return import_module(f"{__name__}.{name_or_folder}").CLASSES


def defaults_of(name_or_folder: str) -> dict[str, Any]:
    """The hyperparameters that suit a data set's images, without loading it."""
    if name_or_folder not in NAMES:
        return {}
    return getattr(import_module(f"{__name__}.{name_or_folder}"), "DEFAULTS", {})


def load(
    name_or_folder: str,
    *,
    root: Path,
    image_size: int | None = None,
    channels: int | None = None,
    resize: str = Decoding.resize,
) -> Dataset:
    """The named data set, or the folder of images, as images (channels, image_size, image_size).

    `root` is where data sets lie, are downloaded to and are cached; a folder may be named relative
    to it. By default the size is the smallest of SIZES that holds the data's own, and the channels
    are the data's own. `resize` says how images become square (see Decoding). UserError for a
    choice that does not exist, and for data that cannot be read or downloaded.
    """
    check_form(image_size, channels)
    if path := folder_of(name_or_folder, root):
        from bench.data.datasets import folder

        return folder.load(path, root / ".cache", image_size, channels, resize)

    dataset: Dataset = import_module(f"{__name__}.{name_or_folder}").load(root)
    size = image_size or smallest_size(max(dataset.image_shape[1:]))
    train, test = (
        _recolour(_resize(images, size), channels)
        for images in (dataset.train_images, dataset.test_images)
    )
    return replace(dataset, train_images=train, test_images=test, decoding=Decoding(resize))


def digests(images: np.ndarray) -> np.ndarray:
    """A content hash of each image: (N, C, H, W) -> (N,)."""
    return np.array(
        [hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images],
        dtype="U32",
    )


def smallest_size(side: int) -> int:
    """The smallest of SIZES that is at least `side` pixels; the largest if none is."""
    return next((size for size in SIZES if size >= side), SIZES[-1])


def _resize(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 (N, C, H, W) -> (N, C, size, size), bilinear and antialiased."""
    if images.shape[2:] == (size, size):
        return images

    import torch  # it takes seconds, and names are had without it
    from torch.nn.functional import interpolate

    def resize(chunk: np.ndarray) -> np.ndarray:
        pixels = interpolate(
            torch.from_numpy(chunk).float(), (size, size), mode="bilinear", antialias=True
        )
        return pixels.round().clamp(0, 255).byte().numpy()

    return _in_chunks(resize, images)


def _recolour(images: np.ndarray, channels: int | None) -> np.ndarray:
    """uint8 (N, 1 or 3, H, W) -> (N, channels, H, W)."""
    if channels in (None, images.shape[1]):
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=1)
    luma = np.array([299, 587, 114], np.float32).reshape(3, 1, 1) / 1000  # ITU-R 601, as in PIL
    return _in_chunks(
        lambda chunk: (chunk * luma).sum(axis=1, keepdims=True).round().astype(np.uint8), images
    )


def _in_chunks(convert: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """`convert(images)`, a thousand at a time, so that the float copies stay small."""
    return np.concatenate(
        [convert(images[start : start + 1000]) for start in range(0, max(len(images), 1), 1000)]
    )


def _balanced(labels: np.ndarray, count: int | None, seed: int, flag: str) -> np.ndarray:
    """int64: sorted indices of `count` labels, of each class as many as sizes allow."""
    if count is None or count >= len(labels):
        return np.arange(len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    if count < len(classes):
        raise UserError(
            f"{flag}: {count} is less than one image for each of the {len(classes)} classes"
        )
    random = np.random.default_rng(seed)
    shuffled = [random.permutation(np.flatnonzero(labels == value)) for value in classes]
    chosen: list[int] = []
    smallest_first = np.argsort(sizes, kind="stable")
    for left, k in zip(range(len(classes), 0, -1), smallest_first, strict=True):
        chosen.extend(shuffled[k][: (count - len(chosen)) // left])
    return np.sort(np.array(chosen))
