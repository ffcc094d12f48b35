"""Any folder of images: train/<class>/* and test/<class>/*, where a class may be in test/ only.

Images lying directly in train/ are the class "normal"; those lying directly in test/ have no label.
"""

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from rich.console import Console
from rich.progress import track

from bench.choices.errors import UserError
from bench.choices.names import legible, on_disk
from bench.data.datasets import Dataset, _decoding, smallest_size
from bench.data.datasets._decoding import Alpha, Decoding, Header
from bench.data.datasets._files import find_images, left_out

RECIPE = 2  # counts the ways in which files became arrays: kept arrays of another one are not taken

# Images uint8 (N, C, H, W), how they were decoded, and notes.
Content = tuple[np.ndarray, Decoding, list[str]]


def load(
    folder: Path, cache: Path, image_size: int | None, channels: int | None, resize: str
) -> Dataset:
    """The folder's images.

    Their size is `image_size`, or the one that fits most of the training images.

    Without `channels` they have one if all are grey, else three. Decoded images are kept in the
    folder `cache`, which may be deleted at any time. Raises UserError if there is no train/, no
    image in it, or an image that is no image.
    """
    names, others = _listed(folder)
    both = names["train"] + names["test"]
    of_class = list(map(_class_of, both))
    classes = tuple(sorted(set(of_class) - {""}))
    labels = np.array([classes.index(name) if name else -1 for name in of_class], np.int64)
    n = len(names["train"])
    paths = [folder / name for name in both]
    file = (
        cache / f"{folder.resolve().name}-{_key(folder, both, (image_size, channels, resize))}.npz"
    )
    images, decoding, notes = _kept(file) or _keep(
        file, _read(paths[:n], paths[n:], image_size, channels, resize)
    )
    return Dataset(
        legible(folder.resolve().name),
        classes,
        *(images[:n], labels[:n], images[n:], labels[n:]),
        decoding=decoding,
        notes=(*left_out(folder, others), *notes),
    )


def classes_in(folder: Path) -> tuple[str, ...]:
    """The folder's classes, without reading an image; UserError as in `load`."""
    names = _listed(folder)[0]
    return tuple(sorted(set(map(_class_of, names["train"] + names["test"])) - {""}))


def _listed(folder: Path) -> tuple[dict[str, list[Path]], Counter[str]]:
    """The images of train/ and test/, relative to the folder, and the other files by kind."""
    if not (folder / "train").is_dir():
        raise UserError(
            f"--dataset: {folder} has no folder train/ (wanted: train/<class>/* and test/<class>/*)"
        )
    names: dict[str, list[Path]] = {"train": [], "test": []}
    others: Counter[str] = Counter()
    for part in names:
        if (folder / part).exists():
            images_there, others_there = find_images(folder / part, "--dataset")
            names[part] = [Path(part) / name for name in images_there]
            others += others_there
    if not names["train"]:
        raise UserError(f"--dataset: there are no images in {folder / 'train'}")
    return names, others


def _class_of(name: Path) -> str:
    """The class of an image; "" where it has no label."""
    if len(name.parts) > 2:
        return legible(name.parts[1])
    return "normal" if name.parts[0] == "train" else ""


def read_images(
    folder: Path, size: int, channels: int, decoding: Decoding, flag: str = "--score_folder"
) -> tuple[list[str], np.ndarray, list[str]]:
    """All images in and below the folder: names in natural order, uint8 (N, C, H, W), and notes.

    `folder` may be an image's file instead. Raises UserError, which names `flag`, if there are no
    images, or one that is none.
    """
    folder = on_disk(folder)
    if not folder.exists():
        raise UserError(f"{flag}: {folder} does not exist")
    names: list[Path]
    if folder.is_dir():
        names, others = find_images(folder, flag)
    else:
        folder, names, others = folder.parent, [Path(folder.name)], Counter()
    if not names:
        raise UserError(f"{flag}: there are no images in {folder}")
    images, notes = _decode_all([folder / name for name in names], size, channels, decoding, flag)
    return [legible(name.as_posix()) for name in names], images, [*left_out(folder, others), *notes]


def _read(
    train: list[Path], test: list[Path], size: int | None, channels: int | None, resize: str
) -> Content:
    """All the images, decoded as the training images ask for."""
    headers: list[Header] = list(_each(_decoding.read_header, train + test))
    if size is None:
        side = max if resize == "pad" else min
        counts = Counter(smallest_size(side(header.size)) for header in headers[: len(train)])
        size = max(counts, key=lambda size: (counts[size], -size))
    channels = channels or (1 if all(header.grey for header in headers) else 3)

    training = list(zip(train, headers, strict=False))
    deep = [path for path, header in training if header.deep]
    bits = (
        _decoding.fewest_bits(max(_each(_decoding.read_largest, deep))) if deep else Decoding.bits
    )
    seen_through = [path for path, header in training if header.alpha]
    alphas: list[Alpha] = list(_each(partial(_decoding.read_alpha, bits=bits), seen_through))
    alphas += [Alpha(255, 255, 0, 0)] * (len(alphas) < len(train))
    decoding = Decoding(resize, bits, _decoding.background_for(alphas))

    images, notes = _decode_all(train + test, size, channels, decoding)
    if not deep and any(header.deep for header in headers):
        notes.append(f"no training image has more than 8 bits: the test images' {bits} are a guess")
    return images, decoding, notes


def _decode_all(
    paths: list[Path], size: int, channels: int, decoding: Decoding, flag: str = "--dataset"
) -> tuple[np.ndarray, list[str]]:
    """uint8 (N, C, H, W), and notes."""
    images = np.empty((len(paths), channels, size, size), np.uint8)
    call = partial(_decoding.decode, size=size, channels=channels, decoding=decoding)
    seen = []
    for i, (pixels, image) in enumerate(_each(call, paths, flag, "Reading images")):
        images[i] = pixels
        seen.append(image)
    return images, _decoding.notes(seen, size, decoding)


def _key(folder: Path, names: list[Path], choices: tuple) -> str:
    """What tells this very content, decoded in this way, from any other."""
    # It covers every file's bytes, not only its size and time: that takes a second or two for
    # 60,000 small files, and no edit, copy or restored backup can then be mistaken for the old
    # content.
    key = hashlib.sha256(repr((RECIPE, PIL.__version__, choices)).encode())
    digests = _each(
        lambda path: hashlib.sha256(path.read_bytes()).digest(), [folder / name for name in names]
    )
    for name, digest in zip(names, digests, strict=True):
        key.update(os.fsencode(name) + b"\0" + digest)
    return key.hexdigest()[:32]


def _kept(file: Path) -> Content | None:
    """What `_keep` wrote there."""
    try:
        with np.load(
            file, allow_pickle=False
        ) as arrays:  # a zip archive, so that damage is noticed by its checksum
            how = json.loads(str(arrays["made"]))
            return arrays["images"], Decoding(**how["decoding"]), how["notes"]
    except Exception:  # not there, or damaged in one of many ways
        return None


def _keep(file: Path, content: Content) -> Content:
    """Writes the file; where that cannot be, it only adds a note."""
    images, decoding, notes = content
    how = json.dumps({"decoding": asdict(decoding), "notes": notes})
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
            np.savez(Path(scratch) / "new.npz", images=images, made=np.array(how))
            os.replace(Path(scratch) / "new.npz", file)
    except OSError as error:
        reason = f"{file.parent} cannot be written: {error.strerror}"
        notes = [*notes, f"--dataroot: the decoded images are not kept for the next run ({reason})"]
    return images, decoding, notes


def _each(
    function: Callable[[Path], Any], paths: list[Path], flag: str = "--dataset", progress: str = ""
) -> Iterator[Any]:
    """`function(path)` for each path in order, in threads.

    A path that fails is named in a UserError.
    """

    def named(call: Callable[[Path], Any], path: Path) -> Any:
        try:
            return call(path)
        except Exception as error:  # PIL's decoders raise a dozen kinds for damaged files
            raise UserError(
                f"{flag}: cannot read {path}: {' '.join(str(error).split())}"
            ) from error

    # PIL decodes without Python's lock, but for small files handing the lock over costs more than
    # it gains: 60,000 CIFAR-10 JPEGs took 8 s in one thread and 15 s in four, 900x900 PNGs half as
    # long in two as in one.
    small = sum(named(os.path.getsize, path) for path in paths) < 2**15 * len(paths)
    console = Console(stderr=True)
    hidden = not (progress and console.is_terminal)
    with ThreadPool(1 if small else None) as pool:
        results = pool.imap(lambda path: named(function, path), paths, chunksize=64 if small else 1)
        yield from track(
            results, progress, total=len(paths), console=console, transient=True, disable=hidden
        )
