"""Where the bytes of a table come from: a file or standard input, plain or gzipped."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, cast

from vae_anomaly_cli.errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"
ZIP_MAGIC = b"PK\x03\x04"
SNIFFED_BYTES = 1 << 16
PIECE_BYTES = 1 << 20


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


@dataclass(frozen=True)
class Source:
    """Bytes that can be read from the start as often as needed.

    Attributes
    ----------
    name : str
        How messages call it.
    path : Path or None
        The file; None for standard input.
    spooled : bytes
        What standard input held; empty for a file.
    """

    name: str
    path: Path | None
    spooled: bytes = b""

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
        if self.path is None:
            return io.BytesIO(self.spooled)
        try:
            return self.path.open("rb")
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror}.") from error


def open_source(data: str) -> Source:
    """Find the input: a path, or `-` for standard input."""
    if data == "-":
        # Kept whole, because a pipe cannot be read twice; piece by piece, so that Ctrl-C is heard in between.
        pipe = cast(io.BufferedReader, sys.stdin.buffer)
        return Source("standard input", None, b"".join(iter(lambda: pipe.read1(PIECE_BYTES), b"")))
    path = Path(data)
    if path.is_dir():
        raise InputError(f"{data} is a directory; expected a table: {EXTENSIONS}.")
    if not path.exists():
        raise InputError(f"{data} does not exist. Check the path ('-' reads standard input).")
    if not path.is_file():
        with path.open("rb") as stream:
            return Source(data, None, stream.read())
    return Source(data, path)


def sniff_format(source: Source) -> Format:
    """Tell the format from the file name, or from the bytes of standard input."""
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


def same_file(source: Source, path: Path) -> bool:
    """Whether an output path is the input file itself, links followed."""
    return source.path is not None and path.exists() and source.path.samefile(path)
