"""Fixtures that several test files share."""

import tarfile
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # the tests run side by side

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def cifar10_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real CIFAR-10 images as class folders, a few hundred of each class; skips where they are missing."""
    archive = SHARED / "cifar10_jpeg.tar.xz"
    if not archive.exists():
        pytest.skip(f"{archive} is missing: no real CIFAR-10 images to test on")
    folder = tmp_path_factory.mktemp("cifar10")
    with tarfile.open(archive) as tar:
        for member in tar:
            number = Path(member.name).stem
            if member.isfile() and number.isdigit() and int(number) < 120:
                tar.extract(member, folder, filter="data")
    return folder / "cifar10_jpeg"


@pytest.fixture(scope="session")
def ray_session():
    """One Ray for all the studies of a test run: starting it takes longer than a small study."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
