"""What the page's score viewer shows of a run: its histogram, and its most telling images."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.reporting.figures import binned, first_seeds
from bench.reporting.frames import Scores
from bench.results.anomaly_maps import heat_maps
from bench.results.gallery import data_uri, extreme_images, images_of, sheet_array, shrunk
from bench.results.reading import Results

BINS = 100  # thresholds of the slider
QUALITY = 60  # of 100: a page of a hundred runs stays under 5 MB
LARGEST = 64  # pixels of an image's longer side, so that browsers can handle the page


def explorer(
    studies: Mapping[str, Results], finals: pd.DataFrame, scores: Scores, unseen: list[str]
) -> Iterator[dict[str, Any]]:
    """The lowest seed's run of each model and class, as JSON takes it.

    Adds to `unseen` a line on each run whose images cannot be shown.
    """
    for run in first_seeds(finals, scores):
        study, trial = run["study"], run["trial"]
        frame = scores[study, trial]
        edges, normal, abnormal = binned(frame, BINS)
        view = {"model": run["column"], "class": run["row"], "seed": int(run["seed"])}
        view |= {"auroc": run["test_auroc"], "low": edges[0], "high": edges[-1]}
        view |= {"normal": normal.tolist(), "abnormal": abnormal.tolist()}
        try:
            view["gallery"] = gallery(studies[study].gallery(trial), frame)
        except (OSError, ValueError, SyntaxError) as error:  # Pillow: SyntaxError for a damaged PNG
            unseen.append(f"{study}: the images of trial {trial} cannot be shown ({error})")
        yield view


def gallery(sheet: bytes | None, frame: pd.DataFrame) -> dict[str, Any] | None:
    """A run's sheet of images, smaller, and the groups in it with their scores.

    Below the images, rows of reconstructions and heat maps, where the model reconstructs. None
    where there is no sheet.
    """
    if sheet is None:
        return None
    groups = extreme_images(frame["labels"].to_numpy(), frame["scores"].to_numpy())
    images, rebuilt = images_of(sheet, sum(map(len, groups.values())))
    rows = [images]
    if rebuilt is not None:
        heat = heat_maps(images, rebuilt)
        rows = [np.broadcast_to(row, heat.shape) for row in (images, rebuilt, heat)]
    rows = [np.stack([shrunk(image, LARGEST) for image in row]) for row in rows]
    return {
        "sheet": data_uri(sheet_array(*rows), "WebP", quality=QUALITY),
        "rebuilt": rebuilt is not None,
        "aspect": images.shape[3] / images.shape[2],
        "groups": {
            name: frame["scores"].to_numpy()[index].tolist() for name, index in groups.items()
        },
    }
