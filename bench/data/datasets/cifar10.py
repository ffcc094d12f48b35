"""CIFAR-10 (Krizhevsky, 2009): 60,000 colour 32x32 photographs of ten kinds of thing."""

from pathlib import Path

from bench.data.datasets import Dataset

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load(root: Path) -> Dataset:
    """CIFAR-10, downloaded into `root` if it is not there."""
    from torchvision.datasets import CIFAR10

    from bench.data.datasets._torchvision import read

    mirror = CIFAR10.url.removesuffix(CIFAR10.filename)
    archives = {CIFAR10.filename: CIFAR10.tgz_md5}
    return read("cifar10", CLASSES, CIFAR10, root, folder=root, archives=archives, mirrors=[mirror])
