"""Study: what follows from the choices in options.py, and which of them do not go together."""

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.choices.errors import UserError, unknown
from bench.choices.names import legible
from bench.choices.option_field import check
from bench.choices.options import Options
from bench.choices.outside import is_file, name_of

RUN_CHECKPOINT = "run.pt"  # the checkpoint of an unfinished run of train.py, in its folder
CHOOSE_TASKS = ("abnormal_class", "normal_class", "category")  # one of these fields does
LONGEST = 200  # bytes of a name: file systems take 255, and names inside the folder add to it
LONG_CLASS = f"a class's name may have {LONGEST} bytes at most: files are named after it"
SWEEP = "sweep.json"  # what the studies of a sweep over data sets share, in their common folder
DEFAULT_TRIALS = 10  # of a search; a grid has its own
HYPERPARAMETERS = ("batch_size",)  # the fields of a Study that are hyperparameters of models too


@dataclass(frozen=True)
class Study(Options):
    """A study's choices, checked, and what follows from them.

    UserError for a value that does not fit its field.
    """

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            check(f, getattr(self, f.name))
        tasks = [f"--{name}" for name in CHOOSE_TASKS if getattr(self, name)]
        if len(tasks) > 1:
            raise UserError(f"{' and '.join(tasks)}: give only one, they are different tasks")
        if self.name is not None and not re.fullmatch(r"[\w+][\w.+ -]*", self.name):
            raise UserError(f"--name: '{self.name}' is no plain folder name")
        if self.name is not None and len(os.fsencode(self.name)) > LONGEST:
            raise UserError(f"--name: a folder's name has {LONGEST} bytes at most")
        self.budget_seconds()

    def chosen_classes(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The data set's classes that `--abnormal_class` or `--normal_class` names.

        UserError if neither flag is given, or for a class that the data set lacks.
        """
        flag = self.class_flag()
        given = tuple(dict.fromkeys(map(legible, self.normal_class or self.abnormal_class)))
        if not given:
            valid = f"classes: {', '.join(classes)}" + ("" if "all" in classes else "; or all")
            raise UserError(f"--abnormal_class or --normal_class is needed ({valid})")
        for cls in given:
            if cls not in (*classes, "all"):
                raise unknown(flag, cls, classes)
        if "all" in given and "all" in classes:
            raise UserError(f"{flag}: a class is called 'all', which means every class: rename it")
        if any(len(os.fsencode(cls)) > LONGEST for cls in given):
            raise UserError(f"{flag}: {LONG_CLASS}")
        return tuple(classes) if "all" in given else given

    def class_flag(self) -> str:
        """The flag that names classes."""
        return "--normal_class" if self.normal_class else "--abnormal_class"

    def model_names(self) -> tuple[str, ...]:
        """The models' names in rows; a file's is its name without .py."""
        return tuple(map(name_of, self.model))

    def files(self) -> list[tuple[str, str]]:
        """Flag and path of each Python file from outside this project that the study uses."""
        choices = {"model": self.model, "dataset": (self.dataset,), "space": self.space}
        return [(flag, path) for flag in choices for path in choices[flag] if is_file(path)]

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

        UserError for what is not NAME=VALUE, or a hyperparameter that is given twice.
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
