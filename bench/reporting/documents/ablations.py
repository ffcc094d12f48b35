"""What a change of one hyperparameter is worth: a table of the studies in measured/ablations."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.reporting.documents.rows import MEASURED, class_aurocs, committed, table

# By the data set's name in the folders' names: what a class is called in the table.
CLASSES = {"cifar10": "{}", "digits": "digit {}"}


@table
def ablations() -> pd.DataFrame:
    """Test AUROC by model and change, a column for each class left out; in brackets the gain."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for data in CLASSES:
        for folder in sorted((MEASURED / "ablations").glob(f"{data}-*")):
            for place, cls, text in cells(folder.name, data):
                rows.setdefault(place, {})[cls] = text
    table = pd.DataFrame(rows).T.rename_axis(["model", "change"]).sort_index()
    return table.reset_index()


def cells(study: str, data: str) -> Iterator[tuple[tuple[str, str], str, str]]:
    """Row (model, change), column and text of each class of a study, and of its model's default."""
    model = study.removeprefix(f"{data}-").partition("-")[0]
    default = "digits-left-out-defaults" if data == "digits" else f"ablations/{data}-{model}"
    after, before = class_aurocs(f"ablations/{study}")[model], class_aurocs(default)[model]
    change = changed(f"ablations/{study}", default, model)
    for cls, auroc in after.items():
        column = CLASSES[data].format(cls)
        yield (f"`{model}`", ""), column, f"{before[cls]:.3f}"
        if change:
            yield (f"`{model}`", change), column, f"{auroc:.3f} ({auroc - before[cls]:+.3f})"


def changed(study: str, default: str, model: str) -> str:
    """What a study changes in its model's default, as words of a command for it.

    By the rows, since a default may have changed after a study was run.
    """
    ours, theirs = configuration(study, model), configuration(default, model)
    # A hyperparameter that the default's older rows lack is a change if the study sets it.
    new = [word.split("=")[0] for word in committed(study).study["set"]]
    words = [
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in ours.items()
        if (value != theirs[name] if name in theirs else name in new)
    ]
    if decay := committed(study).study["niter_decay"]:
        words.append(f"--niter_decay {decay}")
    return " ".join(f"`{word}`" for word in words)


def configuration(study: str, model: str) -> dict[str, Any]:
    """The hyperparameters of a model in a study, which all its runs have."""
    runs = committed(study).trials
    row = runs[runs["model"] == model].filter(regex="^config_").iloc[0].dropna()
    return {str(name).removeprefix("config_"): value for name, value in row.items()}
