"""Two studies compared cell by cell: by how much one's AUROC is above the other's."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bench.choices.study import SWEEP
from bench.choices.tasks import AMOUNTS
from bench.judging.intervals import mean_interval
from bench.reporting.fair import gapless
from bench.reporting.frames import amount_label, placed
from bench.reporting.headline import OF_MEANS, detail, grid
from bench.reporting.writers import Table
from bench.results.reading import Results

PLACE = ["dataset", "task", "model", "class"]
# The settings that decide figures
DECIDE = ["data", "protocol", "chosen by", "search", "set", "arithmetic", "Python files"]


def difference_tables(
    finals: pd.DataFrame, studies: Mapping[str, Results], settings: pd.DataFrame
) -> Iterator[Table]:
    """For each study after the first: its test AUROC minus the first's, where both have a result.

    If the first belongs to a sweep, each is compared with the sweep's study of the same data.
    `settings`: what figures rest on (tables.settings_table).
    """
    folders = {name: study.path.resolve() for name, study in studies.items()}
    first, *_ = folders.values()
    in_sweep = (first.parent / SWEEP).exists()
    firsts = [
        name
        for name, path in folders.items()
        if path == first or (in_sweep and path.parent == first.parent)
    ]
    number, tested = 0, set(finals["study"])
    others = [name for name in studies if name in tested and name not in firsts]
    for other, name in itertools.product(others, firsts):
        pair = finals[finals["study"].isin([name, other])]
        # Results are matched by an amount only where a study has several: where each has one, its
        # effect may be what the two studies are compared for.
        place = PLACE + [a for a in AMOUNTS if (pair.groupby("study")[a].nunique() > 1).any()]
        cells = pd.DataFrame(differences(placed(pair), place, name, other))
        if len(cells):
            number += 1
            rest = settings.iloc[:, 1:].loc[DECIDE, [name, other]].itertuples(name=None)
            apart = [f"{what} ({one}; {two})" for what, one, two in rest if one != two]
            yield difference_table(cells, number, name, other, apart)


def differences(
    finals: pd.DataFrame, place: list[str], first: str, other: str
) -> Iterator[dict[str, Any]]:
    """A row for each place, a model and class: both means, their difference, and its 95 % interval.

    Runs of the same seed are paired. Where no seed is in both studies the difference is that of the
    means, without an interval.
    """
    for key, runs in finals.groupby(place, sort=False):
        # a study of several signals has a seed more than once
        seeds = runs.pivot_table(index="seed", columns="study", values="test_auroc")
        if len(seeds.columns) < 2:
            continue
        seeds = seeds.rename(columns={first: "first", other: "other"})
        pairs = seeds.dropna()
        means = (pairs if len(pairs) else seeds).mean()
        gain = means["other"] - means["first"], math.nan, math.nan
        if len(pairs):
            gain = mean_interval(pairs["other"] - pairs["first"])
        row = dict(zip(place, key, strict=True)) | {"paired_seeds": len(pairs)}
        row |= {"first": means["first"], "other": means["other"], "row": runs["row"].iloc[0]}
        amounts = [amount_label(name, row[name]) for name in AMOUNTS if name in row]
        row["column"] = "".join([row["model"], *amounts])
        yield row | dict(zip(("difference", "low", "high"), gain, strict=True))


def difference_table(
    cells: pd.DataFrame, number: int, first: str, other: str, apart: list[str]
) -> Table:
    """Models by classes, the largest gain first; last the mean over the shared classes.

    `apart`: the settings in which the studies differ, such as `set (nothing; skip=False)`.
    """
    cells = cells.assign(
        text=cells["difference"].map(signed),
        detail=[cell_detail(cell) for cell in cells.to_dict("records")],
    )
    common = gapless(cells.pivot(index="row", columns="column", values="difference"))
    means = {model: mean_interval(common[model]) for model in common if len(common)}
    order = sorted(cells["column"].unique(), key=lambda model: -means.get(model, [-math.inf])[0])
    last = [
        (signed(means[model][0]), detail(math.nan, *means[model][1:], "classes"))
        if model in means
        else ("–", "")
        for model in order
    ]
    frame, details = grid(cells, order, last, len(common))
    return Table(
        "difference" if number == 1 else f"difference_{number}",
        f"AUROC: {other} less {first}",
        frame,
        "Runs of the same seed are paired. Where no seed is in both studies, the means are compared."
        + (f" The studies differ in {', '.join(apart)}." if apart else ""),
        cells.drop(columns=["row", "column", "text", "detail"]),
        details=details,
        legend="both means [95 % confidence interval of the difference over paired seeds]"
        + (OF_MEANS if len(common) > 1 else ""),
        heat=(0.0, 0.2),
    )


def signed(value: float) -> str:
    return f"{round(value, 3) + 0:+.3f}"  # no -0.000


def cell_detail(cell: dict[str, Any]) -> str:
    """What a difference is made of, a line each: both means, its interval, its pairs."""
    pairs = cell["paired_seeds"]
    spread = detail(math.nan, cell["low"], cell["high"], "seeds" if pairs else "")
    means, count = f"{cell['first']:.3f} to {cell['other']:.3f}", f"{pairs or 'no'} paired seed(s)"
    return "\n".join(filter(None, [means, spread, count]))
