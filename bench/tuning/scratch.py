"""The folder of paused trials: in the study's folder, or at --storage, which studies may share."""

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyarrow import fs

from bench.choices.errors import UserError
from bench.choices.names import UNDECODED


@contextmanager
def scratch(study: Path, storage: str | None) -> Iterator[str]:
    """Yields a new folder's path or URI, and deletes the folder at the end.

    First deletes what a killed command of this study left. Raises UserError where `storage` cannot
    be written.
    """
    home = study.resolve()
    where, mark, query = (storage or "").partition("?")
    if "://" not in where:
        where, mark, query = str(Path(storage or home).resolve()), "", ""
    if UNDECODED.search(where):  # PyArrow takes UTF-8 alone
        where = tempfile.gettempdir()
    for leftover in home.glob(".ray-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # Studies that share a storage may have the same name, so the folder's name identifies the
    # study. The caller holds this study's lock: no running command uses a folder of this name.
    created = json.loads((home / "study.json").read_bytes()).get("provenance", {}).get("created")
    identity = hashlib.sha256(bytes(home) + str(created).encode()).hexdigest()[:12]
    own = f".ray-{re.sub('[^A-Za-z0-9_.+-]', '_', home.name)}-{identity}-"
    path = f"{where.rstrip('/')}/{own}{uuid.uuid4().hex[:8]}{mark}{query}"
    try:
        files, inner = fs.FileSystem.from_uri(path)
        remove(files, inner.rpartition("/")[0], own)
        files.create_dir(inner)
    except (OSError, ValueError, ImportError, NotImplementedError) as error:  # by file system
        flag = "--storage: " if storage else ""
        raise UserError(f"{flag}{where} cannot be written ({str(error).splitlines()[0]})") from None
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            files.delete_dir(inner)


def remove(files: fs.FileSystem, folder: str, prefix: str) -> None:
    """Deletes the folders in `folder` whose names begin with `prefix`."""
    for entry in files.get_file_info(fs.FileSelector(folder, allow_not_found=True)):
        if entry.base_name.startswith(prefix):
            with contextlib.suppress(OSError):
                files.delete_dir(entry.path)
