"""Objects of stores like S3, at addresses: read by ranges, listed, and written whole or not at all."""

import contextlib
import ctypes
import functools
import os
import re
import shutil
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeAlias

from vae_anomaly_cli.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.fs as pa_fs

# What pyarrow opens by itself.
OF_ARROW = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
# Of fsspec, but no stores of files that others share.
NO_STORES = ("file", "local", "http", "https", "data", "zip", "tar", "libarchive", "reference", "filecache", "dir")
# Options of the store behind an address; a question mark in a pattern is none.
OPTIONS = re.compile(r"\?([A-Za-z_][\w-]*=[^&?]*(?:&[A-Za-z_][\w-]*=[^&?]*)*)$")
CONNECT_SECONDS, REQUEST_SECONDS, MAX_ATTEMPTS = 5.0, 20.0, 3
COPIED_BYTES = 1 << 23
INSTALL = re.compile(r"(?:install|requires) (?:the )?[\"']?([\w.-]+)", re.IGNORECASE)
NOISE = re.compile(r"\s*\(?(Request ID|Details|Detail): .*", re.DOTALL)
# What people see of errors whose text only programs read, by what stands in it.
REASONS = (
    (r"EXPIRED_?TOKEN|ExpiredToken|token.{0,20}expired", "the credentials have expired. Get new ones"),
    (r"NO_?SUCH_?BUCKET|NoSuchBucket|bucket does not exist", "there is no such bucket. Check its name"),
    (
        r"InvalidAccessKeyId|INVALID_ACCESS_KEY_ID|SignatureDoesNotMatch|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN",
        "the store does not know these credentials. Check them",
    ),
    (
        r"ACCESS_DENIED|AccessDenied|Forbidden|HTTP response code 403|No response body.{0,40}403|PermissionDenied",
        "no permission. Check the credentials, and what they allow",
    ),
    (
        r"NETWORK_CONNECTION|curlCode|Could not connect|ConnectionError|EndpointConnection|Connection refused",
        "the store cannot be reached. Check the endpoint and the network",
    ),
    (r"Could not (find|get) credentials|NoCredentials|Unable to locate credentials", "no credentials. Give some"),
)


class StoreError(OSError):
    """Something that a store refused or could not do; its text says why and what to do."""


@dataclass(frozen=True)
class Address:
    """An object, or a folder of objects, of a store.

    Attributes
    ----------
    scheme : str
        Which kind of store, like ``s3``.
    host : str
        What follows it: a bucket, or a machine.
    path : str
        The key, without a slash before it.
    options : str
        Of the store, as the query of an address has them.
    """

    scheme: str
    host: str
    path: str
    options: str = ""

    @classmethod
    def of(cls, text: str) -> "Address":
        """Read an address.

        Examples
        --------
        >>> address = Address.of("s3://lake/day=*/a.parquet?endpoint_override=localhost:9000")
        >>> address.host, address.path, str(address / "b.csv")
        ('lake', 'day=*/a.parquet', 's3://lake/day=*/a.parquet/b.csv')
        """
        scheme, _, rest = text.partition("://")
        found = OPTIONS.search(rest)
        host, _, path = (rest if found is None else rest[: found.start()]).partition("/")
        return cls(scheme.lower(), host, path.lstrip("/"), "" if found is None else found[1])

    def __str__(self) -> str:
        """The address without what is secret: without options and credentials."""
        return f"{self.scheme}://{self.public_host}/{self.path}"

    def __truediv__(self, name: str | PurePath) -> "Address":
        """What has a name below it."""
        return replace(self, path="/".join(part for part in (self.path.rstrip("/"), PurePath(name).as_posix()) if part))

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self.path).name

    @property
    def suffix(self) -> str:
        """What its name ends in, like ``.csv``."""
        return PurePosixPath(self.path).suffix

    @property
    def parent(self) -> "Address":
        """The folder that it is in."""
        return replace(self, path=self.path.rstrip("/").rpartition("/")[0])

    @property
    def is_folder(self) -> bool:
        """Whether it is written as a folder is."""
        return not self.path or self.path.endswith("/")

    @property
    def public_host(self) -> str:
        """The host without a password; what stands before an @ is a container where the store is Azure's."""
        user, at, host = self.host.rpartition("@")
        return f"{user}@{host}" if at and self.scheme.startswith("abfs") and ":" not in user else host

    @property
    def key(self) -> tuple[str, str, str]:
        """What two addresses share that are one object."""
        return self.scheme, self.public_host, self.path.rstrip("/")

    def is_in(self, folder: "Address") -> bool:
        """Whether it is a folder, or lies below it."""
        *store, path = folder.key
        return self.key[:2] == tuple(store) and (not path or f"{self.key[2]}/".startswith(f"{path}/"))


# Both have `/`, `name`, `parent`, `suffix`, and a text that may be shown.
Place: TypeAlias = Path | Address


def place_of(text: str) -> Place:
    """Return the place that a user names: a path, or an address like s3://bucket/scores/."""
    scheme, sign, _ = text.partition("://")
    return Address.of(text) if sign and is_store(scheme.lower()) else Path(text)


def size_of(place: Place) -> int | None:
    """How many bytes a file has; None where there is none.

    Raises
    ------
    OSError
        If it cannot be seen.
    """
    if isinstance(place, Path):
        return place.stat().st_size if place.is_file() else None
    found = info(place)
    return None if found is None else found.size


def is_there(place: Place) -> bool:
    """Whether a file is there.

    Raises
    ------
    OSError
        If it cannot be seen.
    """
    return size_of(place) is not None


@dataclass(frozen=True)
class Listed:
    """An object, as a listing has it.

    Attributes
    ----------
    address : Address
        Where it is.
    size : int
        Bytes.
    moment : str
        When it was written, to the second: headers of S3 know no finer time.
    """

    address: Address
    size: int
    moment: str


def is_store(scheme: str | None) -> bool:
    """Whether addresses with a scheme are of a store that is read: by pyarrow, or by a driver of fsspec."""
    if scheme is None or scheme in NO_STORES:
        return False
    if scheme in OF_ARROW:
        return True
    from fsspec.registry import known_implementations, registry

    return scheme in known_implementations or scheme in registry


def info(address: Address) -> Listed | None:
    """Look at an object; None where there is none, or a folder.

    Raises
    ------
    StoreError
        If the store cannot say.
    """
    import pyarrow.fs as pa_fs

    system, path = _at(address)
    with errors_of(address):
        found = system.get_file_info(path)
    return _listed(address, found) if found.type == pa_fs.FileType.File else None


def objects_below(address: Address) -> list[Listed]:
    """List all objects whose names begin with that of a folder, in the order of their names.

    Raises
    ------
    StoreError
        If the store cannot say.
    """
    import pyarrow.fs as pa_fs

    system, path = _at(address)
    selector = pa_fs.FileSelector(path.rstrip("/"), recursive=True, allow_not_found=bool(address.path.strip("/")))
    with errors_of(address):
        found = system.get_file_info(selector)
    n_before = len(path.rstrip("/")) + 1
    listed = [
        _listed(address / each.path[n_before:], each)
        for each in found
        # Consoles write objects without a byte for folders.
        if each.type == pa_fs.FileType.File and not each.path.endswith("/")
    ]
    return sorted(listed, key=lambda one: one.address.path.split("/"))


def open_object(address: Address) -> "pa.NativeFile":
    """Open an object for reading ranges of it.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    system, path = _at(address)
    with errors_of(address):
        return system.open_input_file(path)


def stamp_of(address: Address, opened: "pa.NativeFile") -> str:
    """What changes when an object is written again: its ETag, or its size and time."""
    with errors_of(address):
        with contextlib.suppress(NotImplementedError):
            tag = opened.metadata().get("ETag")
            if tag:
                return bytes(tag).decode()
        driver = _driver_of(address)
        if driver is not None:
            system, path = driver
            system.invalidate_cache()
            return str(system.ukey(path))
    found = info(address)
    return "" if found is None else f"{found.size} {found.moment}"


def read_object(address: Address) -> bytes:
    """Return all bytes of an object.

    Raises
    ------
    FileNotFoundError
        If there is none.
    StoreError
        If it cannot be read.
    """
    system, path = _at(address)
    with errors_of(address), system.open_input_file(path) as stream:
        return bytes(stream.read())


def write_object(address: Address, stream: BinaryIO) -> None:
    """Write an object, whole or not at all.

    Parameters
    ----------
    address : Address
        Where it goes; one that is there is replaced.
    stream : binary file
        All of its bytes, which are read from where it stands.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    driver = _driver_of(address)
    with errors_of(address):
        if driver is not None:
            system, path = driver
            if system.protocol == "memory" or "memory" in system.protocol:
                system.makedirs(path.rpartition("/")[0], exist_ok=True)
            # What is not whole is never committed.
            with system.transaction, system.open(path, "wb") as file:
                shutil.copyfileobj(stream, file, COPIED_BYTES)
            return
        arrow, path = _at(address)
        _upload(arrow.open_output_stream(path, compression=None), stream)


def delete_object(address: Address) -> None:
    """Delete an object; without effect where there is none.

    Raises
    ------
    StoreError
        If it cannot be deleted.
    """
    system, path = _at(address)
    with contextlib.suppress(FileNotFoundError), errors_of(address):
        system.delete_file(path)


def delete_folder(address: Address) -> None:
    """Delete a folder and all below it; without effect where there is none.

    Raises
    ------
    ValueError
        If it is a whole bucket.
    StoreError
        If it cannot be deleted.
    """
    if not address.path.strip("/"):
        raise ValueError(f"{address} is a whole bucket")
    system, path = _at(address)
    with contextlib.suppress(FileNotFoundError), errors_of(address):
        system.delete_dir(path.rstrip("/"))


def check_bucket(address: Address) -> None:
    """Refuse early a place where nothing can be listed: no such bucket, no permission, no network.

    Raises
    ------
    StoreError
        If that is so.
    """
    import pyarrow.fs as pa_fs

    system, path = _at(replace(address, path=""))
    if address.scheme in OF_ARROW and _driver_of(address) is None:
        with errors_of(address):
            if system.get_file_info(path.rstrip("/") or "/").type == pa_fs.FileType.NotFound:
                raise StoreError(f"there is no such bucket, {address.public_host}. Check its name")


@contextmanager
def errors_of(address: Address) -> Iterator[None]:
    """Say in a few words what a store refused, which may be an error of any class.

    Raises
    ------
    FileNotFoundError
        If there is no such object.
    StoreError
        For all else.
    """
    try:
        yield
    except (StoreError, InputError):
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{address} does not exist. Check the address") from error
    except Exception as error:
        raise StoreError(reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """Say why, and what to do, without identifiers of requests.

    Examples
    --------
    >>> reason_of(OSError("When listing: AWS Error ACCESS_DENIED during ListObjectsV2 operation: (Request ID: x)"))
    'no permission. Check the credentials, and what they allow'
    """
    shown = " ".join(str(error).split())
    return known_reason(error) or f"{NOISE.sub('', shown)[:200]}. Check the address and the credentials"


def known_reason(error: Exception) -> str | None:
    """Say why, and what to do, where it is one of the errors that stores have; None for others."""
    text = f"{type(error).__name__}: {error}"
    return next((reason for pattern, reason in REASONS if re.search(pattern, text, re.IGNORECASE)), None)


def _listed(address: Address, found: "pa_fs.FileInfo") -> Listed:
    return Listed(address, found.size or 0, "" if found.mtime is None else f"{found.mtime:%Y-%m-%dT%H:%M:%S}")


def _upload(target: "pa.NativeFile", stream: BinaryIO) -> None:
    try:
        while block := stream.read(COPIED_BYTES):
            target.write(block)
        target.close()
    except BaseException:
        # When nothing refers to it, pyarrow would complete an object that is not whole.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(target))
        raise


def _at(address: Address) -> "tuple[pa_fs.FileSystem, str]":
    """The file system of an address, and the path in it."""
    system, base = _system_of(address.scheme, address.host, address.options, os.getpid())
    return system, "/".join(part for part in (base, address.path) if part) if base != "/" else f"/{address.path}"


def _driver_of(address: Address) -> tuple[Any, str] | None:
    """The file system of fsspec behind an address, and the path in it; None where it is one of pyarrow."""
    import pyarrow.fs as pa_fs

    system, path = _at(address)
    if not isinstance(system, pa_fs.PyFileSystem):
        return None
    return system.handler.fs, path


@functools.lru_cache(maxsize=64)
def _system_of(scheme: str, host: str, options: str, _process: int) -> "tuple[pa_fs.FileSystem, str]":
    """Connect to a store: anew in a forked process, which has none of the threads of the connection."""
    address = Address(scheme, host, "", options)
    with errors_of(address):
        if scheme == "s3":
            return _s3(host, dict(urllib.parse.parse_qsl(options)))
        if scheme in OF_ARROW:
            import pyarrow as pa
            import pyarrow.fs as pa_fs

            with contextlib.suppress(ImportError, NotImplementedError, pa.ArrowNotImplementedError):
                system, base = pa_fs.FileSystem.from_uri(f"{scheme}://{host}{f'?{options}' if options else ''}")
                return system, base or "/"
        return _fsspec(address)


def _s3(host: str, options: dict[str, str]) -> "tuple[pa_fs.FileSystem, str]":
    import pyarrow.fs as pa_fs

    user, _, bucket = host.rpartition("@")
    access, _, secret = map(urllib.parse.unquote, user.partition(":"))
    endpoint = options.pop("endpoint_override", None) or options.pop("endpoint_url", None)
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    scheme = options.pop("scheme", None)
    if endpoint is not None and "://" in endpoint:
        named, _, endpoint = endpoint.rstrip("/").partition("://")
        scheme = scheme or named
    region = options.pop("region", None) or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and endpoint is None:
        with contextlib.suppress(OSError):
            region = pa_fs.resolve_s3_region(bucket)
    known = {"access_key": access or None, "secret_key": secret or None}
    for name in ("access_key", "secret_key", "session_token"):
        known[name] = options.pop(name, None) or known.get(name)
    anonymous = options.pop("anonymous", "false").lower() in ("true", "1", "yes")
    if options:
        raise StoreError(
            f"its option '{next(iter(options))}' is not known; expected endpoint_override, region, scheme, anonymous, "
            "access_key, secret_key or session_token. Leave it out"
        )
    system = pa_fs.S3FileSystem(
        anonymous=anonymous,
        region=region,
        scheme=scheme,
        endpoint_override=endpoint,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        # Parts that wait would stand in memory.
        background_writes=False,
        allow_delayed_open=True,
        retry_strategy=pa_fs.AwsStandardS3RetryStrategy(max_attempts=MAX_ATTEMPTS),
        **known,
    )
    return system, bucket


def _fsspec(address: Address) -> "tuple[pa_fs.FileSystem, str]":
    import fsspec
    import pyarrow.fs as pa_fs
    from fsspec.registry import known_implementations

    try:
        options = dict(urllib.parse.parse_qsl(address.options))
        system, base = fsspec.core.url_to_fs(f"{address.scheme}://{address.host}", **options)
    except (ImportError, ValueError) as error:
        _refuse_driver(address.scheme, str(known_implementations.get(address.scheme, {}).get("err", error)), error)
    system.invalidate_cache()
    return pa_fs.PyFileSystem(pa_fs.FSSpecHandler(system)), base.rstrip("/")


def _refuse_driver(scheme: str, reason: str, error: Exception) -> NoReturn:
    found = INSTALL.search(reason)
    remedy = (
        f"Install it: python -m pip install {found[1]}" if found else f"Install a driver of fsspec for it ({reason})"
    )
    raise StoreError(f"{scheme}:// takes a driver that is not installed. {remedy}") from error
