"""Decoded images, kept for the next run in <dataroot>/.cache."""

import contextlib
import glob
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.choices.folders import scratch_in
from bench.data.datasets._decoding import Decoding

MOST = 32  # files per folder name: one for each choice of categories, size, …, and each edit


class Content(NamedTuple):
    """A folder's pictures as arrays."""

    images: np.ndarray  # uint8 (N, C, H, W)
    masks: np.ndarray | None  # bool (M, H, W) of the test images, where any has one
    decoding: Decoding
    notes: list[str]


def read(file: Path) -> Content | None:
    """The content that `write` wrote to the file; None where it is missing or damaged."""
    try:
        # A zip archive: its checksum shows damage.
        with np.load(file, allow_pickle=False) as arrays:
            description = json.loads(str(arrays["description"]))
            decoding = Decoding(**description["decoding"])
            content = Content(arrays["images"], arrays.get("masks"), decoding, description["notes"])
    except Exception:  # it can be damaged in many ways
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # `write` deletes the files that were not used for longest
    return content


def write(file: Path, content: Content) -> Content:
    """Writes the file `<name of the folder>-<key>.npz`; keeps the MOST last used of this name.

    Returns the content, with a note where the file cannot be written.
    """
    description = json.dumps({"decoding": asdict(content.decoding), "notes": content.notes})
    arrays = {"images": content.images, "description": np.array(description)}
    arrays |= {} if content.masks is None else {"masks": content.masks}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with scratch_in(file.parent) as scratch:
            np.savez(scratch / "new.npz", **arrays)  # type: ignore[arg-type]
            os.replace(scratch / "new.npz", file)
    except OSError as error:
        reason = f"{file.parent} cannot be written: {error.strerror}"
        line = f"--dataroot: the decoded images are not kept for the next run ({reason})"
        return content._replace(notes=[*content.notes, line])
    with contextlib.suppress(OSError):  # another command may delete them, too
        name, _, key = file.stem.rpartition("-")
        keys = "[0-9a-f]" * len(key)
        cached = file.parent.glob(f"{glob.escape(name)}-{keys}.npz")
        for old in sorted(cached, key=os.path.getmtime)[:-MOST]:
            old.unlink()
    return content
