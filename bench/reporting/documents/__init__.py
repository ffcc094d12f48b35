"""Writes the tables in this project's documents from the committed rows.

    python -m bench.reporting.documents          the tables
    python -m bench.reporting.documents --site   docs/index.html: a report of the studies in SITE

A table stands between the comments `<!-- table: NAME -->` and `<!-- end of NAME -->`.
"""

import re
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from bench.reporting.documents import ablations, cifar10, digits
from bench.reporting.documents.rows import MEASURED, ROOT, committed
from bench.reporting.report import report

DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "results").glob("*.md")))
# The studies at a fair budget; earlier ones are not.
SITE = [f"cifar10-{name}" for name in ("sound", "published", "rotations", "near")]
SITE += [f"cifar10-{name}-noskip" for name in ("published", "sound")]
SITE += [f"cifar10-{name}" for name in ("classes", "classes-alone")]
SITE += [f"cifar10-{name}" for name in cifar10.RIVALS]
SITE += [f"digits-{name}" for name in ("one-class-defaults", "left-out-defaults", "left-out-near")]
SITE += [f"digits-finalists{name}" for name in ("", "-ganomaly", "-skipganomaly")]
SITE += [
    f"digits-finalists-{name}" for name in ("w-skipganomaly", "egbad", "f-anogan", "classical")
]
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


def costs() -> pd.DataFrame:
    """A row for each study, or folder of studies: its runs, and the hours that they took in all."""
    studies: dict[str, list[pd.DataFrame]] = {}
    for file in sorted(MEASURED.rglob("trials.jsonl")):
        study = file.parent.relative_to(MEASURED)
        studies.setdefault(study.parts[0], []).append(committed(str(study)).trials)
    rows = []
    for name, trials in sorted(studies.items()):
        runs = pd.concat(trials)
        hours = (runs["train_seconds"] + runs["score_seconds"]).sum() / 3600
        hardware = runs.get("hardware", pd.Series(dtype=str))  # early rows have none
        rows.append(
            {
                "study": f"`{name}`",
                "runs": len(runs),
                "time of all runs": f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min",
                "on": ", ".join(sorted(hardware.dropna().unique())) or "not recorded",
            }
        )
    return pd.DataFrame(rows)


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "one-class-on-digits": partial(digits.on_digits, "digits-one-class-defaults"),
    "left-out-on-digits": partial(digits.on_digits, "digits-left-out-defaults"),
    "budgets-on-digits": digits.budgets_on_digits,
    "tuned-on-digits": digits.tuned_on_digits,
    "luck-on-digits": digits.luck_on_digits,
    "preferred-on-digits": digits.preferred_on_digits,
    "one-change-on-digits": digits.one_change_on_digits,
    "latents-on-digits": digits.latents_on_digits,
    "nearest-on-digits": digits.nearest_on_digits,
    "untrained-on-digits": digits.untrained_on_digits,
    "bottlenecks-on-digits": digits.bottlenecks_on_digits,
    "mixes-on-digits": digits.mixes_on_digits,
    "signals-on-digits": digits.signals_on_digits,
    "switches-on-digits": digits.switches_on_digits,
    "ablations": ablations.ablations,
    "cifar10": cifar10.cifar10,
    "cifar10-without-skips": cifar10.without_skips,
    "cifar10-tests": cifar10.cifar10_tests,
    "cifar10-choices": cifar10.cifar10_choices,
    "cifar10-budgets": cifar10.cifar10_budgets,
    "cifar10-in-short": cifar10.in_short,
    "tuned-on-cifar10": cifar10.tuned_on_cifar10,
    "audits": cifar10.audits,
    "published-airplane": cifar10.published_airplane,
    "costs": costs,
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


def site() -> None:
    """Writes docs/index.html."""
    with tempfile.TemporaryDirectory() as out:
        report({name: committed(name) for name in SITE}, Path(out), TITLE, LEAD)
        shutil.copy(Path(out, "index.html"), ROOT / "docs")
