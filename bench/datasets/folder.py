"""Any folder of images: train/<class>/* and test/<class>/*, where a class may be in test/ only.

Images lying directly in train/ are the class "normal"; those lying directly in test/ have no label.
"""

import hashlib
import io
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageOps
from rich.console import Console
from rich.progress import track

from bench.datasets import Dataset, smallest_size
from bench.errors import UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".pgm", ".ppm"}
SIXTEEN_BIT = {"I", "I;16", "I;16L", "I;16B", "I;16N"}  # PIL's names
GREY = {"1", "L", "LA"} | SIXTEEN_BIT


def load(folder: Path, cache: Path, image_size: int | None, channels: int | None) -> Dataset:
    """The folder's images; their size is `image_size`, or fits the native one if all are alike, or is 32.

    Without `channels` they have one if all are grey, else three. Decoded images are kept in the folder `cache`, which
    may be deleted at any time. Raises UserError if there is no train/, no image in it, or an image that is no image.
    """
    if not (folder / "train").is_dir():
        raise UserError(f"--dataset: {folder} has no folder train/ (wanted: train/<class>/* and test/<class>/*)")
    train = [Path("train") / name for name in _find(folder / "train")]
    test = [Path("test") / name for name in _find(folder / "test")] if (folder / "test").exists() else []
    if not train:
        raise UserError(f"--dataset: there are no images in {folder / 'train'}")

    unlabelled = {"train": "normal", "test": ""}
    names = [name.parts[1] if len(name.parts) > 2 else unlabelled[name.parts[0]] for name in train + test]
    classes = tuple(sorted(set(names) - {""}))
    labels = np.array([classes.index(name) if name else -1 for name in names], np.int64)
    images = _cached(folder, train + test, cache, image_size, channels)
    n = len(train)
    return Dataset(folder.resolve().name, classes, images[:n], labels[:n], images[n:], labels[n:])


def read_images(folder: Path, image_size: int, channels: int) -> tuple[list[str], np.ndarray]:
    """All images in the folder and below it: their relative names in natural order, and uint8 (N, C, H, W).

    Raises UserError if there are none, or one that is no image.
    """
    if not folder.is_dir():
        raise UserError(f"the folder {folder} does not exist")
    names = _find(folder)
    if not names:
        raise UserError(f"there are no images in {folder}")
    return [name.as_posix() for name in names], _decode_all([folder / name for name in names], image_size, channels)


def _find(folder: Path) -> list[Path]:
    """The images in the folder and below it, relative to it, in natural order: 2.jpg before 10.jpg."""

    def fail(error: OSError) -> None:
        raise UserError(f"--dataset: cannot list {error.filename}: {error.strerror}")

    found = []
    for parent, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            (Path(parent) / name).relative_to(folder)
            for name in files
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]

    def natural(path: Path) -> tuple[list[int | str], str]:
        words = re.split(r"(\d+)", path.as_posix())  # every second one is a number
        return [int(word) if i % 2 else word for i, word in enumerate(words)], path.as_posix()

    return sorted(found, key=natural)


def _cached(folder: Path, names: list[Path], cache: Path, image_size: int | None, channels: int | None) -> np.ndarray:
    """uint8 (N, C, H, W): the images, decoded only if this very content has not been decoded before."""
    # The key covers every file's bytes, not only its size and time: that takes a second or two for 60,000 small
    # files, and no edit, copy or restored backup can then be mistaken for the old content.
    key = hashlib.sha256(repr((PIL.__version__, image_size, channels)).encode())
    digests = _each(lambda path: hashlib.sha256(path.read_bytes()).digest(), [folder / name for name in names])
    for name, digest in zip(names, digests, strict=True):
        key.update(os.fsencode(name) + b"\0" + digest)
    file = cache / f"{folder.resolve().name}-{key.hexdigest()[:32]}.npz"
    try:
        with np.load(file, allow_pickle=False) as arrays:  # a zip archive, so that damage is noticed by its checksum
            return arrays["images"]
    except Exception:  # not there, or damaged in one of many ways
        images = _decode_all([folder / name for name in names], image_size, channels)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            np.savez(Path(scratch) / "new.npz", images=images)
            os.replace(Path(scratch) / "new.npz", file)
    except OSError as error:
        warnings.warn(f"the decoded images are not kept for the next run: {error}", stacklevel=2)
    return images


def _decode_all(paths: list[Path], image_size: int | None, channels: int | None) -> np.ndarray:
    """uint8 (N, C, H, W)."""
    if image_size is None or channels is None:
        kinds = set(_each(_inspect, paths))
        sides = {side for side, _ in kinds}
        image_size = image_size or (smallest_size(min(*sides.pop())) if len(sides) == 1 else 32)
        channels = channels or (1 if all(grey for _, grey in kinds) else 3)
    images = np.empty((len(paths), channels, image_size, image_size), np.uint8)
    for i, image in enumerate(_each(lambda path: _decode(path, image_size, channels), paths, "Reading images")):
        images[i] = image
    return images


def _inspect(path: Path) -> tuple[tuple[int, ...], bool]:
    """The two sides as they will be shown, and whether the image is grey: from the file's header."""
    with Image.open(path) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        return image.size[::-1] if turned else image.size, image.mode in GREY


def _decode(path: Path, size: int, channels: int) -> np.ndarray:
    """uint8 (channels, size, size): the shorter side resized to `size`, then the centre.

    The same pixels as torchvision's Resize and CenterCrop, without torchvision, which takes seconds to import.
    """
    with Image.open(io.BytesIO(path.read_bytes())) as file:
        file.load()
        image = ImageOps.exif_transpose(file)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range: save it with 8 or 16 bits")
    if image.mode in SIXTEEN_BIT:
        image = Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8))
    if image.mode == "P":
        image = image.convert("RGBA")  # PIL warns where it drops a palette's transparency in one step
    if image.mode not in GREY:
        image = image.convert("RGB")
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        width, height = (int(size * side / min(image.size)) for side in image.size)
        left, top = round((width - size) / 2), round((height - size) / 2)
        box = (left, top, left + size, top + size)
        image = image.resize((width, height), Image.Resampling.BILINEAR).crop(box)
    return np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1)


def _each(function: Callable[[Path], Any], paths: list[Path], progress: str = "") -> Iterator[Any]:
    """`function(path)` for each path in order, in threads; a path that fails is named in a UserError."""

    def named(call: Callable[[Path], Any], path: Path) -> Any:
        try:
            return call(path)
        except Exception as error:  # PIL's decoders raise a dozen kinds for damaged files
            raise UserError(f"--dataset: cannot read {path}: {' '.join(str(error).split())}") from error

    # PIL decodes without Python's lock, but for small files handing the lock over costs more than it gains: 60,000
    # CIFAR-10 JPEGs took 8 s in one thread and 15 s in four, 900x900 PNGs half as long in two as in one.
    small = sum(named(os.path.getsize, path) for path in paths) < 2**15 * len(paths)
    console = Console(stderr=True)
    hidden = not (progress and console.is_terminal)
    with ThreadPool(1 if small else None) as pool:
        results = pool.imap(lambda path: named(function, path), paths, chunksize=64 if small else 1)
        yield from track(results, progress, total=len(paths), console=console, transient=True, disable=hidden)
