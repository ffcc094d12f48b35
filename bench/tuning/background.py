"""A Ray of this machine's own, started in the background: it takes as long as what a study imports and reads."""

import atexit
import logging
import logging.handlers
import os
import sys
import threading
from typing import Any, ClassVar


class Ray:
    """Ray as it starts. `session`: the folder with its processes' logs."""

    now: ClassVar["Ray | None"] = None  # this process's

    def __init__(self, verbose: bool):
        self.verbose, self.session = verbose, ""
        self.error: Exception | None = None
        self.started, self.over = threading.Event(), threading.Event()
        # It listens on this machine's loopback only, as it does on Windows and macOS.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        import ray

        logger = logging.getLogger("ray")
        self.said = logging.handlers.BufferingHandler(10_000)  # until its file is known
        self.handlers, logger.handlers = logger.handlers, [self.said]
        atexit.register(self.stop)  # where the command ends before it comes to its runs
        threading.Thread(target=self.live, args=[ray], daemon=True).start()

    def live(self, ray: Any) -> None:
        says = {"log_to_driver": self.verbose, "logging_level": logging.INFO}
        try:
            self.session = ray.init(address="local", include_dashboard=False, **says).address_info["session_dir"]
        except Exception as error:  # Ray raises Exception itself
            self.error = error
        self.started.set()
        self.over.wait()  # Linux ends a process when the thread that started it ends

    def stop(self) -> None:
        import ray

        self.started.wait()
        if not self.over.is_set():
            ray.shutdown()
            self.over.set()


def start(verbose: bool) -> Ray | None:
    """The Ray that this process has started already, else a new one; None where a caller has one up."""
    if Ray.now is None or Ray.now.over.is_set():
        if "ray" in sys.modules and sys.modules["ray"].is_initialized():
            return None
        Ray.now = Ray(verbose)
    return Ray.now
