"""--resume: goes on in the folder of an earlier command, with its choices, on the same images."""

import dataclasses
import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.choices import interrupts
from bench.choices.errors import UserError, note
from bench.choices.flags import study_from
from bench.choices.names import LEGIBLE, on_disk
from bench.choices.outside import KINDS, hashes, is_file, name_of
from bench.choices.study import DEFAULT_TRIALS, Study
from bench.choices.tasks import AMOUNTS
from bench.commands.checks import usable_cores
from bench.results.reading import Results, read
from bench.results.store import Store

# Choices that change no figure by more than rounding. Images are compared by content, so they may
# lie elsewhere now.
FREE = (
    *("name", "results_dir", "time_budget", "dataset", "dataroot"),
    *("keep_models", "address", "storage", "gpus_per_trial", "cpus_per_trial"),
)
# A study may go on with more of these than it began with.
GROWING_NUMBERS = ("trials", "seeds", "steps")
GROWING_LISTS = ("model", "abnormal_class", "normal_class", *AMOUNTS)


def hint(script: str, path: Path) -> str:
    """The command that goes on with the run or study in a folder."""
    place = ["--name", path.name, "--results_dir", str(path.parent)]
    return shlex.join(["python", script, *place, "--resume"])


@contextmanager
def resumable(
    script: str, open_folder: Callable[[], Store], progress: Callable[[], str]
) -> Iterator[Store]:
    """Opens a run's or study's folder for a block of work, and closes it.

    Where a signal ends the block, says how far the work came (`progress`) and how to go on, and
    exits with status 130. Signals wait while the folder is made: else it could remain without this
    hint.
    """
    store = None
    try:
        with interrupts.deferred():
            store = open_folder()
        yield store
    except KeyboardInterrupt:
        if store is None:
            raise
        print(f"\ninterrupted {progress()}; go on with:\n  {hint(script, store.path)}")
        raise SystemExit(130) from None
    except UserError as error:
        if store is None or "--resume" in str(error) or str(error).startswith("--model"):
            raise  # --resume would refuse a model's file that was mended
        raise UserError(f"{error}; once that is mended: {hint(script, store.path)}") from None
    except Exception as error:  # such as of a user's own model: the traceback ends with this line
        if store:
            error.add_note(
                f"once its cause is gone, with unchanged code: {hint(script, store.path)}"
            )
        raise
    finally:
        if store:
            store.close()


def earlier_results(given: dict[str, Any], script: str) -> Results:
    """The results in the folder that `--name` and `--results_dir` name.

    UserError where another script began them, or a Python file that they need is gone.
    """
    if "name" not in given:
        raise UserError("--resume: give its name with --name")
    earlier = read(Path(given.get("results_dir", Study.results_dir)) / given["name"])
    saved = {flag: value for flag, value in earlier.study.items() if flag in {*KINDS} - {*given}}
    for flag, path in Study(**saved).files():
        if not on_disk(Path(path)).exists():
            raise UserError(f"--resume: {path} is gone (give --{flag} where it lies now)")
    own = earlier.made_by.removesuffix(" --audit")
    if own == script:
        return earlier
    raise UserError(
        f"--resume: {earlier.path} was made by {own}; go on with: {hint(own, earlier.path)}"
    )


def study_of(earlier: Results, given: dict[str, Any]) -> Study:
    """The study as an earlier command began it, with the given choices that change no figure.

    A study of train_tune.py may grow in GROWING_NUMBERS and GROWING_LISTS. UserError where another
    given choice differs. The study goes on in the folder where it lies now.
    """
    place = {"name": earlier.path.name, "results_dir": str(earlier.path.parent)}
    if "model" in given:  # rows and reports call a model from a file by its name
        own = {name_of(path): path for path in earlier.study["model"] if is_file(path)}
        given = given | {"model": [own.get(name, name) for name in given["model"]]}
    study = study_from(earlier.study | given | place)
    choices, defaults = (
        json.loads(json.dumps(dataclasses.asdict(s), ensure_ascii=False).encode(errors=LEGIBLE))
        for s in (study, Study())
    )
    # An older study lacks newer choices.
    choices, before = with_file_names(choices), with_file_names(defaults | earlier.study)
    if unknown := sorted(earlier.study.keys() - defaults.keys()):
        raise UserError(
            f"--resume: {earlier.path} has a choice that this version does not know: {unknown[0]} "
            "(go on with the version that began it)"
        )
    grows = earlier.made_by == "train_tune.py"
    if grows and "finalists" not in earlier.study:
        raise UserError(
            f"--resume: {earlier.path} is of an earlier version, which named its runs otherwise: "
            "start a new study (--start_from takes over its winners)"
        )
    asked = {key: value for key, value in choices.items() if key not in FREE}
    fixed = {k: v for k, v in asked.items() if not (grows and may_grow(k, before[k], v, earlier))}
    check_same(fixed, before, grows)
    check_same_files(earlier, hashes(study.files()))
    if "cpus_per_trial" in given or study.address or not study.cpus_per_trial:
        return study
    if study.cpus_per_trial <= (cores := usable_cores()):
        return study
    note(
        f"this machine has {cores} processor cores: runs go on with these, not with the "
        f"{study.cpus_per_trial} that they began with"
    )
    return dataclasses.replace(study, cpus_per_trial=cores)


def with_file_names(choices: dict[str, Any]) -> dict[str, Any]:
    """A study's choices with names for files: these are compared by content, as images are."""
    names = {flag: list(map(name_of, choices[flag])) for flag in ("model", "space")}
    return choices | names


def check_same_files(earlier: Results, now: dict[str, dict[str, str]]) -> None:
    """UserError where a file from outside is not the one that the study began with.

    `now`: their SHA-256, by flag and name.
    """
    for flag, before in earlier.provenance.get("files", {}).items():
        for name, old in before.items():
            new = now.get(flag, {}).get(name)
            if new is None:
                raise UserError(
                    f"--resume: it was started with --{flag} {name}.py (leave --{flag} out, or give "
                    "that file)"
                )
            if new != old:
                raise UserError(
                    f"--resume: the --{flag} file {name}.py has changed: its SHA-256 begins with "
                    f"{new[:12]}, but with {old[:12]} when {earlier.path} was started (put the "
                    "old one back, or start a new study)"
                )


def may_grow(key: str, old: Any, new: Any, earlier: Results) -> bool:
    """Whether a study may grow by this choice, and its new value is no less than the old one."""
    if key in GROWING_LISTS:
        if not (isinstance(old, list) and isinstance(new, list)):
            return False  # runs are named after the value where there are several: none would match
        return bool(old) and ("all" in new or set(old) <= set(new))
    if key not in GROWING_NUMBERS or new is None:
        return False
    default = DEFAULT_TRIALS if key == "trials" else 0
    if old is None:  # the study may have done the whole default
        return new > max(reached(key, earlier), default)
    # A number that was raised may be lowered again, but not below what the runs have reached.
    before = [grown[key] for grown in earlier.grown_from if key in grown]
    least = min(default if value is None else value for value in (old, *before))
    return new >= max(reached(key, earlier), least)


def reached(key: str, earlier: Results) -> int:
    """How many trials or seeds a study's runs have so far, or the most generator steps of one."""
    if (rows := earlier.trials).empty:
        return 0
    if key == "trials":
        return int(rows["number"].max()) + 1
    if key == "seeds":
        return int(rows.loc[rows["kind"] == "final", "seed"].nunique())
    return 0 if rows["steps"].isna().all() else int(rows["steps"].max())


def run_of(
    earlier: Results, hyperparameters: dict[str, Any], files: dict[str, str | None]
) -> dict[str, Any]:
    """What train.py kept of a run in study.json; UserError where a given hyperparameter differs."""
    if "hyperparameters" not in earlier.run:
        raise UserError(
            f"--resume: {earlier.path} does not say its hyperparameters: it is of an earlier "
            "version"
        )
    check_same(hyperparameters, earlier.run["hyperparameters"])
    return earlier.run | {"score_folder": files["score_folder"] or earlier.run.get("score_folder")}


def check_same(choices: dict[str, Any], before: dict[str, Any], grows: bool = False) -> None:
    """UserError where a choice differs from before; `grows`: the error says which may grow."""

    def text(value: Any) -> str:
        return " ".join(map(str, value)) if isinstance(value, list) else str(value)

    for key, value in choices.items():
        old = before.get(key)
        if old == value:
            continue
        if old in (None, []):
            raise UserError(f"--resume: it was started without --{key}: leave it out")
        verb, advice = "was started with", ""
        if grows and key in GROWING_NUMBERS:
            verb, advice = "has", " (it can only grow: give more)"
        elif grows and key in GROWING_LISTS and isinstance(old, list) and isinstance(value, list):
            new = [one for one in value if one not in old]
            adds = "all" not in old and new and key != "model"
            how = f"--{key} {text([*old, *new])}" if adds else "give all of these, and more"
            verb, advice = "has", f" (it can only grow: {how})"
        raise UserError(f"--resume: it {verb} --{key} {text(old)}, not {text(value)}{advice}")


def resumed_provenance(earlier: Results | None, provenance: dict[str, Any]) -> dict[str, Any]:
    """This command's provenance, with the data set as the command that began the study wrote it.

    UserError where the images are not the same.
    """
    if earlier is None:
        return provenance
    now = provenance["dataset"]
    before = earlier.provenance.get("dataset") or now
    if before.get("fingerprint", now["fingerprint"]) != now["fingerprint"]:
        raise UserError(
            f"--resume: the images of --dataset have changed: their fingerprint is "
            f"{now['fingerprint']}, and was {before['fingerprint']} when {earlier.path} was "
            "started (put the old ones back, or start a new study)"
        )
    return provenance | {"dataset": before}
