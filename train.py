"""Train one model on one task with fixed hyperparameters, epoch by epoch, test it; or use a trained one.

examples:
  python train.py --dataset cifar10 --abnormal_class airplane --niter 10 --w_con 50 --w_lat 1 --w_adv 1
  python train.py --dataset digits --abnormal_class 3 --epochs 5
  python train.py --dataset path/to/images --isize 32 --niter 5 --score_folder path/to/new/images
  python train.py --load results/my_study/models/TRIAL.safetensors --score_folder path/to/new/images
  python train.py --dataset cifar10 --abnormal_class airplane --epochs 5 --audit
  python train.py --model skipganomaly --help     # that model's hyperparameters

The run is written to results/<study>/ like any study's, so that report.py can show it.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import models
from bench import checkpoints, single
from bench.cli import add_model_flags, add_study_flags, check_models, study_from
from bench.errors import Parser, UserError, run_main
from bench.prepare import prepare
from bench.training import be_deterministic, choose_device
from bench.view import add_view_flags, take_view

AUDIT = "walk from the published protocol to the sound one, one field at a time, and show what each step costs"
LOAD = "a trained model (results/<study>/models/*.safetensors): score new images with it, or train it further"
SCORE = "score the images of this folder (labels are not needed): scores.csv and a page, most anomalous first"


def parser(model: str) -> Parser:
    summary, _, details = (__doc__ or "").partition("\n\n")
    made = Parser(prog="train.py", description=summary, epilog=details)
    made.add_argument("--audit", action="store_true", help=AUDIT)
    made.add_argument("--load", type=Path, metavar="FILE", help=LOAD)
    made.add_argument("--score_folder", type=Path, metavar="DIR", help=SCORE)
    add_view_flags(made, study=False)
    add_study_flags(made, ("task", "protocol", "training", "output"))
    add_model_flags(made, model)
    return made


def model_named(arguments: Sequence[str]) -> str:
    """The model whose hyperparameters are flags."""
    first = Parser(add_help=False)
    first.add_argument("--model", nargs="+", default=["w_skipganomaly"])
    names = first.parse_known_args(arguments)[0].model
    check_models(names)
    if len(names) > 1:
        raise UserError("--model: train.py trains one model (train_tune.py trains several)")
    return names[0]


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    name = model_named(arguments)
    given = vars(parser(name).parse_args(arguments))
    view = take_view(given)
    study = study_from(given)
    study = replace(study, cpus_per_trial=study.cpus_per_trial or os.cpu_count() or 1)
    torch.set_num_threads(study.cpus_per_trial or 1)
    be_deterministic(study.deterministic)
    wanted = {key: given[key] for key in models.get(name).Config.hyperparameters() if key in given}
    loaded = None
    if given["load"]:
        if wanted or "model" in given:
            raise UserError(f"--load: the file says which model it is; leave out --{next(iter(wanted), 'model')}")
        device = "cpu" if "dataset" in given else choose_device(study)  # for further training, only weights are wanted
        loaded = checkpoints.load(given["load"], device, study.precision)
        if "dataset" not in given:
            if not given["score_folder"]:
                raise UserError("--load: give --score_folder to score images, or --dataset to train further")
            return single.score(study, *loaded, given["score_folder"], view)
        name, wanted = loaded[1]["model"], loaded[1]["config"]

    held: dict[str, Any] = models.get(name).PUBLISHED if study.protocol == "published" and not loaded else {}
    try:
        config = models.get(name).Config.make(held | {"batch_size": study.batch_size} | wanted)
    except ValueError as error:
        raise UserError(f"--{error}") from None
    ready = prepare(study)
    if len(ready.tasks) > 1:
        raise UserError("--abnormal_class: train.py trains on one class (train_tune.py on several)")
    if given["audit"]:
        return single.audit_run(study, ready, name, wanted, view)
    start = loaded[0] if loaded else None
    return single.train_run(study, ready, name, config, start, given["score_folder"], view)


if __name__ == "__main__":
    run_main(main)
