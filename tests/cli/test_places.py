"""Outputs at paths and at addresses alike: written whole or not at all, read, listed and deleted."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from vae_anomaly_cli import stores
from vae_anomaly_cli.main import main
from vae_anomaly_cli.output import places
from vae_anomaly_cli.output.places import Place, place_of
from vae_anomaly_cli.stores import Address, StoreError


@pytest.fixture(params=["path", "address"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A folder that is not there yet."""
    if request.param == "path":
        yield place_of(str(tmp_path / "out"))
        return
    yield place_of("memory://places/out/")
    fsspec.filesystem("memory").store.clear()


def test_small_files_are_written_read_listed_and_deleted(folder: Place) -> None:
    assert places.names_in(folder) == []
    for name in ("b.json", "a.json", "deep/c.json"):
        places.write(folder / name, name.encode())
    places.write(folder / "a.json", b"again")
    assert places.names_in(folder) == ["a.json", "b.json"]
    assert places.names_in(folder / "deep") == ["c.json"]
    assert places.read(folder / "a.json") == b"again"
    assert places.is_there(folder / "deep/c.json")
    places.delete(folder / "a.json")
    places.delete(folder / "a.json")
    assert not places.is_there(folder / "a.json")
    with pytest.raises(FileNotFoundError):
        places.read(folder / "a.json")
    assert pickle.loads(pickle.dumps(folder)) == folder


def test_a_file_is_there_when_it_is_finished(folder: Place) -> None:
    places.write(folder / "first", b"")
    dropped, kept = (places.open_output(folder / name) for name in ("dropped", "kept"))
    for file in (dropped, kept):
        file.stream.write(b"x" * 1000)
    assert "kept" not in places.names_in(folder)
    kept.finish()
    for file in (dropped, kept):
        file.discard()
    assert places.names_in(folder) == ["first", "kept"]
    assert places.read(folder / "kept") == b"x" * 1000


def test_addresses_are_shown_without_secrets_and_options() -> None:
    address = Address.of("s3://KEY:SECRET@lake/a b/day=1/x.csv?endpoint_override=h:1&secret_key=S&scheme=http")
    assert str(address) == "s3://lake/a b/day=1/x.csv"
    assert (address.name, address.suffix, str(address.parent)) == ("x.csv", ".csv", "s3://lake/a b/day=1")
    assert str(Address.of("abfs://box@account.dfs.core.windows.net/a")) == "abfs://box@account.dfs.core.windows.net/a"
    assert Address.of("s3://lake/day?=1/a[?].csv").path == "day?=1/a[?].csv"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("AWS Error NO_SUCH_BUCKET during ListObjectsV2: x (Request ID: 1)", "there is no such bucket"),
        ("AWS Error ACCESS_DENIED during PutObject operation", "no permission"),
        ("AWS Error UNKNOWN (HTTP status 400): ExpiredToken: The token has expired.", "the credentials have expired"),
        ("AWS Error NETWORK_CONNECTION: curlCode: 7", "the store cannot be reached"),
        ("An error occurred (InvalidAccessKeyId) when", "the store does not know these credentials"),
        ("something else (Request ID: 1)", "something else. Check the address and the credentials"),
    ],
)
def test_refusals_of_stores_are_a_few_words(said: str, shown: str) -> None:
    assert stores.reason_of(OSError(said)).startswith(shown)


def test_a_scheme_without_a_driver_says_what_to_install() -> None:
    with pytest.raises(StoreError, match=r"python -m pip install paramiko|driver of fsspec"):
        stores.info(Address.of("sftp://host/a.csv"))
    assert not stores.is_store("nothing")
    assert not stores.is_store("file")


@pytest.mark.parametrize("argument", ["memory://a.csv", "-omemory://a.csv", "--output=memory://a.csv", "MEMORY://a"])
def test_a_command_of_a_shell_does_not_write_to_memory_that_ends_with_it(
    argument: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["vae-anomaly", "score", "rows.csv", "-o", argument])
    assert main() == 2
    assert f"{argument}: memory:// is the memory of this process" in capsys.readouterr().err
