"""The committed studies, and what tables of several documents take from them."""

from functools import cache
from pathlib import Path

import pandas as pd

from bench import results
from bench.judging.comparison import compare

ROOT = Path(__file__).resolve().parents[3]
MEASURED = ROOT / "results" / "measured"


@cache
def saved(study: str) -> results.Results:
    """A committed study, which several tables take their rows from."""
    return results.read(MEASURED / study)


def figures(study: str) -> pd.DataFrame:
    """Test AUROC of classes (rows) by model."""
    runs = saved(study).trials
    return runs.pivot_table(index="class", columns="model", values="test_auroc")


def against(ours: pd.Series, theirs: pd.Series) -> dict[str, object]:
    """On how many classes ours is ahead, and Wilcoxon's p."""
    both = pd.DataFrame({"ours": ours, "rival": theirs}).dropna()
    return {
        "classes ahead": f"{int((both['ours'] > both['rival']).sum())} of {len(both)}",
        "p (Wilcoxon)": compare(both).pairs["p"].iloc[0],
    }
