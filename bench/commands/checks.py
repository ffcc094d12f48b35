"""Checks of a study's choices that need no data, torch or Ray, so that a mistake costs a second."""

from pathlib import Path
from typing import Any

import models
from bench.choices.errors import UserError, taken
from bench.choices.names import on_disk
from bench.choices.study import Study
from bench.data import datasets
from models import fields


def check_data(study: Study) -> None:
    """UserError for an unknown data set or class, or for a size of images that no model takes."""
    datasets.check_form(study.image_size, study.channels)
    classes = datasets.classes_of(study.dataset, Path(study.dataroot))
    # A folder may go without: its one class without training images is abnormal (tasks_of).
    if study.dataset in datasets.NAMES or study.abnormal_class or study.normal_class:
        study.chosen_classes(classes)


def check_values(model: str, values: dict[str, Any]) -> None:
    """UserError for a flag's value that the model's hyperparameter of this name cannot have."""
    known = models.hyperparameters(model)
    for name, value in values.items():
        try:
            fields.check(name, known[name].type, value)
        except ValueError as error:
            raise UserError(f"--{error}") from None


def check_search(study: Study) -> None:
    """UserError for hyperparameters, spaces and schedulers that do not fit the models."""
    from bench.tuning.spaces import check_scheduler, set_of  # loads Optuna

    for folder in study.start_from:
        from bench.tuning.earlier import rows_of  # loads pandas

        rows_of(folder, study)
    for model in study.model:
        set_of(study, model)
        check_scheduler(study, model)


def check_new(study: Study) -> None:
    """UserError where the study's folder exists already."""
    if study.name is not None:
        path = on_disk(Path(study.results_dir)) / study.name
        if path.exists() or path.is_symlink():
            raise taken(path)
