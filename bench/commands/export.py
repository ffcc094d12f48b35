"""Trained models as files for other programs: ONNX, or torch.export's .pt2.

A file takes `images`, uint8 (N, C, H, W) for any N, decoded and resized as its metadata say. It
gives `score`, float32 (N,), higher for more anomalous images. A model that reconstructs images also
gives `map`, float32 (N, H, W): where the reconstruction differs, as in --score_folder's heat maps.
"""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.choices.errors import UserError, note
from bench.judging import verdicts
from bench.results.anomaly_maps import difference
from bench.results.provenance import git
from bench.results.store import write_whole
from models.base import AnomalyModel
from models.images import pixels

METADATA = "metadata.json"  # the extra file in a .pt2
LARGEST = 2**31  # bytes that an ONNX file holds


class Scorer(nn.Module):
    """What an exported file computes, with a model in evaluation mode."""

    def __init__(self, model: AnomalyModel):
        super().__init__()
        self.model, self.networks = model, model.networks  # registers the weights

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = self.model.normalise(images)
        outputs = {"score": self.model.score_of(self.model.parts(x))}
        reconstruction = self.model.reconstruct(x)
        if reconstruction is not None:
            outputs["map"] = difference(images.float(), pixels(reconstruction))
        return outputs


def export(
    model: AnomalyModel, content: dict[str, Any], path: Path, false_alarms: float | None
) -> None:
    """Writes a model that was loaded from a file with this `content`.

    `false_alarms`: the rate for which to set the threshold; None for that of the model's file.
    UserError for a model that no such file can hold.
    """
    if model.NO_EXPORT:
        raise UserError(f"--export: {content['model']} cannot be exported: {model.NO_EXPORT}")
    precision = content.get("precision", "float32")
    if precision != "float32":
        note(
            f"--export: the model was trained, and its threshold set, in {precision}; the file "
            "computes in float32, whose scores differ a little"
        )
    judged = verdicts.from_file(content, false_alarms)
    facts = metadata(model, content, judged)
    write_whole(path, exported(model, facts, path.suffix))
    shape = ", ".join(map(str, model.image_shape))
    print(f"written: {path}, for images uint8 (N, {shape}); threshold {facts['threshold']}")
    if facts["threshold"] is None:
        note(verdicts.why_no_verdicts(judged))


def metadata(
    model: AnomalyModel, content: dict[str, Any], judged: verdicts.Verdicts | None
) -> dict[str, Any]:
    """What a user of the file must know: which images it takes, and which scores are abnormal.

    The threshold is None where too few normal images were held out to set one.
    """
    channels, height, width = model.image_shape
    return {
        "model": content["model"],
        "trial": content.get("trial"),
        "classes": content.get("classes"),
        "channels": channels,
        "height": height,
        "width": width,
        **asdict(content["decoding"]),
        "resample": "bilinear, antialiased (PIL.Image.Resampling.BILINEAR)",
        "threshold": judged.threshold if judged else None,
        "false_alarms": judged.false_alarms if judged else None,
        "commit": git("rev-parse", "HEAD"),
    }


def exported(model: AnomalyModel, facts: dict[str, Any], suffix: str) -> bytes:
    """The content of the file, with these facts; the model takes no gradients afterwards.

    In ONNX each fact is a property, in JSON unless it is a text.
    """
    images = torch.zeros((2, *model.image_shape), dtype=torch.uint8)
    # torch.export fails where convolutions and recurrent layers differ in this; see `arithmetic`.
    torch.backends.cudnn.allow_tf32 = True
    model.networks.requires_grad_(False)
    with model.frozen(training=False), torch.no_grad():
        program = torch.export.export(
            Scorer(model), (images,), dynamic_shapes=({0: torch.export.Dim("N")},)
        )
        if suffix == ".pt2":
            file = io.BytesIO()
            torch.export.save(program, file, extra_files={METADATA: json.dumps(facts)})
            return file.getvalue()
        if sum(weights.nbytes for weights in program.state_dict.values()) >= LARGEST:
            raise UserError("--export: an ONNX file holds less than 2 GB of weights (give .pt2)")
        onnx = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["score", "map"][: len(program.graph_signature.user_outputs)],
            dynamic_shapes=({0: "N"},),
        )
        assert onnx is not None
        for name, fact in facts.items():
            onnx.model.metadata_props[name] = fact if isinstance(fact, str) else json.dumps(fact)
        return onnx.model_proto.SerializeToString()
