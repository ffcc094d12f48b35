"""How long a study will still take, from the epochs that were measured."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Kind = tuple[str, str]  # model, and tuning or final


def clock(seconds: float) -> str:
    """`1:02:03`, `4:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass
class Eta:
    """The work left, in epochs of each model that cost what its epochs have cost so far."""

    planned: Mapping[Kind, int]  # runs in all
    epochs: int  # a run
    final_scoring: float = 1.0  # a final run's scoring of an epoch, in that of a tuning run: it scores the test images
    finished: Counter[Kind] = field(default_factory=Counter)
    training: dict[Kind, float] = field(default_factory=lambda: defaultdict(float))  # seconds
    scoring: dict[Kind, float] = field(default_factory=lambda: defaultdict(float))
    measured: Counter[Kind] = field(default_factory=Counter)  # epochs

    def add(self, kind: Kind, train_seconds: float, score_seconds: float, epochs: int = 1) -> None:
        self.training[kind] += train_seconds
        self.scoring[kind] += score_seconds
        self.measured[kind] += epochs

    def add_row(self, row: Mapping[str, Any], timed: bool) -> None:
        """A finished run; `timed`: its epochs are to be counted too, because nobody saw them."""
        kind = (row["model"], row["kind"])
        self.finished[kind] += 1
        if timed and row.get("train_seconds") is not None and row.get("epochs"):
            self.add(kind, row["train_seconds"], row["score_seconds"], row["epochs"])

    def epoch_seconds(self, kind: Kind) -> float | None:
        """The mean of the measured epochs; of a model's final runs, before there is one, from its tuning runs."""
        if self.measured[kind]:
            return (self.training[kind] + self.scoring[kind]) / self.measured[kind]
        other = (kind[0], "tuning")
        if kind[1] == "final" and self.measured[other]:
            return (self.training[other] + self.scoring[other] * self.final_scoring) / self.measured[other]
        return None

    def left(self, begun: Iterable[tuple[Kind, int]], at_a_time: int) -> tuple[float | None, list[str]]:
        """Seconds until all is done, None before the first epoch, and the models it leaves out: no epoch was measured.

        `begun`: kind and epochs of each run that is under way.
        """
        epochs: Counter[Kind] = Counter({k: (n - self.finished[k]) * self.epochs for k, n in self.planned.items()})
        for kind, done in begun:
            epochs[kind] -= done
        seconds = {kind: self.epoch_seconds(kind) for kind, count in epochs.items() if count > 0}
        known = [value * epochs[kind] for kind, value in seconds.items() if value is not None]
        untimed = sorted({kind[0] for kind, value in seconds.items() if value is None})
        runs = sum(n - self.finished[k] for k, n in self.planned.items())
        if not known and untimed:
            return None, untimed
        return sum(known) / max(1, min(at_a_time, runs)), untimed
