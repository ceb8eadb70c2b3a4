"""Model files in memory, in open files and in stores: whole or not at all, and as safe as on a disk."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from vae_anomaly import ModelFileError, SpecificationError, VAEDetector, load, read_manifest, save

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")

ROWS = np.random.default_rng(0).normal(size=(120, 2))
KEY = b"sixteen bytes or more"


@pytest.fixture(scope="module")
def detector() -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=4, hidden_layer_sizes=(8,)).fit(ROWS)


@pytest.fixture(scope="module")
def content(detector: VAEDetector) -> bytes:
    buffer = io.BytesIO()
    save(detector, buffer)
    return buffer.getvalue()


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


class FullFile(io.BytesIO):
    """Takes a few bytes, and no more."""

    room = 100

    def write(self, content: Any) -> int:
        taken = super().write(memoryview(content)[: self.room])
        if taken < len(content):
            raise OSError(28, "No space left on device")
        return taken


class FullStore(MemoryFileSystem):
    """Takes the beginning of a file, and breaks."""

    protocol = "full"

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super().open(path, mode, **options)
        if "w" in mode:
            original = file.write

            def write(content: bytes) -> int:
                original(content[:100])
                raise ConnectionError("the line went dead")

            file.write = write
        return file


fsspec.register_implementation("full", FullStore)


def test_file_in_memory_is_the_file_on_the_disk(detector: VAEDetector, content: bytes, tmp_path: Path) -> None:
    save(detector, tmp_path / "m.vae")
    assert (tmp_path / "m.vae").read_bytes() == content


@pytest.mark.parametrize(
    "wrap",
    [bytes, bytearray, memoryview, io.BytesIO, lambda content: io.BufferedReader(io.BytesIO(content))],  # type: ignore[arg-type]
    ids=["bytes", "bytearray", "memoryview", "BytesIO", "BufferedReader"],
)
def test_model_is_loaded_from_memory(wrap: Any, detector: VAEDetector, content: bytes) -> None:
    np.testing.assert_array_equal(load(wrap(content)).score_samples(ROWS), detector.score_samples(ROWS))
    assert read_manifest(wrap(content))["kind"] == "rows"


def test_open_file_is_written_and_read_from_where_it_stands(detector: VAEDetector, content: bytes) -> None:
    buffer = io.BytesIO(b"before")
    buffer.seek(6)
    save(detector, buffer)
    assert buffer.getvalue() == b"before" + content
    buffer.seek(6)
    assert load(buffer).n_iter_ == detector.n_iter_


def test_raw_file_that_takes_a_part_at_a_time_gets_all(detector: VAEDetector, content: bytes) -> None:
    class Sips(io.BytesIO):
        def write(self, content: Any) -> int:
            return super().write(memoryview(content)[:1000])

    buffer = Sips()
    save(detector, buffer)
    assert buffer.getvalue() == content


def test_file_without_a_position_is_written_through(detector: VAEDetector, content: bytes) -> None:
    class Pipe:
        def __init__(self) -> None:
            self.parts: list[bytes] = []

        def write(self, content: Any) -> None:
            self.parts.append(bytes(content))

    pipe = Pipe()
    save(detector, pipe)  # type: ignore[arg-type]
    assert b"".join(pipe.parts) == content


def test_open_file_that_fails_is_cut_back(detector: VAEDetector) -> None:
    file = FullFile(b"before")
    file.seek(6)
    with pytest.raises(OSError, match="No space left"):
        save(detector, file)
    assert file.getvalue() == b"before"


def test_store_has_the_file_that_a_disk_has(detector: VAEDetector, content: bytes, store: MemoryFileSystem) -> None:
    save(detector, "memory://models/m.vae")
    assert store.cat_file("models/m.vae") == content
    np.testing.assert_array_equal(load("memory://models/m.vae").score_samples(ROWS), detector.score_samples(ROWS))
    assert read_manifest("memory://models/m.vae")["kind"] == "rows"
    assert load("simplecache::memory://models/m.vae").n_iter_ == detector.n_iter_


def test_address_of_a_local_file_is_its_path(detector: VAEDetector, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "old.vae").write_bytes(b"old")
    (tmp_path / "old.vae").chmod(0o640)
    save(detector, (tmp_path / "old.vae").as_uri())
    assert (tmp_path / "old.vae").read_bytes() == content
    assert (tmp_path / "old.vae").stat().st_mode & 0o777 == 0o640
    assert load((tmp_path / "old.vae").as_uri()).n_iter_ == detector.n_iter_


def test_store_that_breaks_keeps_the_file_of_before(detector: VAEDetector, store: MemoryFileSystem) -> None:
    store.pipe_file("m.vae", b"old")
    with pytest.raises(OSError, match=r"full://m\.vae cannot be written: ConnectionError: the line went dead\. Check"):
        save(detector, "full://m.vae")
    assert store.cat_file("m.vae") == b"old"
    with pytest.raises(OSError, match="cannot be written"):
        save(detector, "full://new.vae")
    assert not store.exists("new.vae")


def test_systems_that_others_use_are_in_no_transaction_of_ours(detector: VAEDetector, store: MemoryFileSystem) -> None:
    save(detector, "memory://m.vae")
    assert not store._intrans
    store.pipe_file("other", b"x")
    assert store.cat_file("other") == b"x"


@pytest.mark.parametrize("location", ["memory://signed.vae", "buffer"])
def test_keys_and_checksums_work_everywhere(location: str, detector: VAEDetector, store: MemoryFileSystem) -> None:
    buffer = io.BytesIO()
    save(detector, buffer if location == "buffer" else location, key=KEY)
    written = buffer.getvalue() or store.cat_file("signed.vae")

    def as_given(content: bytes) -> Any:
        if location == "buffer":
            return content
        store.pipe_file("signed.vae", content)
        return location

    assert read_manifest(as_given(written), key=KEY)["integrity"]["signature"] == "verified"
    name = "the .* bytes given" if location == "buffer" else location
    with pytest.raises(ModelFileError, match=f"{name}: the file is not signed with this key"):
        load(as_given(written), key=KEY[::-1])
    changed = bytearray(written)
    changed[-5] ^= 1
    with pytest.raises(ModelFileError, match=f"{name}: the file is damaged: its content has not the checksum"):
        load(as_given(bytes(changed)))
    with pytest.raises(ModelFileError, match=f"{name}: not a model file, or damaged"):
        load(as_given(written[:-9]))


def test_missing_file_of_a_store_is_named(store: MemoryFileSystem) -> None:
    with pytest.raises(FileNotFoundError, match=r"memory://no\.vae: no such file\. Give the address"):
        load("memory://no.vae")


@pytest.mark.parametrize("address", ["nothing://m.vae", "abfs://container/m.vae"])
def test_address_that_fsspec_cannot_open_says_what_to_do(address: str, detector: VAEDetector) -> None:
    with pytest.raises(SpecificationError, match=f"{address}: fsspec cannot open such an address .*Install"):
        load(address)
    with pytest.raises(SpecificationError, match="fsspec cannot open such an address"):
        save(detector, address)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (7, "of type int; expected a path, an address"),
        (None, "of type NoneType; expected"),
        (io.StringIO(), "StringIO (takes|gives) text; a model file is bytes"),
    ],
)
def test_what_is_no_place_for_a_model_is_refused(wrong: Any, message: str, detector: VAEDetector) -> None:
    with pytest.raises(SpecificationError, match=message):
        save(detector, wrong)
    with pytest.raises(SpecificationError, match=message):
        load(wrong)


def test_name_that_only_looks_like_an_address_is_a_path(detector: VAEDetector, tmp_path: Path) -> None:
    save(detector, tmp_path / "a:b.vae")
    assert load(str(tmp_path / "a:b.vae")).n_iter_ == detector.n_iter_
