"""Tables on the network: fetched once, and kept in a temporary file as what comes through a pipe is."""

import contextlib
import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from vae_anomaly_cli.errors import InputError

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
WEB = ("http", "https")
# What pyarrow.fs opens.
STORES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
TIMEOUT_SECONDS = 60


def scheme_of(data: str) -> str | None:
    """Return the scheme of an address like https://host/path; None for paths."""
    found = ADDRESS.match(data)
    return found[1].lower() if found else None


def is_remote(data: str) -> bool:
    """Whether an argument is an address of a file on the network."""
    return scheme_of(data) in (*WEB, *STORES)


def path_of(data: str) -> str:
    """Return the path of an address: without its query, whose question mark is no pattern."""
    return urllib.parse.unquote(urllib.parse.urlsplit(data).path)


@contextmanager
def open_remote(data: str) -> Iterator[BinaryIO]:
    """Open a file on the network.

    Raises
    ------
    InputError
        If it cannot be reached.
    """
    opened = _open_web if scheme_of(data) in WEB else _open_store
    with opened(data) as stream:
        yield stream


@contextmanager
def _open_web(data: str) -> Iterator[BinaryIO]:
    # Not at import: these take a while, and most data are files.
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(data, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - http and https only
            yield response
    except urllib.error.HTTPError as error:
        raise InputError(f"{data} cannot be read: the server says {error.code} {error.reason}. Check it.") from error
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{data} cannot be read: {reason}. Check the address, and the network.") from error


@contextmanager
def _open_store(data: str) -> Iterator[BinaryIO]:
    try:
        import pyarrow.fs as pa_fs

        system, path = pa_fs.FileSystem.from_uri(data)
        stream = cast(BinaryIO, system.open_input_stream(path))
    except (OSError, ValueError, ImportError, NotImplementedError) as error:
        raise InputError(
            f"{data} cannot be read: {error}. Check the address and the credentials of {scheme_of(data)}, or copy the "
            "file first."
        ) from error
    with contextlib.closing(stream):
        yield stream
