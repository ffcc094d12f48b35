"""What the data sets that torchvision downloads have in common."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any
from urllib.request import urlopen

import numpy as np
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import wrap_file
from torchvision.datasets.utils import check_integrity

from bench.choices.errors import UserError, note
from bench.choices.folders import scratch_in
from bench.data.datasets import Dataset

PATIENCE = 4  # seconds without an answer after which the network counts as closed


def read_mnist(name: str, classes: tuple[str, ...], kind: Any, root: Path) -> Dataset:
    """MNIST, or what torchvision has as a subclass of it: see `read`."""
    folder, archives = root / kind.__name__ / "raw", dict(kind.resources)
    return read(name, classes, kind, root, folder=folder, archives=archives, mirrors=kind.mirrors)


def read(
    name: str,
    classes: tuple[str, ...],
    kind: Any,
    root: Path,
    *,
    folder: Path,
    archives: dict[str, str],
    mirrors: Iterable[str],
) -> Dataset:
    """The data set that torchvision's class `kind` reads under `root`; downloaded if it is missing.

    `archives` gives the MD5 of each file that `folder` must have, `mirrors` the addresses they come
    from. Raises UserError, within seconds, if the data cannot be had or are damaged.
    """
    with _alone(root):
        try:
            return _read(name, classes, kind, root, download=False)
        except Exception as error:  # torchvision raises many kinds for missing and damaged files
            # MNIST's files lie unpacked beside their archives; torchvision never checks or replaces
            # them.
            if all((folder / Path(archive).stem).is_file() for archive in archives):
                raise UserError(
                    f"--dataset: the files in {folder} are damaged: delete them and run again"
                ) from error

        lacking: list[str] = []
        try:
            lacking = [
                archive
                for archive, md5 in archives.items()
                if not check_integrity(folder / archive, md5)
            ]
            online = _answering(mirrors, lacking[0]) if lacking else []
            for archive in lacking:
                _download(
                    [mirror + archive for mirror in online], folder / archive, archives[archive]
                )
            return _read(name, classes, kind, root, download=True)  # which now only unpacks
        except Exception as error:  # whatever the network, tarfile and a full disk raise
            reason = " ".join(str(error).split())
            damaged = [archive for archive in lacking if (folder / archive).exists()]
            raise UserError(
                f"--dataset: {name} cannot be downloaded ({reason}): put {', '.join(archives)} into "
                f"{folder}"
                + (f" (damaged there: {', '.join(damaged)})" if damaged else "")
                + ", or use --dataset digits"
            ) from error


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Lets one command at a time read there: torchvision unpacks file by file, in place."""
    lock = FileLock(root / ".lock")
    try:
        root.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=1)
        except Timeout:
            note(f"waiting for another command that reads {root}")
            lock.acquire()
    except OSError:  # others may write there, this command may not: nothing to wait for
        pass
    try:
        yield
    finally:
        lock.release()


def _read(name: str, classes: tuple[str, ...], kind: Any, root: Path, download: bool) -> Dataset:
    def part(train: bool) -> tuple[np.ndarray, np.ndarray]:
        split = kind(root, train=train, download=download)
        images = np.asarray(split.data)  # uint8 (N, H, W) or (N, H, W, 3)
        grey = images.ndim == 3
        images = images[:, None] if grey else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return images, np.asarray(split.targets, dtype=np.int64)

    return Dataset(name, classes, *part(train=True), *part(train=False))


def _answering(mirrors: Iterable[str], archive: str) -> list[str]:
    """The mirrors that answer in time.

    Threads, because no timeout covers looking up a host's name.
    """
    answers: dict[str, bool] = dict.fromkeys(mirrors, False)

    def ask(mirror: str) -> None:
        with contextlib.suppress(Exception), urlopen(mirror + archive, timeout=PATIENCE):
            answers[mirror] = True

    threads = [Thread(target=ask, args=[mirror], daemon=True) for mirror in answers]
    for thread in threads:
        thread.start()
    deadline = monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0, deadline - monotonic()))
    online = [mirror for mirror, answered in answers.items() if answered]
    if not online:
        raise ConnectionError("no network")
    return online


def _download(urls: list[str], file: Path, md5: str) -> None:
    """Writes the file, whole, from the first address that gives it.

    torchvision's own download knows no timeout but the whole process's, which Ray's threads share.
    """
    failures = []
    for url in urls:
        try:
            return _fetch(url, file, md5)
        except (OSError, HTTPException) as error:
            failures.append(error)
    raise failures[-1]


def _fetch(url: str, file: Path, md5: str) -> None:
    console = Console(stderr=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with scratch_in(file.parent) as scratch:
        partial = scratch / file.name
        with (
            urlopen(url, timeout=PATIENCE) as answer,
            wrap_file(
                answer,
                int(answer.headers.get("Content-Length", 0)),
                description=f"Downloading {file.name}",
                console=console,
                transient=True,
                disable=not console.is_terminal,
            ) as stream,
            partial.open("wb") as out,
        ):
            shutil.copyfileobj(stream, out)
        if not check_integrity(partial, md5):
            raise ConnectionError(f"{url} gives another file than {file.name}")
        partial.replace(file)
