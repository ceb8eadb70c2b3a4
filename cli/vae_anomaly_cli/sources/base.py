"""What every input of a command is, be it tables or images: batches of rows that a person can find again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vae_anomaly_cli.stores import Address


@dataclass(frozen=True)
class Location:
    """Where a person finds a row.

    Attributes
    ----------
    file : str
        How messages call the file.
    where : str
        The position in it, like ``line 5`` or ``row 5``; empty where the file is one row, as an image is.
    """

    file: str
    where: str


class Batch(Protocol):
    """Consecutive rows of an input."""

    @property
    def first(self) -> int:
        """Index of its first row in the whole input."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    def size(self) -> int:
        """How much of `Source.size` was read for it."""

    def position(self, row: int) -> tuple[int, int]:
        """Index of the file, and of the row in that file, of a row of this batch; all from 0."""


class Source(Protocol):
    """An input of any size, read in batches as often as needed."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def n_files(self) -> int:
        """Number of files."""

    @property
    def size(self) -> int:
        """What there is to read, in the units of `Batch.size`."""

    def batches(self, names: Sequence[str] | None = None) -> Iterator[Batch]:
        """Read all rows in their order; of tables only some columns, where they are named."""

    def locate(self, file: int, row: int) -> Location:
        """Say where a person finds a row, given as `Batch.position` has it."""

    def identity(self) -> dict[str, Any] | None:
        """What says that two runs had the same input, as JSON knows it; None if it cannot be read again, as a pipe."""

    def holds(self, path: Path | Address) -> bool:
        """Whether a path is one of the files, links followed."""

    def check_output(self, option: str, path: Path | Address) -> None:
        """Refuse an output that is part of the input, or would be in the next run.

        Raises
        ------
        InputError
            If it is.
        """
