"""The precisions in which torch can compute a model's networks."""

import torch

PRECISIONS = ("float32", "tf32", "bfloat16")


def arithmetic(device: torch.device, precision: str, weights_change: bool) -> torch.autocast:
    """The context in which torch computes at this precision, one of PRECISIONS.

    In bfloat16, torch rounds each weight once and caches the copy. Where weights change, that
    cache is off: an optimiser's step would leave old copies in it. A GPU has two switches for
    tf32, and torch turns one of them on by default, so both are set here.
    """
    kind = "tf32" if precision == "tf32" else "ieee"
    torch.backends.cuda.matmul.fp32_precision = kind
    torch.backends.cudnn.conv.fp32_precision = kind  # type: ignore[attr-defined]
    rounded = precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, rounded, cache_enabled=not weights_change)
