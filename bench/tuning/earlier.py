"""--start_from: the winners of earlier studies, which a study tries first."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

import models
from bench.choices.errors import UserError, note
from bench.choices.study import Study
from bench.choices.tasks import search_of
from bench.results.reading import read

Winners = list[tuple[str, dict[str, Any]]]  # class and configuration


def winner_rows(folder: str, study: Study) -> list[dict[str, Any]]:
    """A row of each winner among the study's models; UserError where the folder has none."""
    try:
        trials = read(folder).trials
    except UserError as error:
        raise UserError(f"--start_from: {error}") from None
    rows = [
        row
        for row in trials.to_dict("records")
        if row["role"] == "winner" and row["model"] in study.model_names()
    ]
    if not rows:
        raise UserError(f"--start_from: {folder} has no winner of {', '.join(study.model_names())}")
    return list({search_of(row): row for row in rows}.values())


def winners_of(study: Study, defaults: Mapping[str, dict[str, Any]]) -> dict[str, Winners]:
    """By model: the winners in the folders of --start_from.

    `defaults`: each model's values for hyperparameters that an earlier version did not have.
    """
    winners: dict[str, Winners] = {model: [] for model in study.model_names()}
    for folder in study.start_from:
        for row in winner_rows(folder, study):
            model = row["model"]
            config = {
                name: hyperparameter.type(row[f"config_{name}"])
                for name, hyperparameter in models.hyperparameters(model).items()
                if pd.notna(row.get(f"config_{name}"))
            }
            winners[model].append((row["class"], defaults[model] | config))
    return winners


def note_held_values(
    model: str, winners: Winners, searched: Collection[str], default: Mapping[str, Any]
) -> None:
    """Notes the hyperparameters that a study holds at other values than earlier winners have."""
    differ = {
        name
        for _, config in winners
        for name, value in config.items()
        if name not in searched and value != default.get(name)
    }
    if differ:
        note(
            f"--start_from: winners of {model} differ from this study in {', '.join(sorted(differ))}, "
            "which this study does not search: they are tried with its values (change them with "
            "--set, or search with --space)"
        )
