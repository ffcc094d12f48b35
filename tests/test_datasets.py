"""Data sets: one contract for every named one, folders of images and their cache, errors, sizes, channels, subsets."""

import gzip
import hashlib
import io
import pickle
import socket
import tarfile
import tempfile
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST
from torchvision.transforms import CenterCrop, Compose, Resize

from bench.datasets import NAMES, SIZES, Dataset, _torchvision, folder, load
from bench.datasets.folder import read_images
from bench.errors import UserError

REAL = Path(__file__).parents[2] / "shared" / "data" / "cifar10_jpeg.tar.xz"
PER_CLASS = {"train": 5, "test": 2}  # images in the stand-ins


# --- Stand-ins for downloads, in the true file formats ---------------------------------------------------------------


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def cifar10_stand_in(root: Path, monkeypatch) -> list[Path]:
    """cifar-10-python.tar.gz as published: pickled batches of rows, one colour plane after the other."""
    random = np.random.default_rng(0)

    def batch(per_class: int) -> bytes:
        labels = list(range(10)) * per_class
        pixels = random.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        pixels[:, :1024] = 7 * np.array(labels)[:, None]  # red tells the class
        return pickle.dumps({"data": pixels, "labels": labels})

    files = {f"data_batch_{i}": batch(PER_CLASS["train"] // 5) for i in range(1, 6)}
    files |= {"test_batch": batch(PER_CLASS["test"]), "batches.meta": pickle.dumps({"label_names": list("abcdefghij")})}
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5((root / "cifar-10-python.tar.gz").read_bytes()))
    monkeypatch.setattr(
        CIFAR10, "train_list", [[f"data_batch_{i}", md5(files[f"data_batch_{i}"])] for i in range(1, 6)]
    )
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(files["test_batch"])]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5(files["batches.meta"])})
    return [root / "cifar-10-python.tar.gz"]


def mnist_stand_in(kind: type, root: Path, monkeypatch) -> list[Path]:
    """Four gzipped idx files: magic number, sizes as big-endian 32-bit numbers, bytes."""
    raw = root / kind.__name__ / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    resources = []
    for split, per_class in (("train", PER_CLASS["train"]), ("t10k", PER_CLASS["test"])):
        labels = np.repeat(np.arange(10, dtype=np.uint8), per_class)
        images = np.broadcast_to(7 * labels[:, None, None], (len(labels), 28, 28))
        for what, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = np.array([0x800 + array.ndim, *array.shape], ">i4").tobytes()
            data = gzip.compress(header + array.tobytes())
            (raw / f"{split}-{what}-ubyte.gz").write_bytes(data)
            resources.append((f"{split}-{what}-ubyte.gz", md5(data)))
    monkeypatch.setattr(kind, "resources", resources)
    return [raw / name for name, _ in resources]


STAND_INS = {
    "cifar10": cifar10_stand_in,
    "mnist": lambda *arguments: mnist_stand_in(MNIST, *arguments),
    "fashion_mnist": lambda *arguments: mnist_stand_in(FashionMNIST, *arguments),
}


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Closes the network and records the hosts that were looked up."""
    hosts: list[str] = []

    def closed(host, *_, **__):
        hosts.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", closed)
    return hosts


# --- The contract ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=NAMES)
def named(request, tmp_path, monkeypatch, asked) -> Dataset:
    if request.param in STAND_INS:
        STAND_INS[request.param](tmp_path, monkeypatch)
    try:
        return load(request.param, root=tmp_path)
    except UserError as error:
        pytest.skip(f"the data cannot be had here: {error}")


def test_contract(named):
    assert named.name in NAMES
    channels, height, width = named.image_shape
    assert channels in (1, 3)
    assert height == width
    assert height in SIZES
    for images, labels in ((named.train_images, named.train_labels), (named.test_images, named.test_labels)):
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert images.shape == (len(labels), channels, height, width)
        assert images.max() > 50  # pixels fill 0 .. 255
        assert set(labels) == set(range(len(named.classes)))
    assert len(set(named.classes)) == len(named.classes)
    assert all(name.isidentifier() or name.isdigit() for name in named.classes)
    assert len(named.fingerprint) == 16
    assert int(named.fingerprint, 16) >= 0


def test_names():
    assert {"cifar10", "digits", "fashion_mnist", "mnist"} <= set(NAMES)
    assert "folder" not in NAMES
    assert not any(name.startswith("_") for name in NAMES)


def test_digits_split_is_fixed_and_stratified(tmp_path):
    digits = load("digits", root=tmp_path)
    assert (len(digits.train_labels), len(digits.test_labels)) == (1198, 599)
    assert np.ptp(np.bincount(digits.test_labels)) <= 4
    assert digits.fingerprint == load("digits", root=tmp_path).fingerprint


# --- Downloads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STAND_INS)
def test_reads_archives_that_lie_there_without_network(name, tmp_path, monkeypatch, asked):
    archives = STAND_INS[name](tmp_path, monkeypatch)
    dataset = load(name, root=tmp_path)
    for images, labels, split in (
        (dataset.train_images, dataset.train_labels, "train"),
        (dataset.test_images, dataset.test_labels, "test"),
    ):
        assert list(np.bincount(labels)) == [PER_CLASS[split]] * 10
        np.testing.assert_array_equal(images[:, 0, 9, 9], 7 * labels)
    for archive in archives:
        archive.unlink()
    assert load(name, root=tmp_path).fingerprint == dataset.fingerprint  # from what was unpacked
    assert asked == []


@pytest.mark.parametrize("name", STAND_INS)
def test_no_network(name, tmp_path, asked):
    timeout = socket.getdefaulttimeout()
    with pytest.raises(UserError, match=r"put .*gz.* into .*, or use --dataset digits") as caught:
        load(name, root=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert asked
    assert socket.getdefaulttimeout() == timeout


def test_a_network_that_never_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request.socket, "getaddrinfo", lambda *_, **__: time.sleep(30))
    monkeypatch.setattr(_torchvision, "PATIENCE", 0.2)
    start = time.monotonic()
    with pytest.raises(UserError, match="mnist cannot be downloaded"):
        load("mnist", root=tmp_path)
    assert time.monotonic() - start < 5
    assert _torchvision.PATIENCE * 2 < 10


@pytest.mark.parametrize("name", STAND_INS)
def test_truncated_archive(name, tmp_path, monkeypatch, asked):
    archive = STAND_INS[name](tmp_path, monkeypatch)[0]
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(UserError, match=rf"damaged there: {archive.name}") as caught:
        load(name, root=tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_mnist_files(tmp_path, monkeypatch, asked):
    mnist_stand_in(MNIST, tmp_path, monkeypatch)
    load("mnist", root=tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match="are damaged: delete them"):
        load("mnist", root=tmp_path)


# --- Sizes and channels ----------------------------------------------------------------------------------------------


def test_sizes(tmp_path):
    assert load("digits", root=tmp_path).image_shape == (1, 16, 16)
    assert load("digits", root=tmp_path, image_size=32, channels=3).image_shape == (3, 32, 32)
    for bad in (0, 8, 512):
        with pytest.raises(UserError, match="--image_size"):
            load("digits", root=tmp_path, image_size=bad)
    with pytest.raises(UserError, match="--channels"):
        load("digits", root=tmp_path, channels=2)


def test_resizing_is_antialiased_bilinear(tmp_path, monkeypatch, asked):
    cifar10_stand_in(tmp_path, monkeypatch)
    native, small = load("cifar10", root=tmp_path), load("cifar10", root=tmp_path, image_size=16)
    assert native.image_shape == (3, 32, 32)
    pil = Image.fromarray(native.train_images[0].transpose(1, 2, 0)).resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(small.train_images[0].transpose(1, 2, 0), np.asarray(pil), atol=1)


def test_channels(tmp_path, monkeypatch, asked):
    cifar10_stand_in(tmp_path, monkeypatch)
    colour, grey = load("cifar10", root=tmp_path), load("cifar10", root=tmp_path, channels=1)
    pil = Image.fromarray(colour.train_images[3].transpose(1, 2, 0)).convert("L")
    np.testing.assert_allclose(grey.train_images[3, 0], np.asarray(pil), atol=1)
    assert grey.fingerprint != colour.fingerprint
    repeated = load("digits", root=tmp_path, channels=3).train_images
    np.testing.assert_array_equal(repeated, np.repeat(load("digits", root=tmp_path).train_images, 3, axis=1))


# --- Folders ---------------------------------------------------------------------------------------------------------


def save(file: Path, value: int = 100, size: tuple[int, int] = (16, 16), mode: str = "L") -> Path:
    """An image of one grey value; `size` is (width, height)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(file)
    return file


def test_class_folders(tmp_path):
    top = tmp_path / "things"
    save(top / "train" / "cat" / "10.png", 3)
    save(top / "train" / "cat" / "2.PNG", 2)
    save(top / "train" / "ant" / "deep" / "er" / "1.bmp", 1)
    save(top / "test" / "cat" / "1.pgm", 4)
    save(top / "test" / "bee" / "1.tiff", 5)
    (top / "train" / "cat" / "notes.txt").write_text("no image")
    (top / "train" / "cat" / "._2.png").write_text("hidden")
    (top / "train" / ".trash").mkdir()
    (top / "train" / ".trash" / "1.png").write_text("hidden")
    dataset = load(str(top), root=tmp_path / "data")
    assert dataset.name == "things"
    assert dataset.classes == ("ant", "bee", "cat")
    assert list(dataset.train_labels) == [0, 2, 2]
    assert list(dataset.train_images[:, 0, 0, 0]) == [1, 2, 3]
    assert list(dataset.test_labels) == [1, 2]
    assert list(dataset.test_images[:, 0, 0, 0]) == [5, 4]
    assert dataset.image_shape == (1, 16, 16)


def test_skip_wganomaly_layout_below_root(tmp_path):
    save(tmp_path / "custom" / "train" / "0.normal" / "a.png")
    save(tmp_path / "custom" / "test" / "0.normal" / "b.png")
    save(tmp_path / "custom" / "test" / "1.abnormal" / "c.png")
    dataset = load("custom", root=tmp_path)
    assert dataset.classes == ("0.normal", "1.abnormal")
    assert (list(dataset.train_labels), list(dataset.test_labels)) == ([0], [0, 1])


def test_flat_folders_are_normal_and_unlabelled(tmp_path):
    save(tmp_path / "train" / "a.png")
    save(tmp_path / "test" / "b.png")
    dataset = load(str(tmp_path), root=tmp_path)
    assert dataset.classes == ("normal",)
    assert (list(dataset.train_labels), list(dataset.test_labels)) == ([0], [-1])


def test_a_folder_without_test_has_an_empty_test_split(tmp_path):
    save(tmp_path / "train" / "a.png", mode="RGB")
    dataset = load(str(tmp_path), root=tmp_path, channels=1)
    assert dataset.test_images.shape == (0, 1, 16, 16)
    assert len(dataset.fingerprint) == 16


def test_folder_sizes(tmp_path):
    save(tmp_path / "train" / "a.png", size=(100, 60))
    assert load(str(tmp_path), root=tmp_path).image_shape == (1, 64, 64)
    save(tmp_path / "train" / "b.png", size=(60, 60), mode="RGB")
    assert load(str(tmp_path), root=tmp_path).image_shape == (3, 32, 32)
    assert load(str(tmp_path), root=tmp_path, image_size=128).image_shape == (3, 128, 128)


@given(width=st.integers(5, 90), height=st.integers(5, 90), size=st.sampled_from([16, 32, 64]))
def test_folder_resizes_and_crops_as_torchvision_does(width, height, size):
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        Image.fromarray(pixels).save(file := Path(scratch) / "a.png")
        found = folder._decode(file, size, 3)
    expected = Compose([Resize(size), CenterCrop(size)])(Image.fromarray(pixels))
    assert np.array_equal(found, np.asarray(expected).transpose(2, 0, 1))


def pixel_of(tmp_path: Path, image: Image.Image, channels: int | None, name: str = "a.png", **options) -> list[int]:
    """The first pixel of the image, saved in a folder of its own and loaded again."""
    (tmp_path / "train").mkdir()
    image.save(tmp_path / "train" / name, **options)
    return load(str(tmp_path), root=tmp_path, channels=channels).train_images[0, :, 0, 0].tolist()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("image", "channels", "expected"),
    [
        (Image.new("RGBA", (16, 16), (200, 100, 50, 128)), None, [200, 100, 50]),
        (Image.new("RGB", (16, 16), (200, 100, 50)).quantize(), None, [200, 100, 50]),
        (Image.new("RGB", (16, 16), (200, 100, 50)), 1, [124]),
        (Image.fromarray(np.full((16, 16), 200 * 256, np.uint16)), None, [200]),
        (Image.fromarray(np.full((16, 16), 200 * 256, np.uint16)), 3, [200, 200, 200]),
        (Image.new("RGB", (16, 16), (200, 100, 50)).quantize(), 1, [124]),
        (Image.new("1", (16, 16), 1), None, [255]),
        (Image.new("LA", (16, 16), (77, 9)), None, [77]),
    ],
)
def test_modes(tmp_path, image, channels, expected):
    assert pixel_of(tmp_path, image, channels) == expected


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG", "bmp", "webp", "tif", "tiff", "gif", "pgm", "ppm"])
def test_formats(tmp_path, suffix):
    image = Image.new("L" if suffix == "pgm" else "RGB", (16, 16), "gray")
    assert pixel_of(tmp_path, image, 1, f"a.{suffix}") == pytest.approx([128], abs=2)


def test_cmyk(tmp_path):
    red, green, blue = pixel_of(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), None, "a.jpg")
    assert red > 200
    assert max(green, blue) < 50


def test_palette_transparency_gives_no_warning(tmp_path, recwarn):
    image = Image.new("RGB", (16, 16), (200, 100, 50)).quantize()
    assert pixel_of(tmp_path, image, 3, transparency=b"\x80") == [200, 100, 50]
    assert len(recwarn) == 0


def test_exif_orientation(tmp_path):
    image = Image.new("RGB", (64, 16), "black")
    image.paste("white", (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise: left becomes top
    (tmp_path / "train").mkdir()
    image.save(tmp_path / "train" / "a.png", exif=exif)
    save(tmp_path / "train" / "b.png", size=(16, 64))  # the same size once `a` is turned
    pixels = load(str(tmp_path), root=tmp_path).train_images[0, 0]
    assert pixels.shape == (16, 16)
    assert (pixels[:8].mean(), pixels[8:].mean()) == (255, 0)


def test_real_jpegs(tmp_path):
    if not REAL.exists():
        pytest.skip(f"{REAL.name} is not here")
    wanted = 0
    with tarfile.open(REAL) as archive:
        for entry in archive:
            if entry.isfile() and "/test/" in entry.name:
                archive.extract(entry, tmp_path, filter="data")
                wanted += 1
                if wanted == 20:
                    break
    (tmp_path / "cifar10_jpeg" / "test").rename(tmp_path / "cifar10_jpeg" / "train")
    dataset = load("cifar10_jpeg", root=tmp_path)
    assert dataset.train_images.shape == (20, 3, 32, 32)
    assert 50 < dataset.train_images.mean() < 200


# --- Errors in folders -----------------------------------------------------------------------------------------------


def test_unknown_names(tmp_path):
    with pytest.raises(UserError, match=r"--dataset.*did you mean 'cifar10'.*a folder of images"):
        load("cifar", root=tmp_path)
    with pytest.raises(UserError, match=r"--dataset: the folder no/where does not exist"):
        load("no/where", root=tmp_path)


def test_folders_without_images(tmp_path):
    with pytest.raises(UserError, match=r"--dataset.*no folder train/"):
        load(str(tmp_path), root=tmp_path)
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(UserError, match=r"--dataset.*no images in"):
        load(str(tmp_path), root=tmp_path)


@pytest.mark.parametrize("name", ["bad.png", "bad.jpg"])
@pytest.mark.parametrize("keep", [0, 40, -100])
def test_a_damaged_image_is_named(tmp_path, name, keep):
    save(tmp_path / "train" / "a.png")
    bad = save(tmp_path / "train" / name, size=(64, 64))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(bad)
    bad.write_bytes(bad.read_bytes()[:keep])
    with pytest.raises(UserError, match=name) as caught:
        load(str(tmp_path), root=tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob(".cache/*"))


def test_broken_links_bombs_and_floats_are_named(tmp_path, monkeypatch):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match=r"gone\.png"):
        load(str(tmp_path), root=tmp_path)
    (tmp_path / "train" / "gone.png").unlink()

    Image.new("F", (16, 16), 0.5).save(tmp_path / "train" / "float.tif")
    with pytest.raises(UserError, match=r"float\.tif: floating-point"):
        load(str(tmp_path), root=tmp_path)
    (tmp_path / "train" / "float.tif").unlink()

    save(tmp_path / "train" / "bomb.png", size=(50, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=r"bomb\.png.*decompression bomb"):
        load(str(tmp_path), root=tmp_path)


# --- The cache -------------------------------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the images decoded so far."""
    names: list[str] = []
    decode = folder._decode

    def recording(path: Path, size: int, channels: int) -> np.ndarray:
        names.append(path.name)
        return decode(path, size, channels)

    monkeypatch.setattr(folder, "_decode", recording)
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
    "damage", [lambda data: b"", lambda data: data[:-50], lambda data: data.replace(b"\x0a", b"\x0b")]
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
    with pytest.warns(UserWarning, match="not kept"):
        assert values(two, tmp_path / "root") == [10, 20]


# --- Images without labels -------------------------------------------------------------------------------------------


def test_read_images_in_natural_order(tmp_path):
    for number, name in ((10, "10.jpg"), (2, "2.jpg"), (1, "sub/1.jpg"), (3, "sub/x10.jpg"), (4, "sub/x9.jpg")):
        save(tmp_path / name, 10 * number, size=(40, 20))
    names, images = read_images(tmp_path, 16, 3)
    assert names == ["2.jpg", "10.jpg", "sub/1.jpg", "sub/x9.jpg", "sub/x10.jpg"]
    assert images.dtype == np.uint8
    assert images.shape == (5, 3, 16, 16)
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), [20, 100, 10, 40, 30], atol=2)


def test_read_images_errors(tmp_path):
    with pytest.raises(UserError, match="no images in"):
        read_images(tmp_path, 16, 1)
    with pytest.raises(UserError, match="does not exist"):
        read_images(tmp_path / "nowhere", 16, 1)


# --- Subsets ---------------------------------------------------------------------------------------------------------


def tagged(labels: list[int]) -> Dataset:
    """A data set whose test images carry their position, so that a subset can be traced."""
    n = len(labels)
    images = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)
    one = np.zeros((1, 1, 1, 1), np.uint8), np.zeros(1, np.int64)
    return Dataset("tagged", tuple("abcd"), *one, images, np.array(labels, np.int64))


@given(labels=st.lists(st.integers(-1, 3), min_size=1, max_size=60), data=st.data(), seed=st.integers(0, 9))
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


def test_limit_seeds_and_errors(tmp_path):
    digits = load("digits", root=tmp_path)
    some = digits.limit(20, 10)
    assert list(np.bincount(some.train_labels)) == [2] * 10
    assert list(np.bincount(some.test_labels)) == [1] * 10
    assert some.fingerprint == digits.limit(20, 10).fingerprint != digits.limit(20, 10, seed=1).fingerprint
    assert digits.limit(None, None).fingerprint == digits.limit(10**6, 10**6).fingerprint == digits.fingerprint
    with pytest.raises(UserError, match="--limit_train: 9"):
        digits.limit(9, None)
    with pytest.raises(UserError, match="--limit_test: 0"):
        digits.limit(None, 0)


def test_fingerprint_sees_everything(tmp_path):
    base = tagged([0, 1, 2])
    assert base.fingerprint == tagged([0, 1, 2]).fingerprint
    other_classes = replace(base, classes=tuple("abce"))
    prints = {base.fingerprint, tagged([0, 2, 1]).fingerprint, tagged([0, 1]).fingerprint, other_classes.fingerprint}
    assert len(prints) == 4
