"""Decoded images are kept, and read again when anything has changed."""

from pathlib import Path

import numpy as np
import pytest
from images import save
from PIL import Image

from bench.data.datasets import Decoding, _decoding, load
from bench.data.datasets._cache import MOST


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the images decoded so far."""
    names: list[str] = []
    decode = _decoding.decode

    def recording(path: Path, **options):
        names.append(path.name)
        return decode(path, **options)

    monkeypatch.setattr(_decoding, "decode", recording)
    return names


@pytest.fixture
def two(tmp_path) -> Path:
    """A folder of two images, grey values 10 and 20."""
    save(tmp_path / "two" / "train" / "a.png", 10)
    save(tmp_path / "two" / "train" / "b.png", 20)
    return tmp_path / "two"


def values(top: Path, root: Path, **options) -> list[int]:
    return load(str(top), root=root, **options).train_images[:, 0, 0, 0].tolist()


def test_decodes_once(two, tmp_path, decoded):
    assert values(two, tmp_path) == [10, 20]
    assert values(two, tmp_path) == [10, 20]
    assert decoded == ["a.png", "b.png"]
    assert len(list((tmp_path / ".cache").iterdir())) == 1
    assert values(two, tmp_path, channels=3) == [10, 20]  # another cache file
    assert len(decoded) == 4


def test_a_changed_folder_is_read_again(two, tmp_path):
    assert values(two, tmp_path) == [10, 20]
    save(two / "train" / "b.png", 30)
    assert values(two, tmp_path) == [10, 30]
    save(two / "train" / "c.png", 40)
    assert values(two, tmp_path) == [10, 30, 40]
    (two / "train" / "a.png").rename(two / "train" / "z.png")
    assert values(two, tmp_path) == [30, 40, 10]


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:-50], lambda data: data.replace(b"\x0a", b"\x0b")],
)
def test_a_damaged_cache_file_is_replaced(two, tmp_path, decoded, damage):
    values(two, tmp_path)
    (file,) = (tmp_path / ".cache").iterdir()
    good = file.read_bytes()
    file.write_bytes(damage(good))
    assert values(two, tmp_path) == [10, 20]
    assert len(decoded) == 4
    assert values(two, tmp_path) == [10, 20]
    assert len(decoded) == 4


def test_no_cache_where_none_can_be_written(two, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / ".cache").write_text("in the way")
    dataset = load(str(two), root=tmp_path / "root")
    assert dataset.train_images[:, 0, 0, 0].tolist() == [10, 20]
    (line,) = [line for line in dataset.notes if "not kept" in line]
    assert line.startswith("--dataroot: ")
    assert str(tmp_path / "root") in line


def test_notes_and_decoding_are_kept_too(tmp_path, decoded):
    for part, value in (("train", 1000), ("test", 5000)):
        (tmp_path / "images" / part).mkdir(parents=True)
        picture = Image.fromarray(np.full((40, 20), value, np.uint16))
        picture.save(tmp_path / "images" / part / "a.png")
    folder = str(tmp_path / "images")
    first, second = (load(folder, root=tmp_path / "data", resize="pad") for _ in range(2))
    assert len(decoded) == 2
    assert first.notes == second.notes
    assert first.decoding == second.decoding == Decoding("pad", 10)
    assert len(first.notes) == 3  # the sizes, the bits, what is clipped


def test_only_the_last_used_arrays_of_a_name_are_kept(tmp_path):
    for number in range(2):
        save(tmp_path / "images" / ("train", "test")[number] / "a" / "1.png", 90 + number)
        save(tmp_path / "others" / ("train", "test")[number] / "a" / "1.png", 90 + number)
    load(str(tmp_path / "others"), root=tmp_path)
    sizes = range(16, 16 + 8 * (MOST + 2), 8)
    for size in sizes:
        load(str(tmp_path / "images"), root=tmp_path, image_size=size)
        load(str(tmp_path / "images"), root=tmp_path, image_size=16)
    names = [file.name.rpartition("-")[0] for file in (tmp_path / ".cache").iterdir()]
    assert sorted(names) == ["images"] * MOST + ["others"]
    before = set((tmp_path / ".cache").iterdir())
    load(str(tmp_path / "images"), root=tmp_path, image_size=16)
    assert set((tmp_path / ".cache").iterdir()) == before, "what was used last is still there"
