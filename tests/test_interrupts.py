"""Interrupts: what SIGINT, SIGTERM and SIGHUP do to a command, at each moment of its life."""

import contextlib
import fcntl
import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from commands import (
    PATIENCE,
    ROOT,
    STARTED,
    TINY,
    command,
    descendants,
    listening,
    running,
    size,
    wait_for,
)

from bench.choices import interrupts

LONG = [*TINY, "--epochs", "500", "--trials", "2", "--searcher", "random", "--scheduler", "pbt"]


def to_the_group(process: subprocess.Popen, number: int) -> None:
    """As `timeout` and a terminal send it."""
    os.killpg(process.pid, number)


def to_each(process: subprocess.Popen, number: int) -> None:
    """As systemd and Slurm send it, to all processes of a job."""
    for each in [*psutil.Process(process.pid).children(recursive=True), process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.send_signal(number)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("send", "number"),
    [(to_each, signal.SIGTERM), pytest.param(to_the_group, signal.SIGHUP, marks=pytest.mark.long)],
)
def test_a_signal_to_all_processes_ends_a_study_in_order(
    tmp_path: Path, send: Callable, number: int
) -> None:
    storage = tmp_path / "storage"
    process = command(tmp_path / "results", *LONG, "--storage", str(storage))
    wait_for(lambda: size(tmp_path / "results" / "study" / "epochs.jsonl"), process)
    assert list(storage.iterdir())
    sockets = listening(process.pid)
    assert len(sockets) > 3, sockets
    addresses = {address for _, address, _ in sockets}
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, "it can be reached from outside"
    below = descendants(process.pid)
    send(process, number)
    assert process.wait(PATIENCE) == 130
    log = (tmp_path / "results.log").read_text()
    assert "--name study" in log
    assert "--resume" in log
    assert "Traceback" not in log
    assert not list(storage.iterdir())
    wait_for(lambda: not any(map(running, below)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("Ray starts", marks=pytest.mark.long),
        "the folder is new",
        pytest.param("the study begins", marks=pytest.mark.long),
    ],
)
def test_a_signal_before_the_first_run(tmp_path: Path, moment: str) -> None:
    """There is no folder, or the user is told how to go on in it."""
    study, log_file = tmp_path / "study", tmp_path.with_suffix(".log")
    reached = {
        "Ray starts": lambda: any("gcs_server" in line for line in descendants(pid).values()),
        "the folder is new": study.exists,
        "the study begins": lambda: str(study) in log_file.read_text(),
    }
    process = command(tmp_path, *LONG)
    pid = process.pid
    wait_for(reached[moment], process)
    below = descendants(pid)
    os.killpg(pid, signal.SIGTERM)
    status, log = process.wait(PATIENCE), log_file.read_text()
    assert status == 130, log
    assert "interrupted" in log
    assert ("--resume" in log) == (study / "study.json").exists() == study.exists()
    assert study.exists() == (moment != "Ray starts")
    assert "Traceback" not in log
    wait_for(lambda: not any(map(running, below)))


@pytest.mark.slow
def test_control_c_in_a_pipe_to_tee(tmp_path: Path) -> None:
    """It ends the reader as well: what there is to say comes on stderr."""
    words = [sys.executable, "train_tune.py", "--results_dir", str(tmp_path), "--name", "study"]
    study = subprocess.Popen(
        [*words, *LONG], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    STARTED.append(study)
    wait_for(lambda: size(tmp_path / "study" / "epochs.jsonl"), study)
    study.stdout.close()
    study.send_signal(signal.SIGINT)
    errors = study.stderr.read()
    assert study.wait(PATIENCE) == 130, errors
    assert "--resume" in errors


@pytest.mark.slow
def test_a_study_ends_no_process_of_the_script_that_began_it(tmp_path: Path) -> None:
    """After `exec` the script's `tee` is the study's child, as Ray's processes are."""
    place = ["--results_dir", str(tmp_path), "--name", "study"]
    flags = "--model knn --dataset digits --normal_class 3 --trials 0 --seeds 1".split()
    study = shlex.join([sys.executable, "train_tune.py", *place, *flags])
    script = f"exec > >(tee {shlex.quote(str(tmp_path / 'log'))}) 2>&1; exec {study}"
    words = ["bash", "-c", script]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, timeout=PATIENCE)
    assert done.returncode == 0
    assert b"next: python report.py" in done.stdout


IMPORTS = "import sys, time\nfrom bench.choices import interrupts, script"


def python(code: str, *arguments: str, **options) -> subprocess.Popen:
    """A process of a few lines, which has begun its work when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{IMPORTS}\n{code}", *arguments], cwd=ROOT, text=True,
        stderr=subprocess.PIPE, start_new_session=True, **{"stdout": subprocess.PIPE} | options,
    )  # fmt: skip
    if process.stdout:
        assert process.stdout.readline() == "up\n"
    return process


WORK = "script.run_main(lambda: print('up', flush=True) or time.sleep(60))"


@pytest.mark.parametrize("number", sorted(interrupts.STOP))
def test_every_script_ends_with_one_line(number: int) -> None:
    process = python(WORK)
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE) == ("", "interrupted\n")
    assert process.returncode == 130


def test_a_signal_waits_for_what_must_be_whole() -> None:
    code = (
        "with interrupts.deferred():\n  print('up', flush=True)\n"
        "  while not interrupts.received: time.sleep(0.01)\n  print('whole')"
    )
    process = python(f"def main():\n {code}\n print('after')\nscript.run_main(main)")
    process.terminate()
    assert process.communicate(timeout=PATIENCE) == ("whole\n", "interrupted\n")
    assert process.returncode == 130


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    process = python(WORK, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    assert process.wait(PATIENCE) == 130


def test_a_second_signal_ends_a_command_that_is_still_ending() -> None:
    handled = "with interrupts.handled(lambda: interrupts.say('one')):"
    process = python(f"{handled} print('up', flush=True); time.sleep(60)")
    process.terminate()
    assert process.stdout.readline() == "one\n"
    time.sleep(2 * interrupts.TOGETHER)
    process.terminate()
    assert process.wait(PATIENCE) == 130


def test_a_signal_that_comes_twice_at_once_counts_once() -> None:
    """As `timeout` sends it: to the command and to its group."""
    process = python(
        "with interrupts.handled(lambda: interrupts.say('one')):\n"
        " print('up', flush=True); time.sleep(1); print('two', flush=True)"
    )
    process.terminate()
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=PATIENCE)[0] == "one\ntwo\n"
    assert process.returncode == 0


def test_output_to_a_closed_terminal_is_no_error() -> None:
    terminal, end = pty.openpty()
    came = "came = []\nwith interrupts.handled(lambda: came.append(1)):\n print('up', flush=True)\n"
    process = python(
        f"{came} while not came: time.sleep(0.01)\n print('late', flush=True); sys.exit(7)",
        stdin=end, stdout=end, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(end)
    output = b""
    while not output.endswith(b"\n"):
        output += os.read(terminal, 100)
    assert output == b"up\r\n"
    os.close(terminal)
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (7, "")


def test_a_command_goes_on_when_the_reader_of_its_output_leaves(tmp_path: Path) -> None:
    """As in `| head`: the work is done, and one line says that nobody reads the rest."""
    code = (
        "def main():\n print('up', flush=True); input(); print('two', flush=True)\n"
        " print('three', flush=True); open(sys.argv[1], 'w').close(); return 3\n"
        "script.run_main(main)"
    )
    process = python(code, str(tmp_path / "done"), stdin=subprocess.PIPE)
    process.stdout.close()
    process.stdout = None
    _, output = process.communicate("\n", timeout=PATIENCE)
    assert (process.returncode, (tmp_path / "done").exists()) == (3, True), output
    assert output.splitlines() == ["note: nothing reads this command's output any more; it goes on"]
