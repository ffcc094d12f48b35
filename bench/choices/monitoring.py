"""How a command shows its progress. No figure depends on it, so study.json does not record it."""

import importlib.util
from dataclasses import dataclass, fields
from typing import Any

from bench.choices.errors import UserError
from bench.choices.script import Parser

DISPLAY = "start TensorBoard and print its address: curves, reconstructions, score histograms"
QUIET = "print only results, warnings and errors, no progress"
VERBOSE = "print Ray's own log on the screen too, not only to the study's ray.log"
MLFLOW = "log runs to MLflow too (package mlflow), at URI (default: mlflow.db in the study)"
WANDB = "log runs to this Weights & Biases project too (package wandb)"


@dataclass(frozen=True)
class View:
    """What a command shows while it runs."""

    quiet: bool = False
    verbose: bool = False
    display: bool = False
    mlflow: str | None = None  # a URI; "": the default one
    wandb: str | None = None  # a project's name

    def say(self, line: str) -> None:
        """Prints a line of progress; nothing with --quiet."""
        if not self.quiet:
            print(line)


def add_view_flags(parser: Parser, study: bool) -> None:
    """Adds a flag for each field of View; `study`: with those that only a study on Ray has."""
    group = parser.add_argument_group("while it runs")
    verbosity = group.add_mutually_exclusive_group()
    verbosity.add_argument("--quiet", action="store_true", help=QUIET)
    if study:
        verbosity.add_argument("--verbose", action="store_true", help=VERBOSE)
    group.add_argument("--display", action="store_true", help=DISPLAY)
    if study:
        group.add_argument("--mlflow", nargs="?", const="", metavar="URI", help=MLFLOW)
        group.add_argument("--wandb", metavar="PROJECT", help=WANDB)


def pop_view(given: dict[str, Any]) -> View:
    """Removes View's flags from the parsed ones and returns them as a View.

    UserError for a flag that needs a package that is not installed.
    """
    names = [field.name for field in fields(View) if field.name in given]
    view = View(**{name: given.pop(name) for name in names})
    for name in ("mlflow", "wandb"):
        if getattr(view, name) is not None and importlib.util.find_spec(name) is None:
            hint = f"uv pip install {name}; with conda, pip"
            raise UserError(f"--{name}: the package {name} is not installed ({hint})")
    return view
