"""What the classical baselines share: they are fitted at once, not trained in steps."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.base import AnomalyModel
from models.images import Images, check_images


class FittedModel(AnomalyModel):
    """A detector that its first epoch fits to a sample of the images; later epochs change nothing.

    Its state is that sample and a seed. A checkpoint holds no estimator: `restore` fits it again.
    There are no training steps, so `batch_size` has no effect. A subclass implements `fit` and
    `measure`; D = C * H * W below.

    Its LOSS is the score of held-out normal images: how far they lie from the sample. It cannot
    compare configurations that measure distance differently: more neighbours are further away, and
    more components always reconstruct better.
    """

    FAMILY = "baseline"
    ANY_SIZE = True
    BATCHES = False
    USES_GPU = False
    NO_EXPORT = "scikit-learn computes its scores, not a network"
    LOSS = "distance"
    STEPS = DIGITS_STEPS = 0
    samples: Tensor | None = None  # (M, ...): what `to_keep` gave; None before the first epoch
    seed: int = 0

    @abstractmethod
    def fit(self, x: np.ndarray, seed: int) -> None:
        """Fits the estimator to float images (M, D) in [-1, 1]; it draws from the seed alone."""

    @abstractmethod
    def measure(self, x: np.ndarray) -> np.ndarray:
        """The anomaly scores (B,) of float images (B, D) in [-1, 1]."""

    def build(self) -> None:
        pass

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        raise NotImplementedError("this model is fitted at once, without steps")

    def train_epoch(
        self, images: Images, generator: torch.Generator, turns: int | None = None
    ) -> dict[str, float]:
        check_images(images, self.image_shape)
        if self.samples is None:
            order = torch.randperm(len(images), generator=generator, device=generator.device)
            chosen = order[: self.config.samples].to(images.device)
            self.samples = self.to_keep(images[chosen].cpu())
            self.seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
            self.fit(self.vectors(self.samples), self.seed)
        return {}

    def images_seen(self, images: Images) -> int:
        return 0 if self.samples is None else len(self.samples)

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        return {"distance": torch.from_numpy(self.measure(self.flat(x))).float()}

    def combine(self, parts: dict[str, Tensor]) -> Tensor:
        return parts["distance"]

    def flat(self, x: Tensor) -> np.ndarray:
        """Float images (B, C, H, W) in [-1, 1] as vectors (B, D)."""
        return x.flatten(1).cpu().numpy()

    def to_keep(self, images: Tensor) -> Tensor:
        """What to keep as `samples` of sampled images, uint8 (M, C, H, W): here the images."""
        return images

    def vectors(self, samples: Tensor) -> np.ndarray:
        """The vectors (M, D) that it is fitted to, from `samples`."""
        return self.flat(self.normalise(samples))

    def checkpoint(self) -> dict[str, Any]:
        return super().checkpoint() | {"samples": self.samples, "seed": self.seed}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        super().restore(checkpoint)
        self.samples, self.seed = checkpoint["samples"], checkpoint["seed"]
        if self.samples is not None:
            self.fit(self.vectors(self.samples), self.seed)
