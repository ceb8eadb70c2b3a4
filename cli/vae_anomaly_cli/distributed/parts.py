"""The parts of an input: whole files, and row groups of large Parquet files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.output.pieces import name_of_piece
from vae_anomaly_cli.sources import TableSource

# Of larger files that have row groups, parts of about so many rows are scored apart.
PART_ROWS = 1 << 20


@dataclass(frozen=True)
class Part:
    """Rows of one file that are scored together, and become one file of results.

    Attributes
    ----------
    index : int
        Which of the parts of the input it is, from 0.
    file : int
        Index of its file.
    groups : tuple of int or None
        Its row groups, from the first to before the last; None for the whole file.
    relative : PurePath
        Name of its file of results, under the folder of results.
    n_rows : int or None
        How many rows, where the format says so before they are read.
    """

    index: int
    file: int
    groups: tuple[int, int] | None
    relative: PurePath
    n_rows: int | None = None


def parts_of(source: TableSource, part_rows: int) -> tuple[Part, ...]:
    """Cut an input into parts, by what it is alone: whoever scores which of them, they are the same.

    Parameters
    ----------
    source : TableSource
        The input.
    part_rows : int
        About how many rows of a larger file make a part, where its format has row groups.
    """
    parts: list[Part] = []
    for index, file in enumerate(source.files):
        groups = source.groups(index)
        ranges = _ranges(groups, part_rows)
        for number, found in enumerate(ranges, start=1):
            relative = name_of_piece(file.relative, number, len(ranges))
            n_rows = (sum(groups[slice(*found)]) if found is not None else sum(groups)) if groups else None
            parts.append(Part(len(parts), index, found, relative, n_rows))
    return tuple(parts)


def _ranges(groups: Sequence[int], part_rows: int) -> list[tuple[int, int] | None]:
    """Row groups that follow one another, each range of about as many rows; None for all of them."""
    n_parts = min(len(groups), -(-sum(groups) // part_rows))
    if n_parts < 2:
        return [None]
    ranges: list[tuple[int, int] | None] = []
    begin = n_before = n_rows = 0
    for end, n_in_group in enumerate(groups, start=1):
        n_rows += n_in_group
        if n_rows * n_parts >= sum(groups) * (len(ranges) + 1) and n_rows > n_before:
            ranges.append((begin, end))
            begin, n_before = end, n_rows
    if begin < len(groups):
        last = ranges[-1]
        assert last is not None
        ranges[-1] = (last[0], len(groups))
    return ranges


@dataclass(frozen=True)
class Shard:
    """Which share of the parts one machine scores.

    Attributes
    ----------
    number, n_shards : int
        The share, from 1, and how many there are.
    """

    number: int
    n_shards: int

    @classmethod
    def of(cls, text: str) -> "Shard":
        """Read a share like 2/4.

        Raises
        ------
        InputError
            If it is none.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if found is not None and 1 <= int(found[1]) <= int(found[2]):
            return cls(int(found[1]), int(found[2]))
        raise InputError(f"--shard {text[:20]}: expected a share like 2/4, the second of four, from 1/4 to 4/4.")

    def __str__(self) -> str:
        return f"{self.number}/{self.n_shards}"

    def of_parts(self, parts: Sequence[Part]) -> Sequence[Part]:
        """The parts of this share: as many as in the others, or one less or more, that follow one another."""
        begin, end = (len(parts) * number // self.n_shards for number in (self.number - 1, self.number))
        return parts[begin:end]
