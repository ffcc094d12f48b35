"""Scores for images that have no labels: a CSV, and a page that shows each beside its reconstruction."""

import base64
import io
from collections.abc import Callable
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import torch
from PIL import Image

from bench.datasets.folder import read_images
from bench.progress import scoring
from bench.results import write_whole
from models import AnomalyModel
from models.base import SCORING_BATCH

TEMPLATE = Path(__file__).parent / "reporting" / "scores.html.j2"


def score_folder(model: AnomalyModel, folder: Path, out: Path, say: Callable[[str], None]) -> pd.DataFrame:
    """Scores every image of a folder; writes scores.csv and scores.html, most anomalous first. Columns: image, score,
    part_*."""
    channels, size, _ = model.image_shape
    names, array = read_images(folder, size, channels)
    images = torch.from_numpy(array)
    say(f"scoring {len(names)} images of {folder}")
    with scoring(model):
        parts = model.score_parts(images)
    columns = {f"part_{name}": part.numpy() for name, part in parts.items()}
    frame = pd.DataFrame({"image": names, "score": model.combine(parts).numpy()} | columns)
    order = frame["score"].to_numpy().argsort(kind="stable")[::-1]
    frame = frame.iloc[order].reset_index(drop=True)
    write_whole(out / "scores.csv", frame.to_csv(index=False))

    ordered = images[torch.from_numpy(order.copy())]
    rebuilt = reconstructions(model, ordered)
    rows = [
        {
            "name": row.image,
            "score": row.score,
            "image": data_uri(ordered[i].numpy()),
            "rebuilt": None if rebuilt is None else data_uri(rebuilt[i]),
        }
        for i, row in enumerate(frame.itertuples())
    ]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    write_whole(out / "scores.html", page.render(folder=folder.name, rows=rows))
    return frame


def reconstructions(model: AnomalyModel, images: torch.Tensor) -> np.ndarray | None:
    """uint8 (N, C, H, W), the model's version of each image; None if it makes none."""
    made = []
    with model.frozen(training=False), torch.no_grad():
        for x in images.split(SCORING_BATCH):
            again = model.reconstruct(model.normalise(x))
            if again is None:
                return None
            made.append(((again + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy())
    return np.concatenate(made)


def data_uri(image: np.ndarray) -> str:
    """A uint8 (C, H, W) image as a PNG inside a page."""
    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
