"""Tables on the web: fetched once, and kept in a temporary file as what comes through a pipe is."""

import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from vae_anomaly_cli.errors import InputError

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
WEB = ("http", "https")
TIMEOUT_SECONDS = 60


def scheme_of(data: str) -> str | None:
    """Return the scheme of an address like https://host/path; None for paths."""
    found = ADDRESS.match(data)
    return found[1].lower() if found else None


def is_remote(data: str) -> bool:
    """Whether an argument is an address of a file on the web."""
    return scheme_of(data) in WEB


def shown_remote(data: str) -> str:
    """Return an address without a password and without the values of its query, which may be signatures."""
    parts = urllib.parse.urlsplit(data)
    query = "&".join(
        f"{name}=***" if sign else name for name, sign, _ in (part.partition("=") for part in parts.query.split("&"))
    )
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query).geturl()


def path_of(data: str) -> str:
    """Return the path of an address: without its query, whose question mark is no pattern."""
    return urllib.parse.unquote(urllib.parse.urlsplit(data).path)


@contextmanager
def open_remote(data: str) -> Iterator[BinaryIO]:
    """Open a file on the web.

    Raises
    ------
    InputError
        If it cannot be reached.
    """
    # Not at import: these take a while, and most data are files.
    import urllib.error
    import urllib.request

    name = shown_remote(data)
    try:
        with urllib.request.urlopen(data, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - http and https only
            yield response
    except urllib.error.HTTPError as error:
        raise InputError(f"{name} cannot be read: the server says {error.code} {error.reason}. Check it.") from error
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{name} cannot be read: {reason}. Check the address, and the network.") from error
