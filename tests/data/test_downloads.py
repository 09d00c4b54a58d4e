"""torchvision's data sets, from files in their real formats with checksums of the test's own."""

import gzip
import hashlib
import pickle
import socket
import struct
import tarfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from greensweep.config.schema_dataset import TorchvisionDatasetConfig
from greensweep.data import downloads, load_splits
from greensweep.data.downloads import downloaded
from greensweep.errors import DataError

NOBODY_LISTENS = "http://127.0.0.1:9"
MNIST_FILES = tuple(
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)
CLASSES = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}
CLASSES |= {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}


@pytest.fixture
def grey_images():
    generator = np.random.default_rng(0)
    return {
        "train": (generator.integers(0, 256, (50, 28, 28), np.uint8), np.arange(50) % 10),
        "t10k": (generator.integers(0, 256, (20, 28, 28), np.uint8), np.arange(20) % 10),
    }


@pytest.fixture
def colour_images():
    generator = np.random.default_rng(1)
    return {
        "train": (generator.integers(0, 256, (50, 3, 32, 32), np.uint8), np.arange(50) % 10),
        "test": (generator.integers(0, 256, (20, 3, 32, 32), np.uint8), np.arange(20) % 10),
    }


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def mnist_files(tmp_path, monkeypatch, grey_images):
    """Write (Fashion-)MNIST's four files below a folder and publish their checksums."""

    def write(name="mnist", root=tmp_path / "raw"):
        folder = root / CLASSES[name].__name__ / "raw"
        folder.mkdir(parents=True)
        for part, (images, labels) in grey_images.items():
            (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(images))
            (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
        sums = [(file, md5(folder / file)) for file in MNIST_FILES]
        monkeypatch.setattr(CLASSES[name], "resources", sums)
        monkeypatch.setattr(CLASSES[name], "mirrors", [f"{NOBODY_LISTENS}/mnist/"])
        return folder

    return write


@pytest.fixture
def cifar_files(tmp_path, monkeypatch, colour_images):
    """Write CIFAR's batches, pickled as by Python 2, and publish their checksums."""

    def write(name="cifar10", root=tmp_path / "raw"):
        kind = CLASSES[name]
        folder = root / kind.base_folder
        folder.mkdir(parents=True)
        key = "labels" if name == "cifar10" else "fine_labels"
        parts = {"train": kind.train_list, "test": kind.test_list}
        for part, listed in parts.items():
            images, labels = (np.array_split(each, len(listed)) for each in colour_images[part])
            for (file, _), some, theirs in zip(listed, images, labels, strict=True):
                batch = {"data": some.reshape(len(some), -1), key: theirs.tolist()}
                (folder / file).write_bytes(pickle.dumps(batch, protocol=2))
        names = {kind.meta["key"]: [f"thing {index}" for index in range(10)]}
        (folder / kind.meta["filename"]).write_bytes(pickle.dumps(names, protocol=2))
        publish(name, root)
        return folder

    def publish(name, root):
        kind = CLASSES[name]
        folder = root / kind.base_folder
        archive = root / kind.filename
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, arcname=kind.base_folder)
        meta = kind.meta | {"md5": md5(folder / kind.meta["filename"])}
        monkeypatch.setattr(kind, "meta", meta)
        for listing in ("train_list", "test_list"):
            files = [[file, md5(folder / file)] for file, _ in getattr(kind, listing)]
            monkeypatch.setattr(kind, listing, files)
        monkeypatch.setattr(kind, "tgz_md5", md5(archive))
        monkeypatch.setattr(kind, "url", f"{NOBODY_LISTENS}/{kind.filename}")
        archive.unlink()

    return write


def config(name, tmp_path, **options):
    return TorchvisionDatasetConfig(name=name, root=str(tmp_path / "raw"), **options)


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("download", [True, False])
def test_mnist_is_read_from_its_published_files(tmp_path, mnist_files, grey_images, name, download):
    mnist_files(name)

    source = downloaded(config(name, tmp_path, download=download))

    for split, part in ((source.train, "train"), (source.test, "t10k")):
        images, labels = grey_images[part]
        assert split.inputs.dtype == torch.uint8
        np.testing.assert_array_equal(split.inputs[:, 0], images)
        assert split.labels.tolist() == labels.tolist()
    assert source.classes == tuple(CLASSES[name].classes)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_read_from_its_published_files(tmp_path, cifar_files, colour_images, name):
    cifar_files(name)

    source = downloaded(config(name, tmp_path, download=False))

    for split, part in ((source.train, "train"), (source.test, "test")):
        images, labels = colour_images[part]
        assert split.inputs.dtype == torch.uint8
        assert split.inputs.is_contiguous()
        np.testing.assert_array_equal(split.inputs, images)
        assert split.labels.tolist() == labels.tolist()
    assert source.classes == tuple(f"thing {index}" for index in range(10))


def test_images_are_resized_and_split(tmp_path, mnist_files):
    mnist_files()

    splits = load_splits(config("mnist", tmp_path, image_size=32, validation_fraction=0.2), seed=0)

    assert splits.input_shape == (1, 32, 32)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (40, 10, 20)


def test_files_in_a_folder_that_cannot_be_written_are_enough(tmp_path, mnist_files):
    folder = mnist_files()
    before = sorted((tmp_path / "raw").rglob("*"))

    downloaded(config("mnist", tmp_path))

    assert sorted((tmp_path / "raw").rglob("*")) == before
    assert sorted(path.name for path in folder.iterdir()) == sorted(MNIST_FILES)


def test_unpacked_copies_without_a_checksum_are_not_believed(tmp_path, mnist_files, grey_images):
    folder = mnist_files()
    for file in MNIST_FILES:
        (folder / file.removesuffix(".gz")).write_bytes(b"something else")
    legacy = folder.parent / "processed"
    legacy.mkdir()
    for file in ("training.pt", "test.pt"):
        torch.save((torch.zeros(1, 28, 28, dtype=torch.uint8), torch.zeros(1)), legacy / file)

    source = downloaded(config("mnist", tmp_path))

    np.testing.assert_array_equal(source.train.inputs[:, 0], grey_images["train"][0])


# --- checksums ----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", MNIST_FILES)
@pytest.mark.parametrize("download", [True, False])
def test_mnist_file_of_another_checksum_is_refused_by_name(tmp_path, mnist_files, file, download):
    path = mnist_files() / file
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(DataError, match=rf"{file} does not match its published .*delete it and"):
        downloaded(config("mnist", tmp_path, download=download))
    assert path.is_file()


class Malice:
    """A pickle that leaves a file when it is loaded."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("file", ["data_batch_1", "data_batch_5", "test_batch", "batches.meta"])
def test_nothing_is_unpickled_before_all_checksums_match(tmp_path, cifar_files, file):
    folder = cifar_files()
    trace = tmp_path / "unpickled"
    malice = pickle.dumps(Malice(trace))
    (folder / file).write_bytes(malice)

    with pytest.raises(DataError, match=rf"{file} does not match its published checksum \(MD5 "):
        downloaded(config("cifar10", tmp_path))
    assert not trace.exists()
    pickle.loads(malice)
    assert trace.exists()


def test_other_batches_are_not_unpickled_either(tmp_path, cifar_files, monkeypatch):
    folder = cifar_files()
    trace = tmp_path / "unpickled"
    first = folder / "data_batch_1"
    first.write_bytes(pickle.dumps(Malice(trace)))
    listed = [["data_batch_1", md5(first)], *datasets.CIFAR10.train_list[1:]]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", listed)
    (folder / "batches.meta").write_bytes(b"altered")

    with pytest.raises(DataError, match=r"batches.meta does not match"):
        downloaded(config("cifar10", tmp_path))
    assert not trace.exists()


def test_archive_of_another_checksum_is_refused_by_name_and_not_unpacked(tmp_path, cifar_files):
    cifar_files(root=tmp_path / "published")
    archive = tmp_path / "raw" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(b"altered")

    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz does not match its published"):
        downloaded(config("cifar10", tmp_path, download=False))
    assert sorted(path.name for path in archive.parent.iterdir()) == [archive.name]


# --- missing files ------------------------------------------------------------------------------

WHERE = {
    "mnist": rf"put {', '.join(MNIST_FILES)} \(from {NOBODY_LISTENS}/mnist\) "
    "into .*/raw/MNIST/raw$",
    "cifar10": rf"put cifar-10-python.tar.gz \(from {NOBODY_LISTENS}\) into .*/raw$",
}


@pytest.fixture
def published(tmp_path, mnist_files, cifar_files):
    """Data sets that are published, but lie elsewhere."""
    mnist_files("mnist", tmp_path / "published")
    cifar_files("cifar10", tmp_path / "published")
    return tmp_path / "published"


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("name", WHERE)
def test_missing_files_that_may_not_be_fetched_are_named_with_their_place(tmp_path, name):
    message = rf"^{name} is missing and dataset.download=false: {WHERE[name]}"

    with pytest.raises(DataError, match=message):
        downloaded(config(name, tmp_path, download=False))
    assert not (tmp_path / "raw").exists()


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("name", WHERE)
def test_missing_files_without_internet_are_named_with_their_place_at_once(tmp_path, name):
    began = time.monotonic()
    message = rf"^{name} is missing and could not be downloaded \(.*refused.*\): {WHERE[name]}"

    with pytest.raises(DataError, match=message) as refused:
        downloaded(config(name, tmp_path))
    assert time.monotonic() - began < 5
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("published")
def test_network_that_never_answers_does_not_hang_the_run(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{port}/cifar.tar.gz")
        monkeypatch.setattr(downloads, "_TIMEOUT_SECONDS", 0.2)
        before = socket.getdefaulttimeout()

        with pytest.raises(DataError, match=r"could not be downloaded \(.*timed out\)"):
            downloaded(config("cifar10", tmp_path))
    assert socket.getdefaulttimeout() == before


@pytest.mark.usefixtures("published")
def test_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "raw").write_text("a file where the folder should be")

    with pytest.raises(DataError, match=r"could not be downloaded \(.*File exists"):
        downloaded(config("mnist", tmp_path))


def test_archive_put_in_place_is_unpacked_without_a_network(tmp_path, published, colour_images):
    raw = tmp_path / "raw"
    raw.mkdir()
    with tarfile.open(raw / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(published / "cifar-10-batches-py", arcname="cifar-10-batches-py")
    checksum = md5(raw / "cifar-10-python.tar.gz")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.CIFAR10, "tgz_md5", checksum)
        source = downloaded(config("cifar10", tmp_path, download=False))

    np.testing.assert_array_equal(source.train.inputs, colour_images["train"][0])


# --- downloading --------------------------------------------------------------------------------


@pytest.fixture
def server(published, monkeypatch):
    """Serve the published files; gives the names of the files asked for, repeats left out."""
    monkeypatch.setenv("no_proxy", "*")
    archive = published / datasets.CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(published / "cifar-10-batches-py", arcname="cifar-10-batches-py")
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, form, *values):
            requests.append(self.path.rpartition("/")[2])

    handler = partial(Handler, directory=str(published))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{serving.server_port}"
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{address}/MNIST/raw/"])
        monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))
        monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}/{archive.name}")
        yield requests
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "files"), [("mnist", set(MNIST_FILES)), ("cifar10", {"cifar-10-python.tar.gz"})]
)
def test_missing_files_are_downloaded_once(tmp_path, server, published, name, files):
    first = downloaded(config(name, tmp_path))
    assert set(server) == files

    server.clear()
    second = downloaded(config(name, tmp_path))

    assert server == []
    expected = downloaded(TorchvisionDatasetConfig(name=name, root=str(published), download=False))
    for source in (first, second):
        assert torch.equal(source.train.inputs, expected.train.inputs)
        assert torch.equal(source.test.labels, expected.test.labels)


def test_only_missing_files_are_downloaded(tmp_path, server, published):
    folder = tmp_path / "raw" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for file in MNIST_FILES[1:]:
        (folder / file).write_bytes((published / "MNIST" / "raw" / file).read_bytes())

    downloaded(config("mnist", tmp_path))

    assert set(server) == {MNIST_FILES[0]}


def test_second_mirror_is_asked_where_the_first_fails(tmp_path, server, monkeypatch, caplog):
    mirrors = [f"{NOBODY_LISTENS}/mnist/", *datasets.MNIST.mirrors]
    monkeypatch.setattr(datasets.MNIST, "mirrors", mirrors)

    assert len(downloaded(config("mnist", tmp_path)).train) == 50
    assert set(server) == set(MNIST_FILES)
    assert f"{MNIST_FILES[0]} cannot be had from {NOBODY_LISTENS}" in caplog.text


@pytest.mark.usefixtures("server")
def test_download_of_another_checksum_is_refused_and_leaves_no_file(tmp_path, published):
    altered = published / "MNIST" / "raw" / MNIST_FILES[0]
    altered.write_bytes(altered.read_bytes() + b"\0")

    with pytest.raises(DataError, match="mnist is missing and could not be downloaded"):
        downloaded(config("mnist", tmp_path))
    assert list((tmp_path / "raw" / "MNIST" / "raw").iterdir()) == []


def test_runs_that_start_together_download_once(tmp_path, server):
    downloaded(TorchvisionDatasetConfig(name="mnist", root=str(tmp_path / "alone")))
    requests_of_one_run = len(server)
    server.clear()
    read = []
    threads = [
        threading.Thread(target=lambda: read.append(downloaded(config("mnist", tmp_path))))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [len(source.train) for source in read] == [50, 50, 50]
    assert len(server) == requests_of_one_run
