"""MNIST (LeCun et al., 1998): 70,000 grey 28x28 handwritten digits."""

from pathlib import Path

from torchvision.datasets import MNIST

from bench.datasets import Dataset
from bench.datasets._torchvision import read


def load(root: Path) -> Dataset:
    """MNIST, downloaded into `root` if it is not there."""
    folder, archives = root / "MNIST" / "raw", dict(MNIST.resources)
    return read("mnist", tuple("0123456789"), MNIST, root, folder=folder, archives=archives, mirrors=MNIST.mirrors)
