"""A copy of every search for Optuna's dashboard: written while the study runs, never read back.

The samplers work on studies in memory, so that no proposal depends on this file. As the samplers'
own storage, the file would cost each trial 6 to 13 ms of fsync (eight hyperparameters); the copy
costs under 2.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from bench.choices.errors import note
from bench.tuning.spaces import Space, inside


class Journal:
    """An Optuna study for each search, under its name, with a trial for each configuration."""

    def __init__(self, path: Path):
        """Starts the file anew, from the study's rows: a kill may have left half a line."""
        self.path, self.lock = path, path.with_name(path.name + ".lock")
        for old in (self.path, self.lock):
            old.unlink(missing_ok=True)
        self.storage: JournalStorage | None = None
        self.studies: dict[str, optuna.Study] = {}
        # (search, configuration's number) -> Optuna's number and the values asked, while it runs
        self.trials: dict[tuple[str, int], tuple[int, dict[str, Any]]] = {}
        self.sizes: Counter[str] = Counter()
        self.broken = False

    def asked(self, search: str, number: int, space: Space, config: dict[str, Any]) -> None:
        """Adds a running trial for a configuration that starts to run."""
        if self.broken:
            return
        with self.writing():
            added = self.add(search, number, space, config, state=TrialState.RUNNING)
            self.trials[search, number] = added, {name: config[name] for name in space}

    def told(
        self, search: str, number: int, space: Space, config: dict[str, Any], value: float | None
    ) -> None:
        """Records a configuration's objective, None if it failed.

        Adds a trial for a configuration that was not `asked`: an earlier command ran it, or PBT
        made it of the one that was asked, whose own trial then counts as failed.
        """
        if self.broken:
            return
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        with self.writing():
            asked, values = self.trials.pop((search, number), (None, {}))
            if asked is not None and all(config[name] == values[name] for name in space):
                self.studies[search].tell(asked, value, state=state)
                return
            if asked is not None:
                self.studies[search].tell(asked, state=TrialState.FAIL)
            self.add(search, number, space, config, state=state, value=value)

    def add(
        self, search: str, number: int, space: Space, config: dict[str, Any], **outcome: Any
    ) -> int:
        """Adds a trial and gives Optuna's number of it.

        A value outside the space, which a default may be, becomes an attribute: Optuna refuses it
        as a parameter.
        """
        if search not in self.studies:
            self.storage = self.storage or JournalStorage(
                JournalFileBackend(str(self.path), JournalFileOpenLock(str(self.path)))
            )
            self.studies[search] = optuna.create_study(
                storage=self.storage, study_name=search, direction="maximize"
            )
        within = {name: d for name, d in space.items() if inside(d, config[name])}
        outside = {name: config[name] for name in space if name not in within}
        self.studies[search].add_trial(
            optuna.create_trial(
                params={name: config[name] for name in within},
                distributions=within,
                user_attrs={"configuration": number} | outside,
                **outcome,
            )
        )
        self.sizes[search] += 1
        return self.sizes[search] - 1

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Where the journal cannot be written, ends the journal, not the study."""
        try:
            yield
        except (OSError, ValueError) as error:
            self.broken = True
            note(f"{self.path} is left incomplete, for Optuna's dashboard only ({error})")
