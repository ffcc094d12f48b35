"""The recorder: writes the rows of runs, whether train.py trains them or a study on Ray."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.choices.study import Study
from bench.choices.tasks import PlannedRun
from bench.results import Store, columns, epoch_rows
from bench.training.prepare import Prepared
from bench.watching.live_curves import Board


class Recorder:
    """Writes each epoch and each finished run of a study as a row, and shows its curves."""

    def __init__(
        self,
        study: Study,
        ready: Prepared,
        store: Store,
        provenance: Mapping[str, Any],
        board: Board | None = None,
        *,
        after: int | None = None,
    ):
        """`after`: how many epochs train.py's run has done; None on Ray, where runs begin again."""
        self.store, self.board, self.files = store, board, provenance["files"]
        self.of_task = {
            task: columns.of_task(
                study,
                ready.protocol,
                task,
                ready.select_on[task],
                ready.splits[task].counts,
                provenance=provenance,
            )
            for task in ready.tasks
        }
        self.attempts = Counter[str]()  # by trial: the attempts that ended before their run did
        self.totals: dict[str, dict[str, Any]] = {}  # by trial: of all its epochs so far
        epochs = epoch_rows(store.path)
        if after is None:
            for row in epochs:
                trial = row["trial"]
                self.attempts[trial] = max(self.attempts[trial], row.get("attempt", 1))
            return
        # A kill between an epoch's row and its checkpoint leaves a row that comes again.
        for row in {row["epoch"]: row for row in epochs if row["epoch"] <= after}.values():
            self.count(row["trial"], row)

    def count(self, trial: str, record: Mapping[str, Any]) -> None:
        """Adds an epoch to the totals of its run."""
        self.totals[trial] = columns.running_totals(self.totals.get(trial), record)

    def attempt(self, run: PlannedRun) -> int:
        return self.attempts[run.trial] + 1

    def epoch(
        self, run: PlannedRun, record: Mapping[str, Any], curves: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Writes an epoch's row and returns it; `curves`: see `Run.curves`."""
        self.count(run.trial, record)
        row = columns.of_epoch(run, self.attempt(run), record)
        self.store.add_epoch(row)
        if self.board:
            self.board.add(run.trial, dict(record), dict(curves or {}))
        return row

    def died(self, run: PlannedRun) -> None:
        """The run's process died; it begins again, as another attempt."""
        self.attempts[run.trial] += 1
        self.totals.pop(run.trial, None)

    def finish(
        self,
        run: PlannedRun,
        outcome: Mapping[str, Any],
        *,
        config: Mapping[str, Any] | None = None,
        scores: pd.DataFrame | None = None,
        localisation: Mapping[str, float] | None = None,
        gallery: bytes | None = None,
        packed: bytes | None = None,
    ) -> dict[str, Any]:
        """Writes the row of a run that is over, and the files beside it; returns the row.

        `outcome` has the columns of how it ended (`columns.of_chosen_epoch`, `of_stop`,
        `of_failure`), `localisation` those of its defects and pixels; `config` its hyperparameters,
        where the scheduler changed them.
        """
        row = self.of_task[run.task] | columns.of_files(self.files, run.model)
        row = columns.of_run(run, self.attempt(run), config or run.config) | row | dict(outcome)
        row |= self.totals.pop(run.trial, columns.NO_EPOCHS)
        if scores is not None:
            row |= columns.of_scores(scores) | dict(localisation or {})
        self.store.add_trial(row, scores, gallery, packed)
        if self.board:
            self.board.close(run.trial)
        return row
