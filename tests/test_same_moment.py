"""Commands that take the same folder at the same moment."""

import multiprocessing
import os
from collections import Counter
from pathlib import Path

import pytest
from commands import PATIENCE
from filelock import FileLock

from bench import results
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.results.store import Store

NAMES = 30  # that two commands take at the same moment


def names_taken(root: Path, number: int, barrier, taken) -> None:
    for k in range(NAMES):
        barrier.wait()
        try:
            store = Store.create(
                Study(seed=number, results_dir=str(root), name=f"n{k}"), {}, f"n{k}"
            )
            taken.put((k, number))
        except UserError:
            store = None
        barrier.wait()
        if store:
            store.close()
        barrier.wait()
        Store.create(Study(seed=number, results_dir=str(root / "default")), {}, "same").close()


def test_two_commands_that_start_at_the_same_moment(tmp_path: Path) -> None:
    """One gets the name, and its study.json lies there; default names make room for one another."""
    context = multiprocessing.get_context("spawn")
    barrier, taken = context.Barrier(2, timeout=PATIENCE), context.Queue()
    starts = [
        context.Process(target=names_taken, args=(tmp_path, number, barrier, taken), daemon=True)
        for number in (1, 2)
    ]
    for process in starts:
        process.start()
    owners = [taken.get(timeout=PATIENCE) for _ in range(NAMES)]
    for process in starts:
        process.join()
        assert process.exitcode == 0
    assert Counter(k for k, _ in owners) == Counter(range(NAMES))
    for k, number in owners:
        assert results.read(tmp_path / f"n{k}").study["seed"] == number
    seeds = Counter(results.read(path).study["seed"] for path in (tmp_path / "default").iterdir())
    assert seeds == {1: NAMES, 2: NAMES}


def test_a_folder_that_a_killed_command_left_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / ".lock").touch()
    study = Study(name="s", results_dir=str(tmp_path))
    with pytest.raises(UserError, match="exists already"):  # it may be about to be locked
        Store.create(study, {}, "s")
    os.utime(folder, (1, 1))
    with FileLock(folder / ".lock"), pytest.raises(UserError, match="exists already"):
        Store.create(study, {}, "s")  # a command that lives, however slowly it writes, has it
    (folder / ".env").touch()
    os.utime(folder, (1, 1))
    with pytest.raises(UserError, match="exists already"):  # a user's own
        Store.create(study, {}, "s")
    (folder / ".env").unlink()
    os.utime(folder, (1, 1))
    Store.create(study, {}, "s").close()
    assert results.read(folder).study["name"] == "s"
    with pytest.raises(UserError, match=r"exists already .go on with it: --resume"):
        Store.create(study, {}, "s")
