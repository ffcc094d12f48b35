"""Folders that commands write to: whether they are writable, scratch folders, abandoned folders."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bench.choices.errors import UserError, cannot_write

DAY = 24 * 60 * 60  # seconds
HALF_MADE = 5  # seconds within which a running command has locked the folder that it made


def check_writable(folder: Path, flag: str) -> None:
    """UserError where no file can be put into the folder, which need not exist yet."""
    nearest = next(filter(os.path.lexists, (folder.absolute(), *folder.absolute().parents)))
    if not nearest.is_dir():
        raise UserError(f"{flag}: {nearest} is no folder")
    try:
        tempfile.TemporaryDirectory(dir=nearest).cleanup()
    except OSError as error:
        raise cannot_write(nearest, error, flag) from None


@contextlib.contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """A new folder in this one, deleted afterwards.

    Also deletes such folders that killed commands left more than a day ago.
    """
    for leftover in folder.glob(".scratch-*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > DAY:
                shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder) as scratch:
        yield Path(scratch)


def abandoned(path: Path, remove: bool = False) -> bool:
    """Whether a command was killed after it made this folder and before it wrote study.json.

    `remove`: if so, locks the folder to keep other commands off, and deletes it.
    """
    if path.is_symlink() or not (path / ".lock").is_file():
        return False

    def half_made() -> bool:
        names, old = os.listdir(path), time.time() - path.stat().st_mtime > HALF_MADE
        return old and all(name == ".lock" or name.startswith(".study.json.") for name in names)

    with contextlib.suppress(OSError, Timeout):
        if half_made():  # else another command may need its lock
            with FileLock(path / ".lock", timeout=0):
                if half_made():  # still
                    if remove:
                        shutil.rmtree(path, ignore_errors=True)
                    return True
    return False
