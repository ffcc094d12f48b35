"""Writes the tables in this project's documents from the committed rows.

    python -m bench.reporting.documents

A table stands between the comments `<!-- table: NAME -->` and `<!-- end of NAME -->`.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from bench import results
from bench.judging.comparison import compare

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "results" / "README.md")
MEASURED = ROOT / "results" / "measured"


def on_digits(study: str) -> pd.DataFrame:
    """A row for each model: its test AUROC over the ten digits, the best mean first."""
    runs, rows = results.read(MEASURED / study).trials, []
    for model, group in runs.groupby("model"):
        steps, aurocs = group["generator_steps"].max(), group["test_auroc"]
        rows.append(
            {
                "model": f"`{model}`",
                "generator steps": f"{steps:,.0f}" if steps else "",
                "mean": aurocs.mean(),
                "lowest to highest": f"{aurocs.min():.3f} to {aurocs.max():.3f}",
                "digits": len(group),
            }
        )
    return pd.DataFrame(rows).sort_values("mean", ascending=False)


def cifar10() -> pd.DataFrame:
    """Test AUROC of each class that is left out: published, and measured here.

    Then their means, and how far the published protocol's figures lie from the published ones.
    """
    published = pd.read_csv(ROOT / "results" / "published" / "skip_wganomaly_cifar10.csv")
    published = published[published["model"] == "w_skipganomaly"]
    columns = {"published": published.set_index("abnormal_class")["auroc"]}
    for title, study in (
        ("published protocol", "cifar10-published"),
        ("sound", "cifar10-sound"),
        ("sound, rotations", "cifar10-rotations"),
    ):
        columns[title] = figures(study)["w_skipganomaly"]
    pixels = figures("cifar10-baselines")
    table = pd.DataFrame(columns).join(pixels)
    away = (table["published protocol"] - table["published"]).abs().mean()
    rows = with_means(table)
    rows.loc[len(rows), ["abnormal", "published protocol"]] = "mean distance to published", away
    return rows


def figures(study: str) -> pd.DataFrame:
    """Test AUROC of classes (rows) by model."""
    runs = results.read(MEASURED / study).trials
    return runs.pivot_table(index="class", columns="model", values="test_auroc")


def with_means(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a last row: the mean of each column that has every class."""
    means = table.mean().where(table.notna().all())
    return pd.concat([table, means.to_frame("mean").T]).rename_axis("abnormal").reset_index()


def cifar10_tests() -> pd.DataFrame:
    """Rotations against each pixel baseline, and the best of these by validation AUROC."""
    runs = results.read(MEASURED / "cifar10-baselines").trials
    best = runs.loc[runs.groupby("class")["val_auroc"].idxmax()].set_index("class")["test_auroc"]
    ours = figures("cifar10-rotations")["w_skipganomaly"]
    rivals = figures("cifar10-baselines").assign(**{"best of these by validation": best})
    rows = []
    for rival in rivals:
        both = pd.DataFrame({"ours": ours, "rival": rivals[rival]}).dropna()
        rows.append(
            {
                "against": rival,
                "its mean": both["rival"].mean(),
                "ours, same classes": both["ours"].mean(),
                "classes ahead": f"{int((both['ours'] > both['rival']).sum())} of {len(both)}",
                "p (Wilcoxon)": compare(both).pairs["p"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "one-class-on-digits": partial(on_digits, "digits-one-class-defaults"),
    "left-out-on-digits": partial(on_digits, "digits-left-out-defaults"),
    "cifar10": cifar10,
    "cifar10-tests": cifar10_tests,
}


def filled(text: str) -> str:
    """A document's text with its tables as the committed rows have them."""

    def table(match: re.Match[str]) -> str:
        name = match[1]
        frame = TABLES[name]().astype(object)
        known = frame.where(frame.notna(), None)
        rows = known.to_markdown(index=False, floatfmt=".3f", missingval="")
        return f"<!-- table: {name} -->\n\n{rows}\n\n<!-- end of {name} -->"

    return re.sub(r"<!-- table: (\S+) -->.*?<!-- end of \1 -->", table, text, flags=re.DOTALL)


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(filled(document.read_text()))
