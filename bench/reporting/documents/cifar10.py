"""Tables of CIFAR-10, as JPEG images, one class left out."""

import re

import pandas as pd

from bench.reporting.documents.rows import (
    MEASURED,
    ROOT,
    after_shares,
    against,
    ahead,
    class_aurocs,
    committed,
    last_epochs,
    table,
    tuned,
    winners,
)

# Studies of w_skipganomaly under the sound protocol, by what each adds to the default.
SOUND = {"": "sound", "rotations": "rotations", "rotations, nearest": "near"}
SOUND |= {"labels": "classes", "labels alone": "classes-alone"}
RIVALS = ("reconstruction", "skipganomaly", "baselines", "deep-knn")  # studies of other models
# What each study adds to a model's default.
STUDIES = {study: more for more, study in SOUND.items()} | dict.fromkeys(RIVALS, "")
STUDIES |= {"sound-noskip": "without skips"}
SHORT = {"f-anogan": "a quarter of its budget"}  # likewise, of studies below the fair budget
UNTRAINED = {"near-untrained": "nearest, random weights"}  # likewise
SET_BY = ["airplane", "bird", "deer", "truck"]  # the classes that set the default with labels
AUDITED = ("airplane", "bird", "frog")  # the classes of CIFAR-10 whose audits are committed


@table
def cifar10() -> pd.DataFrame:
    """Test AUROC of each class that is left out: published, and measured here.

    Then their means, and how far the published protocol's figures lie from the published ones.
    """
    columns = published("w_skipganomaly", "cifar10-published")
    for more, study in SOUND.items():
        columns[titled("sound", more)] = class_aurocs(f"cifar10-{study}")["w_skipganomaly"]
    return with_means(pd.DataFrame(columns).join(rivals()))


@table
def cifar10_without_skips() -> pd.DataFrame:
    """Test AUROC of each class without skip connections, published and measured; last, with them.

    Means and distance as in `cifar10`.
    """
    columns = published("w_skipganomaly_noskip", "cifar10-published-noskip")
    columns["sound"] = class_aurocs("cifar10-sound-noskip")["w_skipganomaly"]
    columns["sound, with skip connections"] = class_aurocs("cifar10-sound")["w_skipganomaly"]
    return with_means(pd.DataFrame(columns))


def published(row: str, study: str) -> dict[str, pd.Series]:
    """A row of the published table by class, and what `study` measured by its protocol."""
    known = pd.read_csv(ROOT / "results" / "published" / "skip_wganomaly_cifar10.csv")
    theirs = known[known["model"] == row].set_index("abnormal_class")["auroc"]
    return {"published": theirs, "published protocol": class_aurocs(study)["w_skipganomaly"]}


def titled(name: str, more: str) -> str:
    """`w_skipganomaly, labels`; the name alone where a study adds nothing."""
    return f"{name}, {more}" if more else name


def with_means(table: pd.DataFrame) -> pd.DataFrame:
    """The table with three more rows: the mean of each column that has every class.

    And how far the published protocol's figures lie from the published ones, and above them, on
    average.
    """
    means = table.mean().where(table.notna().all())
    rows = pd.concat([table, means.to_frame("mean").T]).rename_axis("abnormal").reset_index()
    above = table["published protocol"] - table["published"]
    for name, mean in (("mean distance to", above.abs().mean()), ("mean above", above.mean())):
        rows.loc[len(rows), ["abnormal", "published protocol"]] = f"{name} published", mean
    return rows


def rivals() -> pd.DataFrame:
    """Test AUROC on CIFAR-10 of classes (rows) by model: all but w_skipganomaly."""
    return pd.concat([class_aurocs(f"cifar10-{study}") for study in (*RIVALS, *SHORT)], axis=1)


@table
def cifar10_tests() -> pd.DataFrame:
    """The better forms of w_skipganomaly (columns, with their means) against each other model.

    And against the best baseline on pixels by validation AUROC. A cell: classes ahead, Wilcoxon's p.
    """
    ours = {
        more: class_aurocs(f"cifar10-{SOUND[more]}")["w_skipganomaly"]
        for more in ("rotations", "rotations, nearest", "labels")
    }
    theirs = rivals()
    theirs["best on pixels by validation"] = best_on_pixels()
    theirs["best on pixels by validation, tuned"] = best_on_pixels("cifar10-finalists-classical")
    for more, study in SOUND.items():
        theirs[titled("w_skipganomaly", more)] = class_aurocs(f"cifar10-{study}")["w_skipganomaly"]
    ours["rotations, nearest, tuned"] = tuned_rotations()["winner"]
    ours["labels, other classes"] = ours["labels"].drop(SET_BY)
    columns = {"mean": theirs.mean()}
    for name, aurocs in ours.items():
        own = titled("w_skipganomaly", name.removesuffix(", other classes"))
        tests = {rival: ahead(aurocs, theirs[rival]) for rival in theirs if rival != own}
        columns[f"{name}: {aurocs.mean():.3f}"] = pd.Series(tests)
    return pd.DataFrame(columns).loc[theirs.columns].rename_axis("against").reset_index()


@table
def tuned_on_cifar10() -> pd.DataFrame:
    """Did tuning help? A row for each classical detector (see `tuned`), and one for a GAN."""
    gan = tuned_rotations()
    row = {
        "model": "`w_skipganomaly`, rotations, nearest, a quarter of its budget",
        "configurations": 6,
        "seeds": 3,
        **gan.mean(),
        "another won": f"{(gan['winner'] != gan['default']).sum()} of {len(gan)}",
        **against(gan["winner"], gan["default"]),
    }
    return pd.DataFrame([*tuned("cifar10-finalists-classical"), row])


def tuned_rotations() -> pd.DataFrame:
    """Test AUROC by class of `default` and `winner`, means over seeds: rotations with nearest.

    From the study's log, which has three decimals: its rows were lost with the machine.
    """
    log = (MEASURED / "cifar10-finalists-rotations" / "study.log").read_text()
    runs = re.findall(r"-([a-z]+)-(\d+)-seed\d+  done .* test_auroc (\S+)", log)
    table = pd.DataFrame(runs, columns=["class", "configuration", "auroc"]).astype({"auroc": float})
    table["role"] = table["configuration"].map({"000": "default"}).fillna("winner")
    means = table.pivot_table(index="class", columns="role", values="auroc")
    return means.assign(winner=means["winner"].fillna(means["default"]))


@table
def cifar10_choices() -> pd.DataFrame:
    """Test AUROC, means over ten classes, where validation anomalies choose and where none are."""
    rows = []
    for study, more in (STUDIES | SHORT | UNTRAINED).items():
        last = last_epochs(f"cifar10-{study}")["test_auroc"]
        for model, runs in winners(f"cifar10-{study}").groupby("model"):
            row = {"model": titled(f"`{model}`", more), "seeds": runs["seed"].nunique()}
            row["epoch and mix by anomalies"] = runs["test_auroc"].mean()
            rows.append(row | {"last epoch, default mix": last[runs["trial"]].mean()})
    return pd.DataFrame(rows)


@table
def cifar10_budgets() -> pd.DataFrame:
    """Test AUROC after shares of a network's fair budget, means over ten classes (and seeds)."""
    rows = [
        {"model": titled(f"`{model}`", more)} | means
        for study, more in STUDIES.items()
        for model, means in after_shares(f"cifar10-{study}").items()
    ]
    return pd.DataFrame(rows)


@table
def rotations_on_cifar10() -> pd.DataFrame:
    """What rotations and training bring to the same network: test AUROC, means over ten classes.

    And each row against random weights, and against the row above: classes ahead, Wilcoxon's p.
    """
    epochs = committed("cifar10-near").epochs
    networks = {
        "random weights": committed("cifar10-near-untrained").epochs,
        "no rotations, after one epoch": committed("cifar10-near-alone").epochs,
        "rotations, after one epoch": epochs[epochs["epoch"] == 1],
        "rotations, after all 17 epochs": epochs[epochs["epoch"] == 17],
    }
    rows: list[dict[str, object]] = []
    areas: list[pd.Series] = []
    for name, runs in networks.items():
        means = runs.groupby("class")[["test_auroc", "test_default_mix_auroc"]].mean()
        row: dict[str, object] = {"network": name, "seeds": runs["trial"].nunique() // len(means)}
        row["mix by anomalies"] = means["test_auroc"].mean()
        row["default mix"] = means["test_default_mix_auroc"].mean()
        if areas:
            row["against random weights"] = ahead(means["test_auroc"], areas[0])
        if len(areas) > 1:
            row["against the row above"] = ahead(means["test_auroc"], areas[-1])
        areas.append(means["test_auroc"])
        rows.append(row)
    return pd.DataFrame(rows)


def best_on_pixels(study: str = "cifar10-baselines") -> pd.Series:
    """By class: the test AUROC of the baseline on pixels that has the best validation AUROC.

    Means over the seeds of its winners, if several.
    """
    runs = winners(study).groupby(["class", "model"])
    means = runs[["val_auroc", "test_auroc"]].mean().reset_index()
    return means.loc[means.groupby("class")["val_auroc"].idxmax()].set_index("class")["test_auroc"]


@table
def cifar10_in_short() -> pd.DataFrame:
    """What README says of CIFAR-10: mean test AUROC, where anomalies choose and where none do."""
    titles = {
        "`w_skipganomaly`": "`w_skipganomaly`",
        "`w_skipganomaly`, nearest, random weights": "its weights are random, and features are "
        "compared with training images'",
        "`w_skipganomaly`, rotations, nearest": "its critic also tells rotations, and features are "
        "compared likewise",
        "`w_skipganomaly`, labels": "its critic also learns the normal classes by their labels",
        "`w_skipganomaly`, labels alone": "the same, with the class loss far above all others",
    }
    best, knn = "the best of `knn`, `pca` and `isolation_forest` on pixels", "`knn` on pixels"
    columns = ["epoch and mix by anomalies", "last epoch, default mix"]
    table = cifar10_choices().set_index("model").rename(index=titles | {"`knn`": knn})[columns]
    table.loc[best] = [best_on_pixels().mean(), None]
    return table.loc[[*titles.values(), best, knn]].rename_axis("mean AUROC").reset_index()


def audited(cls: str) -> pd.DataFrame:
    """The steps of a class's audit: `change`, `training`, `auroc`, `low`, `high`, `cost`."""
    return pd.read_csv(MEASURED / f"audit-{cls}" / "audit.csv")


@table
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


@table
def published_airplane() -> pd.DataFrame:
    """What is left of airplane's published figure, of the same training."""
    how = {
        "published": "as the released code does: normal test images before abnormal ones, training mode",
        "test_order: shuffled": "the same, test images shuffled",
        "scoring_mode: evaluation": "each image by itself",
    }
    steps = audited("airplane").set_index("change")["auroc"]
    return pd.DataFrame([{"scored": text, "AUROC": steps[step]} for step, text in how.items()])
