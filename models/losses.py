"""Losses that several models share."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, rng: torch.Generator
) -> Tensor:
    """(|grad D(x^)|_2 - 1)^2 of each image, (B,); WGAN-GP adds its mean (arXiv:1704.00028, eq. 3).

    x^ is drawn uniformly on the line from a real to a fake image, both (B, C, H, W). `critic` maps
    images to scores (B,). The gradient of the scores' sum holds each image's own gradient, since
    no image changes another's score.
    """
    epsilon = torch.rand(len(real), 1, 1, 1, generator=rng, device=rng.device)
    between = torch.lerp(fake, real, epsilon).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (torch.linalg.vector_norm(gradient, dim=(1, 2, 3)) - 1).square()


def cross_entropy(logits: Tensor, label: float) -> Tensor:
    """Binary cross-entropy (B,) of logits (B,) where every image has this label, 0 or 1."""
    labels = torch.full_like(logits, label)
    return binary_cross_entropy_with_logits(logits, labels, reduction="none")


def augmented(x: Tensor, rng: torch.Generator) -> Tensor:
    """Images (B, C, H, W), each mirrored or not, and shifted by up to an eighth of each side.

    Pixels that a shift brings in at an edge are the image's reflection there.
    """
    count, _, height, width = x.shape
    mirrored = torch.rand(count, 1, 1, 1, generator=rng, device=x.device) < 0.5
    x = torch.where(mirrored, x.flip(3), x)
    for dim, size, shape in ((2, height, (count, 1, height, 1)), (3, width, (count, 1, 1, width))):
        limit = size // 8
        shift = torch.randint(-limit, limit + 1, (count, 1), generator=rng, device=x.device)
        index = (torch.arange(size, device=x.device) + shift).abs()
        index = size - 1 - (size - 1 - index).abs()
        x = x.gather(dim, index.view(shape).expand_as(x))
    return x


def per_image(errors: Tensor) -> Tensor:
    """The mean of each image's errors: (B, ...) to (B,)."""
    return errors.flatten(1).mean(dim=1)
