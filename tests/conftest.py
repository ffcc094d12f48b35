"""Fixtures that several test files share."""

import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

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


def write_images(folder: Path, count: int, value: int = 0) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(value)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i}.png")


@pytest.fixture
def wganomaly_folder(tmp_path: Path) -> Path:
    """Skip-WGANomaly's layout: train/0.normal, test/0.normal, test/1.abnormal."""
    folder = tmp_path / "images"
    write_images(folder / "train" / "0.normal", 40, 1)
    write_images(folder / "test" / "0.normal", 8, 2)
    write_images(folder / "test" / "1.abnormal", 6, 3)
    return folder


@pytest.fixture(scope="session")
def ray_session():
    """One Ray for all the studies of a test run: starting it takes longer than a small study."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    if call.when == "call" and (statistics := getattr(item, "hypothesis_statistics", None)):
        tried = sum(int(number) for number in re.findall(r"(\d+) (?:passing|failing)", statistics))
        report.user_properties.append(("generated inputs", tried))
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    """How many generated inputs the property tests tried."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    tried = [count for r in reports for name, count in getattr(r, "user_properties", []) if name == "generated inputs"]
    terminalreporter.write_line(f"{sum(tried)} generated inputs tried in {len(tried)} property tests")
