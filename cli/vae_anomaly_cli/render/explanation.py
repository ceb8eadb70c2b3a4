"""Explained rows: as a table of cells, for a program, and for a terminal."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.table import Table as RichTable
from rich.text import Text

from vae_anomaly.batches import FLAG, SCORE
from vae_anomaly_cli.console import one_line
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.render.drawings import show
from vae_anomaly_cli.render.reasons import FIELDS, Reasons, plain, text_of
from vae_anomaly_cli.tables import Table

if TYPE_CHECKING:
    from vae_anomaly import PathToNormal

ROW, RANK = "row", "rank"


@dataclass(frozen=True)
class ExplainedTable:
    """Rows of a table in memory, explained.

    Attributes
    ----------
    table : Table
        All rows.
    ids : tuple of str
        Columns that name them.
    scores : ndarray of shape (rows,)
        Of all rows, nats.
    threshold : float
        Scores above it are flagged.
    reasons : Reasons
        Of some rows.
    path : PathToNormal, optional
        What would make these rows normal.
    """

    table: Table
    ids: tuple[str, ...]
    scores: npt.NDArray[np.float64]
    threshold: float
    reasons: Reasons
    path: "PathToNormal | None" = None

    def summary(self) -> dict[str, Any]:
        """Describe for programs what is typical, and each explained row."""
        typical = self.reasons.explanation.typical
        return {
            "typical_kl": float(typical.iloc[-1]),
            "typical_contributions": typical.iloc[:-1].to_dict(),
            "explained": self.objects(),
        }

    def objects(self) -> list[dict[str, Any]]:
        """Describe rows: number (from 1), ids, score, flag, reasons, and the terms that the score is the sum of."""
        rows = list(self.reasons.rows)
        names = self.table.cells.select(list(self.ids)).take(rows).to_pylist() if self.ids else [{} for _ in rows]
        return [
            {
                ROW: row + 1,
                "ids": named,
                SCORE: float(self.scores[row]),
                FLAG: bool(self.scores[row] > self.threshold),
            }
            | self.reasons.objects[row]
            | self._path_object(place)
            for place, (row, named) in enumerate(zip(rows, names, strict=True))
        ]

    def _path_object(self, place: int) -> dict[str, Any]:
        """Describe the path of a row."""
        if self.path is None:
            return {}
        changes = [
            {"column": change.column}
            | {name: plain(getattr(change, name)) for name in ("observed", "proposed", "nats_saved", "score_after")}
            | {"is_normal": change.is_normal}
            for change in self.path.changes[place]
        ]
        return {"path": {"changes": changes, "is_normal": bool(self.path.is_normal.iloc[place])}}

    def cells_table(self) -> pa.Table:
        """Return a line for each explained cell: row number (from 1), ids, score, rank and what a reason says.

        Cells of different columns share the columns observed, expected, lower and upper, which are text therefore.
        """
        lines = [
            (row, rank, reason) for row, found in self.reasons.of_row.items() for rank, reason in enumerate(found, 1)
        ]
        rows = np.array([row for row, _, _ in lines], dtype=np.intp)
        columns: dict[str, Any] = {ROW: pa.array(rows + 1)}
        columns |= {name: self.table.cells[name].take(rows) for name in self.ids}
        columns |= {SCORE: self.scores[rows], RANK: pa.array([rank for _, rank, _ in lines], pa.int64())}
        for field in FIELDS:
            cells = [getattr(reason, field) for _, _, reason in lines]
            if field in ("nats", "tail_probability"):
                columns[field] = pa.array([plain(cell) for cell in cells], pa.float64())
            else:
                columns[field] = pa.array([text_of(cell) for cell in cells], pa.string())
        return pa.table(columns)

    def show(self) -> None:
        """Write a block for each row: its score, what the combination costs, its most anomalous cells."""
        from vae_anomaly.explain import NO_REASON

        explanation = self.reasons.explanation
        for index, row in enumerate(self.reasons.rows):
            if index:
                show("")
            show(self._heading(row))
            bound, score = float(explanation.score.iloc[index]), float(self.scores[row])
            of_bound = "" if np.isclose(bound, score) else f" of a negative ELBO of {bound:.2f}"
            show(
                Text(
                    f"the combination of its cells (KL): {float(explanation.kl.iloc[index]):.2f} nats{of_bound}, "
                    f"{self.reasons.excess_kl[row]:+.2f} against a typical row",
                    style="dim",
                )
            )
            group = explanation.group_text(index)
            if group:
                show(Text(f"numbers compared with those of {one_line(group)}", style="dim"))
            if charged := float(explanation.charged.iloc[index]):
                show(Text(f"charged for its missing cells, as expected of them: {charged:.2f} nats", style="dim"))
            show(self._cells(row) if self.reasons.of_row[row] else f" {NO_REASON}")
            if self.path is not None:
                show(Text(one_line(f"to be normal: {self.path.sentences()[index]}")))

    def _heading(self, row: int) -> Text:
        named = [f"{name} {self.table.cells[name][row].as_py()}" for name in self.ids]
        score = float(self.scores[row])
        flagged = score > self.threshold
        heading = Text(one_line(", ".join([f"row {row + 1}", *named])), style="bold")
        heading.append(": ", style="not bold")
        heading.append(f"{score:.2f} nats", style="bold red" if flagged else "bold")
        side = "above" if flagged else "not above"
        return heading.append(f", {side} the threshold of {self.threshold:.2f}", style="not bold")

    def _cells(self, row: int) -> RichTable:
        drawn = RichTable(box=None, pad_edge=True, header_style="dim")
        drawn.add_column("column", overflow="fold")
        drawn.add_column("observed", overflow="fold")
        drawn.add_column("expected", overflow="fold")
        drawn.add_column("plausible", overflow="fold", style="dim")
        drawn.add_column("nats", justify="right", no_wrap=True)
        drawn.add_column("as far out", no_wrap=True)
        for reason in self.reasons.of_row[row]:
            cells = (
                reason.subject,
                reason.observed_text,
                reason.expected_text,
                reason.range_text,
                f"{reason.nats:+.1f}",
                reason.rarity,
            )
            drawn.add_row(*(Text(one_line(cell)) for cell in cells))
        return drawn


def check_ids(ids: tuple[str, ...]) -> None:
    """Refuse ids with names of columns of the table of cells.

    Raises
    ------
    InputError
        If there is one.
    """
    for name in ids:
        if name in (ROW, RANK, *FIELDS):
            raise InputError(f"--id {name}: the output has a column of that name; choose another.")
