"""Where the bytes of a table come from: a file or a pipe, plain or gzipped."""

import gzip
import io
import shutil
import sys
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, cast

from vae_anomaly_cli.errors import CommandError, InputError

GZIP_MAGIC = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"
ZIP_MAGIC = b"PK\x03\x04"
SNIFFED_BYTES = 1 << 16
PIECE_BYTES = 1 << 20
SPOOLED_BYTES = 1 << 26


class Format(StrEnum):
    """The table formats that the command reads and writes."""

    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    JSONL = "jsonl"


FORMATS_BY_EXTENSION = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
}
EXTENSIONS = ".csv, .tsv, .jsonl (each also .gz) or .parquet"


def format_of_name(path: Path) -> tuple[Format | None, bool]:
    """Tell a table format, and whether it is gzipped, from a file name."""
    name = path.name.lower()
    gzipped = name.endswith(".gz")
    extension = Path(name.removesuffix(".gz")).suffix
    table_format = FORMATS_BY_EXTENSION.get(extension)
    if gzipped and table_format is Format.PARQUET:
        return None, True
    return table_format, gzipped


class Spool:
    """A temporary file that is gone when nothing refers to it any more."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="vae-anomaly-")
        self.path = Path(folder) / "piped"
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)


@dataclass(frozen=True)
class Source:
    """Bytes that can be read from the start as often as needed.

    Attributes
    ----------
    name : str
        How messages call it.
    path : Path or None
        The file; None for what came through a pipe.
    spooled : bytes or Spool
        What the pipe held, in a temporary file if it is much; empty for a file.
    """

    name: str
    path: Path | None
    spooled: bytes | Spool = b""

    @property
    def location(self) -> Path | None:
        """The file with the bytes, a temporary one included; None where memory holds them."""
        return self.spooled.path if isinstance(self.spooled, Spool) else self.path

    @property
    def n_bytes(self) -> int:
        """How much there is to read, compressed as it comes."""
        if isinstance(self.spooled, bytes) and self.path is None:
            return len(self.spooled)
        assert self.location is not None
        return self.location.stat().st_size

    @property
    def gzipped(self) -> bool:
        """Whether the bytes are gzip's."""
        with self._raw() as raw:
            return raw.read(2) == GZIP_MAGIC

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the uncompressed bytes, turning failures to read into one clear line."""
        raw = self._raw()
        try:
            gzipped = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            # GzipFile is a complete binary stream although its type is not declared as one.
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if gzipped else raw
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{self.name} is a damaged or truncated gzip file ({error}). Copy it again.") from error
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror or error}.") from error
        finally:
            raw.close()

    def head(self) -> bytes:
        """Return the first bytes, uncompressed: enough to tell a format."""
        with self.open() as stream:
            return stream.read(SNIFFED_BYTES)

    def _raw(self) -> BinaryIO:
        if self.location is None:
            assert isinstance(self.spooled, bytes)
            return io.BytesIO(self.spooled)
        try:
            return self.location.open("rb")
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror}.") from error


def position(stream: BinaryIO) -> int:
    """How many bytes, compressed as they come, have been read of an open source."""
    raw = stream.fileobj if isinstance(stream, gzip.GzipFile) else stream
    return 0 if raw is None or raw.closed else raw.tell()


def open_source(data: str) -> Source:
    """Find one input: the path of a file, or `-` for standard input."""
    if data == "-":
        # Piece by piece, so that Ctrl-C is heard in between.
        pipe = cast(io.BufferedReader, sys.stdin.buffer)
        return _spooled("standard input", lambda: pipe.read1(PIECE_BYTES))
    path = Path(data)
    if not path.exists():
        raise InputError(f"{data} does not exist. Check the path ('-' reads standard input).")
    if not path.is_file():
        with path.open("rb") as stream:
            return _spooled(data, lambda: stream.read(PIECE_BYTES))
    return Source(data, path)


def _spooled(name: str, read: Callable[[], bytes]) -> Source:
    """Keep what a pipe holds, because it cannot be read twice."""
    pieces, size = [], 0
    for piece in iter(read, b""):
        pieces.append(piece)
        size += len(piece)
        if size > SPOOLED_BYTES:
            break
    else:
        return Source(name, None, b"".join(pieces))
    try:
        spool = Spool()
        with spool.path.open("wb") as stream:
            stream.writelines(pieces)
            pieces.clear()
            stream.writelines(iter(read, b""))
    except OSError as error:
        raise CommandError(
            f"{name} does not fit into {tempfile.gettempdir()}: {error.strerror or error}. Free space there, or name "
            "another directory with TMPDIR."
        ) from error
    return Source(name, None, spool)


def sniff_format(source: Source) -> Format:
    """Tell the format from the file name, or from the bytes of a pipe."""
    if source.path is not None:
        named, _ = format_of_name(source.path)
        if named is None:
            extension = "".join(source.path.suffixes[-2:]) or "no extension"
            raise InputError(
                f"{source.name} has an extension that is not known ({extension}); expected "
                f"{EXTENSIONS}. Say what it is with --format csv|tsv|jsonl|parquet."
            )
        return named
    head = source.head()
    if head.startswith(PARQUET_MAGIC):
        return Format.PARQUET
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return Format.JSONL if text.startswith(b"{") else Format.CSV


def check_text(source: Source, head: bytes, expected: Format) -> None:
    """Refuse bytes that cannot be UTF-8 text, and say what they look like."""
    if not head.strip():
        raise InputError(f"{source.name} is empty; expected a table in {expected}.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(
            f"{source.name} is UTF-16 text; expected UTF-8. Save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8."
        )
    if head.startswith(PARQUET_MAGIC):
        raise InputError(f"{source.name} is a Parquet file by its content. Use --format parquet.")
    if head.startswith(ZIP_MAGIC):
        raise InputError(
            f"{source.name} is a zip archive or an Excel workbook; expected {expected} text. "
            "Unpack it, or save the sheet as CSV (UTF-8)."
        )
    if b"\0" in head:
        raise InputError(
            f"{source.name} is not text: byte {head.index(0)} is NUL. Expected a {expected} table "
            "in UTF-8; say what it is with --format if the extension misleads."
        )


def find_undecodable(source: Source) -> str | None:
    """Locate the first byte that is not UTF-8, or return None."""
    offset = 0
    with source.open() as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return (
                    f"{source.name} is not UTF-8: byte 0x{line[error.start]:02x} on line {number} "
                    f"(offset {offset + error.start}). Save it as UTF-8, or convert it from its "
                    "own encoding, for example: iconv -f LATIN1 -t UTF-8."
                )
            offset += len(line)
    return None
