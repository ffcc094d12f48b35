"""Telling the normal classes apart, by the labels of training images: AC-GAN's auxiliary classifier.

In AC-GAN (arXiv:1610.09585) the generator learns from it too; here only the opponent does, on real
images. An image unlike all classes has a high energy (arXiv:2010.03759, eq. 4). Figures that use
labels cannot be compared with figures that do not.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.networks import Head

MOST = 256  # classes


class ClassHead(nn.Module):
    """Logits of classes from features (B, K) of an opponent."""

    seen: Tensor  # bool (MOST,): classes that have training images; before training, all True
    of_batch: Tensor  # int64 (batch size,): the class of each image of the current batch

    def __init__(self, features: int, batch_size: int):
        """`features`: K."""
        super().__init__()
        self.logits = Head(features, MOST)
        self.register_buffer("seen", torch.ones(MOST, dtype=torch.bool))
        # A step that a GPU replays reads the classes from the memory that it was recorded with, so
        # each batch's classes are copied into this buffer.
        of_batch = torch.zeros(batch_size, dtype=torch.int64)
        self.register_buffer("of_batch", of_batch, persistent=False)

    @staticmethod
    def check(classes: Tensor | None) -> Tensor:
        """Returns these classes (N,) of training images; ValueError unless known, and 2 to MOST."""
        if classes is None:
            raise ValueError("w_class: the classes of the training images are not known (give 0)")
        count, largest = len(classes.unique()), int(classes.max())
        if count < 2:
            raise ValueError("w_class: the training images are of one class alone (give 0)")
        if largest >= MOST:
            raise ValueError(f"w_class: there are more than {MOST} classes (give 0)")
        return classes

    def begin(self, classes: Tensor | None) -> None:
        """Records which classes the training images have; `classes`: (N,)."""
        known = self.check(classes)
        self.seen.zero_()
        self.seen[known.unique()] = True

    def forward(self, features: Tensor) -> Tensor:
        """(B, MOST), float32; minus infinity for classes without training images."""
        return self.logits(features).masked_fill(~self.seen, -torch.inf)

    def loss(self, features: Tensor) -> Tensor:
        """The mean cross-entropy of the current batch's classes, from its features (B, K)."""
        return cross_entropy(self(features), self.of_batch[: len(features)])

    def energy(self, features: Tensor) -> Tensor:
        """(B,): high for an image that is like none of the classes."""
        return -self(features).logsumexp(dim=1)
