"""What the data sets that torchvision downloads have in common."""

import contextlib
import socket
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any
from urllib.request import urlopen

import numpy as np
from torchvision.datasets.utils import check_integrity

from bench.datasets import Dataset
from bench.errors import UserError

PATIENCE = 4  # seconds without an answer after which the network counts as closed


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
    """The data set that torchvision's class `kind` reads under `root`, downloaded only if it is not there yet.

    `archives` gives the MD5 of each file that `folder` must have, `mirrors` the addresses they come from. Raises
    UserError, within seconds, if the data cannot be had or are damaged.
    """
    try:
        return _read(name, classes, kind, root, download=False)
    except Exception as error:  # whatever torchvision's readers raise: nothing is there, or not all, or it is damaged
        # MNIST's files lie unpacked beside their archives, and torchvision never checks nor replaces them.
        if all((folder / Path(archive).stem).is_file() for archive in archives):
            raise UserError(f"--dataset: the files in {folder} are damaged: delete them and run again") from error

    lacking: list[str] = []
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        lacking = [archive for archive, md5 in archives.items() if not check_integrity(folder / archive, md5)]
        if lacking and not _any_answers([mirror + lacking[0] for mirror in mirrors]):
            raise ConnectionError("no network")
        return _read(name, classes, kind, root, download=True)
    except Exception as error:  # whatever the network, tarfile and a full disk raise
        reason = " ".join(str(error).split())
        damaged = [archive for archive in lacking if (folder / archive).exists()]
        raise UserError(
            f"--dataset: {name} cannot be downloaded ({reason}): put {', '.join(archives)} into {folder}"
            + (f" (damaged there: {', '.join(damaged)})" if damaged else "")
            + ", or use --dataset digits"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def _read(name: str, classes: tuple[str, ...], kind: Any, root: Path, download: bool) -> Dataset:
    arrays = []
    for train in (True, False):
        part = kind(root, train=train, download=download)
        images = np.asarray(part.data)  # uint8 (N, H, W) or (N, H, W, 3)
        images = images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        arrays += [images, np.asarray(part.targets, dtype=np.int64)]
    return Dataset(name, classes, *arrays)


def _any_answers(urls: list[str]) -> bool:
    """Whether any address answers in time. Threads, because no timeout covers looking up a host's name."""
    answers = []

    def ask(url: str) -> None:
        with contextlib.suppress(Exception), urlopen(url, timeout=PATIENCE):
            answers.append(url)

    threads = [Thread(target=ask, args=[url], daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    deadline = monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0, deadline - monotonic()))
    return bool(answers)
