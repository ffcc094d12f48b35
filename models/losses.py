"""Losses that several models share."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """(|grad D(x^)| - 1)^2 of each image, (B,): the term whose mean is the penalty (arXiv:1704.00028, eq. 3).

    x^ lies uniformly between real and fake images (B, C, H, W). `critic` gives one score an image; what it gives is
    summed, which leaves each image its own gradient.
    """
    epsilon = torch.rand(len(real), 1, 1, 1, generator=rng, device=rng.device)
    between = torch.lerp(fake, real, epsilon).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square()


def cross_entropy(logits: Tensor, label: float) -> Tensor:
    """Binary cross-entropy (B,) of logits (B,) of images that all have this label."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label), reduction="none")


def per_image(errors: Tensor) -> Tensor:
    """The mean of each image's errors: (B, ...) -> (B,)."""
    return errors.flatten(1).mean(dim=1)
