"""Writes the tables in this project's documents from the committed rows.

    python -m bench.reporting.documents          the tables
    python -m bench.reporting.documents --site   docs/index.html: a report of the studies in SITE

A table stands between the comments `<!-- table: NAME -->` and `<!-- end of NAME -->`.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from statistics import fmean

import pandas as pd

from bench import results
from bench.judging.comparison import compare
from bench.judging.metrics import auroc
from bench.reporting.report import report

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "results" / "README.md")
MEASURED = ROOT / "results" / "measured"
# The studies at a fair budget; earlier ones are not.
SITE = [f"cifar10-{name}" for name in ("published", "sound", "rotations", "near")]
SITE += [f"cifar10-{name}" for name in ("classes", "classes-alone")]
SITE += [f"cifar10-{name}" for name in ("reconstruction", "baselines", "deep-knn")]
SITE += [f"digits-{name}" for name in ("one-class-defaults", "left-out-defaults", "left-out-near")]
SITE += ["digits-finalists", "digits-finalists-ganomaly"]
# Studies of w_skipganomaly under the sound protocol, by what each adds to the default.
SOUND = {"": "sound", "rotations": "rotations", "rotations, nearest": "near"}
SOUND |= {"labels": "classes", "labels alone": "classes-alone"}
AUDITED = ("airplane", "bird", "frog")  # the classes of CIFAR-10 whose audits are committed


@cache
def saved(study: str) -> results.Results:
    """A committed study, which several tables take their rows from."""
    return results.read(MEASURED / study)


def on_digits(study: str) -> pd.DataFrame:
    """A row for each model: its test AUROC over the ten digits, the best mean first.

    A digit's figure is the mean over its seeds. Models that lack digits come last: their means are
    of other classes.
    """
    runs, rows = saved(study).trials, []
    for model, group in runs.groupby("model"):
        steps, by_digit = group["generator_steps"].max(), group.groupby("class")["test_auroc"]
        aurocs, fewest, most = by_digit.mean(), by_digit.count().min(), by_digit.count().max()
        rows.append(
            {
                "model": f"`{model}`",
                "generator steps": f"{steps:,.0f}" if steps else "",
                "mean": aurocs.mean(),
                "lowest to highest": f"{aurocs.min():.3f} to {aurocs.max():.3f}",
                "digits": len(aurocs),
                "seeds": f"{fewest}" if fewest == most else f"{fewest} to {most}",
            }
        )
    return pd.DataFrame(rows).sort_values(["digits", "mean"], ascending=False)


def nearest_on_digits() -> pd.DataFrame:
    """Test AUROC, means over ten digits, without and with the distance of features in the score.

    p: of the default mix with it against the runs without.
    """
    plain, rows = figures("digits-left-out-defaults"), []
    near = saved("digits-left-out-near")
    for model, runs in near.trials.groupby("model"):
        scores = map(near.scores, runs["trial"])
        mixed = runs.set_index("class")["test_default_mix_auroc"]
        rows.append(
            {
                "model": f"`{model}`",
                "without": plain[model].mean(),
                "that part alone": fmean(auroc(s["labels"], s["part_nearest"]) for s in scores),
                "half of the score": mixed.mean(),
                "its weight chosen": runs["test_auroc"].mean(),
            }
            | against(mixed, plain[model])
        )
    return pd.DataFrame(rows)


def mixes_on_digits() -> pd.DataFrame:
    """Test AUROC of the same epochs, means over ten digits, by how the parts of a score are mixed.

    Each p is of a mix against the one to its left.
    """
    study, rows = saved("digits-one-class-defaults"), []
    for model, second in (("skipganomaly", "latent"), ("egbad", "discriminator")):
        runs = study.trials[study.trials["model"] == model]
        scores = map(study.scores, runs["trial"])
        raw = [
            auroc(s["labels"], 0.9 * s["part_reconstruction"] + 0.1 * s[f"part_{second}"])
            for s in scores
        ]
        columns = ["raw", "test_default_mix_auroc", "test_auroc"]
        digits = runs.assign(raw=raw).groupby("class")[columns].mean()
        raw_sum, default, chosen = (digits[column] for column in columns)
        rows.append(
            {
                "model": f"`{model}`",
                "raw sum": raw_sum.mean(),
                "standardised, default weight": default.mean(),
                "p": against(default, raw_sum)["p (Wilcoxon)"],
                "weight chosen": chosen.mean(),
                "its p": against(chosen, default)["p (Wilcoxon)"],
            }
        )
    return pd.DataFrame(rows)


def switches_on_digits() -> pd.DataFrame:
    """Test AUROC, means over ten digits, of runs with a switch against those without."""
    plain, rows = figures("digits-left-out-defaults"), []
    for switch, study in (("--niter_decay 8", "decay"), ("--set average=0.99", "average")):
        for model, on in figures(f"digits-left-out-{study}").items():
            row = {"switch": f"`{switch}`", "model": f"`{model}`", "without": plain[model].mean()}
            rows.append(row | {"with": on.mean()} | against(on, plain[model]))
    return pd.DataFrame(rows)


def against(ours: pd.Series, theirs: pd.Series) -> dict[str, object]:
    """On how many classes ours is ahead, and Wilcoxon's p."""
    both = pd.DataFrame({"ours": ours, "rival": theirs}).dropna()
    return {
        "classes ahead": f"{int((both['ours'] > both['rival']).sum())} of {len(both)}",
        "p (Wilcoxon)": compare(both).pairs["p"].iloc[0],
    }


def cifar10() -> pd.DataFrame:
    """Test AUROC of each class that is left out: published, and measured here.

    Then their means, and how far the published protocol's figures lie from the published ones.
    """
    published = pd.read_csv(ROOT / "results" / "published" / "skip_wganomaly_cifar10.csv")
    published = published[published["model"] == "w_skipganomaly"]
    columns = {"published": published.set_index("abnormal_class")["auroc"]}
    columns["published protocol"] = figures("cifar10-published")["w_skipganomaly"]
    for more, study in SOUND.items():
        title = ", ".join(filter(None, ["sound", more]))
        columns[title] = figures(f"cifar10-{study}")["w_skipganomaly"]
    table = pd.DataFrame(columns).join(rivals())
    away = (table["published protocol"] - table["published"]).abs().mean()
    rows = with_means(table)
    rows.loc[len(rows), ["abnormal", "published protocol"]] = "mean distance to published", away
    return rows


def figures(study: str) -> pd.DataFrame:
    """Test AUROC of classes (rows) by model."""
    runs = saved(study).trials
    return runs.pivot_table(index="class", columns="model", values="test_auroc")


def with_means(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a last row: the mean of each column that has every class."""
    means = table.mean().where(table.notna().all())
    return pd.concat([table, means.to_frame("mean").T]).rename_axis("abnormal").reset_index()


def rivals() -> pd.DataFrame:
    """Test AUROC on CIFAR-10 of classes (rows) by model: all but w_skipganomaly."""
    studies = ("reconstruction", "baselines", "deep-knn")
    return pd.concat([figures(f"cifar10-{study}") for study in studies], axis=1)


def cifar10_tests() -> pd.DataFrame:
    """Rotations with nearest neighbours, and labels, against each other model.

    And against the best baseline on pixels by validation AUROC.
    """
    runs = saved("cifar10-baselines").trials
    best = runs.loc[runs.groupby("class")["val_auroc"].idxmax()].set_index("class")["test_auroc"]
    theirs = rivals().assign(**{"best on pixels by validation": best})
    for more in ("", "rotations", "labels alone"):
        name = ", ".join(filter(None, ["w_skipganomaly", more]))
        theirs[name] = figures(f"cifar10-{SOUND[more]}")["w_skipganomaly"]
    rows = []
    for more in ("rotations, nearest", "labels"):
        ours = figures(f"cifar10-{SOUND[more]}")["w_skipganomaly"]
        for rival in theirs:
            row = {"ours": more, "its mean": ours.mean(), "against": rival}
            rows.append(row | {"mean": theirs[rival].mean()} | against(ours, theirs[rival]))
    return pd.DataFrame(rows)


def cifar10_choices() -> pd.DataFrame:
    """Test AUROC, means over ten classes, where validation anomalies choose and where none are."""
    rows = []
    studies = {study: more for more, study in SOUND.items()}
    for study in (*studies, "reconstruction", "baselines", "deep-knn"):
        read = saved(f"cifar10-{study}")
        last = read.epochs.groupby("trial").last()
        last = last.get("test_default_mix_auroc", last["test_auroc"]).fillna(last["test_auroc"])
        for model, runs in read.trials.groupby("model"):
            title = ", ".join(filter(None, [f"`{model}`", studies.get(study)]))
            row = {"model": title, "seeds": runs["seed"].nunique()}
            row["epoch and mix by anomalies"] = runs["test_auroc"].mean()
            rows.append(row | {"last epoch, default mix": last[runs["trial"]].mean()})
    return pd.DataFrame(rows)


def audited(cls: str) -> pd.DataFrame:
    """The steps of a class's audit: `change`, `training`, `auroc`, `low`, `high`, `cost`."""
    return pd.read_csv(MEASURED / f"audit-{cls}" / "audit.csv")


def audits() -> pd.DataFrame:
    """A row for each step from the published protocol to the sound one, a column for each class."""
    table = audited(AUDITED[0])[["change", "training"]].rename(columns={"change": "step"})
    for cls in AUDITED:
        table[cls] = [
            f"{step.auroc:.3f} [{step.low:.3f}, {step.high:.3f}]"
            + ("" if pd.isna(step.cost) else f" ({step.cost:+.3f})")
            for step in audited(cls).itertuples()
        ]
    return table


def published_airplane() -> pd.DataFrame:
    """What is left of airplane's published figure, on the same weights."""
    how = {
        "published": "as the released code does: normal test images before abnormal ones, training mode",
        "test_order: shuffled": "the same, test images shuffled",
        "scoring_mode: evaluation": "each image by itself",
    }
    steps = audited("airplane").set_index("change")["auroc"]
    return pd.DataFrame([{"scored": text, "AUROC": steps[step]} for step, text in how.items()])


def costs() -> pd.DataFrame:
    """A row for each study: its runs, and the hours that they trained and scored in all."""
    rows = []
    for folder in sorted(MEASURED.glob("*/trials.jsonl")):
        runs = saved(folder.parent.name).trials
        hours = (runs["train_seconds"] + runs["score_seconds"]).sum() / 3600
        hardware = runs.get("hardware", pd.Series(dtype=str))  # early rows have none
        rows.append(
            {
                "study": f"`{folder.parent.name}`",
                "runs": len(runs),
                "time of all runs": f"{hours:.1f} h",
                "on": ", ".join(sorted(hardware.dropna().unique())),
            }
        )
    return pd.DataFrame(rows)


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "one-class-on-digits": partial(on_digits, "digits-one-class-defaults"),
    "left-out-on-digits": partial(on_digits, "digits-left-out-defaults"),
    "nearest-on-digits": nearest_on_digits,
    "mixes-on-digits": mixes_on_digits,
    "switches-on-digits": switches_on_digits,
    "cifar10": cifar10,
    "cifar10-tests": cifar10_tests,
    "cifar10-choices": cifar10_choices,
    "audits": audits,
    "published-airplane": published_airplane,
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
        report({name: saved(name) for name in SITE}, Path(out))
        shutil.copy(Path(out, "index.html"), ROOT / "docs")


if __name__ == "__main__":
    if "--site" in sys.argv[1:]:
        site()
        sys.exit()
    for document in DOCUMENTS:
        document.write_text(filled(document.read_text()))
