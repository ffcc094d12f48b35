"""Losses that several models share."""

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """E[(|grad D(x^)| - 1)^2], x^ uniformly between real and fake images (B, C, H, W) (arXiv:1704.00028, eq. 3).

    `critic` gives one score an image; what it gives is summed, which leaves each image its own gradient.
    """
    epsilon = torch.rand((len(real), 1, 1, 1), generator=rng, device=real.device)
    between = torch.lerp(fake, real, epsilon).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def per_image(errors: Tensor) -> Tensor:
    """The mean of each image's errors: (B, ...) -> (B,)."""
    return errors.flatten(1).mean(dim=1)
