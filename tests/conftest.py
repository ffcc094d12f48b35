"""Fixtures of several test files."""

import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Two test processes run side by side; a test of train.py leaves a thread per core behind."""
    torch.set_num_threads(1)


SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def cifar10_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real CIFAR-10 images in class folders; skips the test where their archive is missing."""
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
    """One Ray for all studies of a test file: starting it takes longer than a small study."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Notes in a property test's report how many inputs Hypothesis generated."""
    report = yield
    if call.when == "call" and (statistics := getattr(item, "hypothesis_statistics", None)):
        inputs = sum(map(int, re.findall(r"(\d+) (?:passing|failing)", statistics)))
        report.user_properties.append(("generated inputs", inputs))
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    """Prints how many generated inputs the property tests tried."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    properties = [pair for report in reports for pair in getattr(report, "user_properties", [])]
    inputs = [count for name, count in properties if name == "generated inputs"]
    line = f"{sum(inputs)} generated inputs tried in {len(inputs)} property tests"
    terminalreporter.write_line(line)
