"""What is known of each shipped table: where it comes from, its licence, its counts, its checksum."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


class DatasetError(ValueError):
    """A data set is unknown, or its file is not the one that was shipped."""


@dataclass(frozen=True)
class Licence:
    """The terms under which a table may be used and passed on."""

    spdx: str
    url: str


@dataclass(frozen=True)
class Dataset:
    """The registry's entry for one table.

    Attributes
    ----------
    title : str
        What the table is about.
    file : str
        File name, beside the registry: a gzip-compressed CSV with a header.
    source : str
        Address of the original.
    citation : str
        How the original asks to be cited.
    licence : Licence
        Terms of the original, and so of this copy.
    rows, columns, anomalies, missing_cells : int
        Counts; ``columns`` leaves the label out.
    label : str
        What the labels 1 (anomaly) and 0 stand for.
    preparation : str
        What was done to the original.
    sha256 : str
        Checksum of the compressed file, in hexadecimal.
    """

    title: str
    file: str
    source: str
    citation: str
    licence: Licence
    rows: int
    columns: int
    anomalies: int
    missing_cells: int
    label: str
    preparation: str
    sha256: str

    def verify(self, content: bytes) -> None:
        """Check that the content is this table's file, byte for byte.

        Raises
        ------
        DatasetError
            If the checksum differs from the registry's.
        """
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise DatasetError(
                f"{self.file} is damaged: its SHA-256 is {found[:12]}…, the registry expects "
                f"{self.sha256[:12]}…. Install vae-anomaly again to restore it."
            )


def read_registry(folder: Path = FOLDER) -> dict[str, Dataset]:
    """Read the registry of a folder, by data set name."""
    entries: dict[str, dict[str, Any]] = json.loads((folder / "registry.json").read_text(encoding="utf-8"))
    return {
        name: Dataset(**{**entry, "licence": Licence(**entry["licence"])}) for name, entry in sorted(entries.items())
    }
