"""From a Study to what its runs need: data, tasks, splits, device. Everything that can be wrong is found here."""

import dataclasses
import datetime
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import models
from bench import datasets
from bench.datasets import Dataset
from bench.errors import UserError
from bench.protocols import Protocol, Split, Task, make_split, protocol_of, tasks_of
from bench.study import Study
from bench.training import choose_device, choose_select_on


@dataclass(frozen=True)
class Prepared:
    dataset: Dataset
    protocol: Protocol
    tasks: list[Task]
    splits: dict[str, Split]  # of each task's class
    select_on: str
    device: str

    def columns(self, study: Study, provenance: dict[str, Any]) -> dict[str, Any]:
        """The columns that all rows of a study share."""
        return {
            "dataset": self.dataset.name,
            "task": self.tasks[0].kind,
            "protocol": study.protocol,
            **{f"protocol_{name}": value for name, value in dataclasses.asdict(self.protocol).items()},
            "select_on": self.select_on,
            "precision": study.precision,
            "deterministic": study.deterministic,
            "device": self.device,
            "commit": provenance["commit"],
            "dirty": provenance["dirty"],
            "fingerprint": provenance["dataset"]["fingerprint"],
        }


def prepare(study: Study) -> Prepared:
    """Loads the data and makes the splits; UserError for any choice that does not fit them."""
    device = choose_device(study)
    root = Path(study.dataroot)
    dataset = datasets.load(study.dataset, root=root, image_size=study.image_size, channels=study.channels)
    for model in study.model:
        try:
            models.get(model).check_shape(dataset.image_shape)
        except ValueError as error:
            raise UserError(f"--image_size: {model}: {error}") from None
    split_seed = study.seed_of_splits()
    dataset = dataset.limit(study.limit_train, study.limit_test, seed=split_seed)
    protocol = protocol_of(study)
    tasks = tasks_of(study, dataset)
    splits = {task.cls: make_split(dataset, task, protocol, split_seed) for task in tasks}
    least = min(len(split.train) for split in splits.values())
    if study.batch_size > least:
        raise UserError(f"--batch_size: {study.batch_size} is more than the {least} training images")
    select_on = choose_select_on(study, splits[tasks[0].cls])
    return Prepared(dataset, protocol, tasks, splits, select_on, device)


def default_name(study: Study, tasks: list[Task]) -> str:
    """`w_skipganomaly-cifar10-bird-20260131-235959`."""
    classes = tasks[0].cls if len(tasks) == 1 else f"{len(tasks)}classes"
    return stamped("+".join(study.model), Path(study.dataset).name, classes)


def stamped(*parts: str) -> str:
    """The parts and the time, as a folder name."""
    return re.sub(r"[^\w.+-]", "_", "-".join([*parts, f"{datetime.datetime.now():%Y%m%d-%H%M%S}"]))
