"""Principal component analysis."""

from optuna.distributions import BaseDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {"components": IntDistribution(2, 512, log=True)}
