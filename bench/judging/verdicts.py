"""Whether an image is abnormal, by the scores of normal images that no network was trained on.

An image's p-value is the share, of those images and itself, that score at least as high. Of new
normal images, at most a share `alpha` has a p-value of `alpha` or less, however scores are
distributed: a conformal p-value (Bates et al. 2023, arXiv:2104.08279, eq. 3). That holds where new
normal images are like the held-out ones. But these also choose the epoch, which makes the promise a
little optimistic.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.judging.metrics import Floats, Metric, checked, roc

ALARMS = {  # what `Verdicts.figures` measures
    "true_alarms": Metric("true alarms"),
    "false_alarms": Metric("false alarms", higher_is_better=False),
    "alarm_f1": Metric("F1"),
}


@dataclass(frozen=True)
class Verdicts:
    """What tells normal from abnormal scores.

    `normal`: scores of held-out normal images. `false_alarms`: the share of new normal images that
    may be called abnormal. `balanced`: the score above which validation images of both
    kinds are mistaken equally often; None where none was abnormal.
    """

    normal: list[float]
    false_alarms: float
    balanced: float | None = None

    def p_values(self, scores: ArrayLike) -> Floats:
        """The p-value of each score, float64 (N,), from 1 / (n + 1) to 1."""
        normal, values = np.sort(self.normal), np.asarray(scores, dtype=np.float64)
        at_least = len(normal) - np.searchsorted(normal, values, side="left")
        return (at_least + 1) / (len(normal) + 1)

    def abnormal(self, scores: ArrayLike) -> np.ndarray:
        """bool (N,): which scores are too high for a normal image."""
        return self.p_values(scores) <= self.false_alarms

    @property
    def threshold(self) -> float | None:
        """A score above it is abnormal; None where there are too few held-out images for any."""
        above = int(self.false_alarms * (len(self.normal) + 1) + 1e-9) - 1  # may score higher
        above = min(above, len(self.normal) - 1)
        return None if above < 0 else float(np.sort(self.normal)[::-1][above])

    def figures(self, labels: ArrayLike, scores: ArrayLike) -> dict[str, float]:
        """How these verdicts do on labelled images (1: abnormal); nothing where there are none."""
        if self.threshold is None:
            return {}
        truth, values = checked(labels, scores)
        called = self.abnormal(values)
        hits, alarms = (called & truth).sum(), (called & ~truth).sum()
        return {
            "true_alarms": float(hits / truth.sum()),
            "false_alarms": float(alarms / (~truth).sum()),
            "alarm_f1": float(2 * hits / (hits + alarms + truth.sum())),
        }


def why_no_verdicts(judged: Verdicts | None) -> str:
    """Why no image is called abnormal, where there is no threshold."""
    if judged is None:
        return (
            "there are no verdicts: no normal images were held out when the model was trained, or it "
            "scored them in training mode"
        )
    enough = math.ceil(1 / judged.false_alarms) - 1
    return (
        f"--false_alarms {judged.false_alarms}: the {len(judged.normal)} normal images that were "
        f"held out are too few to call any image abnormal ({enough} are enough)"
    )


def verdicts(labels: ArrayLike, scores: ArrayLike, false_alarms: float) -> Verdicts:
    """The Verdicts from validation images' labels (1: abnormal) and scores."""
    truth, values = np.asarray(labels) == 1, np.asarray(scores, dtype=np.float64)
    balanced = balanced_threshold(truth, values) if truth.any() and not truth.all() else None
    return Verdicts(values[~truth].tolist(), false_alarms, balanced)


def balanced_threshold(truth: np.ndarray, values: Floats) -> float:
    """The observed score above which false alarms and misses are most nearly equally frequent."""
    alarms, hits = roc(truth, values)  # first where no score is above, last where all are
    thresholds = np.unique(values)[::-1]
    return float(thresholds[np.abs(alarms - (1 - hits))[:-1].argmin()])


def from_file(content: dict[str, Any], false_alarms: float | None) -> Verdicts | None:
    """The Verdicts in a trained model's file, None if it has none; `false_alarms`: another rate."""
    if not (saved := content.get("verdicts")):
        return None
    return Verdicts(**saved | ({"false_alarms": false_alarms} if false_alarms else {}))
