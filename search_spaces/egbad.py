"""EGBAD (efficient GAN-based anomaly detection)."""

from search_spaces._shared import BETA1, LR, NZ

SPACE = {"lr": LR, "lr_discriminator": LR, "beta1": BETA1, "nz": NZ}
