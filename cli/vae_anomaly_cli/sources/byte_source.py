"""Where the bytes of a table come from: a file, a pipe or the network, plain or compressed, and in which encoding."""

import contextlib
import errno
import io
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from vae_anomaly_cli.console import writable
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.sources.compression import DAMAGED, Wrapped, compression_of, member_name
from vae_anomaly_cli.sources.encodings import UTF8, Transcoded
from vae_anomaly_cli.sources.file_state import FileState
from vae_anomaly_cli.sources.remote import is_remote, open_remote, shown_remote
from vae_anomaly_cli.sources.special_files import check_has_end, open_special, wait_for_data
from vae_anomaly_cli.sources.stored_object import StoredObject

SNIFFED_BYTES = 1 << 16
READ_BYTES = 1 << 20
SPOOLED_BYTES, MAX_UNPACKED_BYTES = 1 << 26, 1 << 30
OPEN_FILES = Path("/proc/self/fd")


class Spool:
    """A temporary file, for its owner alone, that is gone when nothing refers to it any more.

    Where the system allows that it has no name, and is gone even when the process is killed.

    Attributes
    ----------
    stream : binary file
        For writing.
    path : Path
        Opens it for reading, in this process.
    """

    def __init__(self) -> None:
        self.stream = cast(BinaryIO, tempfile.TemporaryFile(prefix="vae-anomaly-"))  # noqa: SIM115 - closed below
        self.path = OPEN_FILES / str(self.stream.fileno())
        try:
            self.path.open("rb").close()
        except OSError:
            # No /proc: what has no name cannot be opened a second time.
            self.stream.close()
            folder = tempfile.mkdtemp(prefix="vae-anomaly-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self.path = Path(folder) / "piped"
            self.stream = self.path.open("xb")
        # The last is called first.
        weakref.finalize(self, self.stream.close)

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "what comes through a pipe cannot be read in other processes. Name a file that all of them can read."
        )


@dataclass(frozen=True)
class ByteSource:
    """Bytes that can be read from the start as often as needed.

    Attributes
    ----------
    name : str
        How messages call it.
    path : Path or None
        The file; None for what came through a pipe.
    spooled : bytes or Spool
        What the pipe held, in a temporary file if it is much; empty for a file.
    encoding : str
        Of text; it is read as UTF-8 whatever it is.
    state : FileState or StoredObject or None
        Of the file before it was read; None for what came through a pipe.
    max_line_bytes : int or None
        No line of text may be longer, in UTF-8; None where nothing is read by lines.
    stored : StoredObject or None
        The object of a store; None for what is in files, or was.
    """

    name: str
    path: Path | None
    spooled: bytes | Spool = b""
    encoding: str = UTF8
    state: FileState | StoredObject | None = None
    max_line_bytes: int | None = None
    stored: StoredObject | None = None

    def check_unchanged(self) -> None:
        """Refuse to go on with a file that changed since it was first looked at.

        Raises
        ------
        InputChanged
            If it did.
        """
        if self.state is not None:
            self.state.check(self.name)

    @property
    def location(self) -> Path | None:
        """The file with the bytes, a temporary one included; None where memory holds them."""
        return self.spooled.path if isinstance(self.spooled, Spool) else self.path

    @property
    def n_bytes(self) -> int:
        """How much there is to read, compressed as it comes."""
        if self.stored is not None:
            return self.stored.size
        if isinstance(self.spooled, bytes) and self.path is None:
            return len(self.spooled)
        assert self.location is not None
        return self.location.stat().st_size

    @property
    def compressed(self) -> bool:
        """Whether what is to be read lies in a compressed file."""
        with self.raw() as raw:
            return compression_of(raw) is not None

    @property
    def inner_name(self) -> str | None:
        """The name of the file inside of a zip archive; None for other files."""
        with self.raw() as raw:
            found = compression_of(raw)
            return member_name(self.name, raw) if found is not None and found.extension == ".zip" else None

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the uncompressed bytes, text as UTF-8, turning failures to read into one clear line."""
        raw = self.raw()
        compression = None
        try:
            compression = compression_of(raw)
            stream = raw
            if compression is not None:
                stream = cast(BinaryIO, io.BufferedReader(Wrapped(compression.open(self.name, raw), raw), READ_BYTES))
            if self.encoding != UTF8:
                stream = cast(BinaryIO, io.BufferedReader(Transcoded(self.name, stream, raw, self.encoding)))
            if self.max_line_bytes is not None:
                limited = ShortLines(stream, raw, self.max_line_bytes, self._too_long)
                stream = cast(BinaryIO, io.BufferedReader(limited, READ_BYTES))
            yield stream
        except DAMAGED as error:
            kind = "file" if compression is None else f"{compression.name} file"
            raise InputError(f"{self.name} is a damaged or truncated {kind} ({error}). Copy it again.") from error
        except OSError as error:
            if compression is not None and error.errno is None:
                raise InputError(
                    f"{self.name} is a damaged or truncated {compression.name} file ({error}). Copy it again."
                ) from error
            raise InputError(f"{self.name} cannot be read: {error.strerror or error}.") from error
        finally:
            raw.close()

    def _too_long(self, start: int) -> InputError:
        """Name a line that begins at an offset, and its length; it is not kept in memory."""
        line, length = 1, 0
        with replace(self, max_line_bytes=None).open() as stream:
            while start and (block := stream.read(min(start, READ_BYTES))):
                start -= len(block)
                line += block.count(b"\n")
            while block := stream.read(READ_BYTES):
                end = first_line_end(block)
                length += len(block) if end < 0 else end
                if end >= 0:
                    break
        return InputError(
            f"{self.name} line {line} has {length:,} bytes; expected lines of at most {self.max_line_bytes or 0:,} "
            "bytes, as one is in memory as a whole. Look there for line ends that are lost, or leave out the column "
            "that is so long."
        )

    def unpacked(self) -> bytes:
        """Return all bytes, where a format needs them at once.

        Raises
        ------
        InputError
            If there are too many.
        """
        with self.open() as stream:
            content = stream.read(MAX_UNPACKED_BYTES + 1)
        if len(content) > MAX_UNPACKED_BYTES:
            raise InputError(
                f"{self.name} holds more than {MAX_UNPACKED_BYTES >> 20:,} MiB, which would be unpacked into memory as "
                "a whole; a file that is not compressed is read part by part. Unpack it first."
            )
        return content

    def head(self) -> bytes:
        """Return the first bytes, uncompressed: enough to tell a format."""
        with replace(self, max_line_bytes=None).open() as stream:
            return stream.read(SNIFFED_BYTES)

    def raw(self) -> BinaryIO:
        """Open the bytes as they are stored."""
        if self.stored is not None:
            return self.stored.stream()
        if self.location is None:
            assert isinstance(self.spooled, bytes)
            return io.BytesIO(self.spooled)
        try:
            return self.location.open("rb")
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror}.") from error


class ShortLines(Wrapped):
    """Text that is refused where a line is too long, before anybody has collected all of it.

    Parameters
    ----------
    inner, origin : binary file
        The text, and the file that it comes from.
    limit : int
        Bytes that a line may have.
    refusal : callable
        Makes the error of the offset at which a line begins.
    """

    def __init__(self, inner: BinaryIO, origin: BinaryIO, limit: int, refusal: Callable[[int], InputError]) -> None:
        super().__init__(inner, origin)
        self.limit, self.refusal = limit, refusal
        self.position = self.start = 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        # No more at once than a line may have: one that is too long is in more than one part.
        block = self.inner.read(min(len(buffer), self.limit, READ_BYTES))
        size, end = len(block), first_line_end(block)
        buffer[:size] = block
        if self.position + (size if end < 0 else end) - self.start > self.limit:
            raise self.refusal(self.start)
        if end >= 0:
            self.start = self.position + max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
        self.position += size
        return size


def first_line_end(block: bytes) -> int:
    """Where the first line feed or carriage return is; -1 where there is none."""
    found = block.find(b"\n")
    return found if (other := block.find(b"\r", 0, found if found >= 0 else len(block))) < 0 else other


def bytes_read(stream: BinaryIO) -> int:
    """How many bytes, compressed as they come, have been read of an open source."""
    raw: BinaryIO | io.RawIOBase = stream.raw if isinstance(stream, io.BufferedReader) else stream
    origin = raw.origin if isinstance(raw, Wrapped) else raw
    return 0 if origin.closed else origin.tell()


def open_bytes(data: str) -> ByteSource:
    """Find one input: the path of a file, an address on the network, or `-` for standard input.

    Raises
    ------
    InputError
        If nothing can be read there, or what is there has no end.
    """
    if data == "-":
        return _standard_input()
    if is_remote(data):
        with open_remote(data) as stream:
            return _spooled(shown_remote(data), lambda: stream.read(READ_BYTES))
    path = Path(data)
    if not path.exists():
        raise InputError(f"{data} does not exist. Check the path ('-' reads standard input).")
    if path.is_file():
        return ByteSource(writable(data), path)
    try:
        with open_special(data, path) as stream:
            return _spooled(writable(data), _heard(stream.fileno(), lambda: stream.read(READ_BYTES)))
    except OSError as error:
        raise InputError(f"{data} cannot be read: {error.strerror or error}.") from error


def _standard_input() -> ByteSource:
    name = "standard input"
    try:
        descriptor = None
        with contextlib.suppress(io.UnsupportedOperation):
            descriptor = sys.stdin.fileno()
            check_has_end(name, descriptor)
        # A little at a time, so that Ctrl-C is noticed in between.
        pipe = cast(io.BufferedReader, sys.stdin.buffer)
        return _spooled(name, _heard(descriptor, lambda: pipe.read1(READ_BYTES)))
    except OSError as error:
        why = "it is closed" if error.errno == errno.EBADF else error.strerror or error
        raise InputError(f"{name} cannot be read: {why}. Name a file, or pipe the table.") from error


def _heard(descriptor: int | None, read: Callable[[], bytes]) -> Callable[[], bytes]:
    """Let a read begin only when it need not wait; without a descriptor it never does."""

    def read_at_once() -> bytes:
        if descriptor is not None:
            wait_for_data(descriptor)
        return read()

    return read_at_once


def _spooled(name: str, read: Callable[[], bytes]) -> ByteSource:
    """Keep what a pipe holds, because it cannot be read twice."""
    parts, size = [], 0
    for part in iter(read, b""):
        parts.append(part)
        size += len(part)
        if size > SPOOLED_BYTES:
            break
    else:
        return ByteSource(name, None, b"".join(parts))
    try:
        spool = Spool()
        spool.stream.writelines(parts)
        parts.clear()
        spool.stream.writelines(iter(read, b""))
        spool.stream.flush()
    except OSError as error:
        raise CommandError(
            f"{name} does not fit into {tempfile.gettempdir()}: {error.strerror or error}. Free space there, or name "
            "another directory with TMPDIR."
        ) from error
    return ByteSource(name, None, spool)
