"""Packs a study's scores, from a folder for each run into one file, and its epochs' rows."""

import contextlib
import lzma
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from bench.choices.errors import UserError, cannot_write
from bench.judging import metrics
from bench.results.reading import PACKED, SAME_PART, Results, read, unpacked
from bench.results.rows import EPOCHS, PACKED_EPOCHS, content_of, epoch_rows
from bench.results.store import Store, write_whole

FILES = ("histogram.csv", "gallery.png")  # of a run, in scores/


def pack(path: Path) -> str:
    """Makes a study's scores and epochs small, and says so in a line for each.

    UserError, with nothing removed, where another command works on the study, where a file is
    unusable, or where the scores folder has a file that this would lose.
    """
    with contextlib.closing(Store(path)):
        lines = [line for line in (pack_scores(path), pack_epochs(path)) if line]
    return "\n".join(lines) or f"{path}: it has nothing to pack"


def pack_scores(path: Path) -> str | None:
    """Moves a study's scores into scores.parquet and removes its scores folder.

    Runs that are packed already stay in the file. The folder goes, with its pictures, only after
    the new file has been read back and compared.
    """
    study = read(path)
    folder = path / "scores"
    csvs = sorted(folder.rglob("histogram.csv"))
    if not folder.exists() or not (csvs or study.packed_scores):
        return None
    check_nothing_else(folder)
    runs = {trial: study.scores(trial) for trial in study.packed_scores}
    runs |= new_runs(study, csvs)
    narrow = all(map(keeps_aurocs, runs.values()))
    content = packed(runs, np.float32 if narrow else np.float64)
    before = [*csvs, *folder.rglob("gallery.png")]
    size = sum(file.stat().st_size for file in before)
    write_checked(path / PACKED, content)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise cannot_write(folder, error) from None
    digits = (
        f"float32, which keeps every AUROC to {metrics.SAME:g}"
        if narrow
        else f"float64, as float32 would change an AUROC by more than {metrics.SAME:g}"
    )
    return (
        f"{path / PACKED}: {len(content) / 1e6:.2f} MB, scores of {len(runs)} runs as {digits}; "
        f"{folder} is removed ({len(csvs)} score files, {len(before) - len(csvs)} pictures, "
        f"{size / 1e6:.2f} MB)"
    )


def pack_epochs(path: Path) -> str | None:
    """Moves the rows of a study's epochs into epochs.jsonl.xz, after those that it has already."""
    file, packed_file = path / EPOCHS, path / PACKED_EPOCHS
    rows = content_of(file)
    if not rows:
        return None
    count = len(epoch_rows(path))  # refuses a damaged file
    lines = content_of(packed_file)
    if not lines.endswith(rows):  # as it does where a kill came between the file and its removal
        lines += rows
    content = lzma.compress(lines)
    write_checked(packed_file, content)
    try:
        file.unlink()
    except OSError as error:
        raise cannot_write(file, error) from None
    return f"{packed_file}: {len(content) / 1e6:.2f} MB, {count} rows ({len(lines) / 1e6:.2f} MB)"


def write_checked(path: Path, content: bytes) -> None:
    """Writes a file and reads it back; UserError where it is not what was written."""
    write_whole(path, content)
    if path.read_bytes() != content:
        raise UserError(f"{path} does not hold what was written; nothing was removed")


def check_nothing_else(folder: Path) -> None:
    """Raises UserError where a scores folder has a file that is none of the harness's."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name not in FILES and not file.name.startswith("."):
            raise UserError(f"{file} would be lost: move it elsewhere, then --pack")


def new_runs(study: Results, csvs: list[Path]) -> dict[str, pd.DataFrame]:
    """The runs in CSV files by trial.

    UserError for a run that has no row, or that is packed already with other scores.
    """
    rows = {row["trial"] for row in study.rows}
    runs = {}
    for file in csvs:
        trial = file.parent.relative_to(study.path / "scores").as_posix()
        if trial not in rows:
            raise UserError(f"{file}: this trial has no row: --resume the study, then --pack")
        runs[trial] = run = study.scores(trial)
        earlier = study.packed_scores.get(trial)
        if earlier is not None and not same(earlier, run, np.float32):
            raise UserError(f"{file}: {study.path / PACKED} has other scores of this trial")
    return runs


def keeps_aurocs(run: pd.DataFrame) -> bool:
    """Whether float32 gives the same AUROC of the score, and of each part of it, to 1e-6."""
    with np.errstate(over="ignore"):
        rounded = run.astype(np.float32)
    if not np.isfinite(rounded).all(axis=None):
        return False
    labels, columns = run["labels"], [name for name in run if name != "labels"]
    if labels.nunique() < 2:  # an AUROC needs both classes: there is none to keep
        return rounded.astype(np.float64).equals(run.astype(np.float64))
    changes = [metrics.auroc(labels, run[c]) - metrics.auroc(labels, rounded[c]) for c in columns]
    return max(map(abs, changes)) <= metrics.SAME


def packed(runs: dict[str, pd.DataFrame], kind: type[np.floating]) -> bytes:
    """A scores.parquet of runs by trial: one row per test image, with its trial.

    A part that a run's model does not have is null. So is one that equals the score, as a model's
    only part does: `same_part` names it, which makes the file a sixth smaller. UserError unless
    reading the file gives the same runs.
    """
    slim = {trial: without_copy(run) for trial, run in runs.items()}
    frame = pd.concat(slim, names=["trial"]).reset_index("trial")
    numbers = [name for name in frame if name not in ("trial", "labels", SAME_PART)]
    frame = frame.astype(dict.fromkeys(numbers, kind))
    content = frame.to_parquet(
        index=False,
        compression="zstd",
        compression_level=19,
        use_dictionary=["trial", "labels", SAME_PART],
        use_byte_stream_split=numbers,
    )
    copies = unpacked(content)
    wrong = [t for t, run in runs.items() if t not in copies or not same(copies[t], run, kind)]
    if wrong:
        raise UserError(f"{PACKED} would not give back the scores of {', '.join(wrong)}")
    return content


def without_copy(run: pd.DataFrame) -> pd.DataFrame:
    """The run without the part that equals its scores, and with that part's name, or null."""
    parts = [name for name in run if name.startswith("part_")]
    copy = next((name for name in parts if run[name].equals(run["scores"])), None)
    return run.drop(columns=[copy] if copy else []).assign(**{SAME_PART: copy})


def same(one: pd.DataFrame, other: pd.DataFrame, kind: type[np.floating]) -> bool:
    """Whether two runs have the same columns and, as numbers of that kind, the same values."""
    with np.errstate(over="ignore"):
        columns = list(one)
        return set(columns) == set(other) and one.astype(kind).equals(other[columns].astype(kind))
