"""How a command shows what it does; nothing of this decides what comes out, so no study keeps it."""

import importlib.util
from dataclasses import dataclass, fields
from typing import Any

from bench.choices.errors import Parser, UserError

DISPLAY = "show curves, reconstructions and score histograms in TensorBoard: starts it and prints its address"
QUIET = "no progress: only what came out, warnings and errors"
VERBOSE = "Ray's own log on the screen too, not in the study's ray.log alone"
MLFLOW = "log every run to MLflow as well, at URI (default: mlflow.db in the study's folder); needs pip install mlflow"
WANDB = "log every run to this project of Weights & Biases as well; needs pip install wandb"


@dataclass(frozen=True)
class View:
    quiet: bool = False
    verbose: bool = False
    display: bool = False
    mlflow: str | None = None  # "" where no URI was given
    wandb: str | None = None


def add_view_flags(parser: Parser, study: bool) -> None:
    """The flags of a View; `study`: those that only a study on Ray has, too."""
    group = parser.add_argument_group("while it runs")
    amount = group.add_mutually_exclusive_group()
    amount.add_argument("--quiet", action="store_true", help=QUIET)
    if study:
        amount.add_argument("--verbose", action="store_true", help=VERBOSE)
    group.add_argument("--display", action="store_true", help=DISPLAY)
    if study:
        group.add_argument("--mlflow", nargs="?", const="", metavar="URI", help=MLFLOW)
        group.add_argument("--wandb", metavar="PROJECT", help=WANDB)


def take_view(given: dict[str, Any]) -> View:
    """Takes a View's flags out of what was given; UserError where one needs a package that is not installed."""
    view = View(**{field.name: given.pop(field.name) for field in fields(View) if field.name in given})
    for flag, package in (("display", "tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")):
        if getattr(view, flag) not in (None, False) and importlib.util.find_spec(package) is None:
            raise UserError(f"--{flag}: the package {package} is not installed (pip install {package})")
    return view
