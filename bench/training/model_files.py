"""Trained models as safetensors files: tensors and JSON, so that loading one runs no code."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save

import models
from bench.choices import outside
from bench.choices.errors import UserError
from bench.choices.names import on_disk
from bench.data.datasets import Decoding
from models.base import AnomalyModel

FORMAT = "ganomaly-bench model 1"
# How images were decoded when model files did not say it.
OLD_DECODING = {"resize": "crop", "background": None}


def packed(name: str, model: AnomalyModel, state: dict[str, Any], facts: dict[str, Any]) -> bytes:
    """A model's state (see `trained_state`) with its configuration, as a file's content."""
    tensors, plain = flatten(state)
    content = {"model": name, "image_shape": model.image_shape, "config": asdict(model.config)}
    content |= {"state": plain} | facts
    if code := outside.FILES.get(f"models.{name}"):
        content["code"] = {"path": code.path, "sha256": code.sha256}
    # safetensors writes entries in a random order: a single one lets equal runs give equal files
    return save(tensors, metadata={FORMAT: json.dumps(content)})


def load(
    path: Path | str, device: str = "cpu", precision: str | None = None, code: str | None = None
) -> tuple[AnomalyModel, dict[str, Any]]:
    """The model and what was saved beside it, with its images' Decoding.

    `precision`: None for the one that the model trained in, and its threshold was measured in.
    `code`: where the Python file from outside that made the model lies now, if not where it lay.
    UserError for a file that is no model or does not fit the code.
    """
    path = Path(path)
    try:
        data = on_disk(path).read_bytes()  # safe_open takes no path that is no UTF-8
        tensors = load_tensors(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__", {})
        earlier = metadata.get("content") if metadata.get("format") == FORMAT else None
        if not (text := metadata.get(FORMAT, earlier)):
            raise UserError(f"--load: {path} is not a model of this program")
        content = json.loads(text)
        take_code(path, content, code)
        shape = tuple(content["image_shape"])
        own = content.get("precision", "float32")
        precision = precision or ("float32" if own == "tf32" and device == "cpu" else own)
        model = models.create(
            content["model"], shape, device=device, precision=precision, **content["config"]
        )
        model.restore(unflatten(tensors, content["state"]))
        content["decoding"] = Decoding(**content.get("decoding", OLD_DECODING))
        content["sha256"] = outside.sha256_of(data)
    except FileNotFoundError:
        raise UserError(f"--load: there is no file {path}") from None
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise UserError(f"--load: {path} cannot be read ({error})") from None
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"--load: {path} does not fit ({reason})") from None
    return model, content


def take_code(path: Path, content: dict[str, Any], code: str | None) -> None:
    """Reads the Python file from outside that made a model, and records its path in `content`.

    UserError where it is gone or has changed, or the model is one of this project's.
    """
    made_by = content.get("code")
    if made_by is None:
        if code:
            raise UserError(f"--load: {path} is a {content['model']}; leave out --model")
        return
    place = code or made_by["path"]
    try:
        file = outside.read("model", place)
    except UserError as error:
        reason = f"was made by {place}, and {str(error).removeprefix('--model: ')}"
        raise UserError(f"--load: {path} {reason} (give --model where it lies now)") from None
    if file.sha256 != made_by["sha256"]:
        old, new = made_by["sha256"][:12], file.sha256[:12]
        raise UserError(
            f"--load: {place} has changed since it made {path}: its SHA-256 begins with {new}, and "
            f"did with {old} (put the old one back)"
        )
    outside.add([file])
    file.load()
    content |= {"model": file.name, "code": {"path": file.path, "sha256": file.sha256}}


def trained_state(model: AnomalyModel) -> dict[str, Any]:
    """A copy of the state that scoring needs, in the CPU's memory.

    Leaves out the optimisers' moments, two thirds of the whole state.
    """
    with model.frozen(training=False):  # with the weights that score
        state = model.checkpoint() | {"optimizers": {}}
    del state["left"]  # of a pass over the training images
    state.pop("average", None)
    tensors, plain = flatten(state)
    return unflatten({name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}, plain)


def flatten(state: Any, path: tuple = ()) -> tuple[dict[str, torch.Tensor], list]:
    """A nested dict as tensors, named by their paths in JSON, and a list of [path, plain value]."""
    if isinstance(state, torch.Tensor):
        return {json.dumps(path): state.detach().contiguous()}, []
    if not isinstance(state, dict) or not state:
        return {}, [[list(path), state]]
    tensors: dict[str, torch.Tensor] = {}
    plain: list = []
    for key, value in state.items():
        inner_tensors, inner_plain = flatten(value, (*path, key))
        tensors |= inner_tensors
        plain += inner_plain
    return tensors, plain


def unflatten(tensors: dict[str, torch.Tensor], plain: list) -> dict[str, Any]:
    """The nested dict that `flatten` took apart."""
    state: dict[str, Any] = {}
    for path, value in [*((json.loads(name), tensor) for name, tensor in tensors.items()), *plain]:
        inner = state
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = value
    return state
