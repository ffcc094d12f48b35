"""Stand-ins for downloads, in the true file formats."""

import gzip
import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

PER_CLASS = {"train": 5, "test": 2}  # images


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def cifar10_stand_in(root: Path, monkeypatch) -> list[Path]:
    """cifar-10-python.tar.gz as published: pickled batches; in a row, one colour after another."""
    random = np.random.default_rng(0)

    def batch(per_class: int) -> bytes:
        labels = list(range(10)) * per_class
        pixels = random.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        pixels[:, :1024] = 7 * np.array(labels)[:, None]  # red tells the class
        return pickle.dumps({"data": pixels, "labels": labels})

    files = {f"data_batch_{i}": batch(PER_CLASS["train"] // 5) for i in range(1, 6)}
    files["test_batch"] = batch(PER_CLASS["test"])
    files["batches.meta"] = pickle.dumps({"label_names": list("abcdefghij")})
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5((root / "cifar-10-python.tar.gz").read_bytes()))
    sums = [[name, md5(data)] for name, data in files.items()]
    monkeypatch.setattr(CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(CIFAR10, "test_list", sums[5:6])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5(files["batches.meta"])})
    return [root / "cifar-10-python.tar.gz"]


def mnist_stand_in(kind: type, root: Path, monkeypatch) -> list[Path]:
    """Four gzipped idx files: magic number, sizes as big-endian 32-bit numbers, bytes."""
    raw = root / kind.__name__ / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    resources = []
    for split, per_class in (("train", PER_CLASS["train"]), ("t10k", PER_CLASS["test"])):
        labels = np.repeat(np.arange(10, dtype=np.uint8), per_class)
        images = np.broadcast_to(7 * labels[:, None, None], (len(labels), 28, 28))
        for what, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = np.array([0x800 + array.ndim, *array.shape], ">i4").tobytes()
            data = gzip.compress(header + array.tobytes())
            (raw / f"{split}-{what}-ubyte.gz").write_bytes(data)
            resources.append((f"{split}-{what}-ubyte.gz", md5(data)))
    monkeypatch.setattr(kind, "resources", resources)
    return [raw / name for name, _ in resources]


STAND_INS = {
    "cifar10": cifar10_stand_in,
    "mnist": lambda *arguments: mnist_stand_in(MNIST, *arguments),
    "fashion_mnist": lambda *arguments: mnist_stand_in(FashionMNIST, *arguments),
}
