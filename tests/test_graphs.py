"""Steps that a GPU replays, on a CPU: a list of torch's operations stands in for a CUDA graph.

tests/test_gpu.py has the same with real graphs.
"""

from contextlib import nullcontext
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from small_models import (
    SETTINGS,
    WITH_ALL_PARTS,
    assert_same_to_the_bit,
    make,
    pictures,
    train,
    with_classes,
)
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import models
from models import anogan
from models.graphs import Graphs
from models.steps import Steps


class Recording(TorchDispatchMode):
    """A step's operations, which `replay` computes again in the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, ...]] = []
        self.computed = True  # recording computes the step here; on a GPU it does not

    def register_generator_state(self, generator: torch.Generator) -> None:
        pass

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        if self.computed:
            self.computed = False
            return
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            for func, args, kwargs, result in self.operations:
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    # Views, and what is changed in place, lie where they lay.
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


@pytest.fixture(autouse=True)
def a_cpu_that_records(monkeypatch: pytest.MonkeyPatch) -> None:
    def seeded(steps: Steps, model: Any, generator: torch.Generator) -> torch.Generator:
        if model.GRAPHS and not steps.graphs:
            steps.graphs = Graphs(generator)
        return generator

    monkeypatch.setattr(Steps, "seeded", seeded)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **_: graph)
    monkeypatch.setattr(torch.cuda, "Stream", Mock)
    monkeypatch.setattr(torch.cuda, "current_stream", Mock)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())


@pytest.mark.parametrize(("name", "settings"), [*SETTINGS, *WITH_ALL_PARTS], ids=str)
def test_replayed_steps_compute_the_same_bits(name, settings, monkeypatch):
    """Else `train_step` branches on what `kind_of_step` does not tell, or keeps a value in Python."""
    trained = []
    for replays in (True, False):
        monkeypatch.setattr(models.get(name), "GRAPHS", replays)
        model = make(name, **settings)
        losses = train(model, with_classes(pictures(24)), epochs=3)
        trained.append(losses | model.checkpoint())
        graphs = model.training.graphs
        assert bool(graphs and graphs.recorded) == replays
    assert_same_to_the_bit(*trained)


def test_a_replayed_search_finds_the_same_latents(monkeypatch):
    """Else it gives a name in AnoGAN's `search` another tensor, which a recording does not see."""

    def replayed(step: Any, device: torch.device) -> Any:
        graphs = Graphs(torch.Generator())
        return lambda: graphs.run("step", lambda _: step(), torch.empty(0))

    monkeypatch.setattr(anogan, "replayed", replayed)
    model = make("anogan")
    found = model.score_parts(pictures(100))
    monkeypatch.setattr(type(model), "GRAPHS", False)
    assert_same_to_the_bit(found, model.score_parts(pictures(100)))
