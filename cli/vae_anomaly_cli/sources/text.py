"""Files of text: which encoding they are in, whether they can be read as such, and where not."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource
from vae_anomaly_cli.sources.compression import ZIP_MAGIC
from vae_anomaly_cli.sources.encodings import UTF8, WINDOWS, check_encoding, encoding_of_head, find_undecodable

OLD_OFFICE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
DOCUMENTS = {
    b"%PDF-": "a PDF",
    b"{\\rtf": "a document of RTF",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
}
SQLITE_MAGIC = b"SQLite format 3\0"
BLOCK_BYTES = 1 << 20
TAIL_BYTES = 1 << 16
QUOTE, LINE_FEED = ord('"'), ord("\n")


def as_utf8(source: ByteSource, encoding: str | None, warn: Callable[[str], None]) -> ByteSource:
    """Find out in which encoding a file is, as far as its beginning tells.

    Parameters
    ----------
    source : ByteSource
        Its bytes.
    encoding : str or None
        What the user says.
    warn : callable
        Is called with what the user should know.
    """
    if encoding is not None:
        name = check_encoding(encoding)
        return dataclasses.replace(source, encoding=UTF8 if name == "utf-8-sig" else name)
    found = encoding_of_head(source.head())
    if found is None:
        return source
    warn(f"{source.name} is read as {found.upper()}; results are written as UTF-8.")
    return dataclasses.replace(source, encoding=found)


def check_text(name: str, head: bytes, expected: str) -> None:
    """Refuse bytes that cannot be text, and say what they look like.

    Parameters
    ----------
    name : str
        How messages call the file.
    head : bytes
        How it begins.
    expected : str
        The format that it should have.
    """
    if head.startswith(ZIP_MAGIC):
        raise InputError(
            f"{name} is an Excel workbook or another office document by its content; expected {expected} text. Use "
            "--format xlsx for a workbook, or save the sheet as CSV (UTF-8)."
        )
    if head.startswith(OLD_OFFICE_MAGIC):
        raise InputError(
            f"{name} is a workbook of an old Excel (.xls) by its content; expected {expected} text. Save it as .xlsx, "
            "or as CSV (UTF-8)."
        )
    document = next((kind for magic, kind in DOCUMENTS.items() if head.startswith(magic)), None)
    if document is not None:
        raise InputError(f"{name} is {document} by its content; expected {expected} text. Save the table as CSV.")
    if head.startswith(SQLITE_MAGIC):
        raise InputError(
            f"{name} is a data base of SQLite; expected {expected} text. Name it as sqlite:///{name}?table=NAME."
        )
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:9].lower().startswith((b"<html", b"<!doctype", b"<table", b"<?xml")):
        raise InputError(
            f"{name} is a page of HTML or XML by its content; expected {expected} text. Save the table as CSV."
        )
    if b"\0" in head:
        raise InputError(
            f"{name} is not text: byte {head.index(0)} is NUL. Expected a {expected} table "
            "in UTF-8; say what it is with --format if the extension misleads."
        )


def checked_utf8(source: ByteSource, warn: Callable[[str], None]) -> ByteSource:
    """Return a file with bytes that are not UTF-8 as one of Western European text, if it is that.

    Raises
    ------
    InputError
        If it is not, with the place of the first bad byte.
    """
    if source.encoding != UTF8:
        return source
    with source.open() as stream:
        found = find_undecodable(stream)
    if found is None:
        return source
    if found.is_windows:
        warn(
            f"{source.name} is not UTF-8 (line {found.line}); read as {WINDOWS} (Western European Windows, Latin-1), "
            f"where that is '{found.example}'. Results are written as UTF-8; --encoding names another."
        )
        return dataclasses.replace(source, encoding=WINDOWS)
    raise InputError(
        f"{source.name} is not UTF-8: byte 0x{found.byte:02x} on line {found.line} (offset {found.offset}). Name its "
        "encoding, like --encoding cp1251, or save it as UTF-8."
    )


@dataclass(frozen=True)
class TextScan:
    """What all bytes of a text say at once.

    Attributes
    ----------
    has_quotes : bool
        Whether a quote occurs.
    may_span_lines : bool
        Whether a line ends where quotes, counted, are open.
    n_repeats : int
        How often a given line occurs again.
    n_bytes : int
        Length in UTF-8.
    n_lines : int
        Line feeds in it.
    tail : bytes
        Its end.
    """

    has_quotes: bool
    may_span_lines: bool
    n_repeats: int
    n_bytes: int
    n_lines: int
    tail: bytes


def scan_text(source: ByteSource, start: int, first_line: int, header: bytes) -> TextScan:
    """Look at all bytes of a text once.

    Parameters
    ----------
    source : ByteSource
        The text.
    start, first_line : int
        Where its rows begin: a byte, and the line that it is on.
    header : bytes
        The line whose repetitions are counted, without its end; may be empty.

    Raises
    ------
    UnicodeDecodeError
        If a byte is not UTF-8.
    InputError
        If a byte is NUL.
    """
    n_bytes = n_lines = n_repeats = 0
    has_quotes = may_span_lines = is_open = False
    carried, tail, line_end = b"", b"", b"\n"
    with source.open() as stream:
        _skip(stream, start)
        while block := stream.read(BLOCK_BYTES):
            if not block.isascii():
                carried = _check_utf8(carried + block)
            elif carried:
                carried.decode("utf-8")
            if b"\0" in block:
                line = first_line + n_lines + block.count(b"\n", 0, block.index(b"\0"))
                raise InputError(
                    f"{source.name} line {line} holds a NUL byte; expected text. Copy it again, or remove the byte."
                )
            if b'"' in block or is_open:
                has_quotes = True
                if not may_span_lines:
                    may_span_lines, is_open = _quotes(block, is_open)
            if header:
                joined = line_end + block
                n_repeats += _count_lines(joined, header)
                # One byte less than what would be counted again.
                line_end = joined[-len(header) - 1 :]
            n_bytes += len(block)
            n_lines += block.count(b"\n")
            tail = (tail + block)[-TAIL_BYTES:] if len(block) < TAIL_BYTES else block[-TAIL_BYTES:]
    if carried:
        carried.decode("utf-8")
    return TextScan(has_quotes, may_span_lines, n_repeats, start + n_bytes, n_lines, tail)


def _skip(stream: BinaryIO, n_bytes: int) -> None:
    while n_bytes:
        part = stream.read(min(n_bytes, BLOCK_BYTES))
        if not part:
            return
        n_bytes -= len(part)


def _check_utf8(text: bytes) -> bytes:
    """Decode all but a character that the block may have cut; return that."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and len(text) - error.start < 4:
            return text[error.start :]
        raise
    return b""


def _count_lines(text: bytes, line: bytes) -> int:
    """How often a line occurs whole."""
    count, at = 0, text.find(b"\n" + line)
    while at != -1:
        end = at + 1 + len(line)
        count += text[end : end + 1] in (b"\n", b"\r")
        at = text.find(b"\n" + line, end)
    return count


def _quotes(block: bytes, is_open: bool) -> tuple[bool, bool]:
    """Whether a line ends within quotes, and whether they are open at the end."""
    import numpy as np

    values = np.frombuffer(block, np.uint8)
    quotes, ends = np.flatnonzero(values == QUOTE), np.flatnonzero(values == LINE_FEED)
    before = np.searchsorted(quotes, ends) + int(is_open)
    return bool((before & 1).any()), bool((len(quotes) + int(is_open)) & 1)
