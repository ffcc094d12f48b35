"""Writes the tables in this project's documents from the committed rows.

    python -m bench.reporting.documents          the tables
    python -m bench.reporting.documents --site   docs/index.html: a report of the studies in SITE

A table stands between the comments `<!-- table: NAME -->` and `<!-- end of NAME -->`.
"""

import re
import shutil
import tempfile
from pathlib import Path

import pandas as pd

# Each of these adds its tables to TABLES.
from bench.reporting.documents import ablations, cifar10, digits, digits_searches, few_anomalies  # noqa: F401
from bench.reporting.documents.rows import MEASURED, ROOT, TABLES, committed, table
from bench.reporting.report import report

DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "results").glob("*.md")))
# The studies at a fair budget; earlier ones are not.
CIFAR10 = "sound published rotations near published-noskip sound-noskip classes classes-alone"
SITE = [f"cifar10-{name}" for name in (*CIFAR10.split(), *cifar10.RIVALS)]
SITE += [f"digits-{name}" for name in ("one-class-defaults", "left-out-defaults", "left-out-near")]
SITE += digits_searches.TUNED["one left out"]
SITE += ["digits-finalists-one-class-classical", "cifar10-finalists-classical"]

TITLE = "GAN-based image anomaly detection: sound results beside published ones"
LEAD = """
<p>Each network is trained for its fair budget. The test images choose nothing, except in
<em>cifar10-published</em> and <em>cifar10-published-noskip</em>, which do as released code does. In
<em>cifar10-classes</em> distances of nearest features were too coarse: it is to be run again. The
default score with labels was set on four classes: airplane, bird, deer and truck. CIFAR-10's images were
recompressed as JPEG. <a href="../results/README.md">What was learned</a>. <a href="#own">Add a row of your
own</a>. The studies:</p>
"""


@table
def costs() -> pd.DataFrame:
    """A row for each study, or folder of studies: its runs, and the hours that they took in all."""
    rows = []
    for folder in sorted(MEASURED.iterdir()):
        studies = [file.parent.relative_to(MEASURED) for file in folder.rglob("trials.jsonl")]
        if not studies:
            continue
        runs = pd.concat([committed(str(study)).trials for study in sorted(studies)])
        hours = (runs["train_seconds"] + runs["score_seconds"]).sum() / 3600
        hardware = runs.get("hardware", pd.Series(dtype=str))  # early rows have none
        rows.append(
            {
                "study": f"`{folder.name}`",
                "runs": len(runs),
                "time of all runs": f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min",
                "on": ", ".join(sorted(hardware.dropna().unique())) or "not recorded",
            }
        )
    return pd.DataFrame(rows)


def filled(text: str) -> str:
    """A document's text with its tables as the committed rows have them."""

    def current(match: re.Match[str]) -> str:
        name = match[1]
        frame = TABLES[name]().astype(object)
        known = frame.where(frame.notna(), None)
        rows = known.to_markdown(index=False, floatfmt=".3f", missingval="")
        return f"<!-- table: {name} -->\n\n{rows}\n\n<!-- end of {name} -->"

    return re.sub(r"<!-- table: (\S+) -->.*?<!-- end of \1 -->", current, text, flags=re.DOTALL)


def site() -> None:
    """Writes docs/index.html."""
    with tempfile.TemporaryDirectory() as out:
        report({name: committed(name) for name in SITE}, Path(out), TITLE, LEAD)
        shutil.copy(Path(out, "index.html"), ROOT / "docs")
