"""Tables of how many anomalies are enough to choose, and what a classifier makes of as many."""

from itertools import product

import numpy as np
import pandas as pd

from bench.reporting.documents.cifar10 import STUDIES, titled
from bench.reporting.documents.rows import (
    MEASURED,
    ahead,
    class_aurocs,
    committed,
    last_epochs,
    table,
    winners,
)

COUNTS = (1, 3, 10, 30, 100, 500)  # anomalies; 500: all of a half
DRAWS = 20  # of so many anomalies, in each run


@table
def few_anomalies_on_cifar10() -> pd.DataFrame:
    """Test AUROC by weights of a score's parts that few anomalies chose, from the committed scores.

    In each run half of the test images stands for validation: all of its normal images and some of
    its abnormal ones choose, as `--mix chosen` does, and the other half is scored. The epoch is the
    run's own, which 4,500 anomalies chose. Means over runs and draws: by the model's own weights; by
    the best weights for all runs, which the half that is scored chose; by those of so many
    anomalies.
    """
    rows = []
    for name in ("sound", "sound-noskip", "rotations", "near", "classes", "classes-alone"):
        study = f"cifar10-{name}"
        halves = [halved(study, run) for run in winners(study).to_dict("records")]
        tested = np.mean([of_mix for _, of_mix in halves], axis=0)
        row = {"model": titled("`w_skipganomaly`", STUDIES[name])}
        row |= {"default mix": tested[0], "the best for all": tested.max()}
        by_counts = np.mean([as_few_choose(*half) for half in halves], axis=0)
        rows.append(row | dict(zip(map(str, COUNTS), by_counts, strict=True)))
    return pd.DataFrame(rows)


@table
def classifiers_on_cifar10() -> pd.DataFrame:
    """Test AUROC of classifiers that learn anomalies, means over ten classes.

    In brackets against the network whose epoch and weights 4,500 anomalies chose: classes ahead, and
    Wilcoxon's p.
    """
    learned = pd.read_csv(MEASURED / "cifar10-classifiers.csv")
    network = class_aurocs("cifar10-near")["w_skipganomaly"]
    rows = []
    for name, runs in learned.groupby("classifier", sort=False):
        by_count = runs.pivot(index="class", columns="anomalies", values="auroc")
        cells = {
            f"{count} anomalies": f"{areas.mean():.3f} ({ahead(areas, network)})"
            for count, areas in by_count.items()
        }
        rows.append({"classifier": name} | cells)
    return pd.DataFrame(rows)


@table
def few_anomalies_on_digits() -> pd.DataFrame:
    """EGBAD's test AUROC, means over ten digits, by the number of anomalies that chose."""
    runs = winners("digits-left-out-few")
    last = last_epochs("digits-left-out-few")["test_auroc"]  # the same for each number
    means = runs.groupby("limit_anomalies")["test_auroc"].mean()
    row = {"model": "`egbad`", "last epoch, default mix": last.mean()}
    return pd.DataFrame([row | {f"{count:.0f}": mean for count, mean in means.items()}])


def halved(study: str, run: dict) -> tuple[np.ndarray, np.ndarray]:
    """`shares_below` in the half that chooses, and each mix's AUROC (mixes,) in the other."""
    scores = committed(study).scores(run["trial"])
    own = own_weights(run, list(scores))
    parts, mixes = scores[list(own)].to_numpy(float), candidates(list(own.values()))
    rng = np.random.default_rng(0)
    normal, abnormal = (
        np.array_split(rng.permutation(np.flatnonzero(scores["labels"] == label)), 2)
        for label in (0, 1)
    )
    chooses, tests = (shares_below(parts[normal[k]], parts[abnormal[k]], mixes) for k in (0, 1))
    return chooses, tests.mean(axis=0)


def as_few_choose(chooses: np.ndarray, tested: np.ndarray) -> list[float]:
    """The mean of the `tested` AUROCs of the mixes that draws of each of COUNTS anomalies choose."""
    rng = np.random.default_rng(0)
    means = []
    for count in COUNTS:
        draws = [rng.choice(len(chooses), count, replace=False) for _ in range(DRAWS)]
        means.append(np.mean([tested[chooses[draw].mean(axis=0).argmax()] for draw in draws]))
    return means


def own_weights(run: dict, columns: list[str]) -> dict[str, float]:
    """The model's own weight of each part of the run's score (SkipGAN.weights)."""
    weights = {"part_reconstruction": 1.0}
    names = {"latent": "lat", "rotation": "rot", "nearest": "near", "class": "class"}
    for part, name in names.items():
        if f"part_{part}" in columns:
            share = run[f"config_score_{name}"]
            weights = {other: (1 - share) * weight for other, weight in weights.items()}
            weights[f"part_{part}"] = share
    return weights


def candidates(own: list[float]) -> np.ndarray:
    """The weights to try, (mixes, parts): the model's own first, then the nearest (Mix.best)."""
    steps = 20 if len(own) == 2 else 10
    grid = [mix for mix in product(range(steps + 1), repeat=len(own)) if sum(mix) == steps]
    mixes = np.array([own, *(np.array(grid) / steps)])
    return mixes[np.abs(mixes - own).sum(axis=1).argsort(kind="stable")]


def shares_below(normal: np.ndarray, abnormal: np.ndarray, mixes: np.ndarray) -> np.ndarray:
    """The share of normal images that each abnormal one outscores, (abnormal, mixes); ties half.

    `normal`, `abnormal`: parts of scores, (images, parts). The mean over abnormal images is a mix's
    AUROC.
    """
    mean, spread = normal.mean(axis=0), normal.std(axis=0)
    shares = []
    for mix in mixes:
        ordered = np.sort((normal - mean) / spread @ mix)
        scores = (abnormal - mean) / spread @ mix
        below = [np.searchsorted(ordered, scores, side) for side in ("left", "right")]
        shares.append(np.mean(below, axis=0) / len(ordered))
    return np.array(shares).T
