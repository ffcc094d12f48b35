"""Starts a local Ray in a thread while the main thread imports packages and loads data."""

import atexit
import contextlib
import logging
import logging.handlers
import os
import secrets
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import psutil

from bench.choices import interrupts
from bench.choices.errors import UserError

# Linux limits a socket's path to 107 bytes; Ray appends this to its folder's.
SOCKET = f"/session_2026-01-31_23-59-59_000000_{os.getpid()}/sockets/plasma_store"
LONGEST = (107 if sys.platform == "linux" else 103) - len(SOCKET)
FREE_BYTES = 2**20  # what Ray's first log files need at most
PATIENCE = 30  # seconds; Ray takes two to start, on a cold machine ten


class Ray:
    """A local Ray that is starting or runs. `session`: the folder with its processes' logs."""

    current: ClassVar["Ray | None"] = None  # the one that this process started

    def __init__(self, verbose: bool):
        self.verbose, self.session, self.folder = verbose, "", folder()
        self.error: UserError | None = None
        self.others = psutil.Process().children()  # such as a job script's `tee`
        self.processes: list[psutil.Process] = []
        self.started, self.over = threading.Event(), threading.Event()
        # It listens on this machine's loopback only, as it does on Windows and macOS.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Without a token Ray would write one to the home folder.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        import ray

        logger = logging.getLogger("ray")
        self.early_log = logging.handlers.BufferingHandler(10_000)  # until its file is known
        self.handlers, logger.handlers = logger.handlers, [self.early_log]
        atexit.register(self.stop_at_exit)  # if the command ends before its first run
        threading.Thread(target=self.run, args=[ray], daemon=True).start()

    def run(self, ray: Any) -> None:
        # Ray's processes inherit this mask. A signal to the whole process group then reaches this
        # command alone, which needs Ray's processes to end in order.
        signal.pthread_sigmask(signal.SIG_BLOCK, interrupts.STOP)
        from joblib import cpu_count

        log_options = {"log_to_driver": self.verbose, "logging_level": logging.INFO}
        try:
            place = {"runtime_env": interpreter(), "_temp_dir": str(self.folder)}
            started = ray.init(
                address="local",
                num_cpus=cpu_count(),  # Ray itself overlooks what a scheduler or container allows
                include_dashboard=False,
                **place,
                **log_options,
            )
            self.session = started.address_info["session_dir"]
            self.processes = self.children()
        except Exception as error:  # Ray raises Exception itself
            reason = " ".join(str(error).split(". ")[0].split())
            logs = self.folder / "session_latest" / "logs"
            self.error = UserError(
                f"Ray did not start on this machine ({reason}; logs: {logs}); go on with --resume"
            )
        self.started.set()
        self.over.wait()  # Linux ends a process when the thread that started it ends

    def children(self) -> list[psutil.Process]:
        """This process's children that were not there before Ray."""
        return [child for child in psutil.Process().children() if child not in self.others]

    def stop(self) -> None:
        """Ends Ray and the processes that it started.

        It kills them: with SIGTERM masked, Ray would wait a second for each before it did so.
        """
        # A signal between two lines of `logging` leaves its lock taken, and Ray's start, which
        # needs it in another thread, then waits for ever.
        complete = self.started.wait(PATIENCE)
        if self.over.is_set():
            return
        processes = self.processes or self.children()
        below = descendants(processes)
        if complete:
            import ray

            kill(processes, but=("raylet", "gcs_server"))
            ray.shutdown()
        kill(below)  # those that still wait for a process that has ended
        self.over.set()

    def stop_at_exit(self) -> None:
        with interrupts.handled(lambda: interrupts.say("stopping (again to stop at once) …")):
            self.stop()


def folder() -> Path:
    """Where Ray's logs and sockets go; UserError where they cannot."""
    # Ray goes by TMPDIR on Linux alone: macOS sets one that is too long for sockets.
    variables = ("RAY_TMPDIR", "TMPDIR") if sys.platform == "linux" else ("RAY_TMPDIR",)
    variable = next((name for name in variables if os.environ.get(name)), None)
    place = Path(os.environ[variable] if variable else "/tmp").absolute() / "ray"
    flag = f"{variable}: " if variable else ""
    hint = "Ray needs a folder for its logs and sockets: set RAY_TMPDIR to another"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(FREE_BYTES))
    except OSError as error:
        raise UserError(f"{flag}{place} cannot be written ({error.strerror}); {hint}") from None
    if len(os.fsencode(place)) > LONGEST:
        raise UserError(
            f"{flag}{place} is too long for a socket's name ({LONGEST} bytes at most); {hint}"
        )
    return place


def descendants(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes and all below them."""
    family = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            family += [process, *process.children(recursive=True)]
    return family


def kill(processes: Iterable[psutil.Process], but: tuple[str, ...] = ()) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() not in but:
                process.kill()


def interpreter() -> dict[str, str] | None:
    """Ray's setting for this Python's path, where it must be quoted: Ray passes it to a shell."""
    quoted = shlex.quote(sys.executable)
    return None if quoted == sys.executable else {"py_executable": quoted}


def start(verbose: bool) -> Ray | None:
    """Starts Ray, unless this process has started it; None where the caller runs a Ray already."""
    if Ray.current is None or Ray.current.over.is_set():
        if "ray" in sys.modules and sys.modules["ray"].is_initialized():
            return None
        Ray.current = Ray(verbose)
    return Ray.current
