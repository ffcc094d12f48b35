"""Named data sets: one contract for all, downloads, sizes, channels."""

import http.server
import os
import socket
import threading
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image
from stand_ins import PER_CLASS, STAND_INS, cifar10_stand_in, mnist_stand_in
from torchvision.datasets import CIFAR10, MNIST

import models
from bench.choices.errors import UserError
from bench.choices.folders import scratch_in
from bench.choices.outside import name_of
from bench.data.datasets import NAMES, SIZES, Dataset, _torchvision, defaults_of, load


@pytest.fixture
def lookups(monkeypatch) -> list[str]:
    """Closes the network, and records the hosts that were looked up."""
    hosts: list[str] = []

    def closed(host, *_, **__):
        hosts.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", closed)
    return hosts


# --- The contract


@pytest.fixture(params=NAMES)
def named(request, tmp_path, monkeypatch, lookups) -> Dataset:
    if request.param in STAND_INS:
        STAND_INS[request.param](tmp_path, monkeypatch)
    return load(request.param, root=tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_hyperparameters(name):
    for key in defaults_of(name):
        model, _, hyperparameter = key.rpartition(".")
        known = [models.hyperparameters(each) for each in ([model] if model else models.NAMES)]
        assert any(hyperparameter in of_model for of_model in known), key


def test_contract(named):
    assert named.name in map(name_of, NAMES)
    channels, height, width = named.image_shape
    assert channels in (1, 3)
    assert height == width
    assert height in SIZES
    train, test = (named.train_images, named.train_labels), (named.test_images, named.test_labels)
    for images, labels in (train, test):
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert images.shape == (len(labels), channels, height, width)
        assert images.max() > 50  # pixels fill 0 .. 255
    known = {*named.train_labels.tolist(), *named.test_labels.tolist()} - {-1}  # -1: no label
    assert named.train_labels.min() >= 0
    assert known == set(range(len(named.classes)))
    assert len(set(named.classes)) == len(named.classes)
    assert all(name.strip() and "/" not in name for name in named.classes)
    assert len(named.fingerprint) == 16
    assert int(named.fingerprint, 16) >= 0


def test_digits_split_is_fixed_and_stratified(tmp_path):
    digits = load("digits", root=tmp_path)
    assert (len(digits.train_labels), len(digits.test_labels)) == (1198, 599)
    assert np.ptp(np.bincount(digits.test_labels)) <= 4
    assert digits.fingerprint == load("digits", root=tmp_path).fingerprint


# --- Downloads


@pytest.mark.parametrize("name", STAND_INS)
def test_reads_archives_that_lie_there_without_network(name, tmp_path, monkeypatch, lookups):
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
    assert lookups == []


@pytest.mark.parametrize("name", STAND_INS)
def test_no_network(name, tmp_path, lookups):
    timeout = socket.getdefaulttimeout()
    with pytest.raises(UserError, match=r"put .*gz.* into .*, or use --dataset digits") as caught:
        load(name, root=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert lookups
    assert socket.getdefaulttimeout() == timeout


def test_a_network_that_never_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request.socket, "getaddrinfo", lambda *_, **__: time.sleep(30))
    monkeypatch.setattr(_torchvision, "PATIENCE", 0.2)
    start = time.monotonic()
    with pytest.raises(UserError, match="mnist cannot be downloaded"):
        load("mnist", root=tmp_path)
    assert time.monotonic() - start < 25


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves `files`; of one in `stalls` only the beginning."""

    files: dict[str, bytes] = {}
    stalls: set[str] = set()

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.files[name])))
        self.end_headers()
        self.wfile.write(self.files[name][: 10 if self.path in self.stalls else None])
        if self.path in self.stalls:
            time.sleep(30)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch):
    """A server of downloads on this machine. No download may set the whole process's timeout."""
    monkeypatch.setattr(socket, "setdefaulttimeout", lambda _: pytest.fail("for all threads"))
    monkeypatch.setattr(_torchvision, "PATIENCE", 3)
    monkeypatch.setattr(Mirror, "files", {})
    monkeypatch.setattr(Mirror, "stalls", set())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_downloads(name, tmp_path, monkeypatch, mirror):
    archives = STAND_INS[name](tmp_path / "there", monkeypatch)
    monkeypatch.setattr(CIFAR10, "url", f"{mirror}/b/{CIFAR10.filename}")
    monkeypatch.setattr(MNIST, "mirrors", [f"{mirror}/a/", f"{mirror}/b/"])
    Mirror.files = {archive.name: archive.read_bytes() for archive in archives}
    Mirror.stalls = {f"/a/{archive.name}" for archive in archives[1:2]}  # the next mirror gives it
    assert load(name, root=tmp_path).fingerprint == load(name, root=tmp_path / "there").fingerprint


def test_a_download_that_stalls(tmp_path, monkeypatch, mirror):
    (archive,) = STAND_INS["cifar10"](tmp_path / "there", monkeypatch)
    monkeypatch.setattr(CIFAR10, "url", f"{mirror}/a/{CIFAR10.filename}")
    Mirror.files = {archive.name: archive.read_bytes()}
    Mirror.stalls = {f"/a/{archive.name}"}
    start = time.monotonic()
    with pytest.raises(UserError, match="cifar10 cannot be downloaded"):
        load("cifar10", root=tmp_path / "new")
    assert time.monotonic() - start < 10
    assert [file.name for file in (tmp_path / "new").iterdir()] == [".lock"], "no half archive"


@pytest.mark.parametrize("name", STAND_INS)
def test_truncated_archive(name, tmp_path, monkeypatch, lookups):
    archive = STAND_INS[name](tmp_path, monkeypatch)[0]
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(UserError, match=rf"damaged there: {archive.name}") as caught:
        load(name, root=tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_mnist_files(tmp_path, monkeypatch, lookups):
    mnist_stand_in(MNIST, tmp_path, monkeypatch)
    load("mnist", root=tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match="are damaged: delete them"):
        load("mnist", root=tmp_path)


# --- Sizes and channels


def test_resizing_is_antialiased_bilinear(tmp_path, monkeypatch, lookups):
    cifar10_stand_in(tmp_path, monkeypatch)
    native, small = load("cifar10", root=tmp_path), load("cifar10", root=tmp_path, image_size=16)
    assert native.image_shape == (3, 32, 32)
    pil = Image.fromarray(native.train_images[0].transpose(1, 2, 0)).resize(
        (16, 16), Image.Resampling.BILINEAR
    )
    np.testing.assert_allclose(small.train_images[0].transpose(1, 2, 0), np.asarray(pil), atol=1)


def test_channels(tmp_path, monkeypatch, lookups):
    cifar10_stand_in(tmp_path, monkeypatch)
    colour, grey = load("cifar10", root=tmp_path), load("cifar10", root=tmp_path, channels=1)
    pil = Image.fromarray(colour.train_images[3].transpose(1, 2, 0)).convert("L")
    np.testing.assert_allclose(grey.train_images[3, 0], np.asarray(pil), atol=1)
    assert grey.fingerprint != colour.fingerprint
    repeated = load("digits", root=tmp_path, channels=3).train_images
    np.testing.assert_array_equal(
        repeated, np.repeat(load("digits", root=tmp_path).train_images, 3, axis=1)
    )


def test_what_a_killed_command_was_writing_goes_a_day_later(tmp_path):
    for name in (".scratch-old", ".scratch-new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "new.npz").touch()
    os.utime(tmp_path / ".scratch-old", (1, 1))
    with scratch_in(tmp_path) as scratch:
        assert scratch.is_dir()
        assert {path.name for path in tmp_path.iterdir()} == {".scratch-new", scratch.name}
    assert [path.name for path in tmp_path.iterdir()] == [".scratch-new"]
