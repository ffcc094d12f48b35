"""Where an image is anomalous: its difference from its reconstruction, in grey levels.

Images are uint8. N is how many, C, H and W are channels, height and width in pixels.
"""

from typing import Any

import numpy as np


def difference(image: Any, rebuilt: Any) -> Any:
    """The mean absolute difference of the channels: (…, C, H, W) becomes (…, H, W).

    Arrays or tensors. `image` must be of a signed type: uint8 would wrap around.
    """
    return abs(image - rebuilt).mean(-3)


def anomaly_maps(images: np.ndarray, rebuilt: np.ndarray) -> np.ndarray:
    """Where (N, C, H, W) images and reconstructions differ: float32 (N, H, W), in grey levels."""
    maps = np.empty((len(images), *images.shape[2:]), np.float32)
    for i in range(len(maps)):  # of all at once: too much memory
        maps[i] = difference(images[i].astype(np.int16), rebuilt[i])
    return maps


def heat_maps(images: np.ndarray, rebuilt: np.ndarray) -> np.ndarray:
    """Anomaly maps as pictures: uint8 (N, 3, H, W), of (N, C, H, W) images and reconstructions.

    The image in grey, and over it, red to yellow, its map. All images share one scale, up to the
    difference that one pixel in a thousand exceeds.
    """
    maps = anomaly_maps(images, rebuilt)
    scale = max(np.quantile(maps, 0.999), 1)
    pictures = np.empty((len(maps), 3, *maps.shape[1:]), np.uint8)
    for i in range(len(maps)):  # of all at once: too much memory
        heat = np.clip(maps[i] / scale, 0, 1)
        colour = np.stack([np.full_like(heat, 255), 255 * heat, np.zeros_like(heat)])
        pictures[i] = ((1 - heat) * images[i].mean(axis=0) + heat * colour).round()
    return pictures
