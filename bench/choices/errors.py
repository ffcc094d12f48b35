"""Errors that a user can act on: one line on stderr and exit status 2."""

import argparse
import difflib
import io
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from bench.choices import signals
from bench.choices.names import LEGIBLE


class UserError(Exception):
    """A mistake in the user's input: the command line prints it as one line and exits with status 2."""


def unknown(what: str, given: object, valid: Iterable[object]) -> UserError:
    """A UserError that names the valid choices and suggests the nearest: `--model: no 'wgan'; did you mean …`."""
    names = [str(name) for name in valid]
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return UserError(f"{what}: there is no '{given}'{hint} (valid: {', '.join(names)})")


def note(text: str) -> None:
    """Says what was left out, changed or guessed: one line on stderr, also with --quiet."""
    print(f"note: {' '.join(text.split())}", file=sys.stderr)


def taken(path: Path) -> UserError:
    """A UserError for a new folder where there is something already."""
    resume = "go on with it: --resume; or " if (path / "study.json").exists() else ""
    return UserError(f"--name: {path} exists already ({resume}give another name)")


class Parser(argparse.ArgumentParser):
    """argparse, with its errors as UserErrors and the docstring's examples as they are written."""

    def __init__(self, **kwargs: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


def run_main(main: Callable[[], int]) -> NoReturn:
    """Runs a script's main; a user's mistake is one line on stderr and exit status 2, a signal to end is status 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=LEGIBLE)  # no character that a terminal lacks may end a run
    try:
        with signals.handled(interrupt):
            status = main()
            sys.stdout.flush()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of our output went away, as in `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 130 if signals.received else 0
    sys.exit(status)
