"""Study: every choice that decides a study. The command line is made from its fields."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.choices.errors import UserError, unknown
from bench.choices.names import legible
from bench.judging.selection import SELECT_ON

SEARCHERS = ("tpe", "random", "grid", "gp", "cmaes")
SCHEDULERS = ("asha", "fifo", "hyperband", "median", "pbt", "pb2")
RUN = "run.pt"  # in a folder of train.py: what an unfinished run goes on from
HYPERPARAMETERS = ("batch_size",)  # the fields of a Study that are hyperparameters of models too


def option(
    default: Any,
    group: str,
    help: str,
    *,
    aliases: tuple[str, ...] = (),
    choices: tuple | None = None,
    many: bool = False,
    path: bool = False,
) -> Any:
    """A field with what the command line needs to know about it; in a `path`, ~ is the home folder."""
    about = {"group": group, "help": help, "aliases": aliases, "choices": choices, "many": many, "path": path}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Study:
    """What is trained on what, how it is tuned, chosen and tested. `None` leaves a choice to the data or the model."""

    model: tuple[str, ...] = option(("w_skipganomaly",), "task", "one model or several; --list names them", many=True)
    dataset: str = option(
        "cifar10", "task", "a data set's name, or a folder of images: train/<class>/*, test/<class>/*", path=True
    )
    dataroot: str = option(
        "data", "task", "where data sets are downloaded to, and decoded folders are cached", path=True
    )
    abnormal_class: tuple[str, ...] = option(
        (),
        "task",
        "leave-one-class-out: this class is abnormal, the others are normal ('all': each in turn)",
        many=True,
    )
    normal_class: tuple[str, ...] = option(
        (), "task", "one-class: this class is normal, the others are abnormal ('all': each in turn)", many=True
    )
    untrained_classes: str = option(
        "left_out",
        "task",
        "leave-one-class-out: other classes without training images are left out of the test, or count as normal",
        choices=("left_out", "normal"),
    )
    image_size: int | None = option(
        None,
        "task",
        "height and width, 16 to 256; most models want a power of two (default: the data's, rounded up to one)",
        aliases=("isize",),
    )
    channels: int | None = option(None, "task", "1: grey, 3: colour (default: the data's)", aliases=("nc",))
    resize: str = option(
        "squash",
        "task",
        "images that are not square: squash both sides to one length, crop the centre square, or pad with black",
        choices=("squash", "crop", "pad"),
    )
    limit_train: int | None = option(
        None, "task", "keep so many training images: a fixed, class-balanced, seeded subset"
    )
    limit_test: int | None = option(None, "task", "keep so many test images, likewise")
    split_seed: int | None = option(None, "task", "seed of the held-out images and of --limit_* (default: --seed)")

    protocol: str = option(
        "sound",
        "protocol",
        "sound: chosen on validation images, scored one by one. published: as the field's released code does",
        choices=("sound", "published"),
    )
    scoring_mode: str | None = option(
        None, "protocol", "networks' mode while scoring (default: the protocol's)", choices=("evaluation", "training")
    )
    test_order: str | None = option(
        None, "protocol", "order of the test images (default: the protocol's)", choices=("shuffled", "sorted")
    )
    selection: str | None = option(
        None,
        "protocol",
        "images that choose epoch and configuration (default: the protocol's)",
        choices=("val", "test"),
    )
    test_pool: str | None = option(
        None,
        "protocol",
        "with_training: test on the abnormal class's training images too (default: the protocol's)",
        choices=("official", "with_training"),
    )
    select_on: str | None = option(
        None,
        "protocol",
        "validation signal that chooses epoch and configuration (default: val_auroc; no abnormal images: val_loss)",
        choices=SELECT_ON,
    )

    epochs: int = option(10, "training", "passes over the training images", aliases=("niter",))
    batch_size: int | None = option(
        None, "training", "images a training step, in every model (default: the model's own)", aliases=("batchsize",)
    )
    seed: int = option(0, "training", "seed of splits, weights, batches and searchers", aliases=("manualseed",))
    precision: str = option(
        "float32",
        "training",
        "arithmetic of the networks; tf32, bfloat16: faster, rounded to three and two digits (tf32: on a GPU only)",
        choices=("float32", "tf32", "bfloat16"),
    )
    deterministic: bool = option(
        False, "training", "on a GPU: the same result to the bit each time, more slowly (a CPU's always is)"
    )
    device: str = option("auto", "training", "where networks run", choices=("auto", "cpu", "cuda"))
    cpus_per_trial: int | None = option(
        None, "training", "processor cores (torch threads) a training run (default: 1 in a study, all in train.py)"
    )

    trials: int | None = option(
        None,
        "tuning",
        "configurations tried a task, the model's default first; 0: no search (default: 10; grid: all)",
    )
    seeds: int = option(5, "tuning", "fresh seeds under which the winner is trained again and tested")
    searcher: str = option("tpe", "tuning", "what proposes configurations (Optuna)", choices=SEARCHERS)
    scheduler: str = option("asha", "tuning", "what stops bad trials early (Ray Tune)", choices=SCHEDULERS)
    space: tuple[str, ...] = option(
        (),
        "tuning",
        "search space in place of the model's own: w_con=25,50,75 lr=1e-5..1e-3:log nz=50..200:int",
        many=True,
    )
    set: tuple[str, ...] = option(
        (), "tuning", "hyperparameters held at a value, in the models that have them: ngf=32 w_gp=10", many=True
    )
    tune_for: str = option(
        "class",
        "tuning",
        "one configuration a class, or one for all, judged by its mean over the classes",
        choices=("class", "mean"),
    )
    time_budget: str | None = option(None, "tuning", "start no more trials after this time: 90s, 30m, 2h, 1d")
    gpus_per_trial: float | None = option(
        None,
        "tuning",
        "GPUs a trial, or its share of one and of that one's memory: 0.25 runs four on a GPU (default: 1)",
    )

    address: str | None = option(
        None, "tuning", "run on a Ray cluster that is up already: auto, or HOST:PORT (default: this machine alone)"
    )
    storage: str | None = option(
        None,
        "tuning",
        "where paused trials are kept while a study runs (hyperband, pbt, pb2): a folder or URI that all machines "
        "reach; three checkpoints a trial, deleted when its search is over (default: the study's folder)",
        path=True,
    )

    name: str | None = option(None, "output", "the study's name (default: made from model, data set, class and time)")
    results_dir: str = option("results", "output", "folder that holds the studies", path=True)
    keep_models: str = option(
        "all", "output", "trained models of final runs to keep, up to 71 MB each at 32 x 32", choices=("all", "none")
    )

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            value, choices = getattr(self, f.name), f.metadata["choices"]
            if choices and value is not None and value not in choices:
                raise unknown(f"--{f.name}", value, choices)
            if isinstance(value, int | float) and not isinstance(value, bool):
                least = 0 if f.name in ("seed", "split_seed", "trials") else 1
                if f.name == "gpus_per_trial":
                    if not (0 < value <= 1 or (value > 0 and float(value).is_integer())):
                        raise UserError(
                            f"--gpus_per_trial must be a share of a GPU above 0 or a whole number, not {value}"
                        )
                elif value < least:
                    raise UserError(f"--{f.name} must be {least} or more, not {value}")
        if self.abnormal_class and self.normal_class:
            raise UserError("--abnormal_class and --normal_class: give one of them, they are two different tasks")
        if self.name is not None and not re.fullmatch(r"[\w+][\w.+ -]*", self.name):
            raise UserError(f"--name: '{self.name}' is no plain folder name")
        self.budget_seconds()

    def chosen_classes(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Those of a data set's classes that `--abnormal_class` or `--normal_class` names; UserError for another."""
        flag = "--normal_class" if self.normal_class else "--abnormal_class"
        given = tuple(dict.fromkeys(map(legible, self.normal_class or self.abnormal_class)))
        if not given:
            raise UserError(f"--abnormal_class or --normal_class is needed (classes: {', '.join(classes)}; or all)")
        for cls in given:
            if cls not in (*classes, "all"):
                raise unknown(flag, cls, classes)
        return tuple(classes) if "all" in given else given

    def seed_of_splits(self) -> int:
        """What draws the held-out images and the subsets of `--limit_*`."""
        return self.seed if self.split_seed is None else self.split_seed

    def budget_seconds(self) -> float:
        """`--time_budget` in seconds, infinite where there is none."""
        if self.time_budget is None:
            return math.inf
        number, unit = self.time_budget[:-1], self.time_budget[-1:]
        try:
            seconds = float(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
        except (KeyError, ValueError):
            raise UserError(f"--time_budget: '{self.time_budget}' is no time (give 90s, 30m, 2h or 1d)") from None
        if not 0 < seconds < math.inf:
            raise UserError(f"--time_budget must be above 0, not '{self.time_budget}'")
        return seconds

    def resources(self, device: str) -> dict[str, float]:
        """What one training run on that device (cpu or cuda) takes of a machine."""
        gpus = self.gpus_per_trial if self.gpus_per_trial is not None else float(device == "cuda")
        return {"cpu": self.cpus_per_trial or 1} | ({"gpu": gpus} if device == "cuda" else {})

    def at_a_time(self, device: str, there: Mapping[str, float]) -> int:
        """How many training runs on that device fit at a time where so many cpu and gpu are."""
        need = self.resources(device)
        slots = there.get("cpu", 0) / need["cpu"]
        if gpus := need.get("gpu"):
            each = 1 / gpus if gpus > 1 else int(1 / gpus + 1e-9)  # a share is of one GPU, not of what two have left
            slots = min(slots, there.get("gpu", 0) * each)
        return max(1, int(slots))

    def hyperparameters(self) -> dict[str, str]:
        """The values held by `--set` and by flags of their own, as text; UserError for one that is given twice."""
        pairs = {name: str(getattr(self, name)) for name in HYPERPARAMETERS if getattr(self, name) is not None}
        for item in self.set:
            name, equals, value = item.partition("=")
            if not (name and equals and value):
                raise UserError(f"--set: '{item}' is not NAME=VALUE")
            if name in pairs:
                raise UserError(f"--set: '{name}' is given twice")
            pairs[name] = value
        return pairs
