"""The one place that reads and writes results/<study>/."""

import contextlib
import dataclasses
import itertools
import json
import math
import os
import shutil
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from bench.choices.errors import UserError, taken
from bench.choices.names import LEGIBLE, legible, on_disk
from bench.choices.study import Study

RAY_LOG = "ray.log"  # what Ray says while a study runs
JOURNAL = "optuna.log"  # the searches as Optuna's dashboard reads them; written anew by every command


def plain(value: Any) -> Any:
    """A value that JSON can hold: NumPy scalars unwrapped, NaN and infinities as null."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file so that it is whole or absent, also when the machine goes down; UserError if that cannot be."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content.encode(errors=LEGIBLE) if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror})") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def model_file(study: Path, trial: str) -> Path:
    """Where a study's folder holds the trained model of a final run."""
    return study / "models" / f"{trial}.safetensors"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl file; a last line that a crash cut in half is dropped, with a line on stderr."""
    if not path.exists():
        return []
    *lines, last = path.read_bytes().split(b"\n")
    if last:
        print(f"note: {path}: the last line was cut off; it is left out", file=sys.stderr)
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}: line {number} is no JSON ({error})") from None
        if not isinstance(row, dict) or not isinstance(row.get("trial"), str):
            raise UserError(f"{path}: line {number} is no row of a trial")
        rows.append(row)
    return rows


@dataclass(frozen=True)
class Results:
    """A study's rows and scores as DataFrames."""

    path: Path
    study: dict[str, Any]
    provenance: dict[str, Any]
    made_by: str = "train_tune.py"  # the command
    run: dict[str, Any] = field(default_factory=dict)  # what train.py's run has beside the study's choices

    @property
    def name(self) -> str:
        return legible(self.path.resolve().name)

    @cached_property
    def trials(self) -> pd.DataFrame:
        return pd.DataFrame(read_rows(self.path / "trials.jsonl"))

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """One row a trial and epoch, of the attempt that counts: the one that its row names, or else the last.

        A run whose process died, or whose study was stopped, was started again and has rows of each attempt. Within
        an attempt the last row of an epoch counts: PBT goes back to epochs of other trials.
        """
        frame = pd.DataFrame(read_rows(self.path / "epochs.jsonl"))
        if frame.empty:
            return frame
        attempts = frame["attempt"].fillna(1) if "attempt" in frame else pd.Series(1, frame.index)
        counts = attempts.groupby(frame["trial"]).transform("max")
        if "attempt" in self.trials:
            named = dict(zip(self.trials["trial"], self.trials["attempt"], strict=True))
            counts = frame["trial"].map(named).fillna(counts)
        return frame[attempts == counts].drop_duplicates(["trial", "epoch"], keep="last")

    def scores(self, trial: str) -> pd.DataFrame:
        """One row a test image: scores, labels (1: abnormal), part_*. UserError where the file is none of that."""
        path = self.path / "scores" / trial / "histogram.csv"
        try:
            frame = pd.read_csv(path)
        except (OSError, ValueError) as error:  # pandas' parser raises kinds of ValueError
            raise UserError(f"{path}: not readable ({' '.join(str(error).split())})") from None
        if not {"scores", "labels"} <= set(frame.columns):
            raise UserError(f"{path}: the columns scores and labels are missing")
        if not frame.map(lambda value: isinstance(value, int | float) and math.isfinite(value)).all(axis=None):
            raise UserError(f"{path}: not all values are finite numbers")
        if not frame["labels"].isin([0, 1]).all():
            raise UserError(f"{path}: labels must be 0 (normal) or 1 (abnormal)")
        return frame

    def gallery(self, trial: str) -> bytes | None:
        """The picture of a final run's most telling test images (see bench.gallery); None where there is none."""
        path = self.path / "scores" / trial / "gallery.png"
        return path.read_bytes() if path.is_file() else None


def read(path: str | Path) -> Results:
    """A study's results; UserError where the folder holds none."""
    path = on_disk(Path(path))
    if not path.is_dir():
        raise UserError(f"{path}: there is no such folder")
    try:
        content = json.loads((path / "study.json").read_bytes())
        study, provenance, run = content["study"], content["provenance"], content.get("run", {})
        if not all(isinstance(part, dict) for part in (study, provenance, run)):
            raise TypeError("study, provenance and run must be objects")
        old = "train.py" if "train.py" in str(provenance.get("command")) else "train_tune.py"
        return Results(path, study, provenance, str(content.get("made_by", old)), run)
    except FileNotFoundError:
        raise UserError(f"{path}: not a study's folder (it has no study.json)") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path / 'study.json'}: not readable ({error})") from None


def new_folder(parent: Path, name: str, given: bool) -> Path:
    """Makes a folder that no other command has made or will take; UserError if it cannot be.

    Where the name was not `given`, but is a default that is taken, it gets a number.
    """
    for number in itertools.count(1):
        path = on_disk(parent) / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            if given:
                raise taken(path) from None
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror})") from None
    raise AssertionError


class Store:
    """A study's folder, open for writing by one process at a time."""

    def __init__(self, path: Path):
        self.path = path
        self.lock = FileLock(path / ".lock")
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"{path}: another command is working on this study") from None
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror})") from None
        for name in ("trials.jsonl", "epochs.jsonl"):
            self.drop_half_line(path / name)

    @classmethod
    def create(
        cls,
        study: Study,
        provenance: dict[str, Any],
        name: str,
        made_by: str = "train_tune.py",
        run: dict[str, Any] | None = None,
    ) -> "Store":
        """A new study's folder, this command's alone; UserError if there is one already, or if it cannot be written."""
        path = new_folder(Path(study.results_dir), name, given=study.name is not None)
        content = {"made_by": made_by, "study": dataclasses.asdict(study), "provenance": provenance, "run": run or {}}
        try:
            store = cls(path)
            write_whole(path / "study.json", json.dumps(content, indent=1, ensure_ascii=False))
        except UserError:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return store

    @staticmethod
    def drop_half_line(path: Path) -> None:
        """Cuts off a last line without its end, so that the next row does not grow onto it."""
        if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
            print(f"note: {path}: the last line was cut off; it is dropped", file=sys.stderr)
            with path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)

    def append(self, file_name: str, row: dict[str, Any]) -> None:
        values = {name: plain(value) for name, value in row.items()}
        line = json.dumps(values, allow_nan=False, ensure_ascii=False) + "\n"
        path = self.path / file_name
        try:
            with path.open("a", encoding="utf-8", errors=LEGIBLE) as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self.drop_half_line(path)
            raise UserError(f"{path} cannot be written ({error.strerror}); free some space, then --resume") from None

    def add_epoch(self, row: dict[str, Any]) -> None:
        self.append("epochs.jsonl", row)

    def add_trial(
        self,
        row: dict[str, Any],
        scores: pd.DataFrame | None = None,
        gallery: bytes | None = None,
        packed: bytes | None = None,
    ) -> None:
        """Adds a finished trial's row, after what belongs to it: a row never points to what is not there."""
        folder = self.path / "scores" / row["trial"]
        if packed is not None:
            write_whole(model_file(self.path, row["trial"]), packed)
        if gallery is not None:
            write_whole(folder / "gallery.png", gallery)
        if scores is not None:
            write_whole(folder / "histogram.csv", scores.to_csv(index=False))
        self.append("trials.jsonl", row)

    def close(self) -> None:
        self.lock.release()
