"""Errors that a user can act on."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the user's input: the command line prints it as one line and exits with status 2."""


def unknown(what: str, given: object, valid: Iterable[object]) -> UserError:
    """A UserError that names the valid choices and suggests the nearest: `--model: no 'wgan'; did you mean …`."""
    names = [str(name) for name in valid]
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return UserError(f"{what}: there is no '{given}'{hint} (valid: {', '.join(names)})")
