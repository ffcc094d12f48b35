"""Train one model on one task with fixed hyperparameters, epoch by epoch, test it; or use a trained one.

examples:
  python train.py --dataset cifar10 --abnormal_class airplane --niter 10 --w_con 50 --w_lat 1 --w_adv 1
  python train.py --dataset digits --abnormal_class 3 --epochs 5
  python train.py --name my_run --resume          # go on with a run that was stopped
  python train.py --dataset path/to/images --isize 32 --niter 5 --score_folder path/to/new/images
  python train.py --load results/my_study/models/TRIAL.safetensors --score_folder path/to/new/images
  python train.py --dataset cifar10 --abnormal_class airplane --epochs 5 --audit
  python train.py --model skipganomaly --help     # that model's hyperparameters

The run is written to results/<study>/ like any study's, so that report.py can show it.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import models
from bench.choices.errors import Parser, UserError, run_main
from bench.choices.flags import add_model_flags, add_study_flags, check_models, path_of, study_from
from bench.choices.monitoring import View, add_view_flags, take_view
from bench.choices.study import HYPERPARAMETERS, RUN, Study
from bench.commands import checks

if TYPE_CHECKING:  # it loads pandas
    from bench.results.reading import Results

AUDIT = "walk from the published protocol to the sound one, one field at a time, and show what each step costs"
LOAD = "a trained model (results/<study>/models/*.safetensors): score new images with it, or train it further"
RESUME = "go on with the run --name, to the same figures as without the stop; other flags may be left out"
SCORE = "score the images of this folder (labels are not needed): scores.csv and a page, most anomalous first"
WALKED = ("protocol", "scoring_mode", "test_order", "selection", "test_pool")  # by an audit
SCORING = {"load", "score_folder", "name", "results_dir", "dataroot", "precision", "device", "cpus_per_trial"}


def parser(model: str) -> Parser:
    summary, _, details = (__doc__ or "").partition("\n\n")
    made = Parser(prog="train.py", description=summary, epilog=details)
    made.add_argument("--audit", action="store_true", help=AUDIT)
    made.add_argument("--resume", action="store_true", help=RESUME)
    made.add_argument("--load", type=path_of, metavar="FILE", help=LOAD)
    made.add_argument("--score_folder", type=path_of, metavar="DIR", help=SCORE)
    add_view_flags(made, study=False)
    add_study_flags(made, ("task", "protocol", "training", "output"))
    add_model_flags(made, model)
    return made


def ahead(arguments: Sequence[str]) -> dict[str, Any]:
    """The flags that decide which others there are."""
    first = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    first.add_argument("--model", nargs="+")
    first.add_argument("--name")
    first.add_argument("--results_dir", type=path_of)
    first.add_argument("--resume", action="store_true")
    return vars(first.parse_known_args(arguments)[0])


def model_of(names: Sequence[str]) -> str:
    """The model whose hyperparameters are flags."""
    check_models(names)
    if len(names) > 1:
        raise UserError("--model: train.py trains one model (train_tune.py trains several)")
    return names[0]


def check_flags(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    """UserError for flags that do not go together, or that would do nothing."""
    flags = {name for name, value in given.items() if value is not None and value is not False}
    if given["audit"] and (vain := sorted(flags & {"load", "score_folder", "resume", "keep_models", *WALKED})):
        raise UserError(f"--audit: it trains anew, from the published protocol to the sound one; leave out --{vain[0]}")
    if given["resume"] and given["load"]:
        raise UserError("--resume: it goes on with the run's own weights; leave out --load")
    if given["load"]:
        if named := sorted(flags & {"model", *wanted} - set(HYPERPARAMETERS)):
            raise UserError(f"--load: the file says which model it is; leave out --{named[0]}")
        if not ("dataset" in given or given["score_folder"]):
            raise UserError("--load: give --score_folder to score images, or --dataset to train further")
        if "dataset" not in given and (vain := sorted(flags - SCORING)):
            raise UserError(f"--load: without --dataset it only scores; leave out --{vain[0]}")
        if not given["load"].is_file():
            raise UserError(f"--load: there is no file {given['load']}")


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    first, there = ahead(arguments), None
    if "resume" in first:
        from bench.commands import resume  # it loads pandas

        there = resume.earlier_results(first, "train.py")
    name = model_of(first.get("model") or (there.study.get("model", Study.model) if there else Study.model))
    given = vars(parser(name).parse_args(arguments))
    view = take_view(given)
    wanted = {key: given[key] for key in models.hyperparameters(name) if key in given}
    check_flags(given, wanted)
    checks.check_values(name, wanted)
    files = {key: given[key] and str(given[key]) for key in ("load", "score_folder")}
    if there:
        study, run = resume.study_of(there, given), resume.run_of(there, wanted, files)
        if not there.trials.empty and given["score_folder"]:
            raise UserError(f"--score_folder: the run is over; give --load the model in {there.path / 'models'}")
        if not there.trials.empty:
            print(f"{there.path}: this run is over; next: {shlex.join(['python', 'report.py', str(there.path)])}")
            return int(there.trials["status"].iloc[-1] == "error")
    else:
        study, run = study_from(given), {"hyperparameters": wanted} | files
        checks.check_new(study)
    if run["score_folder"] and not Path(run["score_folder"]).is_dir():
        raise UserError(f"--score_folder: the folder {run['score_folder']} does not exist")
    if "dataset" in given or not given["load"]:
        checks.check_data(study)
    return start(study, name, run, given, view, there)


def start(
    study: Study, name: str, run: dict[str, Any], given: dict[str, Any], view: View, there: "Results | None"
) -> int:
    """Loads what takes seconds to load, and does what the flags say; the exit status."""
    import torch

    from bench.commands import train
    from bench.training import model_files
    from bench.training.devices import be_deterministic, choose_device
    from bench.training.prepare import prepare

    study = replace(study, cpus_per_trial=study.cpus_per_trial or os.cpu_count() or 1)
    torch.set_num_threads(study.cpus_per_trial or 1)
    be_deterministic(study.deterministic)
    loaded = None
    if run["load"] and not (there and (there.path / RUN).exists()):
        device = "cpu" if "dataset" in given else choose_device(study)  # to train further, only weights are wanted
        loaded, content = model_files.load(Path(run["load"]), device, study.precision)
        if given["load"] and "dataset" not in given:
            return train.score(study, loaded, content, given["score_folder"], view)
        name, study = content["model"], replace(study, model=(content["model"],))
        run["hyperparameters"] = content["config"] | run["hyperparameters"]
    elif study.protocol == "published" and not there:
        run["hyperparameters"] = models.get(name).PUBLISHED | run["hyperparameters"]
    try:
        config = models.get(name).Config.make(run["hyperparameters"])
    except ValueError as error:
        raise UserError(f"--{error}") from None
    ready = prepare(study)
    if len(ready.tasks) > 1:
        raise UserError("--abnormal_class: train.py trains on one class (train_tune.py on several)")
    ready.check_batch(name, config.batch_size)
    if given["audit"]:
        return train.audit_run(study, ready, name, run["hyperparameters"], view)
    run["hyperparameters"] = asdict(config)
    return train.train_run(study, ready, name, run, view, loaded, there)


if __name__ == "__main__":
    run_main(main)
