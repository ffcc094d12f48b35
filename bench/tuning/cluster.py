"""Ray itself: started on this machine or joined where it runs already, and stopped by Ctrl-C."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from bench.errors import UserError
from bench.tuning.planner import Planner

CODE = [str(Path(__file__).resolve().parents[2] / name) for name in ("bench", "models", "search_spaces")]
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A Ray to run on: a caller's own, the cluster at `address`, or a new one that only this machine can reach.

    Other machines need the packages installed; this project's code is sent to them. Raises UserError where no cluster
    answers.
    """
    if ray.is_initialized():  # a caller's Ray stays up
        yield
        return
    if address is None:
        ray.init(address="local", include_dashboard=False, **QUIET)
    else:
        code = {"py_modules": CODE, "excludes": ["__pycache__"]}
        try:
            if address != "auto":  # Ray itself tries for minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=5).close()
            ray.init(address=address, runtime_env=code, **QUIET)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).split(". ")[0]
            hint = "give auto or HOST:PORT; where the cluster wants a token, set RAY_AUTH_MODE=token"
            raise UserError(f"--address {address}: no Ray cluster answers there ({reason}); {hint}") from None
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def interruptible(planner: Planner) -> Iterator[None]:
    """Ctrl-C, or a termination signal: running trials are dropped and nothing new starts. A second one: out at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if planner.interrupted:
            os._exit(130)
        planner.interrupted, planner.stopped = True, "interrupted"
        print("\nstopping (again to stop at once) …", flush=True)
        signal.raise_signal(signal.SIGUSR1)  # Ray Tune's own sign to end its loop, between two results

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in signals}
    before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda number, frame: None)  # until Ray Tune takes it over
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
