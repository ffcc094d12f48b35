"""Going on with what an earlier command began: in the same folder, with the same choices, on the same images."""

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

from bench.choices.errors import UserError
from bench.choices.flags import study_from
from bench.choices.names import LEGIBLE
from bench.choices.study import Study
from bench.results.reading import Results, read

# Choices that change no figure; the images are compared by content, wherever they lie now.
FREE = ("name", "results_dir", "time_budget", "dataset", "dataroot", "keep_models", "address", "storage")


def hint(script: str, path: Path) -> str:
    """The command that goes on with the run or study in a folder."""
    return shlex.join(["python", script, "--name", path.name, "--results_dir", str(path.parent), "--resume"])


def begun(given: dict[str, Any], script: str) -> Results:
    """What lies in the folder that `--name` and `--results_dir` say; UserError unless this script began it."""
    if "name" not in given:
        raise UserError("--resume: give its name with --name")
    there = read(Path(given.get("results_dir", Study.results_dir)) / given["name"])
    if there.made_by == script:
        return there
    made = f"--resume: {there.path} was made by {there.made_by}"
    if there.made_by in ("train.py", "train_tune.py"):
        raise UserError(f"{made}; go on with: {hint(there.made_by, there.path)}")
    raise UserError(f"{made}, which cannot go on: run it again under another name")


def study_of(there: Results, given: dict[str, Any]) -> Study:
    """The study as it was begun, but for the choices that change no figure; UserError where `given` has another.

    It is written where it was read, wherever it lay when it was begun.
    """
    place = {"name": there.path.name, "results_dir": str(there.path.parent)}
    study = study_from(there.study | given | place)
    choices, default = (
        json.loads(json.dumps(dataclasses.asdict(s), ensure_ascii=False).encode(errors=LEGIBLE))
        for s in (study, Study())
    )
    before = default | there.study  # an older study lacks newer choices
    check_same({key: value for key, value in choices.items() if key not in FREE}, before)
    return study


def run_of(there: Results, wanted: dict[str, Any], files: dict[str, str | None]) -> dict[str, Any]:
    """A run of train.py as it was begun; UserError where a hyperparameter that is `wanted` differs."""
    if "hyperparameters" not in there.run:
        raise UserError(f"--resume: {there.path} does not say its hyperparameters: it is of an earlier version")
    check_same(wanted, there.run["hyperparameters"])
    return there.run | {"score_folder": files["score_folder"] or there.run.get("score_folder")}


def check_same(choices: dict[str, Any], before: dict[str, Any]) -> None:
    for key, value in choices.items():
        if before.get(key) != value:
            old, new = (" ".join(map(str, v)) if isinstance(v, list) else v for v in (before.get(key), value))
            raise UserError(f"--resume: it was started with --{key} {old}, not {new}")


def same_images(there: Results, provenance: dict[str, Any]) -> dict[str, Any]:
    """The provenance of this command's rows, with the data set as it was called; UserError for other images."""
    before, now = there.provenance.get("dataset") or provenance["dataset"], provenance["dataset"]
    if before.get("fingerprint", now["fingerprint"]) != now["fingerprint"]:
        raise UserError(
            f"--resume: the images of --dataset have changed: their fingerprint is {now['fingerprint']}, and was "
            f"{before['fingerprint']} when {there.path} was started (put the old ones back, or start a new study)"
        )
    return provenance | {"dataset": before}
