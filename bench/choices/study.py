"""Study: every choice that a study's results depend on. Each field is a flag."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.choices.errors import UserError, unknown
from bench.choices.names import legible
from bench.choices.option import check, option
from bench.judging.selection import SELECT_ON

SEARCHERS = ("tpe", "random", "grid", "gp", "cmaes")
SCHEDULERS = ("asha", "fifo", "hyperband", "median", "pbt", "pb2")
RUN = "run.pt"  # the checkpoint of an unfinished run of train.py, in its folder
HYPERPARAMETERS = ("batch_size",)  # the fields of a Study that are hyperparameters of models too


@dataclass(frozen=True)
class Study:
    """What is trained on which images, and how it is tuned, chosen and tested.

    `None` leaves a choice to the data, the model or the protocol. UserError for a value that does
    not fit its field.
    """

    model: tuple[str, ...] = option(
        ("w_skipganomaly",),
        "task",
        "one model or several; --list names them",
        many=True,
    )
    dataset: str = option(
        "cifar10",
        "task",
        "a data set's name, or a folder of images: train/<class>/*, test/<class>/*",
        path=True,
    )
    dataroot: str = option(
        "data",
        "task",
        "folder for downloaded data sets and for the decoded images of a --dataset folder",
        path=True,
    )
    abnormal_class: tuple[str, ...] = option(
        (),
        "task",
        "leave-one-class-out: this class is abnormal, the others are normal ('all': each in turn)",
        many=True,
    )
    normal_class: tuple[str, ...] = option(
        (),
        "task",
        "one-class: this class is normal, the others are abnormal ('all': each in turn)",
        many=True,
    )
    untrained_classes: str = option(
        "left_out",
        "task",
        "leave-one-class-out: test images of other classes that have no training images are left "
        "out of the test, or count as normal",
        choices=("left_out", "normal"),
    )
    image_size: int | None = option(
        None,
        "task",
        "height and width in pixels, 16 to 256; most models want a power of two "
        "(default: the data's, rounded up to one)",
        aliases=("isize",),
    )
    channels: int | None = option(
        None,
        "task",
        "1 (grey) or 3 (default: the data's)",
        aliases=("nc",),
    )
    resize: str = option(
        "squash",
        "task",
        "images that are not square: squash to a square, crop the centre, or pad with black",
        choices=("squash", "crop", "pad"),
    )
    limit_train: int | None = option(
        None, "task", "keep this many training images: a fixed, class-balanced, seeded subset"
    )
    limit_test: int | None = option(None, "task", "keep this many test images, likewise")
    split_seed: int | None = option(
        None,
        "task",
        "seed of splits and of --limit_* (default: --seed)",
        least=0,
    )

    protocol: str = option(
        "sound",
        "protocol",
        "sound: validation images choose, and each image is scored by itself. "
        "published: as the field's released code does",
        choices=("sound", "published"),
    )
    scoring_mode: str | None = option(
        None,
        "protocol",
        "networks' mode while scoring (default: the protocol's)",
        choices=("evaluation", "training"),
    )
    test_order: str | None = option(
        None,
        "protocol",
        "order of the test images (default: the protocol's)",
        choices=("shuffled", "sorted"),
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
        "validation signal that chooses epoch and configuration "
        "(default: val_auroc; without abnormal images: val_loss)",
        choices=SELECT_ON,
    )

    epochs: int = option(10, "training", "passes over the training images", aliases=("niter",))
    batch_size: int | None = option(
        None,
        "training",
        "images per training step, in every model (default: the model's own)",
        aliases=("batchsize",),
    )
    seed: int = option(
        0,
        "training",
        "seed of splits, weights, batches, searchers",
        aliases=("manualseed",),
        least=0,
    )
    precision: str = option(
        "float32",
        "training",
        "arithmetic of the networks; faster: tf32 (3 digits, on a GPU only), bfloat16 (2 digits)",
        choices=("float32", "tf32", "bfloat16"),
    )
    deterministic: bool = option(
        False,
        "training",
        "on a GPU: the same result to the bit each time, more slowly (a CPU's always is)",
    )
    device: str = option("auto", "training", "where networks run", choices=("auto", "cpu", "cuda"))
    cpus_per_trial: int | None = option(
        None,
        "training",
        "processor cores (torch threads) per training run (default: 1 in a study, all in train.py)",
    )

    trials: int | None = option(
        None,
        "tuning",
        "configurations to try per task, the default first; 0: no search (default: 10; grid: all)",
        least=0,
    )
    seeds: int = option(5, "tuning", "fresh seeds to train the winner again and test it under")
    searcher: str = option("tpe", "tuning", "proposes configurations (Optuna)", choices=SEARCHERS)
    scheduler: str = option("asha", "tuning", "stops bad trials (Ray Tune)", choices=SCHEDULERS)
    space: tuple[str, ...] = option(
        (),
        "tuning",
        "search space in place of the model's own: w_con=25,50,75 lr=1e-5..1e-3:log nz=50..200:int",
        many=True,
    )
    set: tuple[str, ...] = option(
        (),
        "tuning",
        "hyperparameters held at a value, in the models that have them: ngf=32 w_gp=10",
        many=True,
    )
    tune_for: str = option(
        "class",
        "tuning",
        "one configuration per class, or one for all, judged by its mean over the classes",
        choices=("class", "mean"),
    )
    time_budget: str | None = option(None, "tuning", "start no trial after this: 90s, 30m, 2h, 1d")
    gpus_per_trial: float | None = option(
        None,
        "tuning",
        "GPUs per trial; 0.25: four share one, each a quarter of its memory (default: 1)",
    )

    address: str | None = option(
        None,
        "tuning",
        "run on a Ray cluster that is up already: auto, or HOST:PORT (default: this machine alone)",
    )
    storage: str | None = option(
        None,
        "tuning",
        "folder or URI for paused trials (hyperband, pbt, pb2), which all machines can reach; "
        "holds three checkpoints per trial until its search is over "
        "(default: the study's folder)",
        path=True,
    )

    name: str | None = option(
        None,
        "output",
        "the study's name (default: made from model, data set, class and time)",
    )
    results_dir: str = option("results", "output", "folder that holds the studies", path=True)
    keep_models: str = option(
        "all",
        "output",
        "trained models of final runs to keep, up to 71 MB each at 32 x 32",
        choices=("all", "none"),
    )

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            check(f.name, getattr(self, f.name), f.metadata["choices"], f.metadata["least"])
        if self.abnormal_class and self.normal_class:
            raise UserError(
                "--abnormal_class and --normal_class: give only one, they are two different tasks",
            )
        if self.name is not None and not re.fullmatch(r"[\w+][\w.+ -]*", self.name):
            raise UserError(f"--name: '{self.name}' is no plain folder name")
        self.budget_seconds()

    def chosen_classes(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The data set's classes that `--abnormal_class` or `--normal_class` names.

        UserError if neither flag is given, or for a class that the data set lacks.
        """
        flag = "--normal_class" if self.normal_class else "--abnormal_class"
        given = tuple(dict.fromkeys(map(legible, self.normal_class or self.abnormal_class)))
        if not given:
            valid = f"classes: {', '.join(classes)}; or all"
            raise UserError(f"--abnormal_class or --normal_class is needed ({valid})")
        for cls in given:
            if cls not in (*classes, "all"):
                raise unknown(flag, cls, classes)
        return tuple(classes) if "all" in given else given

    def seed_of_splits(self) -> int:
        """The seed that draws the held-out images and the subsets of `--limit_*`."""
        return self.seed if self.split_seed is None else self.split_seed

    def budget_seconds(self) -> float:
        """`--time_budget` in seconds; infinite if it is not given."""
        if self.time_budget is None:
            return math.inf
        number, unit = self.time_budget[:-1], self.time_budget[-1:]
        try:
            seconds = float(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
        except (KeyError, ValueError):
            hint = "give 90s, 30m, 2h or 1d"
            raise UserError(f"--time_budget: '{self.time_budget}' is no time ({hint})") from None
        if not 0 < seconds < math.inf:
            raise UserError(f"--time_budget must be above 0, not '{self.time_budget}'")
        return seconds

    def resources(self, device: str) -> dict[str, float]:
        """The processor cores and GPUs that one training run on `device` (cpu or cuda) needs."""
        gpus = self.gpus_per_trial if self.gpus_per_trial is not None else float(device == "cuda")
        return {"cpu": self.cpus_per_trial or 1} | ({"gpu": gpus} if device == "cuda" else {})

    def at_a_time(self, device: str, available: Mapping[str, float]) -> int:
        """How many training runs on `device` fit into the `available` numbers of cpu and gpu."""
        need = self.resources(device)
        slots = available.get("cpu", 0) / need["cpu"]
        if gpus := need.get("gpu"):
            # A run takes its share from one GPU, never from what two GPUs have left.
            per_gpu = 1 / gpus if gpus > 1 else int(1 / gpus + 1e-9)
            slots = min(slots, available.get("gpu", 0) * per_gpu)
        return max(1, int(slots))

    def hyperparameters(self) -> dict[str, str]:
        """The values, as text, that `--set` and the flags of HYPERPARAMETERS fix.

        UserError for a hyperparameter that is given twice.
        """
        fixed = {name: getattr(self, name) for name in HYPERPARAMETERS}
        pairs = {name: str(value) for name, value in fixed.items() if value is not None}
        for item in self.set:
            name, equals, value = item.partition("=")
            if not (name and equals and value):
                raise UserError(f"--set: '{item}' is not NAME=VALUE")
            if name in pairs:
                raise UserError(f"--set: '{name}' is given twice")
            pairs[name] = value
        return pairs
