"""k nearest neighbours."""

from optuna.distributions import BaseDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {"neighbours": IntDistribution(1, 100, log=True)}
