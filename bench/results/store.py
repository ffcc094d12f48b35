"""Writes a study's rows, scores and models: each file is whole or absent.

Ray, Optuna and the trackers write files of their own beside them.
"""

import contextlib
import dataclasses
import itertools
import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from bench.choices.errors import UserError, cannot_write, note, taken
from bench.choices.folders import abandoned
from bench.choices.names import LEGIBLE, on_disk
from bench.choices.study import RUN_CHECKPOINT, Study
from bench.results.reading import PACKED, WINNERS
from bench.results.rows import EPOCHS, PACKED_EPOCHS, is_row, read_rows

RAY_LOG = "ray.log"  # what Ray says while a study runs
WHOLE = (  # the files of a study's folder that `write_whole` writes while one command works on it
    *("study.json", RUN_CHECKPOINT, "models/*.safetensors", "audit.csv", "audit.md"),
    *(PACKED, PACKED_EPOCHS, "scores/*/histogram.csv", "scores/*/gallery.png"),
)
COMPACT = (",", ":")  # rows without spaces take a fifteenth less
JOURNAL = "optuna.log"  # the searches as Optuna's dashboard reads them; each command writes it anew


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file so that it is whole or absent, also when the machine goes down.

    Makes the folders above it. UserError where it cannot be written.
    """
    temporary = half_written(path, os.getpid())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content.encode(errors=LEGIBLE) if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def half_written(path: Path, process: int | str) -> Path:
    """The name a file has while a process writes it."""
    return path.with_name(f".{path.name}.{process}")


def model_file(study: Path, trial: str) -> Path:
    """Where a study's folder holds the trained model of a final run."""
    return study / "models" / f"{trial}.safetensors"


def new_folder(parent: Path, name: str, given: bool) -> Path:
    """Makes a folder that no other command has made or will take; UserError if it cannot be.

    A name that the user has `given` must be free. A default name that is taken gets a number.
    """
    for number in itertools.count(1):
        path = on_disk(parent) / (name if number == 1 else f"{name}-{number}")
        abandoned(path, remove=True)
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            if given:
                raise taken(path) from None
        except OSError as error:
            raise cannot_write(path, error) from None
    raise AssertionError


class Store:
    """A study's folder, open for writing by one process at a time; UserError if it is in use."""

    def __init__(self, path: Path):
        self.path = path
        self.lock = FileLock(path / ".lock")
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"{path}: another command is working on this study") from None
        except OSError as error:
            raise cannot_write(path, error) from None
        for name in WHOLE:  # what a killed command left
            for file in path.glob(str(half_written(Path(name), "[0-9]*"))):
                file.unlink(missing_ok=True)
        for name in ("trials.jsonl", EPOCHS, WINNERS):
            end_last_line(path / name)

    @classmethod
    def create(
        cls,
        study: Study,
        provenance: dict[str, Any],
        name: str,
        made_by: str = "train_tune.py",
        run: dict[str, Any] | None = None,
    ) -> "Store":
        """A new study's folder, with its study.json; UserError if it exists or cannot be written.

        `made_by` is the script that begins the study; `run`: see Results.
        """
        path = new_folder(Path(study.results_dir), name, given=study.name is not None)
        content = {"made_by": made_by, "study": dataclasses.asdict(study)}
        content |= {"provenance": provenance, "run": run or {}}
        try:
            store = cls(path)
        except UserError:
            with contextlib.suppress(OSError):
                path.rmdir()  # it is empty, where no lock could be made
            raise
        try:
            write_whole(path / "study.json", json.dumps(content, indent=1, ensure_ascii=False))
        except UserError:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return store

    def grow(self, study: Study, fields: Sequence[str], files: dict[str, dict[str, str]]) -> None:
        """Records in study.json that the study goes on as a larger one, if these fields differ.

        `files`: the SHA-256 of its files from outside, by flag and name.
        """
        path = self.path / "study.json"
        content = json.loads(path.read_bytes())
        new = json.loads(json.dumps({name: getattr(study, name) for name in fields}))
        old = {name: content["study"].get(name) for name in fields}
        if new == old:
            return
        content["grown_from"] = [*content.get("grown_from", []), old]
        content["study"] |= new
        content["provenance"]["files"] = files
        write_whole(path, json.dumps(content, indent=1, ensure_ascii=False))

    def append(self, file_name: str, row: dict[str, Any]) -> None:
        """Adds a line to a .jsonl file, whole or not at all."""
        values = {name: json_value(value) for name, value in row.items()}
        line = json.dumps(values, allow_nan=False, ensure_ascii=False, separators=COMPACT) + "\n"
        path = self.path / file_name
        try:
            with path.open("a", encoding="utf-8", errors=LEGIBLE) as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                end_last_line(path)
            raise cannot_write(path, error, advice="; free some space, then --resume") from None

    def add_epoch(self, row: dict[str, Any]) -> None:
        self.append(EPOCHS, row)

    def add_trial(
        self,
        row: dict[str, Any],
        scores: pd.DataFrame | None = None,
        gallery: bytes | None = None,
        packed: bytes | None = None,
    ) -> None:
        """Adds a finished trial's row, after the files that belong to it.

        So a row in trials.jsonl never lacks its files. `scores` has one row per test image,
        `gallery` is a PNG, `packed` the trained model as safetensors.
        """
        folder = self.path / "scores" / row["trial"]
        if packed is not None:
            write_whole(model_file(self.path, row["trial"]), packed)
        if gallery is not None:
            write_whole(folder / "gallery.png", gallery)
        if scores is not None:
            write_whole(folder / "histogram.csv", scores.to_csv(index=False))
        self.append("trials.jsonl", row)

    def add_winner(self, decision: dict[str, Any]) -> None:
        """Records which configuration won a task and why; the last decision on a task counts."""
        if decision not in read_rows(self.path / WINNERS):
            self.append(WINNERS, decision)

    def close(self) -> None:
        self.lock.release()


def json_value(value: Any) -> Any:
    """A value that JSON can hold: NumPy scalars unwrapped, NaN and infinities as null."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def end_last_line(path: Path) -> None:
    """Cuts off a half-written last line, or ends a whole one: the next row must begin a line."""
    if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        start = data.rfind(b"\n") + 1
        if is_row(data[start:]):
            with path.open("ab") as file:
                file.write(b"\n")
            return
        note(f"{path}: the last line was cut off; it is dropped")
        os.truncate(path, start)
