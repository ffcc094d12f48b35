"""Ctrl-C, a termination signal and a closed terminal end a command alike: the first in order, a second one at once."""

import contextlib
import os
import select
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOP = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
received: list[int] = []  # by this process


@contextmanager
def handled(end: Callable[[], None]) -> Iterator[None]:
    """Calls `end` at the first of these signals and leaves the process at a second; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOP}
    if before[signal.SIGHUP] is signal.SIG_IGN:  # under nohup
        del before[signal.SIGHUP]
    earlier = len(received)

    def handle(number: int, frame: object) -> None:
        received.append(number)
        if len(received) > earlier + 1:
            os._exit(130)
        if number == signal.SIGHUP:
            mute()
        end()

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(line: str) -> None:
    """Prints a line from a handler: what it interrupts may be a `print`, which cannot be entered twice."""
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode())


def unread() -> bool:
    """Whether nobody reads what this process prints any more: Ctrl-C ends a `| tee` as well."""
    output = select.poll()
    output.register(1, 0)
    return any(state & select.POLLERR for _, state in output.poll(0))


def mute() -> None:
    """Nothing more to a terminal: writing to a closed one is an error."""
    for output in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(output).st_mode):
                os.dup2(os.open(os.devnull, os.O_WRONLY), output)
