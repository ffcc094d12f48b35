"""How a script reads its flags, prints and ends."""

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from bench.choices import interrupts
from bench.choices.errors import UserError, most_similar, note
from bench.choices.names import LEGIBLE


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises UserError and prints the help's examples line by line."""

    # A hint for a flag of another script, beside the flags that are given; "" for any other name.
    foreign_flag_hint: Callable[[str, argparse.Namespace], str] | None = None

    def __init__(self, docstring: str | None = None, **kwargs: Any):
        """`docstring`: a script's; its first paragraph begins --help, and the rest ends it."""
        if docstring:
            kwargs["description"], _, kwargs["epilog"] = docstring.partition("\n\n")
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs
        )

    def error(self, message: str) -> NoReturn:
        raise UserError(message)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but the error for an unknown flag suggests the most similar one."""
        given, rest = self.parse_known_args(args, namespace)
        if not rest:
            return given
        word = rest[0].partition("=")[0]
        if not word.startswith("--"):
            raise UserError(f"{word}: no flag takes this (one may have too many values)")
        name = word[2:].replace("-", "_")
        if self.foreign_flag_hint and (hint := self.foreign_flag_hint(name, given)):
            raise UserError(f"{word}: {hint}")
        flags = [flag for action in self._actions for flag in action.option_strings]
        similar = most_similar(f"--{name}", flags)
        hint = f"; did you mean {similar}?" if similar else " (--help lists all)"
        raise UserError(f"{word}: there is no such flag{hint}")


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


def run_main(main: Callable[[], int]) -> NoReturn:
    """Runs a script's `main` and exits with the status that it returns.

    A UserError, a folder without permission or a name too long for files becomes one line on stderr
    and status 2; a signal to end becomes status 130.
    """
    if type(sys.stdout) is io.TextIOWrapper:  # tests put other kinds in its place
        encoding = sys.stdout.encoding
        sys.stdout = Output(sys.stdout.detach(), encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=LEGIBLE)  # a character unknown to the terminal ends no run
    try:
        with interrupts.handled(interrupt):
            status = main()
            sys.stdout.flush()
    except UserError as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        status = 2
    except PermissionError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        status = 2
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(
            f"error: {str(error.filename)[:60]}…: this name is too long for files", file=sys.stderr
        )
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)


class Output(io.TextIOWrapper):
    """A stdout that may be lost while the command goes on: `| head` ends, or the disk is full.

    After a signal, which ends a `| tee` as well, the rest of the output goes to stderr.
    """

    unsent = ""  # Python drops what it could not write

    def write(self, text: str, /) -> int:
        self.unsent += text
        try:
            super().write(text)
        except OSError as error:
            self.redirect(error)
        if "\n" in text:  # which sends the line
            self.unsent = ""
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.redirect(error)
        self.unsent = ""

    def redirect(self, error: OSError) -> None:
        reason = "nothing reads this command's output any more"
        if not isinstance(error, BrokenPipeError):
            reason = f"this command's output cannot be written ({error.strerror})"
        if not interrupts.received:
            note(f"{reason}; it goes on")
        target = 2 if interrupts.received else os.open(os.devnull, os.O_WRONLY)
        os.dup2(target, self.fileno())
        super().write(self.unsent)
        super().flush()
