"""Folders that commands write to: whether they can, and whether another command has made them."""

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
HALF_MADE = 5  # seconds: sooner than this, a running command locks the folder that it has made


def check_writable(folder: Path, flag: str) -> None:
    """UserError where no file can be put into the folder, which need not exist yet."""
    there = next(filter(os.path.lexists, (folder.absolute(), *folder.absolute().parents)))
    if not there.is_dir():
        raise UserError(f"{flag}: {there} is no folder")
    try:
        tempfile.TemporaryDirectory(dir=there).cleanup()
    except OSError as error:
        raise cannot_write(there, error, flag) from None


@contextlib.contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """A new folder in this one, deleted afterwards.

    Also deletes such folders that killed commands left more than a day ago.
    """
    for left in folder.glob(".scratch-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > DAY:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder) as scratch:
        yield Path(scratch)


def abandoned(path: Path, remove: bool = False) -> bool:
    """Whether a command was killed after it made this folder and before it wrote study.json.

    `remove`: if so, deletes the folder, whose lock it takes to keep other commands off.
    """
    if path.is_symlink() or not (path / ".lock").is_file():
        return False

    def half_made() -> bool:
        names, old = os.listdir(path), time.time() - path.stat().st_mtime > HALF_MADE
        return old and all(name == ".lock" or name.startswith(".study.json.") for name in names)

    with contextlib.suppress(OSError, Timeout):
        if half_made():  # else its lock is left to a command that may want it
            with FileLock(path / ".lock", timeout=0):
                if half_made():  # still
                    if remove:
                        shutil.rmtree(path, ignore_errors=True)
                    return True
    return False
