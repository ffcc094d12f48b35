"""Isolation forest."""

from optuna.distributions import BaseDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "trees": IntDistribution(50, 500, log=True),
    "tree_samples": IntDistribution(64, 2048, log=True),
}
