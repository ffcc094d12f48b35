"""--export: the file that is written scores as the model does, without this program."""

import io
import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import make, pictures, train
from torch import Tensor

import models
from bench.choices import outside
from bench.choices.errors import UserError
from bench.commands import checks
from bench.commands.export import METADATA, exported
from bench.results.anomaly_maps import anomaly_maps
from bench.training import model_files
from models.base import AnomalyModel
from models.mix import standardised
from train import main

EXPORTED = [name for name in models.NAMES if not models.get(name).NO_EXPORT]
OTHERS = [name for name in models.NAMES if models.get(name).NO_EXPORT]
MORE = [  # what a model computes besides, by its hyperparameters, and other shapes
    ("w_skipganomaly", {"w_rot": 1.0, "score_near": 0.3}, (3, 16, 16)),
    ("skipganomaly", {"skip": False, "average": 0.9}, (1, 16, 24)),
    ("egbad", {"feature_matching": False, "score_sums": True}, (1, 17, 30)),
    ("f_anogan", {"bound_latent": False, "batch_norm": False}, (3, 16, 24)),
]
EACH = [*((name, {}, (1, 16, 16)) for name in EXPORTED), *MORE]
QUICK = {".pt2": MORE[2], ".onnx": EACH[0]}  # the others take some seconds each


def cases(suffix: str) -> list[Any]:
    """The arguments of a test of each model, the slow ones marked, but models of one's own."""
    return [
        case
        if case == QUICK[suffix] or f"models.{case[0]}" in outside.FILES
        else pytest.param(*case, marks=pytest.mark.slow)
        for case in EACH
    ]


Outputs = dict[str, np.ndarray]


def opened(content: bytes, suffix: str) -> tuple[Callable[[Tensor], Outputs], dict[str, Any]]:
    """What an exported file computes of images (N, C, H, W), and its facts."""
    if suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(content)
        names = [output.name for output in session.get_outputs()]
        facts = session.get_modelmeta().custom_metadata_map

        def compute(x: Tensor) -> Outputs:
            return dict(zip(names, session.run(None, {"images": x.numpy()}), strict=True))

        return compute, facts
    extra = {METADATA: ""}
    module = torch.export.load(io.BytesIO(content), extra_files=extra).module()
    return lambda x: {k: v.numpy() for k, v in module(x).items()}, json.loads(extra[METADATA])


def trained(name: str, values: dict[str, Any], shape: tuple[int, int, int]) -> AnomalyModel:
    """A small model, whose score mixes standardised parts where it can."""
    model = make(name, shape, **values)
    images = pictures(24, shape)
    train(model, images, epochs=2)
    if model.weights:
        model.mix = standardised(model.weights, model.score_parts(images))
    return model


def check_exported(model: AnomalyModel, suffix: str) -> None:
    """Fails unless the file gives the model's scores and maps, one image at a time or three."""
    images = pictures(3, model.image_shape, seed=1)
    scores, rebuilt = model.score(images).numpy(), model.reconstructions(images)
    compute, facts = opened(exported(model, {"model": "a", "threshold": None}, suffix), suffix)
    assert facts == {"model": "a", "threshold": "null" if suffix == ".onnx" else None}
    for batch in (images[:1], images):
        outputs, count = compute(batch), len(batch)
        np.testing.assert_allclose(outputs.pop("score"), scores[:count], rtol=1e-4, atol=1e-4)
        if rebuilt is not None:
            expected = anomaly_maps(batch.numpy(), rebuilt[:count].numpy())
            heat = outputs.pop("map")
            assert heat.dtype == np.float32
            # A reconstruction between two grey values may be rounded to the other one.
            assert (np.abs(heat - expected) > 1e-3).mean() < 0.01
            np.testing.assert_allclose(heat, expected, atol=1.01)
        assert not outputs


@pytest.mark.parametrize(("name", "values", "shape"), cases(".pt2"), ids=str)
def test_a_pt2_file_scores_as_the_model_does(name, values, shape) -> None:
    check_exported(trained(name, values, shape), ".pt2")


@pytest.mark.parametrize(("name", "values", "shape"), cases(".onnx"), ids=str)
def test_an_onnx_file_scores_as_the_model_does(name, values, shape) -> None:
    check_exported(trained(name, values, shape), ".onnx")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A trained autoencoder's file, with verdicts."""
    model = trained("autoencoder", {}, (1, 16, 24))
    metadata = {
        "trial": "t",
        "classes": ["good", "bad"],
        "decoding": {"resize": "crop", "bits": 12, "background": None},
        "verdicts": {"normal": [i / 100 for i in range(100)], "false_alarms": 0.05},
        "precision": "bfloat16",
    }
    path = tmp_path / "model.safetensors"
    state = model_files.trained_state(model)
    path.write_bytes(model_files.packed("autoencoder", model, state, metadata))
    return path


def test_the_command_writes_a_file_that_says_what_it_wants(saved, tmp_path, capsys) -> None:
    out = tmp_path / "new" / "model.pt2"
    assert main(["--load", str(saved), "--export", str(out), "--false_alarms", "0.1"]) == 0
    images = pictures(2, (1, 16, 24))
    compute, facts = opened(out.read_bytes(), ".pt2")
    scores = model_files.load(saved)[0].score(images).numpy()
    np.testing.assert_allclose(compute(images)["score"], scores, atol=1e-4)
    assert len(facts.pop("commit") or "") in (0, 40)
    assert facts == {
        **{"model": "autoencoder", "trial": "t", "classes": ["good", "bad"]},
        **{"channels": 1, "height": 16, "width": 24},
        **{"resize": "crop", "bits": 12, "background": None},
        "resample": "bilinear, antialiased (PIL.Image.Resampling.BILINEAR)",
        **{"threshold": 0.9, "false_alarms": 0.1},
    }
    printed = capsys.readouterr()
    assert printed.out == f"written: {out}, for images uint8 (N, 1, 16, 24); threshold 0.9\n"
    (note,) = printed.err.splitlines()
    assert "in bfloat16; the file computes in float32" in note
    before = out.read_bytes()
    with pytest.raises(UserError, match=r"--export: .* exists already"):
        main(["--load", str(saved), "--export", str(out)])
    assert out.read_bytes() == before


@pytest.mark.parametrize("name", OTHERS)
def test_a_model_that_no_file_can_hold_says_why(name: str, tmp_path: Path) -> None:
    model = make(name)
    train(model, pictures(12))
    path, out = tmp_path / "model.safetensors", tmp_path / "model.onnx"
    path.write_bytes(model_files.packed(name, model, model_files.trained_state(model), {}))
    why = re.escape(models.get(name).NO_EXPORT)
    with pytest.raises(UserError, match=f"--export: {name} cannot be exported: {why}"):
        main(["--load", str(path), "--export", str(out)])
    assert not out.exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--export", "model.onnx"], "--load"),
        (["--load", "nothing", "--export", "model.onnx"], "no file nothing"),
        (
            ["--load", "nothing", "--export", "model.pt"],
            "model.pt is no name that ends in .onnx or .pt2",
        ),
        (["--load", "nothing", "--export", ".onnx"], r"--export: .onnx is no name"),
        (["--load", "nothing", "--export", f"{__file__}/a.pt2"], r"--export: .* is no folder"),
        (["--load", "nothing", "--export", "a.pt2", "--score_folder", "b"], "--score_folder"),
        (["--load", "nothing", "--export", "a.pt2", "--dataset", "digits"], "--dataset"),
        (["--load", "nothing", "--export", "a.pt2", "--precision", "tf32"], "--precision"),
    ],
)
def test_flags_that_export_nothing_are_refused(flags: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        main(flags)


def test_without_the_packages_the_command_that_installs_them_is_named(monkeypatch) -> None:
    installed = {"onnx": find_spec("onnx")}
    monkeypatch.setattr(checks, "find_spec", installed.get)
    needed = "needs onnxscript: uv sync --group export, or pip install"
    with pytest.raises(UserError, match=needed):
        main(["--load", "nothing", "--export", "model.onnx"])
    with pytest.raises(UserError, match="no file nothing"):  # .pt2 needs none
        main(["--load", "nothing", "--export", "model.pt2"])
