"""How far an image's features are from those of the nearest training images (kNN, cosine distance).

What a critic or discriminator tells images by serves to compare them too, as a pretrained network's
features do in DN2 (arXiv:2002.10445). Here only the direction of the vector matters, not its length.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.images import Images

KEPT = 5000  # training images at most whose features are kept
NEAREST = 5  # of them count (as in models/knn.py)


def distance(features: Tensor, kept: Tensor) -> Tensor:
    """The mean cosine distance (B,), 0 to 2, of features (B, K) to the nearest kept ones (M, K).

    Near ones differ from 0 by less than bfloat16 and tf32 can tell, so this takes float64, which
    autocast leaves alone.
    """
    kept = normalize(kept.to(features.device).double())
    distances = 1 - normalize(features.double()) @ kept.T
    count = min(NEAREST, len(kept))
    return distances.topk(count, dim=1, largest=False).values.mean(dim=1).float()


def spread_out(images: Images) -> Tensor:
    """KEPT of the images at most, at equal distances in their order: uint8 (M, C, H, W)."""
    count = min(KEPT, len(images))
    return images[torch.linspace(0, len(images) - 1, count, device=images.device).round().long()]
