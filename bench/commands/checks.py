"""Checks of a study's choices that need no data, torch or Ray, so that a mistake costs a second.

Only a model's own Python file and --protocol published load torch, after all quicker checks.
"""

import dataclasses
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import models
from bench.choices import outside
from bench.choices.errors import UserError, taken
from bench.choices.flags import held_values
from bench.choices.folders import abandoned, check_writable
from bench.choices.image_size import sides
from bench.choices.names import on_disk
from bench.choices.study import Study
from bench.choices.tasks import protocol_of, suggested
from bench.data import datasets
from bench.data.datasets._files import names_masks
from bench.data.datasets.folder import categories_of, classes_in
from models import fields
from models.sizes import check_shape

EXPORTS = {".onnx": ("onnx", "onnxscript"), ".pt2": ()}  # the packages that each kind of file needs


def check_data(study: Study, one_task: bool = False, by_model: bool = True) -> None:
    """UserError for an unknown data set, class or category, or for a size that a model cannot take.

    `by_model`: whether the model is known yet; with --load, its file will tell.
    """
    check_choices(study)
    datasets.check_form(study.image_size, study.channels)
    if by_model:
        check_size(study)
    folder = datasets.folder_of(study.dataset, Path(study.dataroot))
    if folder is None:
        if study.category:
            raise UserError(f"--category: {study.dataset} has none (give --abnormal_class)")
        datasets.check_square(study.dataset, study.image_size)
        check_classes(study, datasets.classes_of(study.dataset), one_task)
    elif categories := categories_of(folder, study.category):
        names = ", ".join(categories)
        if study.abnormal_class or study.normal_class:
            reason = "has categories, whose good images are normal"
            raise UserError(
                f"--category: {folder} {reason}: give this flag alone ({names}; or all)"
            )
        if one_task and len(categories) > 1:
            raise UserError(f"--category: train.py trains on one of {names} (train_tune.py on all)")
    else:
        classes, trained = classes_in(folder)
        for flag in ("abnormal_class", "normal_class"):
            if masks := sorted(filter(names_masks, {*getattr(study, flag)} - {*classes})):
                reason = "folders of this name are left out, as they hold masks of other images"
                raise UserError(f"--{flag}: {masks[0]}: {reason} (rename it)")
        if lacking := sorted({*study.normal_class} & {*classes} - trained):
            raise UserError(f"--normal_class: train/ has no images of '{lacking[0]}'")
        if study.abnormal_class or study.normal_class or not suggested(classes, trained):
            check_classes(study, classes, one_task)


def check_choices(study: Study) -> None:
    """UserError for choices that do not go together, whatever the data."""
    by_test = protocol_of(study).selection == "test"
    reason = "the test images choose (give --selection val, or leave it out)"
    if by_test and study.select_on not in (None, "last_epoch"):
        raise UserError(f"--select_on {study.select_on}: {reason}")
    if by_test and study.limit_anomalies is not None:
        raise UserError(f"--limit_anomalies: {reason}")
    if study.precision == "tf32" and study.device == "cpu":
        raise UserError("--precision tf32: only a GPU has it, and --device is cpu (give float32)")
    if study.address is not None and not re.fullmatch(r"auto|.+:\d+", study.address):
        raise UserError(f"--address: '{study.address}' is neither auto nor HOST:PORT")
    if study.storage and "://" not in study.storage:
        check_writable(Path(study.storage), "--storage")


def check_size(study: Study) -> None:
    """UserError if the networks of a model cannot take images of --image_size."""
    if study.image_size is None:
        return
    shape = (study.channels or 1, *sides(study.image_size))
    for model in study.model_names():
        if f"models.{model}" in outside.FILES:  # it may have a check of its own, once it is loaded
            continue
        try:
            check_shape(shape, fields.constant(model, "ANY_SIZE"))
        except ValueError as error:
            raise UserError(f"--image_size: {model}: {error}") from None


def check_classes(study: Study, known: Sequence[str], one_task: bool) -> None:
    """UserError for a class that is not among the `known` ones; with `one_task`, for several."""
    if len(study.chosen_classes(known)) > 1 and one_task:
        reason = "train.py trains on one class (train_tune.py on several)"
        raise UserError(f"{study.class_flag()}: {reason}")


def check_values(model: str, values: dict[str, Any]) -> None:
    """UserError for a flag's value that the model's hyperparameter of this name cannot have."""
    known = models.hyperparameters(model)
    for name, value in values.items():
        try:
            fields.check(name, known[name].type, value)
        except ValueError as error:
            raise UserError(f"--{error}") from None


def check_search(study: Study, resumed: bool = False) -> None:
    """UserError for hyperparameters, spaces and schedulers that do not fit the models.

    `resumed`: the winners of --start_from are in study.json, so their folders are not read again.
    """
    from bench.tuning.spaces import check_scheduler  # loads Optuna

    for folder in () if resumed else study.start_from:
        from bench.tuning.earlier import winner_rows  # loads pandas

        winner_rows(folder, study)
    for model in study.model_names():
        held_values(study, model)
    check_models(study)
    for flag, path in study.files():
        if flag != "dataset" and outside.file(flag, path).defines("SPACE"):
            check_space(flag, path)
    for model in study.model_names():
        check_scheduler(study, model)


def check_export(path: Path) -> None:
    """UserError for a file that --export cannot write."""
    if path.suffix not in EXPORTS:
        raise UserError(f"--export: {path.name} is no name that ends in {' or '.join(EXPORTS)}")
    if path.exists() or path.is_symlink():
        raise UserError(f"--export: {path} exists already (give another name)")
    check_writable(path.parent, "--export")
    if lacking := [name for name in EXPORTS[path.suffix] if find_spec(name) is None]:
        raise UserError(
            f"--export: {path.suffix} needs {' and '.join(lacking)}: uv sync --group export, or "
            f"pip install {' '.join(lacking)} (.pt2 needs nothing more)"
        )


def check_space(flag: str, path: str) -> None:
    """UserError for a file from outside whose SPACE is no search space. Runs its code."""
    from optuna.distributions import BaseDistribution

    module = outside.module(flag, path)
    space = module.SPACE
    values = space.values() if isinstance(space, dict) else [None]
    if not (values and all(isinstance(value, BaseDistribution) for value in values)):
        reason = "SPACE must be a dictionary of Optuna's distributions, by hyperparameter"
        raise UserError(f"--{flag}: {path}: {reason}")
    if not isinstance(getattr(module, "NEEDS", {}), dict):
        raise UserError(f"--{flag}: {path}: NEEDS must be a dictionary, by hyperparameter")


def check_models(study: Study) -> None:
    """UserError for a file from outside that is no model. Runs its code; loads torch."""
    for flag, path in study.files():
        if flag == "model" and (reason := mistake_in_model(outside.module(flag, path))):
            raise UserError(f"--model: {path}: {reason}")


def mistake_in_model(module: ModuleType) -> str | None:
    """What the file's model lacks; None if nothing."""
    from models import base  # loads torch

    model: Any = module.Model
    config: Any = module.Config
    if not (isinstance(model, type) and issubclass(model, base.AnomalyModel)):
        return "Model is no subclass of models.base.AnomalyModel"
    if not issubclass(config, base.Config) or getattr(model, "Config", None) != config:
        return "Config must be a subclass of models.base.Config, and Model needs `Config = Config`"
    if missing := sorted(model.__abstractmethods__):
        return f"Model lacks {', '.join(missing)}"
    if missing := [name for name in ("STEPS", "DIGITS_STEPS") if not hasattr(model, name)]:
        return f"Model lacks {', '.join(missing)} (models/base.py says what it is)"
    known = models.hyperparameters(module.__name__.removeprefix("models."))
    if wrong := known.keys() ^ {f.name for f in dataclasses.fields(config)}:
        line = "a line `name: float = 1.0  # what it is` for each hyperparameter"
        return f"Config must be a frozen dataclass with {line} (look at {', '.join(sorted(wrong))})"
    plain = base.AnomalyModel
    if model.weights is plain.weights and model.combine is plain.combine:
        return "Model needs weights, or combine: how its parts make a score"
    if model.FAMILY not in base.FAMILIES:
        return f"Model.FAMILY is one of {', '.join(base.FAMILIES)}, not {model.FAMILY!r}"
    if callable(model.weights):
        return "Model.weights must be a dictionary, or a method below @property"
    for name, value in vars(config).items():
        if name not in known and not name.startswith("_") and isinstance(value, int | float | str):
            return f"Config.{name} has no type, so it is no hyperparameter (`{name}: type = …`)"
    for name, (kind, default, _) in known.items():
        if type(default) not in ((int, float) if kind is float else (kind,)):
            return f"Config.{name}: its default {default!r} is no {kind.__name__}"
        try:
            fields.check(name, kind, default)
        except ValueError as error:
            return f"Config: {error}"
    for name in ("STEPS", "DIGITS_STEPS") if model.BATCHES else ():
        if type(steps := getattr(model, name)) is not int or steps < 1:
            return f"Model.{name} must be a whole number from 1, not {steps}"
    return None


def check_machine(study: Study) -> None:
    """UserError if runs train on this machine and --cpus_per_trial is more than its cores."""
    wanted = study.cpus_per_trial if study.address is None else None
    if wanted and wanted > (cores := usable_cores()):
        raise UserError(
            f"--cpus_per_trial: this machine has {cores} processor cores for this command, not "
            f"{wanted}"
        )


def usable_cores() -> int:
    """How many processor cores this process may use: schedulers and containers may limit them."""
    from joblib import cpu_count  # loads in a quarter of a second

    return int(cpu_count())


def check_new(study: Study) -> None:
    """UserError where the study's folder exists already, or none can be made."""
    parent = on_disk(Path(study.results_dir))
    check_writable(parent, "--results_dir")
    if study.name is not None:
        path = parent / study.name
        if (path.exists() or path.is_symlink()) and not abandoned(path):
            raise taken(path)
