"""Configurations to try, from Optuna's samplers.

A proposal is a function of the seed, its number, and the results that the search was told.
"""

import warnings
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from bench.choices.study import DEFAULT_TRIALS
from bench.tuning.grid import count, grid
from bench.tuning.journal import Journal
from bench.tuning.spaces import Space, inside

INFORMED = ("tpe", "gp", "cmaes")  # these learn from results, so they are asked as late as possible
# Attempts at a configuration that was not tried yet: the sampler's, and in all. After the
# sampler's, it is drawn at random.
OWN_ATTEMPTS, ATTEMPTS = 3, 1000
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class Search:
    """Proposes the configurations of one search: a model on one task, or on all of them.

    Number 0 is the model's default.
    """

    def __init__(
        self,
        name: str,
        searcher: str,
        space: Space,
        default: dict[str, Any],
        seed: int,
        journal: Journal | None = None,
        first: Sequence[dict[str, Any]] = (),
    ):
        """`first`: configurations of earlier studies, which are tried right after the default."""
        self.name, self.searcher, self.space, self.journal = name, searcher, space, journal
        self.default = {key: default[key] for key in space}
        self.first: list[dict[str, Any]] = []
        for config in ({key: one[key] for key in space} for one in first):
            if config not in (self.default, *self.first):
                self.first.append(config)
        self.entropy = [seed, zlib.crc32(name.encode())]  # each search of a study draws its own
        self.study = optuna.create_study(direction="maximize")
        self.asked: dict[int, optuna.Trial] = {}
        self.tried: set[tuple[Any, ...]] = set()  # the values of each configuration
        points = grid(space, seed) if searcher == "grid" else []
        self.grid = [point for point in points if point not in (self.default, *self.first)]

    def trials(self, wanted: int | None) -> int:
        """How many configurations to try: `wanted`, or all of a smaller space; 0 without one."""
        if not self.space:
            return 0
        if self.searcher == "grid":
            size = 1 + len(self.first) + len(self.grid)
            return size if wanted is None else min(wanted, size)
        extra = [config for config in (self.default, *self.first) if not self.holds(config)]
        wanted = DEFAULT_TRIALS if wanted is None else wanted
        return int(min(wanted, len(extra) + count(self.space)))

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Whether a configuration could come from the space; the default need not."""
        return all(inside(distribution, config[name]) for name, distribution in self.space.items())

    def seed_of(self, number: int) -> int:
        return int(np.random.SeedSequence([*self.entropy, number]).generate_state(1)[0])

    def sampler(self, number: int) -> BaseSampler:
        seed = self.seed_of(number)
        if self.searcher == "tpe":
            return TPESampler(seed=seed, n_startup_trials=5, multivariate=True, constant_liar=True)
        if self.searcher == "gp":
            return GPSampler(seed=seed, n_startup_trials=5)
        if self.searcher == "cmaes":
            # CMA-ES keeps its state in the study; all it needs is a start point and the seed.
            return CmaEsSampler(seed=seed, n_startup_trials=1)
        return RandomSampler(seed=seed)

    def ask(self, number: int, known: dict[str, Any] | None = None) -> dict[str, Any]:
        """The configuration of that number, as values of the space's hyperparameters.

        `known`: what an earlier, interrupted command proposed. CMA-ES is asked all the same: it
        keeps its state in its own proposals. Other samplers are not: thousands of proposals
        would take minutes.
        """
        config = known or {}
        if not known or self.searcher == "cmaes":
            config = self.propose(number) | config
        self.tried.add(self.values(config))
        if self.journal:
            self.journal.asked(self.name, number, self.space, config)
        return config

    def propose(self, number: int) -> dict[str, Any]:
        if number == 0:
            return self.default
        if number <= len(self.first):
            return self.first[number - 1]
        if self.searcher == "grid":
            return self.grid[number - 1 - len(self.first)]
        trial = self.asked[number] = self.untried_proposal(number)
        return {name: trial.params[name] for name in self.space}

    def values(self, config: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(config[name] for name in self.space)

    def untried_proposal(self, number: int) -> optuna.Trial:
        """A proposal that was not tried before: under the same seed, a repeat would tell nothing.

        Where the sampler keeps proposing what was tried, as in small spaces, random search does.
        """
        self.study.sampler = self.sampler(number)
        trial = self.study.ask(self.space)
        for attempt in range(1, ATTEMPTS):
            if self.values(trial.params) not in self.tried:
                break
            self.study.tell(trial, state=TrialState.FAIL)
            if attempt == OWN_ATTEMPTS:
                self.study.sampler = RandomSampler(seed=self.seed_of(number))
            trial = self.study.ask(self.space)
        return trial

    def tell(self, number: int, config: dict[str, Any], value: float | None) -> None:
        """Records a configuration's objective; None if it failed."""
        if self.journal:
            self.journal.told(self.name, number, self.space, config, value)
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        params = {name: config[name] for name in self.space}
        self.tried.add(self.values(params))
        asked, attributes = self.asked.pop(number, None), {}
        if asked is not None and asked.params == params:
            self.study.tell(asked, value, state=state)
            return
        if asked is not None:  # an earlier command proposed another configuration (see `ask`)
            attributes = self.study.get_trials(deepcopy=False)[asked.number].system_attrs
            self.study.tell(asked, state=TrialState.FAIL)
        if self.holds(params):
            self.study.add_trial(
                optuna.create_trial(
                    state=state,
                    params=params,
                    distributions=self.space,
                    value=value,
                    system_attrs=attributes,
                )
            )
