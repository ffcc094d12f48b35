"""How far an image's features are from those of the nearest training images (kNN, cosine distance).

A critic's or discriminator's features can compare images, as a pretrained network's features do in
DN2 (arXiv:2002.10445). Here only the direction of the vector matters, not its length.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.images import Images

KEPT = 5000  # training images at most whose features are kept
NEAREST = 5  # of them count (as in models/knn.py)


def distance(features: Tensor, kept: Tensor) -> Tensor:
    """The mean cosine distance (B,), 0 to 2, of features (B, K) to the nearest kept ones (M, K).

    bfloat16 and tf32 would round small distances to 0, so this computes in float64, which autocast
    leaves alone.
    """
    kept = normalize(kept.to(features.device).double())
    distances = 1 - normalize(features.double()) @ kept.T
    count = min(NEAREST, len(kept))
    return distances.topk(count, dim=1, largest=False).values.mean(dim=1).float()


def spread_out(images: Images) -> Tensor:
    """At most KEPT of the images, evenly spaced in their order: uint8 (M, C, H, W)."""
    count = min(KEPT, len(images))
    return images[torch.linspace(0, len(images) - 1, count, device=images.device).round().long()]
