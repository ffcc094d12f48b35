"""A report's table of defects: what kinds of them each model finds, and where."""

import re

import pandas as pd

from bench.judging.metrics import METRICS
from bench.judging.pixels import PIXELS
from bench.reporting.tables import mean_and_sd
from bench.reporting.writers import Table

TITLES = {name: metric.title for name, metric in ({"auroc": METRICS["auroc"]} | PIXELS).items()}
COLUMN = re.compile(rf"defect_({'|'.join(TITLES)}|images)_(.+)", re.DOTALL)


def defects_table(finals: pd.DataFrame) -> Table | None:
    """Each defect's figures against the normal test images, means over seeds; None without any."""
    columns = {name: match.groups() for name in finals if (match := COLUMN.fullmatch(str(name)))}
    if not columns:
        return None
    key = ["row", "column"]
    long = finals.melt(key, list(columns)).dropna(subset="value")
    long[["figure", "defect"]] = long.pop("variable").map(columns).tolist()
    groups = long.groupby([*key, "defect", "figure"], sort=False)["value"]
    mean, sd = groups.mean().unstack(), groups.std().unstack()
    shown = [name for name in TITLES if name in mean]
    data = mean[["images", *shown]].astype({"images": int})
    text = data[["images"]].join(mean_and_sd(mean[shown], sd[shown]))
    titles = {"row": "class", "column": "model"} | TITLES
    text, data = (frame.reset_index().rename(columns=titles) for frame in (text, data))
    over = "mean ± standard deviation over seeds" if sd.notna().any(axis=None) else "one seed"
    note = f"Each defect's images against the normal test images, {over}."
    if len(shown) > 1:
        note += (
            " Pixels: the reconstruction's difference from the image against masks; AUPRO: mean "
            "overlap of anomalous regions, up to 30 % false positives."
        )
    return Table("defects", "Which defects are found", text, note, data)
