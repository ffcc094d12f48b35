"""scikit-learn's digits: 1,797 grey 8x8 images.

They come with the library, so no download is needed.
"""

from pathlib import Path

import numpy as np

from bench.data.datasets import Dataset

CLASSES = tuple("0123456789")
# Narrower networks and smaller batches than for photographs: 100 images a class, 16 x 16 pixels. To
# an autoencoder or PCA, 64 dimensions for 8 x 8 pixels are no bottleneck (results/digits.md).
DEFAULTS = {
    "ngf": 16,
    "ndf": 16,
    "batch_size": 16,
    "f_anogan.gan_steps": 1_700,
    "autoencoder.nz": 8,
    "autoencoder.lr": 3e-3,
    "pca.components": 8,
}


def load(root: Path) -> Dataset:
    """The digits; they have no official split, so a fixed third of every class is the test set."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)  # (N, 64) in 0 .. 16
    pixels = np.round(images * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    train_images, test_images, train_labels, test_labels = train_test_split(
        pixels, labels.astype(np.int64), test_size=1 / 3, stratify=labels, random_state=0
    )
    return Dataset(
        "digits", CLASSES, train_images, train_labels, test_images, test_labels, few=True
    )
