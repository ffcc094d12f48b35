"""Where commands run: folders with odd names, a home or temporary folder that is no use."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import PATIENCE, ROOT, TINY, command, fill, kill, size, wait_for
from studies import make_study

from bench import results

SHORT = "--epochs 3 --trials 2 --seeds 1 --searcher random --scheduler pbt".split() + TINY
RUN = "runpy.run_path({!r}, run_name='__main__')"


@pytest.fixture
def odd_project(tmp_path: Path) -> tuple[Path, Path]:
    """The project and its environment's Python, in a folder whose name a shell would take apart."""
    root = tmp_path / "it's a (new) project & $more"
    for name in ("bench", "models", "search_spaces"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train_tune.py", root)
    environment, packages = root / ".venv", Path(pytest.__file__).parents[1]
    if not (Path(sys.prefix) / "pyvenv.cfg").exists():
        pytest.skip("the tests do not run in a virtual environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (library,) = environment.glob("lib/python*/site-packages")
    library.rmdir()
    library.symlink_to(packages)
    return root, environment / "bin" / "python"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder in /tmp, as Ray's sockets take no long name."""
    with tempfile.TemporaryDirectory(prefix="a b ", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.long
@pytest.mark.slow
def test_odd_folders_no_home_and_a_kill(
    tmp_path: Path,
    odd_project: tuple[Path, Path],
    short_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A study is killed there, and resumed; it leaves nothing at --storage."""
    root, python = odd_project
    monkeypatch.setenv("HOME", "/dev/null/nowhere")
    monkeypatch.setenv("TMPDIR", str(short_folder))
    storage = tmp_path / "the storage"
    process = command(root / "results", *SHORT, "--storage", str(storage), root=root, python=python)
    wait_for(lambda: size(root / "results" / "study" / "epochs.jsonl"), process)
    kill(process.pid)
    process.wait()
    assert list(storage.glob(".ray-*"))
    process = command(root / "results", "--resume", root=root, python=python)
    assert process.wait(PATIENCE) == 0, (root / "results.log").read_text()[-2000:]
    assert set(results.read(root / "results" / "study").trials.status) == {"done"}
    assert not list(storage.glob(".ray-*"))


@pytest.fixture
def useless(request: pytest.FixtureRequest, small_disk: Path, tmp_path: Path) -> Path:
    """A folder that can hold nothing of Ray's."""
    if request.param == "full":
        fill(small_disk)
    elif request.param == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    else:
        small_disk = tmp_path / ("long" * 25)
    return small_disk


REASONS = {"full": "No space left", "read-only": "Read-only file system", "long": "is too long"}


@pytest.mark.parametrize(("useless", "reason"), REASONS.items(), indirect=["useless"])
def test_a_temporary_folder_that_ray_cannot_use(tmp_path: Path, useless: Path, reason: str) -> None:
    process = subprocess.run(
        [sys.executable, "train_tune.py", *SHORT, "--results_dir", str(tmp_path / "results")],
        cwd=ROOT, env=os.environ | {"TMPDIR": str(useless)}, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 2
    assert process.stderr.startswith("error: TMPDIR: ")
    assert process.stderr.count("\n") == 1
    assert reason in process.stderr
    assert "RAY_TMPDIR" in process.stderr
    assert not (tmp_path / "results").exists()


def test_a_report_where_matplotlib_finds_no_folder(small_disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code = f"import runpy, tempfile; tempfile.tempdir = {str(small_disk)!r}; "
    process = subprocess.run(
        [sys.executable, "-c", code + RUN.format("report.py"), str(make_study(tmp_path / "study"))],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"MPLCONFIGDIR": str(small_disk)}
    )  # fmt: skip
    assert process.returncode == 2
    assert "MPLCONFIGDIR" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr


@pytest.mark.long
@pytest.mark.slow
def test_a_ray_that_starts_no_process(tmp_path: Path) -> None:
    """There is no shell for it to start one by."""
    code = "import runpy; from bench.tuning import callback; callback.PATIENCE = 5; "
    code += RUN.format("train_tune.py")
    process = subprocess.run(
        [sys.executable, "-c", code, *SHORT, "--results_dir", str(tmp_path)], text=True,
        cwd=ROOT, env=os.environ | {"PATH": ""}, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    assert process.returncode == 2
    last = process.stderr.splitlines()[-1]
    assert last.startswith("error: Ray starts no process on this machine: ")
    assert "raylet.err" in process.stderr
