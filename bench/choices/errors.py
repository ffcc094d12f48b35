"""Errors that a user can act on: one line on stderr and exit status 2."""

import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


class UserError(Exception):
    """A mistake in the user's input; `run_main` in script.py makes it one line and status 2."""


def most_similar(given: str, names: Sequence[str]) -> str | None:
    """The name that a mistyped one most probably means; None if none is like it."""
    return next(iter(difflib.get_close_matches(given, names, n=1, cutoff=0.5)), None)


def unknown(what: str, given: object, valid: Iterable[object]) -> UserError:
    """A UserError that lists the valid choices and suggests the most similar one.

    For example `--model: there is no 'ganomoly'; did you mean 'ganomaly'? (valid: …)`, where
    `what` is "--model".
    """
    names = [str(name) for name in valid]
    similar = most_similar(str(given), names)
    hint = f"; did you mean '{similar}'?" if similar else ""
    return UserError(f"{what}: there is no '{given}'{hint} (valid: {', '.join(names)})")


def note(text: str) -> None:
    """Tells the user what was left out, changed or guessed: one line on stderr, even with --quiet.

    A user who does not know of it could misread the results.
    """
    print(f"note: {' '.join(text.split())}", file=sys.stderr)


def cannot_write(path: Path, error: OSError, flag: str = "", advice: str = "") -> UserError:
    """The UserError for a file or folder that the system does not let this command write."""
    prefix = f"{flag}: " if flag else ""
    return UserError(f"{prefix}{path} cannot be written ({error.strerror}){advice}")


def taken(path: Path) -> UserError:
    """The UserError for a new study whose folder exists already."""
    begun = any((path / name).exists() for name in ("study.json", "sweep.json"))
    resume = "go on with it: --resume; or " if begun else ""
    return UserError(f"--name: {path} exists already ({resume}give another name, or delete it)")
