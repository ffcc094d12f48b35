"""GANomaly."""

from search_spaces._shared import BETA1, LR, NZ, WEIGHTS

SPACE = WEIGHTS | {"lr": LR, "lr_discriminator": LR, "beta1": BETA1, "nz": NZ}
