"""Folders that commands write to: whether they can, and whether another command has made them."""

import os
import tempfile
import time
from pathlib import Path

from bench.choices.errors import UserError, cannot_write

HALF_MADE = 5  # seconds in which a command has written study.json into a folder that it made


def check_writable(folder: Path, flag: str) -> None:
    """UserError where no file can be put into the folder, which need not exist yet."""
    there = next(filter(os.path.lexists, (folder.absolute(), *folder.absolute().parents)))
    if not there.is_dir():
        raise UserError(f"{flag}: {there} is no folder")
    try:
        tempfile.TemporaryDirectory(dir=there).cleanup()
    except OSError as error:
        raise cannot_write(there, error, flag) from None


def abandoned(path: Path) -> bool:
    """Whether a command was killed after it had made this folder, and before its study.json."""
    if path.is_symlink() or not (path / ".lock").is_file():
        return False
    names = {file.name for file in path.iterdir()}
    if not all(name == ".lock" or name.startswith(".study.json.") for name in names):
        return False
    return time.time() - path.stat().st_mtime > HALF_MADE
