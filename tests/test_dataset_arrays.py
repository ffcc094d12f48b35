"""A data set's arrays: sizes, channels, subsets and fingerprints."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.choices.errors import UserError
from bench.data.datasets import Dataset, load
from bench.data.datasets._pixels import joined


def test_sizes(tmp_path):
    assert load("digits", root=tmp_path).image_shape == (1, 16, 16)
    assert load("digits", root=tmp_path, image_size=32, channels=3).image_shape == (3, 32, 32)


def tagged(labels: list[int]) -> Dataset:
    """A data set whose test images carry their position, so that a subset can be traced."""
    n = len(labels)
    images = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)
    one = np.zeros((1, 1, 1, 1), np.uint8), np.zeros(1, np.int64)
    return Dataset("tagged", tuple("abcd"), *one, images, np.array(labels, np.int64))


@given(
    labels=st.lists(st.integers(-1, 3), min_size=1, max_size=60),
    data=st.data(),
    seed=st.integers(0, 9),
)
def test_limit(labels, data, seed):
    whole = tagged(labels)
    groups = len(set(labels))
    n = data.draw(st.integers(groups, len(labels) + 3))
    part = whole.limit(None, n, seed)
    picked = part.test_images.ravel()
    assert len(picked) == min(n, len(labels))
    assert list(picked) == sorted(set(picked.tolist()))  # no image twice, order kept
    np.testing.assert_array_equal(part.test_labels, whole.test_labels[picked])
    sizes = {label: labels.count(label) for label in set(labels)}
    counts = {label: int((part.test_labels == label).sum()) for label in sizes}
    largest = max(counts.values())
    assert all(count == sizes[label] or count >= largest - 1 for label, count in counts.items())
    np.testing.assert_array_equal(whole.limit(None, n, seed).test_images.ravel(), picked)
    assert len(part.train_labels) == 1


def test_training_and_test_images_are_views_of_one_array(tmp_path):
    digits = load("digits", root=tmp_path)
    for dataset in (digits, digits.limit(20, 10), digits.limit(20, None)):
        joined = np.concatenate([dataset.train_images, dataset.test_images])
        np.testing.assert_array_equal(dataset.images, joined)
        assert dataset.train_images.base is dataset.test_images.base is dataset.images
    assert digits.limit(None, None) is digits, "not even for a moment is there a second copy"


def test_limit_seeds_and_errors(tmp_path):
    digits = load("digits", root=tmp_path)
    some = digits.limit(20, 10)
    assert list(np.bincount(some.train_labels)) == [2] * 10
    assert list(np.bincount(some.test_labels)) == [1] * 10
    assert some.fingerprint == digits.limit(20, 10).fingerprint
    assert some.fingerprint != digits.limit(20, 10, seed=1).fingerprint
    for limit in (None, 10**6):
        assert digits.limit(limit, limit).fingerprint == digits.fingerprint
    with pytest.raises(UserError, match="--limit_train: 9"):
        digits.limit(9, None)
    with pytest.raises(UserError, match="--limit_test: 0"):
        digits.limit(None, 0)


def test_fingerprint_sees_everything():
    base = tagged([0, 1, 2])
    assert base.fingerprint == tagged([0, 1, 2]).fingerprint
    masks = np.zeros((3, 1, 1), bool)
    others = [
        tagged([0, 2, 1]),
        tagged([0, 1]),
        replace(base, classes=tuple("abce")),
        replace(base, train_images=base.train_images + 1),
        replace(base, train_labels=base.train_labels + 1),
        replace(base, masks=masks),
        replace(base, masks=~masks),
    ]
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 8


@given(first=st.integers(0, 5), second=st.integers(0, 5))
def test_parts_of_one_array_are_joined_without_a_copy(first, second):
    whole = np.arange((first + second) * 12, dtype=np.uint8).reshape(-1, 3, 2, 2)
    parts = whole[:first], whole[first:]
    np.testing.assert_array_equal(joined(*parts), whole)
    assert np.shares_memory(joined(*parts), whole) or not first * second
    for one, other in (parts[::-1], (parts[0].copy(), parts[1]), (parts[0][:, :, ::-1], parts[1])):
        np.testing.assert_array_equal(joined(one, other), np.concatenate([one, other]))
