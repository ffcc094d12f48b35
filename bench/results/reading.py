"""Reads results/<study>/: its rows, its final runs' scores and their pictures."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import numpy as np
import pandas as pd

from bench.choices.config import script_of
from bench.choices.errors import UserError
from bench.choices.names import legible, on_disk
from bench.choices.study import SWEEP, Study
from bench.choices.tasks import search_of
from bench.results.rows import TEXTS, epoch_rows, read_rows, unreadable

PACKED = "scores.parquet"  # the scores of all runs that were there at `report.py --pack`
WINNERS = "winners.jsonl"  # which configuration won each search; the last line on a task counts
DIVERGED = "FloatingPointError"  # how an error begins that another attempt would repeat
# What a report reads of a study.json's provenance, and of the data set in it.
PROVENANCE: dict[str, Any] = {
    "commit": str | None,
    "dataset": dict | None,
    "hardware": dict | None,
    "files": dict[str, dict[str, str]],
}
DATASET = {"name": str | None, "fingerprint": str | None}
SAME_PART = "same_part"  # the column of PACKED that names the part that equals the score


def read(path: str | Path) -> "Results":
    """A study's results; UserError where the folder holds none."""
    path = on_disk(Path(path))
    if not path.is_dir():
        raise UserError(f"{path}: there is no such folder")
    try:
        content = json.loads((path / "study.json").read_bytes())
        study, provenance, run = content["study"], content["provenance"], content.get("run", {})
        if not all(isinstance(part, dict) for part in (study, provenance, run)):
            raise TypeError("study, provenance and run must be objects")
        check_types("study", study, {f.name: f.type for f in fields(Study)})
        check_types("provenance", provenance, PROVENANCE)
        check_types("dataset", provenance.get("dataset") or {}, DATASET)
        check_types("run", run, {"set": dict})
        return Results(
            path, study, provenance, script_of(content), run, content.get("grown_from", [])
        )
    except FileNotFoundError:
        raise UserError(f"{path}: not a study's folder (it has no study.json)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path / 'study.json'}: not readable ({error})") from None


def check_types(part: str, values: dict[str, Any], types: Mapping[str, Any]) -> None:
    """TypeError for a value of study.json that is not of its type; it may lack some values."""
    for name, kind in types.items():
        if name in values and not is_of(kind, values[name]):
            raise TypeError(f"{name} of {part} cannot be {values[name]!r}")


def is_of(kind: Any, value: Any) -> bool:
    """Whether a value of a JSON file is of a type such as `int | tuple[int, ...] | None`."""
    if isinstance(kind, UnionType):
        return any(is_of(member, value) for member in get_args(kind))
    if get_origin(kind) is tuple:  # a list in JSON
        return isinstance(value, list) and all(is_of(get_args(kind)[0], each) for each in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(is_of(get_args(kind)[1], v) for v in value.values())
    return isinstance(value, int | float if kind is float else kind)


def studies_in(path: Path) -> list[Path]:
    """The folders of a sweep's studies that have begun; for other folders, the folder itself."""
    path = on_disk(path)
    if not (path / SWEEP).exists():
        return [path]
    studies = sorted(file.parent for file in path.glob("*/study.json"))
    if not studies:
        raise UserError(f"{path}: no study of this sweep has begun yet")
    return studies


@dataclass(frozen=True)
class Results:
    """A study's rows and scores as DataFrames, each file read when it is first asked for.

    Attributes:
        path: the study's folder.
        study: every choice of the study, as in Study.
        provenance: commit, command, versions, hardware and data set of the command that began it.
        made_by: that command's script: train.py (`train.py --audit` for an audit) or train_tune.py.
        run: what is not in `study`: hyperparameters of train.py, winners of --start_from.
        grown_from: the choices that may grow, as they were each time before the study grew.
    """

    path: Path
    study: dict[str, Any]
    provenance: dict[str, Any]
    made_by: str = "train_tune.py"
    run: dict[str, Any] = field(default_factory=dict)
    grown_from: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return legible(self.path.resolve().name)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The last row of each trial: a run that failed may have been tried again."""
        rows = read_rows(self.path / "trials.jsonl", TEXTS)
        return list({row["trial"]: row for row in rows}.values())

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial, with its role in the study as it is now."""
        frame = pd.DataFrame(self.rows)
        frame["variant"] = frame["variant"].fillna("") if "variant" in frame else ""
        return frame.assign(role=list(map(self.role, self.rows)))

    @cached_property
    def winners(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """By model, class and variant: the last line on it in winners.jsonl; an older study has none."""
        decisions = read_rows(self.path / WINNERS, ("number", "steps"))
        return {search_of(decision): decision for decision in decisions}

    def check_decided(self) -> None:
        """UserError where several configurations were tested, and nothing says which of them won."""
        finals = [row for row in self.rows if row.get("kind") == "final"]
        for search in {search_of(row) for row in finals} - {*self.winners}:
            if len({row.get("number") for row in finals if search_of(row) == search}) > 1:
                reason = f"does not say which configuration of {', '.join(search[:2])} won"
                raise UserError(
                    f"{self.path / WINNERS} is missing, or {reason} (train_tune.py --resume decides "
                    "anew)"
                )

    def role(self, row: Mapping[str, Any]) -> str | None:
        """What a run is in the study as it is now; None for runs of a search that still count.

        A study that has grown holds superseded runs: of an earlier winner, of fewer steps, or of an
        earlier finalist. Runs of more steps are pending until their search has decided anew, and
        finalists are undecided until it has decided at all.
        """
        final, finalist = row.get("kind") == "final", row.get("kind") == "finalist"
        decision = self.winners.get(search_of(row))
        if decision is None:
            return "winner" if final else "undecided" if finalist else None
        steps, decided = row.get("steps"), decision["steps"]
        if not pd.isna(steps) and (decided is None or steps > decided):
            return "pending"
        if decided != (None if pd.isna(steps) else steps):
            return "superseded"
        if finalist and str(row["number"]) not in decision.get("objectives", [str(row["number"])]):
            return "superseded"
        if not final:
            return None
        if row["number"] == decision["number"]:
            return "winner"
        return "default" if row["number"] == 0 else "superseded"

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """One row per trial and epoch: of the attempt that the trial's row names, or else the last.

        A run whose process died, or whose study was stopped, was started again and has rows of
        each attempt. Within an attempt the last row of an epoch counts: PBT goes back to epochs
        of other trials.
        """
        frame = pd.DataFrame(epoch_rows(self.path))
        if frame.empty:
            return frame
        attempts = frame["attempt"].fillna(1) if "attempt" in frame else pd.Series(1, frame.index)
        valid = attempts.groupby(frame["trial"]).transform("max")
        if "attempt" in self.trials:
            named = dict(zip(self.trials["trial"], self.trials["attempt"], strict=True))
            valid = frame["trial"].map(named).fillna(valid)
        return frame[attempts == valid].drop_duplicates(["trial", "epoch"], keep="last")

    @property
    def has_scores(self) -> bool:
        """Whether the folder has a place for scores; a study may be kept for its rows alone."""
        return (self.path / "scores").exists() or (self.path / PACKED).exists()

    def scores(self, trial: str) -> pd.DataFrame:
        """A final run's scores, one row per test image: scores, labels (1: abnormal), part_*.

        They come from the run's CSV file, or else from scores.parquet: a run that has both was
        run again after the study was packed. UserError where neither has them, or where they are
        no finite numbers.
        """
        path = self.path / "scores" / trial / "histogram.csv"
        if not path.exists() and trial in self.packed_scores:
            check_scores(self.packed_scores[trial], f"{self.path / PACKED}, trial {trial}")
            return self.packed_scores[trial]
        finals = (row["trial"] for row in self.rows if row["kind"] == "final")
        if not path.exists() and trial not in finals:
            raise UserError(f"{self.path}: '{trial}' is no final run; only those have scores")
        try:
            frame = pd.read_csv(path)
        except (OSError, ValueError) as error:  # pandas' parser raises kinds of ValueError
            raise unreadable(path, error) from None
        check_scores(frame, path)
        return frame

    @cached_property
    def packed_scores(self) -> dict[str, pd.DataFrame]:
        """The runs in scores.parquet by trial, yet to be checked; none where it does not exist."""
        path = self.path / PACKED
        try:
            return unpacked(path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from None

    def gallery(self, trial: str) -> bytes | None:
        """A final run's most telling test images as a PNG (bench.results.gallery), if kept."""
        path = self.path / "scores" / trial / "gallery.png"
        return path.read_bytes() if path.is_file() else None


def worth_retrying(row: Mapping[str, Any]) -> bool:
    """Whether a run failed for a reason that may not come up in another attempt."""
    return row["status"] == "error" and not str(row.get("error")).startswith(DIVERGED)


def unpacked(content: bytes) -> dict[str, pd.DataFrame]:
    """The runs in a scores.parquet by trial, numbers as float64; ValueError where it is none.

    The file is described in bench.results.packing.packed.
    """
    import pyarrow  # here: few studies are packed, and loading it takes a while
    import pyarrow.parquet

    runs = {}
    try:
        frame = pyarrow.parquet.read_table(io.BytesIO(content)).to_pandas(ignore_metadata=True)
        numbers = [name for name in frame if name not in ("trial", "labels", SAME_PART)]
        # By way of text, as a CSV file gives float32 back: 0.1, not 0.10000000149011612.
        frame[numbers] = frame[numbers].astype(str).astype("float64")
        for trial, rows in frame.groupby("trial", sort=False):
            run = rows.drop(columns="trial").dropna(axis="columns", how="all")
            if SAME_PART in run:
                run[run.pop(SAME_PART).iloc[0]] = run["scores"]
            runs[str(trial)] = run.reset_index(drop=True)
    except (pyarrow.ArrowException, KeyError, TypeError) as error:
        raise ValueError(str(error)) from None
    return runs


def check_scores(frame: pd.DataFrame, source: object) -> None:
    """Raises UserError unless the frame holds scores and labels, all of them usable numbers."""
    if not {"scores", "labels"} <= set(frame.columns):
        raise UserError(f"{source}: the columns scores and labels are missing")
    numeric = frame.dtypes.map(pd.api.types.is_numeric_dtype).all()
    if not numeric or not np.isfinite(frame.to_numpy(float)).all():
        raise UserError(f"{source}: not all values are finite numbers")
    if not frame["labels"].isin([0, 1]).all():
        raise UserError(f"{source}: labels must be 0 (normal) or 1 (abnormal)")
