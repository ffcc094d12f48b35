"""Fashion-MNIST (Xiao et al., arXiv:1708.07747): 70,000 grey 28x28 photographs of clothes."""

from pathlib import Path

from bench.data.datasets import Dataset

CLASSES = tuple("tshirt trouser pullover dress coat sandal shirt sneaker bag ankle_boot".split())


def load(root: Path) -> Dataset:
    """Fashion-MNIST, downloaded into `root` if it is not there."""
    from torchvision.datasets import FashionMNIST

    from bench.data.datasets._torchvision import read_mnist

    return read_mnist("fashion_mnist", CLASSES, FashionMNIST, root)
