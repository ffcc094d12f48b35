"""Skip-GANomaly."""

from search_spaces._shared import BETA1, LR, NEEDS, NZ, SKIP, WEIGHTS

SPACE = {"skip": SKIP} | WEIGHTS | {"lr": LR, "lr_discriminator": LR, "beta1": BETA1, "nz": NZ}

__all__ = ["NEEDS", "SPACE"]
