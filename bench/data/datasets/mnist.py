"""MNIST (LeCun et al., 1998): 70,000 grey 28x28 handwritten digits."""

from pathlib import Path

from bench.data.datasets import Dataset

CLASSES = tuple("0123456789")


def load(root: Path) -> Dataset:
    """MNIST, downloaded into `root` if it is not there."""
    from torchvision.datasets import MNIST

    from bench.data.datasets._torchvision import read_mnist

    return read_mnist("mnist", CLASSES, MNIST, root)
