"""A Ray of this machine's own, started in the background: it takes as long as what a study imports and reads."""

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

from bench.choices import signals
from bench.choices.errors import UserError

LONGEST = 107 - len(f"/session_2026-01-31_23-59-59_000000_{os.getpid()}/sockets/plasma_store")  # bytes of Ray's folder
ROOM = 2**20  # bytes that its first logs take at most


class Ray:
    """Ray as it starts. `session`: the folder with its processes' logs."""

    now: ClassVar["Ray | None"] = None  # this process's

    def __init__(self, verbose: bool):
        self.verbose, self.session, self.folder = verbose, "", folder()
        self.error: UserError | None = None
        self.processes: list[psutil.Process] = []
        self.started, self.over = threading.Event(), threading.Event()
        # It listens on this machine's loopback only, as it does on Windows and macOS.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray writes one to the home folder
        import ray

        logger = logging.getLogger("ray")
        self.said = logging.handlers.BufferingHandler(10_000)  # until its file is known
        self.handlers, logger.handlers = logger.handlers, [self.said]
        atexit.register(self.leave)  # where the command ends before it comes to its runs
        threading.Thread(target=self.live, args=[ray], daemon=True).start()

    def live(self, ray: Any) -> None:
        # Ray's processes inherit the mask: a signal to the whole process group, or to all of a job's processes, is
        # this command's to act on, which needs them for an end in order.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals.STOP)
        says = {"log_to_driver": self.verbose, "logging_level": logging.INFO}
        try:
            place = {"runtime_env": interpreter(), "_temp_dir": str(self.folder)}
            started = ray.init(address="local", include_dashboard=False, **place, **says)
            self.session = started.address_info["session_dir"]
            self.processes = psutil.Process().children()
        except Exception as error:  # Ray raises Exception itself
            reason = " ".join(str(error).split(". ")[0].split())
            logs = self.folder / "session_latest" / "logs"
            self.error = UserError(f"Ray did not start on this machine ({reason}; logs: {logs}); go on with --resume")
        self.started.set()
        self.over.wait()  # Linux ends a process when the thread that started it ends

    def stop(self) -> None:
        """Ends Ray and what it started. Under the mask each of its processes would take a second to be given up."""
        import ray

        self.started.wait()
        if self.over.is_set():
            return
        below = descendants(self.processes)
        kill(self.processes, but=("raylet", "gcs_server"))
        ray.shutdown()
        kill(below)  # those that still look for what has ended
        self.over.set()

    def leave(self) -> None:
        with signals.handled(lambda: signals.say("stopping (again to stop at once) …")):
            self.stop()


def folder() -> Path:
    """Where Ray's logs and sockets go; UserError where they cannot."""
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    place = Path(os.environ[variable] if variable else "/tmp").absolute() / "ray"
    flag = f"{variable}: " if variable else ""
    hint = "Ray needs a folder for its logs and sockets: set RAY_TMPDIR to another"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(ROOM))
    except OSError as error:
        raise UserError(f"{flag}{place} cannot be written ({error.strerror}); {hint}") from None
    if len(os.fsencode(place)) > LONGEST:
        raise UserError(f"{flag}{place} is too long for a socket's name ({LONGEST} bytes at most); {hint}")
    return place


def descendants(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes and all below them."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [process, *process.children(recursive=True)]
    return found


def kill(processes: Iterable[psutil.Process], but: tuple[str, ...] = ()) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() not in but:
                process.kill()


def interpreter() -> dict[str, str] | None:
    """Ray's name for this Python in a folder with a space or the like: it hands the name to a shell as it stands."""
    quoted = shlex.quote(sys.executable)
    return None if quoted == sys.executable else {"py_executable": quoted}


def start(verbose: bool) -> Ray | None:
    """The Ray that this process has started already, else a new one; None where a caller has one up."""
    if Ray.now is None or Ray.now.over.is_set():
        if "ray" in sys.modules and sys.modules["ray"].is_initialized():
            return None
        Ray.now = Ray(verbose)
    return Ray.now
