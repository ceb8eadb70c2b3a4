"""Folders that say what their files hold, like year=2024/month=05: columns of the table."""

import re
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import pyarrow as pa

from vae_anomaly_cli.sources.byte_source import ByteSource
from vae_anomaly_cli.sources.formats import GroupedFile, TableFile

# How Hive and Spark write that a value is missing.
MISSING = "__HIVE_DEFAULT_PARTITION__"
WHOLE = re.compile(r"-?(0[0-9]|0|[1-9][0-9]{0,17})")


@dataclass(frozen=True)
class PartitionedFile:
    """A file with the columns that its folders name besides.

    Attributes
    ----------
    content : TableFile
        What the file itself holds.
    values : tuple of pyarrow.Scalar
        The cell of each further column, the same in all rows.
    schema : pyarrow.Schema
        All columns.
    """

    content: TableFile
    values: tuple[pa.Scalar, ...]
    schema: pa.Schema

    @property
    def source(self) -> ByteSource:
        """Its bytes."""
        return self.content.source

    @property
    def delimiter(self) -> str | None:
        """What separates its cells."""
        return self.content.delimiter

    @property
    def row_index(self) -> str | None:
        """A column without a name that numbers the rows."""
        return self.content.row_index

    @property
    def size(self) -> int:
        """What there is to read."""
        return self.content.size

    @property
    def groups(self) -> tuple[int, ...]:
        """Rows of each of its groups; none where only all of them can be read."""
        return self.content.groups if isinstance(self.content, GroupedFile) else ()

    def of_groups(self, begin: int, end: int) -> "PartitionedFile":
        """Return the file with only some of its groups to read, those before `end`."""
        assert isinstance(self.content, GroupedFile)
        return replace(self, content=self.content.of_groups(begin, end))

    def batches(self, names: list[str], n_rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield rows with how much was read for them."""
        constants = dict(zip(self.schema.names[len(self.content.schema) :], self.values, strict=True))
        own = [name for name in names if name not in constants]
        for cells, size in self.content.batches(own or self.content.schema.names[:1], n_rows):
            columns = [
                pa.repeat(constants[name], cells.num_rows) if name in constants else cells[name] for name in names
            ]
            yield pa.RecordBatch.from_arrays(columns, names=names), size

    def where(self, row: int) -> str:
        """Say where a person finds a row (from 0) of the file."""
        return self.content.where(row)


def with_partitions(files: Sequence[TableFile], relative: Sequence[PurePath]) -> list[TableFile]:
    """Add the columns that folders name, where all files lie in folders with the same ones.

    Parameters
    ----------
    files : sequence of TableFile
        What the files hold.
    relative : sequence of PurePath
        Their names under the directory or pattern that led to them.
    """
    found = [_named_by_folders(path) for path in relative]
    names = list(found[0])
    if not names or any(list(each) != names for each in found):
        return list(files)
    # A column of the files themselves counts.
    names = [name for name in names if not any(name in file.schema.names for file in files)]
    is_whole = {name: _are_whole([each[name] for each in found]) for name in names}
    partitioned: list[TableFile] = []
    for file, each in zip(files, found, strict=True):
        values = tuple(
            _scalar(each[name], is_whole=is_whole[name], is_text=file.delimiter is not None) for name in names
        )
        fields = [pa.field(name, value.type) for name, value in zip(names, values, strict=True)]
        partitioned.append(PartitionedFile(file, values, pa.schema([*file.schema, *fields])) if names else file)
    return partitioned


def _named_by_folders(path: PurePath) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for part in path.parts[:-1]:
        name, sign, value = part.partition("=")
        if sign and name:
            text = urllib.parse.unquote(value)
            found[urllib.parse.unquote(name)] = None if text == MISSING else text
    return found


def _are_whole(values: list[str | None]) -> bool:
    """Whether values are whole numbers, and no codes such as 01234; 05 is a month."""
    return all(value is None or WHOLE.fullmatch(value) for value in values)


def _scalar(value: str | None, *, is_whole: bool, is_text: bool) -> pa.Scalar:
    if is_whole:
        whole = None if value is None else int(value)
        return pa.scalar("" if whole is None else str(whole)) if is_text else pa.scalar(whole, pa.int64())
    return pa.scalar(value or "" if is_text else value, pa.string())
