"""Train one model on one task with fixed hyperparameters and test it, or use a trained model.

examples:
  python train.py --abnormal_class airplane --niter 10 --w_con 50 --w_lat 1 --w_adv 1
  python train.py --dataset digits --abnormal_class 3 --epochs 5
  python train.py --name my_run --resume       # go on with a run that was stopped
  python train.py --dataset path/to/images --abnormal_class X --score_folder path/to/more
  python train.py --load results/my_study/models/TRIAL.safetensors --score_folder path/to/images
  python train.py --load results/my_study/models/TRIAL.safetensors --export model.onnx
  python train.py --dataset cifar10 --abnormal_class airplane --epochs 5 --audit
  python train.py --model skipganomaly --help  # that model's hyperparameters

The run is written to results/<study>/, in the same form as a study, so that report.py can show it.
An audit writes its table there: audit.md and audit.csv.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import models
from bench.choices import image_size
from bench.choices.errors import UserError
from bench.choices.flags import (
    add_model_flags,
    add_study_flags,
    check_once,
    check_single_values,
    path_of,
    read_models,
    study_from,
)
from bench.choices.monitoring import View, add_view_flags, pop_view
from bench.choices.outside import is_file
from bench.choices.script import Parser, run_main
from bench.choices.study import HYPERPARAMETERS, RUN_CHECKPOINT, Study
from bench.choices.tasks import PROTOCOL_FIELDS
from bench.commands import checks
from bench.data.datasets._files import images_in

if TYPE_CHECKING:  # loads pandas
    from bench.results.reading import Results

AUDIT = (
    "change the published protocol into the sound one, one field at a time, and show how far each "
    "step moves the test AUROC"
)
LOAD = "a trained model (results/<study>/models/*.safetensors) to score with, or to train further"
EXPORT = (
    "write the loaded model for other programs, as ONNX (.onnx) or for torch.export.load (.pt2): "
    "uint8 images in, scores and anomaly maps out"
)
RESUME = (
    "go on with the run or audit that --name names, as if it had not been stopped; needs no other "
    "flags"
)
SCORE = "score this folder's images, or one image, without labels: scores and verdicts, and a page"
AUDITED = ("protocol", *PROTOCOL_FIELDS)  # --audit sets them
NOT_WITH_AUDIT = ("load", "score_folder", "keep_models", "contamination", "false_alarms", "display")
SCORING = {  # the flags that have an effect where a loaded model only scores
    *("load", "score_folder", "false_alarms", "name", "results_dir", "dataroot"),
    *("precision", "device", "cpus_per_trial"),
}
EXPORTING = {"load", "export", "false_alarms"}  # the flags that have an effect on an export


def parser(model: str) -> Parser:
    """The flags of train.py, among them the hyperparameters of `model`."""
    flags = Parser(__doc__, prog="train.py")
    flags.add_argument("--audit", action="store_true", help=AUDIT)
    flags.add_argument("--resume", action="store_true", help=RESUME)
    flags.add_argument("--load", type=path_of, metavar="FILE", help=LOAD)
    flags.add_argument("--export", type=path_of, metavar="FILE", help=EXPORT)
    flags.add_argument("--score_folder", type=path_of, metavar="DIR|IMAGE", help=SCORE)
    add_view_flags(flags, study=False)
    add_study_flags(flags, ("task", "protocol", "training", "output"))
    add_model_flags(flags, model)
    return flags


def parse_first(arguments: Sequence[str]) -> dict[str, Any]:
    """The flags that name the model, on which the others depend, and what --resume needs first."""
    first = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    first.add_argument("--model", nargs="+")
    first.add_argument("--dataset")
    first.add_argument("--name")
    first.add_argument("--results_dir", type=path_of)
    first.add_argument("--resume", action="store_true")
    return vars(first.parse_known_args(arguments)[0])


def model_of(names: Sequence[str]) -> str:
    """The only model among `names`; UserError for several, or for one that does not exist."""
    names = read_models(names)
    if len(names) > 1:
        raise UserError("--model: train.py trains one model (train_tune.py trains several)")
    return names[0]


def check_flags(given: dict[str, Any], hyperparameters: dict[str, Any]) -> None:
    """UserError for flags that do not go together, or that would do nothing."""
    flags = {k for k, v in given.items() if v is not None and v is not False} | {*hyperparameters}
    if given["audit"]:
        useless = sorted(flags & {*NOT_WITH_AUDIT, *AUDITED})
        if useless:
            reason = "it trains anew, from the published protocol to the sound one"
            raise UserError(f"--audit: {reason}; leave out --{useless[0]}")
    if given["resume"] and given["load"]:
        raise UserError("--resume: it goes on with the run's own weights; leave out --load")
    # --model may say where the Python file of a loaded model lies now.
    allowed = {"model"} if any(map(is_file, given.get("model", ()))) else set()
    if given["export"]:
        if not given["load"]:
            raise UserError("--export: give the trained model with --load")
        if useless := sorted(flags - EXPORTING - allowed):
            raise UserError(f"--export: it only writes the model; leave out --{useless[0]}")
        checks.check_export(given["export"])
    elif given["load"]:
        if in_file := sorted(flags & {"model", *hyperparameters} - {*HYPERPARAMETERS} - allowed):
            raise UserError(f"--load: the file says which model it is; leave out --{in_file[0]}")
        if not ("dataset" in given or given["score_folder"]):
            hint = "give --score_folder, --export, or --dataset to train further"
            raise UserError(f"--load: {hint}")
        if "dataset" not in given and (useless := sorted(flags - SCORING - allowed)):
            raise UserError(f"--load: without --dataset it only scores; leave out --{useless[0]}")
    if given["load"] and not given["load"].is_file():
        raise UserError(f"--load: there is no file {given['load']}")


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    check_once(arguments)
    first, earlier, default = parse_first(arguments), None, Study.model
    if "resume" in first:
        from bench.commands import resume  # loads pandas

        earlier = resume.earlier_results(first, "train.py")
        default = earlier.study.get("model", default)
    name = model_of(first.get("model") or default)
    given = vars(parser(name).parse_args(arguments))
    check_single_values(given)
    view = pop_view(given)
    if earlier:
        began_as_audit = earlier.made_by.endswith("--audit")
        if given["audit"] and not began_as_audit:
            raise UserError(f"--audit: {earlier.path} is no audit, but a run; leave out --audit")
        given["audit"] = began_as_audit
    hyperparameters = {key: given[key] for key in models.hyperparameters(name) if key in given}
    check_flags(given | {"display": view.display}, hyperparameters)
    checks.check_values(name, hyperparameters)
    if given["load"] and "dataset" not in given:
        return score_or_export(given, view)
    files = {  # --load cannot be given again, so its path must hold from anywhere
        "load": given["load"] and str(given["load"].absolute()),
        "score_folder": given["score_folder"] and str(given["score_folder"]),
    }
    if earlier:
        study = resume.study_of(earlier, given)
        extras = resume.run_of(earlier, hyperparameters, files)
        folder = earlier.path / "models"
        hint = f"give --load the model in {folder}" if folder.is_dir() else "it kept no model"
        if not earlier.trials.empty and given["score_folder"]:
            raise UserError(f"--score_folder: the run is over; {hint}")
        if not earlier.trials.empty:
            (earlier.path / RUN_CHECKPOINT).unlink(missing_ok=True)  # a kill may have left it
            report = shlex.join(["python", "report.py", str(earlier.path)])
            print(f"{earlier.path}: this run is over; next: {report}")
            if extras["score_folder"] and not (earlier.path / "scores.csv").exists():
                print(f"{extras['score_folder']} is not scored yet: {hint}")
            return int(earlier.trials["status"].iloc[-1] == "error")
    else:
        study = study_from(given)
        extras = {"hyperparameters": hyperparameters, "set": hyperparameters} | files
        checks.check_new(study)
    if extras["score_folder"]:
        images_in(Path(extras["score_folder"]), "--score_folder")
    checks.check_machine(study)
    checks.check_data(study, one_task=True, by_model=not extras["load"])
    checks.check_models(study)
    return start(study, name, extras, given["audit"], view, earlier)


def with_threads(study: Study) -> Study:
    """Sets this process's threads and determinism; gives the study with its number of threads."""
    from bench.training.devices import be_deterministic, ready_process

    threads = study.cpus_per_trial or checks.usable_cores()
    ready_process(threads)
    be_deterministic(study.deterministic)
    return replace(study, cpus_per_trial=threads)


def score_or_export(given: dict[str, Any], view: View) -> int:
    """Scores images with a trained model, or exports it; returns the exit status."""
    study, out = study_from(given), given["export"]
    if not out:
        checks.check_new(study)
    checks.check_machine(study)
    if given["score_folder"]:
        images_in(given["score_folder"], "--score_folder")
    checks.check_models(study)
    study = with_threads(study)
    from bench.commands import train
    from bench.commands.export import export
    from bench.training import model_files
    from bench.training.devices import choose_device

    # An exported file computes in float32.
    device = "cpu" if out else choose_device(study)
    precision = "float32" if out else given.get("precision")
    model, content = model_files.load(given["load"], device, precision, own_file(study))
    rate = given.get("false_alarms")
    if out:
        export(model, content, out, rate)
        return 0
    try:
        return train.score(study, model, content, given["score_folder"], view, rate)
    except FloatingPointError as error:
        raise UserError(f"--load: {given['load']}: {error}") from None


def own_file(study: Study) -> str | None:
    """The path of the model's own Python file, which may have moved; None if --model names none."""
    return next((path for flag, path in study.files() if flag == "model"), None)


def start(
    study: Study,
    name: str,
    extras: dict[str, Any],
    audit: bool,
    view: View,
    earlier: "Results | None",
) -> int:
    """Trains or audits, once the flags are checked; returns the exit status.

    Imports here what takes seconds to load. `name`: the model. `extras`: its hyperparameters, --load
    and --score_folder. `earlier`: what a resumed run has written so far.
    """
    study = with_threads(study)
    from bench.commands import train
    from bench.data import datasets
    from bench.training import model_files
    from bench.training.prepare import prepare

    loaded = None
    if extras["load"] and not (earlier and (earlier.path / RUN_CHECKPOINT).exists()):
        # The new model, on the device, takes over the loaded one's weights.
        file = Path(extras["load"])
        model, content = loaded = model_files.load(file, "cpu", study.precision, own_file(study))
        if extras.setdefault("sha256_load", content["sha256"]) != content["sha256"]:
            raise UserError(f"--resume: {file} has changed since this run began with its weights")
        name = content["model"]
        if not models.get(name).BATCHES:
            raise UserError(f"--load: {name} is fitted at once, and cannot train further")
        channels, height, width = model.image_shape
        study = replace(
            study,
            model=(content.get("code", {"path": name})["path"],),
            channels=study.channels or channels,
            image_size=study.image_size or image_size.parse(f"{height}x{width}"),
        )
        extras["hyperparameters"] = content["config"] | extras["hyperparameters"]
    elif not earlier:
        suited, published = datasets.defaults_of(study.dataset), study.protocol == "published"
        defaults = models.starting_values(name, suited, published)
        extras["hyperparameters"] = defaults | extras["hyperparameters"]
    try:
        config = models.get(name).Config.make(extras["hyperparameters"])
        models.get(name).fetch(config)
    except ValueError as error:
        raise UserError(f"--{error}") from None
    ready = prepare(study)
    ready.check(name, asdict(config))
    extras["hyperparameters"] = asdict(config)
    try:
        if audit:
            from bench.commands.audit import audit_run

            audit_run(study, ready, name, extras, view, earlier)
            return 0
        return train.train_run(study, ready, name, extras, view, loaded, earlier)
    except FloatingPointError as error:  # a loss or score that is not finite
        print(f"failed: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    run_main(main)
