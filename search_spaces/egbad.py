"""EGBAD (efficient GAN-based anomaly detection)."""

from optuna.distributions import FloatDistribution

from search_spaces._shared import BETA1, NZ

LR = FloatDistribution(5e-6, 1e-3, log=True)  # the released code has 1e-5
SPACE = {"lr": LR, "lr_discriminator": LR, "beta1": BETA1, "nz": NZ}
