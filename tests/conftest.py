"""Fixtures of several test files."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import mvtec
import pytest
import torch
from commands import ROOT, end_all
from hypothesis import settings
from images import write_images

import search_spaces
from bench.choices import outside
from bench.choices.errors import UserError
from bench.choices.flags import study_from
from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, SOUND, Task
from bench.commands import checks
from bench.data import datasets
from bench.data.splits import Split, make_split
from bench.training import devices
from bench.tuning import ray_start  # it sets what Ray reads as it is imported

# A machine that stalls is no fault of a property.
profile = settings.get_profile(settings.get_current_profile_name())
settings.register_profile("no deadline", profile, deadline=None)
settings.load_profile("no deadline")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # Triton then runs kernels on the CPU

pytest_plugins = ["own_files"]  # its fixtures

# By option, the files whose tests run on every model, data set or search space: test_*.py.
CONTRACTS = {
    "model": "arithmetic budgets display export fidelity gpu graphs mix models models_learn "
    "resume search_spaces sizes space training",
    "dataset": "datasets protocols",
    "space": "search_spaces",
}
CHECKED = pytest.StashKey[set[str]]()  # the parameters that stand for one's own files


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("your own", "run the contract tests alone, on a file of your own")
    for flag in CONTRACTS:
        group.addoption(f"--{flag}", metavar="FILE", help=f"check this {flag}: --{flag}=FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Adds one's own file to the names that the contract tests are parametrised by."""
    given = {flag: value for flag in CONTRACTS if (value := config.getoption(flag))}
    if not given:
        return
    try:
        config.stash[CHECKED] = added(given)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def added(given: dict[str, str]) -> set[str]:
    """The parameters that stand for the files; UserError where one will not do at all."""
    study = study_from({flag: v if flag == "dataset" else [v] for flag, v in given.items()})
    parameters = set()
    if "dataset" in given:
        datasets.classes_of(study.dataset)
        datasets.NAMES.append(study.dataset)
        parameters.add(study.dataset)
    if "space" in given and "model" not in given:
        raise UserError("--space: give the --model whose hyperparameters it holds, too")
    if "model" in given:
        checks.check_search(study)
        (name,) = study.model_names()
        if "space" in given:
            outside.FILES[f"search_spaces.{name}"] = outside.file("space", study.space[0])
        if search_spaces.has(name) and name not in search_spaces.NAMES:
            search_spaces.NAMES.append(name)
        parameters.add(name)
    return parameters


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out the files without contract tests, which take long to import."""
    if CHECKED not in config.stash or collection_path.is_dir():
        return None
    files = " ".join(files for flag, files in CONTRACTS.items() if config.getoption(flag)).split()
    return collection_path.stem.removeprefix("test_") not in files or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With one's own file, keeps the tests that it is a parameter of."""
    if CHECKED not in config.stash:
        return

    def checks_it(item: pytest.Item) -> bool:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        return any(isinstance(p, str) and p in config.stash[CHECKED] for p in parameters)

    config.hook.pytest_deselected(items=[item for item in items if not checks_it(item)])
    items[:] = filter(checks_it, items)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Two test processes run side by side, and a thread per core in each makes both slow."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "ready_process", lambda threads: torch.set_num_threads(1))
        yield


@pytest.fixture(scope="session")
def all_digits(tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    return datasets.load("digits", root=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def digits(all_digits: datasets.Dataset) -> datasets.Dataset:
    """A few hundred of them."""
    return all_digits.limit(300, 100)


@pytest.fixture(scope="session")
def split(digits: datasets.Dataset) -> Split:
    """These few hundred digits under the sound protocol, threes left out."""
    return make_split(digits, Task(LEAVE_ONE_CLASS_OUT, "3"), SOUND, seed=0)


@pytest.fixture(scope="session")
def cifar10_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real CIFAR-10 images in class folders; skips the test where their archive is missing."""
    archive = ROOT.parent / "shared" / "data" / "cifar10_jpeg.tar.xz"
    if not archive.exists():
        pytest.skip(f"{archive} is missing: no real CIFAR-10 images to test on")
    folder = tmp_path_factory.mktemp("cifar10")
    with tarfile.open(archive) as tar:
        for member in tar:
            number = Path(member.name).stem
            if member.isfile() and number.isdigit() and int(number) < 120:
                tar.extract(member, folder, filter="data")
    return folder / "cifar10_jpeg"


@pytest.fixture
def wganomaly_folder(tmp_path: Path) -> Path:
    """Skip-WGANomaly's layout: train/0.normal, test/0.normal, test/1.abnormal."""
    folder = tmp_path / "images"
    write_images(folder / "train" / "0.normal", 40, 1)
    write_images(folder / "test" / "0.normal", 8, 2)
    write_images(folder / "test" / "1.abnormal", 6, 3)
    return folder


@pytest.fixture(scope="session")
def mvtec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories, bolt and nut, in MVTec AD's layout."""
    return mvtec.draw(tmp_path_factory.mktemp("data") / "mvtec")


@pytest.fixture
def mvtec_copy(mvtec_folder: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may change."""
    return shutil.copytree(mvtec_folder, tmp_path / "mvtec")


@pytest.fixture(scope="session")
def ray_session():
    """One Ray for all studies of a test file: starting it takes longer than a small study."""
    import ray

    place = {"address": "local", "runtime_env": ray_start.interpreter()}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, **place)
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def no_command_outlives_its_test() -> Iterator[None]:
    yield
    end_all()


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
