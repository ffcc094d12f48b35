"""The command that makes a trial's row again."""

import itertools
import math
import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from bench.choices.errors import UserError, most_similar, note
from bench.choices.image_size import parse
from bench.choices.outside import is_file, name_of, sha256_of
from bench.choices.study import CHOOSE_TASKS, HYPERPARAMETERS, Study
from bench.choices.tasks import AMOUNTS, CATEGORY, ONE_CLASS
from bench.results.reading import Results

# The groups of train.py's flags that decide a row's figures; the group output names files only.
GROUPS = ("task", "protocol", "training")
# A row knows these better than its study.
FROM_ROW = ("model", *AMOUNTS, "epochs", "seed", "precision", "device")

TASK_FLAGS = {ONE_CLASS: "normal_class", CATEGORY: "category"}


def command_for(studies: Mapping[str, Results], trial: str) -> str:
    """The command of the trial with this id; UserError where no study has it."""
    rows = [(name, row) for name, study in studies.items() for row in study.rows]
    matches = {name: row for name, row in rows if row["trial"] == trial}
    if not matches:
        similar = most_similar(trial, [row["trial"] for _, row in rows])
        hint = f"; did you mean '{similar}'?" if similar else " (the column `trial` names them)"
        raise UserError(f"--reproduce: no trial '{trial}' in {', '.join(studies)}{hint}")
    if len(matches) > 1:
        raise UserError(
            f"--reproduce: {' and '.join(matches)} have a trial '{trial}' (give one study)"
        )
    ((name, row),) = matches.items()
    results = studies[name]
    if row["kind"] == "tuning" and results.study.get("scheduler") in ("pbt", "pb2"):
        raise UserError(
            f"--reproduce: {trial} took over others' weights as it trained; no command repeats that"
        )
    if file := results.run.get("load"):
        raise UserError(
            f"--reproduce: {trial} began with the weights in {file}; only runs without "
            "--load can be reproduced"
        )
    choices = results.study | (image_flags(results) if row.get("task") == CATEGORY else {})
    warn_of_changes(choices, row)
    warn_of_rotations(results.trials, row)
    return command(choices, row)


def command(study: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """`python train.py …` with the study's choices and the row's task, seed, hyperparameters."""
    names = [field.name for field in fields(Study) if field.metadata["group"] in GROUPS]
    values = {name: study.get(name) for name in names if name not in HYPERPARAMETERS}
    values |= {name: row[name] for name in FROM_ROW if pd.notna(row.get(name))}
    values["model"] = choice_of(study, row["model"])
    values["steps"] = row["generator_steps"] if pd.notna(row.get("steps")) else None
    if (decay := study.get("niter_decay")) and pd.notna(row.get("epochs")):
        values["niter_decay"] = decay_of(decay, study, row)
    own_split = values.pop("split_seed")  # the study's, whatever the row's seed
    values["split_seed"] = study.get("seed") if own_split is None else own_split
    values["cpus_per_trial"] = values.pop("cpus_per_trial") or 1  # threads decide sums' last bits
    task = TASK_FLAGS.get(str(row.get("task")), "abnormal_class")
    values |= dict.fromkeys(CHOOSE_TASKS) | {task: row["class"]}
    values |= {
        name.removeprefix("config_"): value
        for name, value in row.items()
        if name.startswith("config_")
    }
    flags = [(f"--{name}", str(value)) for name, value in values.items() if pd.notna(value)]
    # A class may be called -1: argparse would take that for a flag.
    words = [
        [f"{flag}={value}"] if value.startswith("-") else [flag, value] for flag, value in flags
    ]
    return shlex.join(["python", "train.py", *itertools.chain(*words)])


def decay_of(decay: int, study: Mapping[str, Any], row: Mapping[str, Any]) -> int:
    """The number of last epochs in which the run's step sizes fell; 0 if it was stopped before.

    UserError if it was stopped while they fell: in a run planned this short they fall to almost 0.
    """
    reached = row["epochs"]
    by_steps = pd.notna(row.get("steps"))
    planned = row["steps"] * reached / row["generator_steps"] if by_steps else study.get("epochs")
    stopped_before = max(0, math.ceil(planned or reached) - reached)
    if 0 < stopped_before < decay:
        raise UserError(
            f"--reproduce: {row['trial']} was stopped while its step sizes fell; no command "
            "repeats that"
        )
    return 0 if stopped_before else decay


def image_flags(results: Results) -> dict[str, Any]:
    """Flags for the size and channels of a study's images: one category may get other defaults."""
    channels, height, width = results.provenance["dataset"]["image_shape"]
    return {"image_size": parse(f"{height}x{width}"), "channels": channels}


def choice_of(study: Mapping[str, Any], model: str) -> str:
    """The name of a row's model, or its file's path, which the study knows."""
    return next((choice for choice in study.get("model") or () if name_of(choice) == model), model)


def warn_of_changes(study: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """Notes which of the run's Python files are no longer those that made its row."""
    for kind, choice in (
        ("model", choice_of(study, row["model"])),
        ("dataset", str(study.get("dataset"))),
    ):
        path, sha256 = Path(choice), row.get(f"sha256_{kind}")
        if is_file(choice) and not (path.is_file() and sha256 == sha256_of(path.read_bytes())):
            note(f"{path} is gone or has changed since: this row's had the SHA-256 {sha256}")


def warn_of_rotations(trials: pd.DataFrame, row: Mapping[str, Any]) -> None:
    """Notes that a search of w_rot judged the row's run by other pseudo-anomalies."""
    own = trials["model"] == row["model"]
    if row.get("config_w_rot") == 0 and (trials.loc[own, "config_w_rot"] > 0).any():
        note(
            "other runs of its search learn rotations (w_rot), so this row's pseudo-anomalies have "
            "no rotated images; the new run's do: val_pseudo_auroc, and what it chooses, may differ"
        )
