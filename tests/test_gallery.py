"""The most telling images of a run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.results.anomaly_maps import anomaly_maps, heat_maps
from bench.results.gallery import EACH, GROUPS, encoded, extreme_images, images_of, sheet


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([-1.0, 0.0, 0.5, 2.0])),
        min_size=1,
        max_size=40,
    )
)
def test_each_group_holds_the_extremes_of_its_label(rows: list[tuple[int, float]]) -> None:
    labels, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    groups = extreme_images(labels, scores)
    for name, (label, highest) in GROUPS.items():
        index = groups[name]
        mine = np.sort(scores[labels == label])
        assert (labels[index] == label).all()
        assert len(set(index)) == len(index) == min(EACH, len(mine))
        expected = mine[::-1][:EACH] if highest else mine[:EACH]
        np.testing.assert_array_equal(scores[index], expected)


@given(
    st.integers(1, 5),
    st.sampled_from([1, 3]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.booleans(),
    st.integers(0, 99),
)
def test_a_sheet_gives_its_images_back(
    count: int, channels: int, size: tuple[int, int], rebuilt: bool, seed: int
) -> None:
    shape = (2, count, channels, *size)
    pictures = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    images, again = images_of(sheet(pictures[0], pictures[1] if rebuilt else None), count)
    np.testing.assert_array_equal(images, pictures[0])
    if rebuilt:
        np.testing.assert_array_equal(again, pictures[1])
    else:
        assert again is None


def test_another_picture_is_no_sheet() -> None:
    picture = sheet(np.zeros((3, 1, 8, 8), np.uint8), None)
    for count in (0, 2, 5):
        with pytest.raises(ValueError, match="no row of"):
            images_of(picture, count)
    wide = encoded(np.zeros((1, 9, 24), np.uint8), "PNG")  # it says no grid
    with pytest.raises(ValueError, match="no row of"):
        images_of(wide, 3)
    with pytest.raises(OSError, match="cannot identify"):
        images_of(b"no picture", 1)


def test_an_anomaly_map_is_the_mean_difference_of_the_channels():
    image = np.array([250, 10, 40], np.uint8).reshape(1, 3, 1, 1)
    assert anomaly_maps(image, image[:, ::-1]).item() == (210 + 0 + 210) / 3


def test_heat_maps_show_where_a_reconstruction_fails():
    images = np.full((2, 3, 8, 8), 100, np.uint8)
    rebuilt = images.copy()
    rebuilt[1, :, 2:4, 2:4] = 200
    maps = heat_maps(images, rebuilt)
    assert maps.shape == (2, 3, 8, 8)
    assert (maps[0] == 100).all()
    assert (maps[1, :, 2:4, 2:4] == np.array([255, 255, 0])[:, None, None]).all()
    assert (maps[1, :, 5:] == 100).all()
