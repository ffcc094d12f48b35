"""Scores images without labels: a CSV, and a page with each beside its reconstruction."""

import hashlib
import os
import sys
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import torch

from bench.choices.errors import UserError, note
from bench.choices.monitoring import View
from bench.choices.study import LONGEST
from bench.data.datasets import Decoding
from bench.data.datasets.folder import read_images
from bench.judging.verdicts import Verdicts, why_no_verdicts
from bench.results.anomaly_maps import heat_maps
from bench.results.gallery import data_uri, encoded, shrunk
from bench.results.store import write_whole
from bench.watching.progress import scoring
from models.base import AnomalyModel

TEMPLATE = Path(__file__).with_name("scores.html.j2")
SHOWN = 1000  # images on the page: browsers cannot show many more
LARGEST = 128  # pixels of the longer side of a picture on the page


def score_folder(
    model: AnomalyModel,
    decoding: Decoding,
    folder: Path,
    out: Path,
    view: View,
    judged: Verdicts | None,
) -> int:
    """Scores every image of a folder, or one image, decoded as the training images were.

    Writes scores.csv, most anomalous first, and scores.html with the first `SHOWN` of them, made
    smaller where they are large. Returns the exit status: 1 if an image cannot be read.
    Columns: image, score, part_*; with `judged` also p_value and verdict (abnormal or normal; empty
    where too few images were held out for any). If the model reconstructs images, heat_maps/ shows
    for each image where it and its reconstruction differ.
    """
    channels, size = model.image_shape[0], model.image_shape[1:]
    unread: dict[Path, UserError] = {}
    names, array, notes = read_images(folder, size, channels, decoding, unread=unread)
    for line in notes:
        note(line)
    images = torch.from_numpy(array)
    view.say(f"scoring {len(names)} images of {folder}")
    with scoring(model, view.quiet):
        parts = model.score_parts(images)
    columns = {f"part_{name}": part.numpy() for name, part in parts.items()}
    frame = pd.DataFrame({"image": names, "score": model.score_of(parts).numpy()} | columns)
    if judged:
        frame.insert(2, "p_value", judged.p_values(frame["score"]))
        verdict = np.where(judged.abnormal(frame["score"]), "abnormal", "normal")
        frame.insert(3, "verdict", "" if judged.threshold is None else verdict)
    order = frame["score"].to_numpy().argsort(kind="stable")[::-1]
    frame = frame.iloc[order].reset_index(drop=True)
    write_whole(out / "scores.csv", frame.to_csv(index=False))

    ordered = images[torch.from_numpy(order.copy())]
    with scoring(model, view.quiet):  # a search for latents takes as long again
        rebuilt = model.reconstructions(ordered)
    maps = None if rebuilt is None else heat_maps(ordered.numpy(), rebuilt.numpy())
    if maps is not None:
        for name, heat in zip(frame["image"], maps, strict=True):
            write_whole(out / "heat_maps" / heat_map_file(name), encoded(heat, "PNG"))

    def picture(image: np.ndarray) -> str:
        return data_uri(shrunk(image, LARGEST))

    rows = frame.head(SHOWN).to_dict("records")
    for i, row in enumerate(rows):
        row["picture"] = picture(ordered[i].numpy())
        if rebuilt is not None and maps is not None:
            row |= {"rebuilt": picture(rebuilt[i].numpy()), "heat": picture(maps[i])}
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    undecided = why_no_verdicts(judged)  # shown only where there is no threshold
    shown = {"folder": folder.resolve().name, "rows": rows, "images": len(frame), "judged": judged}
    shown["undecided"] = undecided
    write_whole(out / "scores.html", page.render(shown))
    if judged is None or judged.threshold is None:
        note(undecided)
    else:
        called = (frame["verdict"] == "abnormal").sum()
        print(
            f"{called} of {len(frame)} called abnormal: above {judged.threshold:.4g}, "
            f"which at most {100 * judged.false_alarms:g} % of normal images should exceed"
        )
    print(f"written: {out / 'scores.csv'}, {out / 'scores.html'}")
    for error in unread.values():
        print(f"failed: {error}", file=sys.stderr)
    return int(bool(unread))


def heat_map_file(image: str) -> str:
    """The file below heat_maps/ for an image of this name, which is cut where it is too long."""
    path = Path(f"{image}.png")
    if len(os.fsencode(path.name)) <= LONGEST:
        return str(path)
    digest = hashlib.sha256(os.fsencode(image)).hexdigest()[:8]
    return str(path.with_name(f"{path.name[:50]}-{digest}.png"))
