"""A study's choices in a file: --config reads them, --print_config writes them."""

import dataclasses
import json
import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from bench.choices.errors import UserError
from bench.choices.study import HYPERPARAMETERS, Study

LOCATION = ("name", "results_dir")  # another study's: the new one gets a folder of its own
# Flags that a file cannot set: they say what one command does, and choose nothing in a study.
NO_CHOICES = {"config", "print_config", "list", "resume", "dry_run", "quiet", "verbose", "display"}


def flag_words(path: Path, without: Collection[str] = ()) -> list[str]:
    """A file's choices as flags, in the words of a command line; leaves out those in `without`.

    The file is TOML, with a flag's name for each key and a list or a table (`[set]`) for several
    values; or the study.json of another study. UserError for any other file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
        of_study = path.suffix == ".json"
        study = choices_in(json.loads(text)) if of_study else tomllib.loads(text)
        if wrong := sorted(NO_CHOICES & study.keys()):
            raise UserError(
                f"--config: {path}: {wrong[0]} is no choice of a study (give it as a flag)"
            )
        words = [
            word
            for name, value in study.items()
            if name not in without and not (of_study and name in LOCATION)
            for word in words_for(name, value)
        ]
    except OSError as error:
        raise UserError(f"--config: {path} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"--config: {path} is neither TOML nor a study.json ({str(error).splitlines()[0]})"
        ) from None
    if any("\0" in word for word in words):
        raise UserError(f"--config: {path} has a null character in a value")
    return words


def choices_in(content: dict[str, Any]) -> dict[str, Any]:
    """The choices in a study.json; for a run of train.py, its hyperparameters too.

    Leaves out such a run's number of threads: its default was all cores of that machine.
    """
    study, hyperparameters = content["study"], content.get("run", {}).get("hyperparameters")
    if not hyperparameters:
        if script_of(content) != "train_tune.py":
            reason = "is of a run of train.py and does not say its hyperparameters"
            raise UserError(f"--config: the file {reason} (give flags instead)")
        return study
    shared = [name for name in HYPERPARAMETERS if name in hyperparameters]
    own = {name: study.get(name) or hyperparameters[name] for name in shared}
    others = {name: value for name, value in hyperparameters.items() if name not in own}
    return study | own | {"set": others, "cpus_per_trial": None}


def script_of(content: dict[str, Any]) -> str:
    """The script that made a study.json: train.py, train_tune.py or `train.py --audit`."""
    # An older file has the command alone, `python /somewhere/train.py …`.
    words = str(content.get("provenance", {}).get("command")).split()[:2]
    old = "train.py" if "train.py" in {Path(word).name for word in words} else "train_tune.py"
    return str(content.get("made_by", old))


def words_for(name: str, value: Any) -> list[str]:
    """`--set=ngf=16` for the name `set` and the value `{"ngf": 16}`; no words for None."""
    if isinstance(value, dict):
        value = [f"{key}={item}" for key, item in value.items()]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]  # which may begin with a dash
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)] if value else []
    return [] if value is None else [f"--{name}={value}"]


def text_of(study: Study, datasets: Sequence[str] = ()) -> str:
    """The choices that differ from the defaults, as TOML that `flag_words` reads.

    `datasets`: those of a sweep, in place of the study's own.
    """
    choices = dataclasses.asdict(study) | ({"dataset": datasets} if datasets else {})
    lines = [  # a JSON value is a TOML value, but for one character
        f"{field.name} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")
        for field in dataclasses.fields(study)
        if (value := choices[field.name]) != field.default
    ]
    return "\n".join(lines)
