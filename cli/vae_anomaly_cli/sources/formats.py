"""The table of formats: what each is called, how it is recognised, and which module reads and writes it.

A new format is a module with `open_file` and `open_writer`, and an entry of `FORMATS`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource
from vae_anomaly_cli.sources.text import check_text

if TYPE_CHECKING:
    import pyarrow as pa

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Of Arrow streams: what follows is the length of the schema.
ARROW_STREAM = b"\xff\xff\xff\xff"


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
    def size(self) -> int:
        """What there is to read, in the units of `batches`."""

    def batches(self, names: list[str], n_rows: int, /) -> "Iterator[tuple[pa.RecordBatch, int]]":
        """Yield rows of some columns, about so many at a time, with how much was read for them."""

    def where(self, row: int, /) -> str:
        """Say where a person finds a row (from 0), like ``line 5``."""


class TableWriter(Protocol):
    """Writes a table batch by batch."""

    def write(self, batch: "pa.RecordBatch", /) -> None:
        """Append rows."""

    def close(self) -> None:
        """Write what follows the last row."""


class Codec(Protocol):
    """The module of a format."""

    def open_file(self, source: ByteSource, delimiters: str, /) -> TableFile:
        """Read the columns; of several delimiters, the one that the header has."""

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

    @property
    def delimiter(self) -> str:
        """What separates cells where nothing says otherwise."""
        return self.delimiters[:1] or ","

    @property
    def piped(self) -> "Format":
        """The format of results on standard output: this one, and CSV for what is no text."""
        return self if self.text else FORMATS["csv"]

    def begins(self, head: bytes) -> bool:
        """Whether a file begins as those of this format do."""
        start = head.removeprefix(BYTE_ORDER_MARK).lstrip() if self.text else head
        return start.startswith(self.magic)

    def open(self, source: ByteSource, delimiter: str | None = None) -> TableFile:
        """Read the columns of a file.

        Parameters
        ----------
        source : ByteSource
            Its bytes.
        delimiter : str, optional
            What separates cells; found in the header by default.

        Raises
        ------
        InputError
            If it is no table of this format.
        """
        if delimiter is not None and not self.delimiters:
            takers = " and ".join(table_format.title for table_format in FORMATS.values() if table_format.delimiters)
            raise InputError(f"--delimiter is for {takers}; {source.name} is {self.name}.")
        head = source.head()
        if not head.strip():
            raise InputError(f"{source.name} is empty; expected a table in {self.name}.")
        for other in FORMATS.values():
            if other is not self and not other.text and other.begins(head):
                raise InputError(f"{source.name} is a file of {other.title} by its content. Use --format {other.name}.")
        if self.text:
            check_text(source.name, head, self.name)
        return self.codec().open_file(source, delimiter or self.delimiters)


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


FORMATS = {
    entry.name: entry
    for entry in (
        Format("csv", "CSV", (".csv",), _delimited, typed=False, delimiters=",\t;|"),
        Format("tsv", "TSV", (".tsv", ".tab"), _delimited, typed=False, delimiters="\t"),
        Format("jsonl", "JSON Lines", (".jsonl", ".ndjson"), _jsonl, magic=(b"{",), optional_columns=True),
        Format("parquet", "Parquet", (".parquet", ".pq"), _parquet, magic=(b"PAR1",), text=False),
        Format(
            "arrow", "Arrow", (".arrow", ".feather", ".ipc", ".arrows"), _arrow, (b"ARROW1", ARROW_STREAM), text=False
        ),
    )
}


def _listed_extensions() -> str:
    """The usual extension of each format, for people."""
    texts = [entry.extensions[0] for entry in FORMATS.values() if entry.text]
    *binaries, last = [entry.extensions[0] for entry in FORMATS.values() if not entry.text]
    return ", ".join([*texts[:-1], f"{texts[-1]} (each also .gz)", *binaries]) + f" or {last}"


EXTENSIONS = _listed_extensions()


def format_of_name(path: Path) -> tuple[Format | None, bool]:
    """Tell a table format, and whether it is gzipped, from a file name."""
    name = path.name.lower()
    gzipped = name.endswith(".gz")
    extension = Path(name.removesuffix(".gz")).suffix
    for entry in FORMATS.values():
        if extension in entry.extensions and (entry.text or not gzipped):
            return entry, gzipped
    return None, gzipped


def sniff_format(source: ByteSource) -> Format:
    """Tell the format from the file name, or from the bytes of a pipe."""
    if source.path is not None:
        named, _ = format_of_name(source.path)
        if named is None:
            extension = "".join(source.path.suffixes[-2:]) or "no extension"
            raise InputError(
                f"{source.name} has an extension that is not known ({extension}); expected "
                f"{EXTENSIONS}. Say what it is with --format {'|'.join(FORMATS)}."
            )
        return named
    head = source.head()
    return next((entry for entry in FORMATS.values() if entry.magic and entry.begins(head)), FORMATS["csv"])
