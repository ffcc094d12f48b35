"""Estimates how long a study still takes from the epochs that it has measured.

rich's own estimate assumes that all steps take equally long; epochs of different models do not.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.choices.tasks import RunKind


def clock(seconds: float) -> str:
    """Seconds as `1:02:03` or `4:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass
class Eta:
    """Estimates the time left: an epoch to come takes the mean time of its kind's epochs so far."""

    planned: Mapping[RunKind, int]  # runs of the whole study
    finished: Counter[RunKind]  # of them; the planner updates it
    epochs: Mapping[tuple[str, str], int]  # of each run, by model and variant
    # A final run scores the test images too: its scoring time per epoch over a tuning run's.
    final_scoring: float = 1.0
    training: dict[RunKind, float] = field(default_factory=lambda: defaultdict(float))  # seconds
    scoring: dict[RunKind, float] = field(default_factory=lambda: defaultdict(float))  # seconds
    measured: Counter[RunKind] = field(default_factory=Counter)  # epochs

    def add(
        self, kind: RunKind, train_seconds: float, score_seconds: float, epochs: int = 1
    ) -> None:
        """Adds the times that `epochs` epochs took."""
        self.training[kind] += train_seconds
        self.scoring[kind] += score_seconds
        self.measured[kind] += epochs

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Adds the times of a finished run's epochs."""
        if row.get("train_seconds") is not None and row.get("epochs"):
            times = row["train_seconds"], row["score_seconds"], row["epochs"]
            self.add(RunKind.of(row), *times)

    def epoch_seconds(self, kind: RunKind) -> float | None:
        """The mean time of an epoch; None if none was measured.

        Until an epoch of this kind is measured, it is estimated from tuning runs; for a variant
        that has not begun, from the model's other variants.
        """
        from_tuning = self.final_scoring if kind.kind == "final" else 1.0
        for variants in ({kind.variant}, {measured.variant for measured in list(self.measured)}):
            for name, factor in ((kind.kind, 1.0), ("tuning", from_tuning)):
                kinds = [RunKind(kind.model, name, variant) for variant in variants]
                if epochs := sum(self.measured[each] for each in kinds):
                    seconds = (self.training[each] + factor * self.scoring[each] for each in kinds)
                    return sum(seconds) / epochs
        return None

    def left(
        self, started: Iterable[tuple[RunKind, int]], at_a_time: int
    ) -> tuple[float | None, list[str]]:
        """The seconds until all runs are finished, and the models that this leaves out.

        It leaves out models of which no epoch was measured yet; the seconds are None if no model
        has one. `started`: kind and finished epochs of each run that is under way or paused.
        `at_a_time`: how many runs go on side by side.
        """
        waiting = Counter({kind: n - self.finished[kind] for kind, n in self.planned.items()})
        seconds = {kind: self.epoch_seconds(kind) for kind in +waiting}
        untimed = sorted({kind.model for kind, each in seconds.items() if each is None})
        known = {kind: each for kind, each in seconds.items() if each is not None}
        if not known and untimed:
            return None, untimed
        ends = [0.0] * max(1, at_a_time)  # when each of the places for a run is free
        for kind, done in started:
            waiting[kind] -= 1
            rest = (self.epochs[kind.model, kind.variant] - done) * known.get(kind, 0.0)
            heapq.heapreplace(ends, ends[0] + rest)
        for kind, each in known.items():
            for _ in range(waiting[kind]):
                heapq.heapreplace(ends, ends[0] + each * self.epochs[kind.model, kind.variant])
        return max(ends), untimed
