"""Signals that end a command: Ctrl-C, SIGTERM, and SIGHUP from a closed terminal.

All three do the same: the first lets the command finish in order, the second ends it at once.
"""

import contextlib
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOP = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
# Seconds within which two signals count as one: `timeout` sends each to the command and its group.
TOGETHER = 0.05
received: list[float] = []  # when this process got signals so far


@contextmanager
def handled(end: Callable[[], None]) -> Iterator[None]:
    """Calls `end` at the first of these signals and exits with status 130 at the second.

    Does nothing outside the main thread, where Python cannot handle signals. Restores the previous
    handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in STOP}
    if previous[signal.SIGHUP] is signal.SIG_IGN:  # under nohup: a closed terminal ends nothing
        del previous[signal.SIGHUP]
    received_before = len(received)

    def handle(number: int, frame: object) -> None:
        now = time.monotonic()
        if received and now - received[-1] < TOGETHER:
            return
        received.append(now)
        if len(received) > received_before + 1:
            os._exit(130)
        if number == signal.SIGHUP:
            mute()
        end()

    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Raises a signal's KeyboardInterrupt only after the block has ended."""
    arrived: list[bool] = []
    with handled(lambda: arrived.append(True)):
        yield
    if arrived:
        raise KeyboardInterrupt


def say(line: str) -> None:
    """Prints a line from within a signal handler.

    `print` would raise an error if the signal had interrupted another `print`.
    """
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode())


def mute() -> None:
    """Discards all further output to a terminal, because writing to a closed one is an error."""
    for output in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(output).st_mode):
                os.dup2(os.open(os.devnull, os.O_WRONLY), output)
