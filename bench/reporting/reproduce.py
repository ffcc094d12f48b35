"""The command that makes a trial's row again."""

import difflib
import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.errors import UserError
from bench.results import Results

FLAGS = [
    "model",
    "dataset",
    "dataroot",
    "abnormal_class",
    "normal_class",
    "protocol",
    "scoring_mode",
    "test_order",
    "selection",
    "test_pool",
    "select_on",
    "epochs",
    "image_size",
    "channels",
    "limit_train",
    "limit_test",
    "seed",
    "precision",
    "device",
]


def find(studies: Mapping[str, Results], trial: str) -> str:
    """The command of the trial with this id; UserError where no study has it."""
    known: list[str] = []
    for results in studies.values():
        for row in results.trials.to_dict("records"):
            if row["trial"] == trial:
                return command(results.study, row)
            known.append(str(row["trial"]))
    near = difflib.get_close_matches(trial, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise UserError(f"--reproduce: no trial '{trial}' in {', '.join(studies)}{hint}")


def command(study: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """`python train.py …` with the study's choices, the row's task and seed, and every hyperparameter of the row."""
    task = "normal_class" if row.get("task") == "one-class" else "abnormal_class"
    own = {name: row.get(name) for name in ("model", "epochs", "seed", "select_on")}
    if row.get("device") in ("cpu", "cuda"):
        own["device"] = row["device"]  # where the study said auto
    values = {name: study.get(name) for name in FLAGS} | {name: value for name, value in own.items() if given(value)}
    values |= {"abnormal_class": None, "normal_class": None, task: row["class"]}
    values |= {name.removeprefix("config_"): value for name, value in row.items() if name.startswith("config_")}
    pairs = ((f"--{name}", text(value)) for name, value in values.items() if given(value))
    return shlex.join(["python", "train.py", *(word for pair in pairs for word in pair)])


def given(value: object) -> bool:
    return bool(pd.notna(value))


def text(value: object) -> str:
    """A value as the command line reads it; a frame turns whole numbers to floats where another row has none."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
