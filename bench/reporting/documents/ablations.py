"""What a change of one hyperparameter is worth: a table of the studies in measured/ablations."""

from collections.abc import Iterator

import pandas as pd

from bench.reporting.documents.rows import MEASURED, figures, saved

# By the data set's name in the folders' names: what a class is called in the table.
CLASSES = {"cifar10": "{}", "digits": "digit {}"}
SMALL = ("ngf=16", "ndf=16", "gan_steps=670")  # of all studies on CIFAR-10, so no change


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
    after, before = figures(f"ablations/{study}")[model], default(data, model)
    change = changed(study)
    for cls, auroc in after.items():
        column = CLASSES[data].format(cls)
        yield (f"`{model}`", ""), column, f"{before[cls]:.3f}"
        if change:
            yield (f"`{model}`", change), column, f"{auroc:.3f} ({auroc - before[cls]:+.3f})"


def default(data: str, model: str) -> pd.Series:
    """Test AUROC of a model's default, by class."""
    study = "digits-left-out-defaults" if data == "digits" else f"ablations/{data}-{model}"
    return figures(study)[model]


def changed(study: str) -> str:
    """What a study changes in its model's default, as the words of its command."""
    choices = saved(f"ablations/{study}").study
    words = [word for word in choices["set"] if word not in SMALL]
    decay = choices["niter_decay"]
    return " ".join([f"`{word}`" for word in words] + [f"`--niter_decay {decay}`"] * bool(decay))
