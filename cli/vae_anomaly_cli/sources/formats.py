"""The table of formats: what each is called, how it is recognised, and which module reads and writes it.

A new format is a module with `open_file` and `open_writer`, and an entry of `FORMATS`.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self, runtime_checkable

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource
from vae_anomaly_cli.sources.compression import COMPRESSED_EXTENSIONS, ZIP_MAGIC
from vae_anomaly_cli.sources.encodings import encoding_of_head
from vae_anomaly_cli.sources.given import GivenLayout
from vae_anomaly_cli.sources.remote import is_remote, path_of
from vae_anomaly_cli.sources.text import check_text

if TYPE_CHECKING:
    import pyarrow as pa

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Of Arrow streams: what follows is the length of the schema.
ARROW_STREAM = b"\xff\xff\xff\xff"
SHOWN_CHARACTERS = 40


class TableFile(Protocol):
    """One file with a table, of which the columns are known and the rows are not yet read."""

    @property
    def source(self) -> ByteSource:
        """Its bytes."""

    @property
    def schema(self) -> "pa.Schema":
        """Its columns: text where the format has no types."""

    @property
    def delimiter(self) -> str | None:
        """What separates its cells; None where nothing does."""

    @property
    def row_index(self) -> str | None:
        """A column without a name that numbers the rows, and the name that it got; None if there is none."""

    @property
    def size(self) -> int:
        """What there is to read, in the units of `batches`."""

    def batches(self, names: list[str], n_rows: int, /) -> "Iterator[tuple[pa.RecordBatch, int]]":
        """Yield rows of some columns, about so many at a time, with how much was read for them."""

    def where(self, row: int, /) -> str:
        """Say where a person finds a row (from 0), like ``line 5``."""


@runtime_checkable
class GroupedFile(Protocol):
    """A file of which some rows can be read without those before them."""

    @property
    def groups(self) -> tuple[int, ...]:
        """Number of rows in each group; empty where only all of them can be read."""

    def of_groups(self, begin: int, end: int, /) -> Self:
        """Return the file with only some of its groups to read, those before `end`."""


class TableWriter(Protocol):
    """Writes a table batch by batch."""

    def write(self, batch: "pa.RecordBatch", /) -> None:
        """Append rows."""

    def close(self) -> None:
        """Write what follows the last row."""


class Codec(Protocol):
    """The module of a format."""

    def open_file(
        self, source: ByteSource, delimiters: str, given: GivenLayout, warn: Callable[[str], None], /
    ) -> TableFile:
        """Read the columns; of several delimiters, the one that the first lines have."""

    def open_writer(self, stream: BinaryIO, schema: "pa.Schema", delimiter: str, /) -> TableWriter:
        """Begin a table on an open stream."""


@dataclass(frozen=True)
class Format:
    """A format of tables.

    Attributes
    ----------
    name : str
        The value of --format.
    title : str
        How people call it.
    extensions : tuple of str
        Of file names, the usual one first.
    codec : callable
        Imports the module that reads and writes it; not before it is needed.
    magic : tuple of bytes
        How its files begin, apart from white space in text; empty where anything may stand there.
    text : bool
        Whether it is text in UTF-8, which may be gzipped (.gz) and piped.
    typed : bool
        Whether it says itself what numbers, text and true/false are, and what is missing. Otherwise the cells of a
        column decide; see `cell_reader`.
    delimiters : str
        What may separate cells, the usual one first; empty where nothing does, and --delimiter does not apply.
    optional_columns : bool
        Whether a file may lack columns that others have: its cells are missing.
    options : tuple of str
        Options that say how such files are laid out.
    writable : bool
        Whether results can be written in it; otherwise they are CSV.
    """

    name: str
    title: str
    extensions: tuple[str, ...]
    codec: Callable[[], Codec]
    magic: tuple[bytes, ...] = ()
    text: bool = True
    typed: bool = True
    delimiters: str = ""
    optional_columns: bool = False
    options: tuple[str, ...] = ()
    writable: bool = True

    def __reduce__(self) -> tuple[Callable[[str], "Format"], tuple[str]]:
        """Formats are compared by identity, in other processes, too."""
        return _format_named, (self.name,)

    @property
    def delimiter(self) -> str:
        """What separates cells where nothing says otherwise."""
        return self.delimiters[:1] or ","

    @property
    def written(self) -> "Format":
        """The format of results in files: this one, and CSV for what is only read."""
        return self if self.writable else FORMATS["csv"]

    @property
    def piped(self) -> "Format":
        """The format of results on standard output: this one, and CSV for what is no text."""
        return self if self.text else FORMATS["csv"]

    def begins(self, head: bytes) -> bool:
        """Whether a file begins as those of this format do."""
        start = re.sub(rb"^\[\s+", b"[", head.removeprefix(BYTE_ORDER_MARK).lstrip()) if self.text else head
        return start.startswith(self.magic)

    def open(self, source: ByteSource, given: GivenLayout, warn: Callable[[str], None]) -> TableFile:
        """Read the columns of a file.

        Parameters
        ----------
        source : ByteSource
            Its bytes.
        given : GivenLayout
            What the user says of its layout.
        warn : callable
            Is called with what the user should know of how it is read.

        Raises
        ------
        InputError
            If it is no table of this format.
        """
        for option in given.options:
            if option not in self.options:
                takers = [entry.title for entry in FORMATS.values() if option in entry.options] or ["data bases"]
                raise InputError(f"{option} is for {' and '.join(takers)}; {source.name} is {self.name}.")
        if source.stored is not None and self.name == "parquet":
            # Its footer says all that its head could, and each look at an object takes a request.
            return self.codec().open_file(source, self.delimiter, given, warn)
        head = source.head()
        if not head.strip():
            raise InputError(f"{source.name} is empty; expected a table in {self.name}.")
        for other in FORMATS.values():
            if other is not self and not other.text and other.begins(head):
                raise InputError(f"{source.name} is a file of {other.title} by its content. Use --format {other.name}.")
        if self.text and given.encoding is None and encoding_of_head(head) is None:
            check_text(source.name, head, self.name)
        # In files of text, spaces may separate cells.
        spaces = " " if len(self.delimiters) > 1 and name_of(source).endswith(SPACED_EXTENSIONS) else ""
        return self.codec().open_file(source, given.delimiter or self.delimiters + spaces, given, warn)


def _delimited() -> Codec:
    from vae_anomaly_cli.sources import delimited

    return delimited


def _jsonl() -> Codec:
    from vae_anomaly_cli.sources import jsonl

    return jsonl


def _parquet() -> Codec:
    from vae_anomaly_cli.sources import parquet

    return parquet


def _arrow() -> Codec:
    from vae_anomaly_cli.sources import arrow

    return arrow


def _json() -> Codec:
    from vae_anomaly_cli.sources import json_array

    return json_array


def _excel() -> Codec:
    from vae_anomaly_cli.sources import excel

    return excel


OF_LINES = ("--skip-rows", "--header-row")
OF_TEXT = ("--delimiter", "--encoding", *OF_LINES)
FORMATS = {
    entry.name: entry
    for entry in (
        Format("csv", "CSV", (".csv", ".txt"), _delimited, typed=False, delimiters=",\t;|", options=OF_TEXT),
        Format("tsv", "TSV", (".tsv", ".tab"), _delimited, typed=False, delimiters="\t", options=OF_TEXT),
        Format(
            "jsonl",
            "JSON Lines",
            (".jsonl", ".ndjson"),
            _jsonl,
            magic=(b"{",),
            optional_columns=True,
            options=("--encoding",),
        ),
        Format("json", "JSON", (".json",), _json, (b"[{",), optional_columns=True, options=("--encoding",)),
        Format("parquet", "Parquet", (".parquet", ".pq"), _parquet, magic=(b"PAR1",), text=False),
        Format(
            "arrow", "Arrow", (".arrow", ".feather", ".ipc", ".arrows"), _arrow, (b"ARROW1", ARROW_STREAM), text=False
        ),
        Format(
            "xlsx",
            "Excel",
            (".xlsx", ".xlsm"),
            _excel,
            (ZIP_MAGIC,),
            text=False,
            options=("--sheet-name", *OF_LINES),
            writable=False,
        ),
    )
}
# What a query of a data base gives; it has no files.
DATABASE = Format("sql", "data bases", (), _delimited, text=False, options=("--table", "--query"), writable=False)


def _format_named(name: str) -> Format:
    return DATABASE if name == DATABASE.name else FORMATS[name]


SPACED_EXTENSIONS = (".txt",)
# Names that files beside the data often have, too: in a folder they are tables where nothing else is one.
OFTEN_NO_TABLES = (".json", ".xlsx", ".xlsm", ".zip")
# Notes mostly: tables only where their names, or a pattern, are given.
NO_TABLES_IN_FOLDERS = (".txt",)


def _listed_extensions(entries: list[Format], compressed: str) -> str:
    """The usual extension of each format, for people."""
    texts = [entry.extensions[0] for entry in entries if entry.text]
    *binaries, last = [entry.extensions[0] for entry in entries if not entry.text]
    return ", ".join([*texts[:-1], f"{texts[-1]} (each also {compressed})", *binaries]) + f" or {last}"


EXTENSIONS = _listed_extensions(list(FORMATS.values()), ", ".join(COMPRESSED_EXTENSIONS))
WRITTEN_EXTENSIONS = _listed_extensions([entry for entry in FORMATS.values() if entry.writable], ".gz")


def format_of_name(path: PurePath) -> tuple[Format | None, bool]:
    """Tell a table format, and whether it is gzipped, from a file name."""
    name = path.name.lower()
    gzipped = name.endswith(".gz")
    extension = PurePath(name.removesuffix(".gz")).suffix
    for entry in FORMATS.values():
        if extension in entry.extensions and (entry.text or not gzipped):
            return entry, gzipped
    return None, gzipped


def format_to_read(path: PurePath) -> Format | None:
    """Tell the format of a table from a file name, be it compressed in any way that is read."""
    name = path.name.lower()
    compression = next((each for each in COMPRESSED_EXTENSIONS if name.endswith(each)), "")
    found, _ = format_of_name(PurePath(name.removesuffix(compression)))
    return found if found is None or found.text or not compression else None


def is_surely_table(path: PurePath) -> bool:
    """Whether a name is that of a table, and not also of what often lies beside tables and images."""
    return format_to_read(path) is not None and not path.name.lower().endswith(
        (*OFTEN_NO_TABLES, *NO_TABLES_IN_FOLDERS)
    )


def may_be_table(path: PurePath) -> bool:
    """Whether a file in a folder can be a table by its name, where nothing else there surely is one."""
    name = path.name.lower()
    return (format_to_read(path) is not None or name.endswith(".zip")) and not name.endswith(NO_TABLES_IN_FOLDERS)


def name_of(source: ByteSource) -> str:
    """Return the file name of a source, in small letters: that of an address without its query."""
    if source.stored is not None:
        return source.stored.address.name.lower()
    name = path_of(source.name) if is_remote(source.name) else source.name if source.path is None else source.path.name
    return PurePath(name).name.lower()


def sniff_format(source: ByteSource, warn: Callable[[str], None]) -> Format:
    """Tell the format from the file name, or from the bytes of a pipe; JSON by what it is whatever its name."""
    if source.path is None and source.stored is None and not is_remote(source.name):
        head = text_head(source)
        return next((entry for entry in FORMATS.values() if entry.magic and entry.begins(head)), FORMATS["csv"])
    name = name_of(source)
    named = format_to_read(PurePath(name))
    if named is None and name.endswith(".zip"):
        inner = source.inner_name
        named = None if inner is None else format_to_read(PurePath(inner))
        name = name if inner is None else inner
    if named is None:
        raise _unknown(source, PurePath(name))
    return _by_content(source, named, warn) if named.text else named


def _unknown(source: ByteSource, path: PurePath) -> InputError:
    extension = "".join(path.suffixes[-2:]) or "no extension"
    if path.suffix in (".xls", ".ods"):
        return InputError(
            f"{source.name} has an extension that is not known ({extension}). Save it as .xlsx, or as CSV (UTF-8)."
        )
    return InputError(
        f"{source.name} has an extension that is not known ({extension}); expected "
        f"{EXTENSIONS}. Say what it is with --format {'|'.join(FORMATS)}."
    )


def text_head(source: ByteSource) -> bytes:
    """How a file begins: text as UTF-8."""
    head = source.head()
    encoding = encoding_of_head(head)
    return head if encoding is None else head.decode(encoding, errors="ignore").encode()


def _by_content(source: ByteSource, named: Format, warn: Callable[[str], None]) -> Format:
    """Recognise JSON, as arrays or as lines, under the name of another format of text."""
    head = text_head(source)
    if any(entry.begins(head) for entry in FORMATS.values() if not entry.text):
        return named
    start = head.removeprefix(BYTE_ORDER_MARK).lstrip()
    if not start:
        return named
    first, *others = [line for line in start.splitlines() if line.strip()]
    found = named
    if FORMATS["json"].begins(head):
        found = FORMATS["json"]
    elif start.startswith(b"{") and _is_object(first):
        # One object alone may be a whole document.
        is_document = named.name == "json" and not (others and others[0].lstrip().startswith(b"{"))
        found = FORMATS["json" if is_document else "jsonl"]
    elif start.startswith(b"{") and named.name == "jsonl" and first.strip() == b"{":
        found = FORMATS["json"]
    elif named.name == "json" and not start.startswith((b"{", b"[")):
        begins = first.decode("utf-8", errors="replace")[:SHOWN_CHARACTERS]
        raise InputError(
            f"{source.name} is no JSON: it begins with '{begins}'. Say what it is with --format {'|'.join(FORMATS)}."
        )
    if found is not named:
        warn(f"{source.name} is read as {found.title}, which it is by its content.")
    return found


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
