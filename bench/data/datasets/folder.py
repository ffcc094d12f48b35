"""Any folder of images: train/<class>/* and test/<class>/*, where a class may be in test/ only.

Images lying directly in train/ are the class "normal"; those lying directly in test/ have no label.
If train/ (or test/) also has folders of classes, the images directly in it are left out.
Masks and categories: see _layout.py.
"""

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from rich.console import Console
from rich.progress import track

from bench.choices.errors import UserError
from bench.choices.image_size import ImageSize, sides
from bench.choices.names import legible
from bench.data.datasets import Dataset, _cache, _decoding, smallest_size
from bench.data.datasets._cache import Content
from bench.data.datasets._decoding import Alpha, Decoded, Decoding, Header
from bench.data.datasets._files import images_in, left_out, named
from bench.data.datasets._layout import Item, categories_of, items_of
from models.sizes import Size

SAMPLED = 1000  # files whose sizes tell whether threads read faster
RECIPE = 5  # raise it when decoding changes: arrays cached under an older one are not used


def load(
    folder: Path,
    cache: Path,
    image_size: ImageSize | None,
    channels: int | None,
    resize: str,
    categories: Sequence[str] = (),
) -> Dataset:
    """The folder's images, or those of its `categories`.

    Their size is `image_size`, or the square one that fits most of the training images.

    Without `channels` they have one if all are grey, else three. Decoded images are kept in the
    folder `cache`, which may be deleted at any time. Raises UserError if there is no train/, no
    image in it, a file that cannot be read, or a mask that does not fit its image.
    """
    categories = categories_of(folder, categories)
    train, test, others = items_of(folder, categories)
    both, n = train + test, len(train)
    classes = _classes(train, test)
    labels = np.array([classes.index(item.cls) if item.cls else -1 for item in both], np.int64)
    files = [item.path for item in both] + [mask for item in both for mask in item.masks]
    key = _key(folder, files, (image_size, channels, resize))
    name = folder.resolve().name
    file = cache / f"{name}-{key}.npz"
    size = sides(image_size) if image_size else None
    content = _cache.read(file)
    if content is None:
        with _pillows_warnings() as warned:
            content = _read(train, test, size, channels, resize)
        content = _cache.write(file, content._replace(notes=[*content.notes, *warned]))
    images = content.images
    return Dataset(
        legible(name),
        classes,
        images[:n],
        labels[:n],
        images[n:],
        labels[n:],
        decoding=content.decoding,
        notes=(*left_out(folder, others), *content.notes),
        categories=categories,
        masks=content.masks,
    )


def classes_in(folder: Path) -> tuple[tuple[str, ...], set[str]]:
    """The classes of a folder without categories, and those of them that have training images.

    It reads no image. UserError as in `load`.
    """
    train, test, _ = items_of(folder, ())
    return _classes(train, test), {item.cls for item in train}


def _classes(train: list[Item], test: list[Item]) -> tuple[str, ...]:
    return tuple(sorted({item.cls for item in train + test} - {""}))


def read_images(
    folder: Path,
    size: Size,
    channels: int,
    decoding: Decoding,
    flag: str = "--score_folder",
    unread: dict[Path, UserError] | None = None,
) -> tuple[list[str], np.ndarray, list[str]]:
    """All images in and below the folder: names in natural order, uint8 (N, C, H, W), and notes.

    `folder` may be an image's file instead. Raises UserError, which names `flag`, if there are no
    images, or one that cannot be read. With `unread`, images that cannot be read are left out and
    their errors put there, unless none can be read.
    """
    folder, names, others = images_in(folder, flag)
    paths = [folder / name for name in names]
    with _pillows_warnings() as warned:
        images, seen = _decode_all(paths, size, channels, decoding, flag, unread)
    if unread:
        if not seen:
            raise unread[paths[0]]
        names = [name for name, path in zip(names, paths, strict=True) if path not in unread]
    # No flag changes how a trained model sees images.
    how = _decoding.notes(seen, size, decoding, advise=False)
    notes = [*left_out(folder, others), *how, *warned]
    return _unique([legible(name.as_posix()) for name in names]), images, notes


@contextmanager
def _pillows_warnings() -> Iterator[list[str]]:
    """Gathers what Pillow warns of in the files that are read meanwhile, each warning once."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield lines
    texts = dict.fromkeys(str(warning.message).strip() for warning in caught)
    lines += [f"Pillow warned, of an image or more: {text}" for text in texts]


def _unique(names: list[str]) -> list[str]:
    """The names, of which two that look alike (ä in one character or two) get numbers."""
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[place] = f"{name} ({seen[name]})"
    return names


def _read(
    train: list[Item], test: list[Item], size: Size | None, channels: int | None, resize: str
) -> Content:
    """All images and masks; training images decide how, but any in colour gives all 3 channels."""
    paths = [item.path for item in train + test]
    headers: list[Header] = list(_each(_decoding.read_header, paths))
    training = list(zip(train, headers, strict=False))  # the test images' come after these
    if size is None:
        side = max if resize == "pad" else min
        counts = Counter(smallest_size(side(header.size)) for _, header in training)
        common = max(counts, key=lambda size: (counts[size], -size))
        size = (common, common)
    channels = channels or (1 if all(header.grey for header in headers) else 3)

    deep = [item.path for item, header in training if header.deep]
    bits = (
        _decoding.fewest_bits(max(_each(_decoding.read_largest, deep))) if deep else Decoding.bits
    )
    transparent = [item.path for item, header in training if header.alpha]
    alphas: list[Alpha] = list(_each(partial(_decoding.read_alpha, bits=bits), transparent))
    if len(alphas) < len(train):
        alphas.append(Alpha(255, 255, 0, 0))  # for the images without an alpha channel
    decoding = Decoding(resize, bits, _decoding.background_for(alphas))

    images, seen = _decode_all(paths, size, channels, decoding)
    notes = _decoding.notes(seen, size, decoding, advise=True)
    notes += _decoding.darkness_note(images[: len(train)]) if deep else []
    if not deep and any(header.deep for header in headers):
        notes.append(f"no training image has more than 8 bits: the test images' {bits} are a guess")
    sizes = [image.size for image in seen[len(train) :]]
    masks = _read_masks(test, sizes, size, resize)
    if masks is not None and (inverted := int((masks.mean(axis=(1, 2)) > 0.5).sum())):
        notes.append(f"{inverted} mask(s) mark more than half of their image: are they inverted?")
    padded = resize == "pad" and {_decoding.unpadded(of, size) for of in sizes} != {size[::-1]}
    if masks is not None and padded:
        masks = None
        notes.append(
            "no figures of pixels: black padding would count as normal pixels, which any "
            "reconstruction gets right (for masks: --resize squash or crop)"
        )
    return Content(images, masks, decoding, notes)


def _read_masks(
    items: list[Item], sizes: list[tuple[int, int]], size: Size, resize: str
) -> np.ndarray | None:
    """bool (M, *size), False where an image has no mask; None where none has.

    `sizes`: the images' widths and heights.
    """
    owners: dict[Path, list[int]] = {}
    for i, item in enumerate(items):
        for path in item.masks:
            owners.setdefault(path, []).append(i)
    if not owners:
        return None
    masks = np.zeros((len(items), *size), bool)

    def read(path: Path) -> list[np.ndarray]:
        return [_decoding.decode_mask(path, sizes[i], size, resize) for i in owners[path]]

    for own, read_masks in zip(owners.values(), _each(read, list(owners)), strict=True):
        for i, mask in zip(own, read_masks, strict=True):
            masks[i] |= mask
    return masks


def _decode_all(
    paths: list[Path],
    size: Size,
    channels: int,
    decoding: Decoding,
    flag: str = "--dataset",
    unread: dict[Path, UserError] | None = None,
) -> tuple[np.ndarray, list[Decoded]]:
    """uint8 (N, C, H, W), and what a user may have to know of each; `unread`: see read_images."""
    images = np.empty((len(paths), channels, *size), np.uint8)
    call = partial(_decoding.decode, size=size, channels=channels, decoding=decoding)
    seen: list[Decoded] = []
    for pixels, image in _each(call, paths, flag, "Reading images", unread):
        images[len(seen)] = pixels
        seen.append(image)
    return images[: len(seen)], seen


def _key(folder: Path, files: list[Path], choices: tuple) -> str:
    """A hash of the files' content and of how it is decoded, as the name of a cached file."""
    # It covers every file's bytes, not only its size and time: that takes a second or two for
    # 60,000 small files, and no edit, copy or restored backup can then be mistaken for the old
    # content.
    key = hashlib.sha256(repr((RECIPE, PIL.__version__, choices)).encode())
    digests = _each(lambda path: hashlib.sha256(path.read_bytes()).digest(), files)
    prefix = os.path.join(folder, "")
    for file, digest in zip(files, digests, strict=True):
        key.update(os.fsencode(str(file).removeprefix(prefix)) + b"\0" + digest)
    return key.hexdigest()[:32]


def _each(
    function: Callable[[Path], Any],
    paths: list[Path],
    flag: str = "--dataset",
    progress: str = "",
    unread: dict[Path, UserError] | None = None,
) -> Iterator[Any]:
    """`function(path)` for each path in order, in threads.

    A path that fails is named in a UserError, which is raised, or put into `unread`.
    """

    from joblib import cpu_count  # loads in a quarter of a second

    def attempt(path: Path) -> Any:
        try:
            with named(path, flag):
                return function(path)
        except UserError as error:
            if unread is None:
                raise
            unread[path] = error

    # PIL decodes without Python's lock, but for small files handing the lock over costs more than
    # it gains: 60,000 CIFAR-10 JPEGs took 8 s in one thread and 15 s in four, 900x900 PNGs half as
    # long in two as in one.
    sample = paths[:: 1 + len(paths) // SAMPLED]
    existing = filter(os.path.exists, sample)  # a missing file fails below
    small = sum(map(os.path.getsize, existing)) < 2**15 * len(sample)
    console = Console(stderr=True)
    hidden = not (progress and console.is_terminal)
    with ThreadPool(1 if small else cpu_count()) as pool:
        results = pool.imap(attempt, paths, chunksize=64 if small else 1)
        for result in track(
            results, progress, total=len(paths), console=console, transient=True, disable=hidden
        ):
            if result is not None:  # None: the path failed and is in `unread`
                yield result
