"""Classifiers that train on the anomalies by which detectors are chosen: what these have to beat.

A detector under `--select_on val_auroc` meets validation anomalies of the tested class, which choose
its epoch, its configuration and the weights of its score. These classifiers are scikit-learn's, by
default hyperparameters, and learn such anomalies against the normal training images: a linear
discriminant and gradient boosting, of the pixels' first 64 principal components.

PYTHONPATH=. python docs/examples/classifier.py digits 3 10 30 100 > classifiers.csv
"""

import argparse
import sys

import pandas as pd
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor, cat

from bench.choices.study import Study
from bench.data.splits import Split
from bench.judging.metrics import auroc
from bench.training.prepare import prepare

COMPONENTS = 64
CLASSIFIERS = {
    "linear discriminant": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    "gradient boosting": HistGradientBoostingClassifier(class_weight="balanced", random_state=0),
}


def aurocs(split: Split) -> dict[str, float]:
    """The test AUROC of each classifier, from the split's training images and its anomalies."""
    assert split.val
    assert split.test
    normal, anomalies = split.train[:], split.val.images[:][split.val.labels == 1]
    images, labels = pixels(cat([normal, anomalies])), [0] * len(normal) + [1] * len(anomalies)
    components = PCA(min(COMPONENTS, *images.shape), random_state=0)
    learned = components.fit_transform(images)
    tested = components.transform(pixels(split.test.images[:]))
    return {
        name: auroc(split.test.labels, classifier.fit(learned, labels).predict_proba(tested)[:, 1])
        for name, classifier in CLASSIFIERS.items()
    }


def pixels(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) as float32 (N, C * H * W), in 0 to 1."""
    return images.flatten(1) / 255


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("abnormal_class", help="a class's name, or all")
    parser.add_argument("anomalies", type=int, nargs="+", help="how many to learn")
    flags = parser.parse_args(words)
    classes, counts = (flags.abnormal_class,), tuple(flags.anomalies)
    ready = prepare(Study(dataset=flags.dataset, abnormal_class=classes, limit_anomalies=counts))
    rows = []
    for task in ready.tasks:
        rows += [
            {
                "class": task.cls,
                "anomalies": task.limit_anomalies,
                "classifier": name,
                "auroc": area,
            }
            for name, area in aurocs(ready.splits[task]).items()
        ]
        print(f"{task.name}: done", file=sys.stderr)
    pd.DataFrame(rows).to_csv(sys.stdout, index=False)


if __name__ == "__main__":
    main()
