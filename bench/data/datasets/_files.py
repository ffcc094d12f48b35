"""Which files of a folder are its images."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from bench.choices.errors import UserError
from bench.choices.names import legible, natural, on_disk

# Documents, films, and formats that Pillow names but cannot decode.
NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}
MASKS = re.compile(r"annotations?|ground[\s_-]?truth|gt|masks?|segmentation", re.IGNORECASE)
# The name of a mask that lies beside its image, whose name is `\1`.
MASK_FILE = re.compile(r"(.+)[_-](ground_?truth|gt|label|mask)", re.IGNORECASE)
JUNK = {"__macosx", "desktop.ini", "thumbs.db"}  # left out without a note, like hidden files


@contextmanager
def named(file: Path, flag: str) -> Iterator[None]:
    """Turns any error in reading this image into a UserError that names its file."""
    try:
        yield
    except UnidentifiedImageError:
        raise UserError(f"{flag}: {file} is no image that can be read") from None
    except Exception as error:  # Pillow raises a dozen kinds for damaged or very large files
        raise UserError(f"{flag}: cannot read {file}: {' '.join(str(error).split())}") from error


@cache
def formats() -> list[str]:
    """Pillow's names of the picture formats that it reads."""
    Image.init()
    return [name for name in Image.ID if name not in NO_PICTURES]


@cache
def suffixes() -> set[str]:
    """The file name suffixes of these formats, in lower case."""
    readable = {*formats(), "MPO"}  # which Pillow reads as JPEG
    return {suffix for suffix, name in Image.registered_extensions().items() if name in readable}


def find_images(folder: Path, flag: str) -> tuple[list[Path], Counter[str]]:
    """The images in the folder and below it, and how many other files there are of each kind.

    The images are relative to the folder, in natural order: 2.jpg before 10.jpg. Links are
    followed; masks are no images. Raises UserError, which names `flag`, for a folder that cannot be
    listed. Folders below it that this program wrote are left out: their heat maps are no images.
    """
    images: list[Path] = []
    others: Counter[str] = Counter()

    # Strings, not paths, until an image is known as one: a walk over 60,000 takes half as long.
    def walk(here: str, below: str, above: tuple[str, ...], masks: str) -> None:
        real = os.path.realpath(here)
        if real in above:
            others["link(s) to a folder above"] += 1
            return
        try:
            entries = [entry for entry in os.scandir(here) if not is_junk(entry.name)]
        except OSError as error:
            raise UserError(f"{flag}: cannot list {here}: {error.strerror}") from None
        names = {entry.name for entry in entries}
        if below and ("study.json" in names or {"heat_maps", "scores.csv"} <= names):
            others["folder(s) of results"] += 1
            return
        images_of = (os.path.splitext(name) for name in names)
        stems = {stem for stem, suffix in images_of if suffix.lower() in suffixes()}
        for entry in entries:
            name, (stem, suffix) = entry.name, os.path.splitext(entry.name)
            mask, suffix = MASK_FILE.fullmatch(stem), suffix.lower()
            if os.path.isdir(entry.path):
                kind = f"in {name}/ (masks)" if names_masks(name) else masks
                walk(entry.path, f"{below}{name}/", (*above, real), kind)
            elif (
                flag == "--dataset"  # whose folders are classes
                and not below
                and suffix not in suffixes()
                and not os.path.exists(entry.path)
            ):
                raise UserError(f"{flag}: {entry.path} is a link to nothing (mend or remove it)")
            elif suffix not in suffixes():
                others[suffix or "without a suffix"] += 1
            elif masks or (mask and mask[1] in stems):
                others[masks or "beside their images (masks)"] += 1
            else:
                images.append(Path(below + name))

    walk(str(folder), "", (), "")
    # Splits depend on this order, so it must not depend on how a file system spells accents.
    return sorted(images, key=lambda path: (natural(legible(str(path))), str(path))), others


def names_masks(folder: str) -> bool:
    """Whether a folder of this name holds masks of other images."""
    return MASKS.fullmatch(folder) is not None


def images_in(place: Path, flag: str) -> tuple[Path, list[Path], Counter[str]]:
    """A folder, the images in and below it, and how many other files there are of each kind.

    `place` is the folder, or the file of one image in it. UserError, which names `flag`, where there
    is no image.
    """
    place = on_disk(place)
    if not place.exists():
        raise UserError(f"{flag}: {place} does not exist")
    if place.is_dir():
        names, others = find_images(place, flag)
        if not names:
            raise no_images(flag, place, others)
        return place, names, others
    with named(place, flag):
        Image.open(place, formats=formats()).close()
    return place.parent, [Path(place.name)], Counter()


def no_images(flag: str, folder: Path, others: Counter[str]) -> UserError:
    """The UserError for a folder without images; it names the kinds of files that were left out."""
    instead = f" (left out {_kinds(others)})" if others else ""
    return UserError(f"{flag}: there are no images in {folder}{instead}")


def left_out(folder: Path, others: Counter[str]) -> list[str]:
    """A note on the files that were left out, if any were."""
    return [f"{folder}: left out {_kinds(others)}"] if others else []


def _kinds(others: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))


def is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK
