"""Detectors fitted in one piece: the classical baselines."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.base import AnomalyModel, Images


class FittedModel(AnomalyModel):
    """A detector fitted in one piece: by the first epoch, to a sample of its images; later epochs change nothing.

    Its state is that sample and a seed, so that a checkpoint holds no estimator: restoring fits it again. It takes no
    training steps, so `batch_size` does nothing. A subclass implements `fit` and `measure`; D = C * H * W below.

    Its loss on held-out normal images is their score: how far they lie from the sample. Configurations that measure
    differently (neighbours, gamma) are not to be told apart by it.
    """

    ANY_SIZE = True
    BATCHES = False
    USES_GPU = False
    LOSS = "distance"
    samples: Tensor | None = None  # uint8 (M, C, H, W)
    seed: int = 0

    @abstractmethod
    def fit(self, x: np.ndarray, seed: int) -> None:
        """Fits to float images (M, D) in [-1, 1]."""

    @abstractmethod
    def measure(self, x: np.ndarray) -> np.ndarray:
        """The anomaly score (N,) of float images (N, D) in [-1, 1]."""

    def build(self) -> None:
        pass

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        raise NotImplementedError("fitted in one piece")

    def train_epoch(self, images: Images, generator: torch.Generator) -> dict[str, float]:
        self.check(images)
        if self.samples is None:
            order = torch.randperm(len(images), generator=generator, device=generator.device).to(images.device)
            self.samples = images[order[: self.config.samples]].cpu()
            self.seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
            self.fit(self.flat(self.normalise(self.samples)), self.seed)
        self.steps += 1
        return {}

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        return {"distance": torch.from_numpy(self.measure(self.flat(x))).float()}

    def combine(self, parts: dict[str, Tensor]) -> Tensor:
        return parts["distance"]

    def flat(self, x: Tensor) -> np.ndarray:
        return x.flatten(1).cpu().numpy()

    def checkpoint(self) -> dict[str, Any]:
        return super().checkpoint() | {"samples": self.samples, "seed": self.seed}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        super().restore(checkpoint)
        self.samples, self.seed = checkpoint["samples"], checkpoint["seed"]
        if self.samples is not None:
            self.fit(self.flat(self.normalise(self.samples)), self.seed)
