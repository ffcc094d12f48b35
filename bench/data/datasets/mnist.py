"""MNIST (LeCun et al., 1998): 70,000 grey 28x28 handwritten digits."""

from pathlib import Path

from bench.data.datasets import Dataset

CLASSES = tuple("0123456789")


def load(root: Path) -> Dataset:
    """MNIST, downloaded into `root` if it is not there."""
    from torchvision.datasets import MNIST

    from bench.data.datasets._torchvision import read

    folder, archives = root / "MNIST" / "raw", dict(MNIST.resources)
    return read(
        "mnist", CLASSES, MNIST, root, folder=folder, archives=archives, mirrors=MNIST.mirrors
    )
