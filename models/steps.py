"""A model's training steps: taken one after the other, with the means of their losses."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.graphs import Graphs

if TYPE_CHECKING:
    from models.base import AnomalyModel


class Steps:
    """Takes a model's training steps; on a GPU it replays them as graphs (models.graphs).

    It holds no reference to the model, which refers to it: in a reference cycle, both would stay on
    the GPU until Python's garbage collector runs.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}  # of each loss's values, on the device
        self.loss_names: dict[Hashable, list[str]] = {}  # by kind of step
        self.rng: torch.Generator | None = None  # a GPU's own, which the steps draw from
        self.graphs: Graphs | None = None

    def take(
        self, model: "AnomalyModel", batches: Iterable[Tensor], generator: torch.Generator
    ) -> dict[str, float]:
        """Takes a step on each float batch (B, C, H, W); returns the mean of each loss.

        Raises FloatingPointError for a mean that is not finite.
        """
        rng, counts, first = self.seeded(model, generator), Counter[str](), model.steps + 1
        step = partial(self.step, model, rng)
        for total in self.sums.values():
            total.zero_()
        with self.graphs.on_own_stream() if self.graphs else nullcontext():
            for x in batches:
                kind = model.kind_of_step()
                if self.graphs:
                    self.graphs.run(kind, step, x)
                else:
                    step(x)
                model.steps += 1
                counts.update(self.loss_names[kind])
        means = {name: float(self.sums[name] / count) for name, count in counts.items()}
        for name, mean in means.items():
            if not math.isfinite(mean):
                steps = f"steps {first} to {model.steps}"
                raise FloatingPointError(f"the loss '{name}' became {mean} (in {steps})")
        return means

    def seeded(self, model: "AnomalyModel", generator: torch.Generator) -> torch.Generator:
        """What the steps of an epoch draw from: the generator, or on a GPU one seeded from it."""
        if model.device.type != "cuda":
            return generator
        if self.rng is None:
            self.rng = torch.Generator(model.device)
        if self.graphs is None and model.GRAPHS:
            self.graphs = Graphs(self.rng)
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        return self.rng.manual_seed(int(seed))

    def step(self, model: "AnomalyModel", rng: torch.Generator, x: Tensor) -> None:
        """One training step, its losses added to `sums`."""
        with model.arithmetic(weights_change=True):
            losses = model.train_step(x, rng)
        if model.average:
            model.average.update()
        # The sums stay on the device: reading one would make each step wait for a GPU.
        for name, loss in losses.items():
            if name not in self.sums:
                self.sums[name] = torch.zeros_like(loss)
            self.sums[name] += loss.detach()
        self.loss_names[model.kind_of_step()] = list(losses)
