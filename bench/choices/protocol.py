"""The protocol: how scores are made and what chooses, from the released codes' to a sound one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """How images are scored and what chooses.

    Each field is one departure of the released codes from a sound protocol.
    """

    scoring_mode: str = "evaluation"  # or training: batch normalisation sees the rest of the batch
    test_order: str = "shuffled"  # or sorted: all normal images, then all abnormal ones
    selection: str = "val"  # or test: epoch and configuration are those with the best test AUROC
    test_pool: str = "official"  # or with_training: the abnormal class's training images too


SOUND = Protocol()
PUBLISHED = Protocol(
    scoring_mode="training",
    test_order="sorted",
    selection="test",
    test_pool="with_training",
)
