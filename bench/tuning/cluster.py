"""Ray itself: started on this machine, or joined where it runs; its log, and how Ctrl-C ends it."""

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from bench.choices import interrupts
from bench.choices.errors import UserError
from bench.tuning import ray_start
from bench.tuning.planner import Planner

ROOT = Path(__file__).resolve().parents[2]
CODE = [str(ROOT / name) for name in ("bench", "models", "search_spaces")]


class LogFile(logging.FileHandler):
    """Ray's log in a file; a full disk costs its lines only."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


@contextmanager
def logged(path: Path, verbose: bool, own: ray_start.Ray | None) -> Iterator[None]:
    """Writes Ray's log to a file; to the screen too where the user wants it (`verbose`)."""
    if own:
        own.started.wait()
    logger = logging.getLogger("ray")
    handler = LogFile(path, encoding="utf-8")
    layout = "%(asctime)s %(levelname)s %(filename)s:%(lineno)s -- %(message)s"
    handler.setFormatter(logging.Formatter(layout))
    before, level = own.handlers if own else logger.handlers[:], logger.level
    logger.handlers = [handler, *(before if verbose else [])]
    logger.setLevel(logging.INFO)
    for record in own.early_log.buffer if own else []:
        logger.handle(record)
    try:
        yield
    finally:
        logger.handlers = before
        logger.setLevel(level)
        handler.close()


@contextmanager
def connected(
    address: str | None, verbose: bool, own: ray_start.Ray | None
) -> Iterator[str | None]:
    """Connects to Ray: this command's own, the cluster at `address`, or a caller's, which stays up.

    Yields the folder of Ray's session, with the logs of its processes, or None where that is
    unknown. A cluster's machines need the packages installed; Ray sends them this project's code.
    Raises UserError where no cluster answers.
    """
    if own:
        try:
            if own.error:
                raise own.error
            yield own.session
        finally:
            own.stop()
    elif address is None or ray.is_initialized():
        yield None
    else:
        code = {"py_modules": CODE, "excludes": ["__pycache__"]}
        try:
            if address != "auto":  # Ray itself tries for minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=5).close()
            log_options: dict[str, Any] = {"log_to_driver": verbose, "logging_level": logging.INFO}
            with ThreadPoolExecutor(1) as thread:  # in the main thread Ray would take over SIGTERM
                started = thread.submit(
                    ray.init, address=address, runtime_env=code, **log_options
                ).result()
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).split(". ")[0]
            raise UserError(
                f"--address {address}: no Ray cluster answers there ({reason}); give auto or "
                "HOST:PORT; where the cluster wants a token, set RAY_AUTH_MODE=token"
            ) from None
        try:
            yield getattr(started, "address_info", {}).get("session_dir")
        finally:
            ray.shutdown()


@contextmanager
def interruptible(planner: Planner) -> Iterator[None]:
    """At a signal to end, drops running trials, starts no new ones and ends Ray; at a second, exits.

    Raises KeyboardInterrupt where Ray Tune does not run yet.
    """

    def stop() -> None:
        planner.interrupted, planner.stopped = True, "interrupted"
        interrupts.say("\nstopping (again to stop at once) …")
        if signal.getsignal(signal.SIGUSR1) is before:  # Ray Tune has not set its handler
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGUSR1)  # makes Ray Tune end its loop between two results

    before = signal.getsignal(signal.SIGUSR1)
    try:
        with interrupts.handled(stop):
            yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, before)
