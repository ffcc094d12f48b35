"""Finds images that a data set holds more than once, by their content."""

import hashlib

import numpy as np


def digests(images: np.ndarray) -> np.ndarray:
    """A content hash of each image: (N, C, H, W) -> (N,)."""
    return np.array(
        [hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images],
        dtype="U32",
    )


def repeats(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two bool (N,), of N training images' hashes: those in the test set too, and other repeats."""
    tested = np.isin(train, test)
    repeated = np.ones(len(train), bool)
    repeated[np.unique(train, return_index=True)[1]] = False
    return tested, repeated & ~tested


def conflicting(content: np.ndarray, labels: np.ndarray) -> int:
    """How many of N images, by hash and label (below 0: unknown), equal one with another label."""
    _, groups = np.unique(content[labels >= 0], return_inverse=True)
    pairs = np.unique(np.stack([groups, labels[labels >= 0]]), axis=1)
    return int((np.bincount(pairs[0])[groups] > 1).sum())
