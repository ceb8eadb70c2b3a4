"""Patterns of alerts, for people and for programs."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.table import Table as RichTable

from vae_anomaly_cli.console import counted
from vae_anomaly_cli.render.drawings import percent, table_of
from vae_anomaly_cli.render.ranking import RowNumber
from vae_anomaly_cli.render.reasons import plain

if TYPE_CHECKING:
    from vae_anomaly.explain import Patterns


@dataclass(frozen=True)
class AlertPatterns:
    """Flagged rows by pattern.

    Attributes
    ----------
    patterns : Patterns
        As the library has them.
    numbers : sequence of RowNumber
        Where the rows are.
    n_flagged : int
        Rows that were flagged, of which these are the most anomalous.
    """

    patterns: "Patterns"
    numbers: Sequence[RowNumber]
    n_flagged: int

    def describe(self) -> dict[str, Any]:
        """Describe them for programs: each pattern with its cells, its rows and the typical ones."""
        return {
            "n_flagged": self.n_flagged,
            "n_sorted": len(self.numbers),
            "n_other": self.patterns.n_other,
            "sentences": self.patterns.sentences(),
            "patterns": [
                {
                    "pattern": number,
                    "sentence": str(pattern),
                    "count": pattern.count,
                    "share": pattern.share,
                    "first": plain(pattern.first),
                    "last": plain(pattern.last),
                    "anomaly_score": pattern.score,
                    "typical_rows": [self._place(row) for row in pattern.typical_rows],
                    "cells": [
                        {
                            name: [plain(level) for level in value] if name == "levels" else plain(value)
                            for name, value in dataclasses.asdict(cell).items()
                        }
                        for cell in pattern.cells
                    ],
                    "rows": [self._place(row) for row in self._rows(number).tolist()],
                }
                for number, pattern in enumerate(self.patterns.patterns, start=1)
            ],
        }

    def drawn(self) -> list[str | RichTable]:
        """Lay them out: one line for each pattern, and what is left over."""
        if not self.numbers:
            return ["No row is flagged, and there are no patterns."]
        with_dates = any(pattern.first is not None for pattern in self.patterns.patterns)
        rows = [
            [
                pattern.what,
                f"{pattern.count:,}",
                percent(pattern.share),
                *([pattern.dates] if with_dates else []),
                ", ".join(str(self.numbers[row]) for row in pattern.typical_rows),
            ]
            for pattern in self.patterns.patterns
        ]
        if self.patterns.n_other:
            share = self.patterns.n_other / self.patterns.n_alerts
            rows.append(
                ["(of no pattern)", f"{self.patterns.n_other:,}", percent(share), *([""] if with_dates else []), ""]
            )
        headings = ["pattern", "rows", "share", *(["dates"] if with_dates else []), "typical rows"]
        of = f" of {self.n_flagged:,}, the most anomalous" if len(self.numbers) < self.n_flagged else ""
        return [f"Patterns of {counted(len(self.numbers), 'flagged row')}{of}:\n", table_of(headings, rows)]

    def _rows(self, number: int) -> npt.NDArray[np.intp]:
        return np.flatnonzero(self.patterns.labels == number - 1)

    def _place(self, row: int) -> int | dict[str, Any]:
        number = self.numbers[row]
        return number.row if number.file is None else {"file": number.file, "row": number.row}
