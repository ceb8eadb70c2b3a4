"""Whether rows are still like those of the calibration, and which columns moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vae_anomaly.columns import Column, without_codes
from vae_anomaly.data import Table
from vae_anomaly.decisions import AlertShift, ColumnSample, ColumnShift, ScoreShift, SimpleJumper, holm
from vae_anomaly.detectors.inputs import level_text
from vae_anomaly.display import Shown, counted, shortened

MAX_ROWS, MIN_ROWS, MAX_CELLS = 2_048, 256, 1 << 17
MAX_NAMED = 3
LEVEL_KINDS = ("categorical", "binary", "boolean", "ordinal", "constant")
WITHOUT_VALUES = ("datetime",)


@dataclass(frozen=True, eq=False, repr=False)
class DriftReport(Shown):
    """What `check_drift` found.

    Parameters
    ----------
    alpha : float
        Chance of a false alarm: of the tests of these rows together, and of the stream however long it is.
    scores : ScoreShift
        The scores of these rows beside those of the calibration.
    alerts : AlertShift or None
        Their flags beside those that were to be expected; None where these are not known.
    columns : tuple of ColumnShift
        A test of each column; none of images.
    adjusted : tuple of float
        p-values of the scores and of each column's test, adjusted for their number.
    stream : SimpleJumper
        All rows that were checked since the calibration, these the last.
    nats : DataFrame or None
        Mean nats by column of the anomaly score, before and now.
    """

    alpha: float
    scores: ScoreShift
    alerts: AlertShift | None
    columns: tuple[ColumnShift, ...]
    adjusted: tuple[float, ...]
    stream: SimpleJumper
    nats: pd.DataFrame | None

    def _summary(self) -> str:
        named = ", ".join(repr(shortened(shift.column)) for shift in self.moved[:MAX_NAMED])
        more = f" and {len(self.moved) - MAX_NAMED} more" if len(self.moved) > MAX_NAMED else ""
        moved = f", moved: {named}{more}" if self.moved else ""
        found = "drift" if self.drifted else "no drift"
        return f"{counted(self.n_rows, 'row')}, {found} at alpha={self.alpha:g}{moved}"

    def _table(self) -> pd.DataFrame:
        return self.frame()

    @property
    def n_rows(self) -> int:
        """Rows that were checked."""
        return self.scores.n_rows

    @property
    def moved(self) -> tuple[ColumnShift, ...]:
        """The columns' tests that are significant together, the clearest first."""
        order = np.argsort(self.adjusted[1:], kind="stable")
        return tuple(self.columns[place] for place in order if self.adjusted[1 + place] <= self.alpha)

    @property
    def scores_moved(self) -> bool:
        """Whether the scores of these rows are others than those of the calibration."""
        return self.adjusted[0] <= self.alpha

    @property
    def drifted(self) -> bool:
        """Whether scores, a column or the stream gives an alarm."""
        return self.scores_moved or bool(self.moved) or self.stream.alarm(self.alpha)

    def sentence(self) -> str:
        """What was found, in one or a few sentences."""
        parts = [
            f"Drift in {self._rows}."
            if self.drifted
            else f"No drift in {self._rows}, at a false-alarm level of {self.alpha:g}."
        ]
        if self.drifted:
            parts.append(self.scores.sentence() if self.scores_moved else "The scores are as before.")
        if self.moved:
            named = "; ".join(shift.sentence() for shift in self.moved[:MAX_NAMED])
            more = len(self.moved) - MAX_NAMED
            parts.append(f"{named}{f'; and {more} more' if more > 0 else ''}.")
        if self.stream.alarm(self.alpha):
            parts.append(f"{self.stream.sentence(self.alpha)} Rows that are sorted by what they hold look so, too.")
        return " ".join(parts)

    @property
    def _rows(self) -> str:
        return f"{self.n_rows:,} row{'' if self.n_rows == 1 else 's'}"

    def frame(self) -> pd.DataFrame:
        """All tests as a table, the smallest adjusted p-value first.

        Returns
        -------
        DataFrame
            column, what ("values", "levels", "missing"), level, before, now (medians in the column's unit, or shares),
            n_unseen, p_value, p_adjusted, moved; and nats_before and nats_now, the column's mean part of the score.
        """
        rows = [
            {
                "column": shift.column,
                "what": shift.what,
                "level": shift.level,
                "before": shift.before,
                "now": shift.now,
                "n_unseen": shift.n_unseen,
                "p_value": shift.p_value,
                "p_adjusted": adjusted,
                "moved": adjusted <= self.alpha,
            }
            for shift, adjusted in zip(self.columns, self.adjusted[1:], strict=True)
        ]
        names = ["column", "what", "level", "before", "now", "n_unseen", "p_value", "p_adjusted", "moved"]
        table = pd.DataFrame(rows, columns=names)
        if self.nats is not None:
            table = table.merge(self.nats, left_on="column", right_index=True, how="left")
        return table.sort_values("p_adjusted", kind="stable", ignore_index=True)


def adjusted_p_values(scores: ScoreShift, columns: list[ColumnShift]) -> tuple[float, ...]:
    """p-values of the scores and of the columns, adjusted together."""
    return tuple(holm([scores.p_value, *(shift.p_value for shift in columns)]).tolist())


def column_samples(columns: tuple[Column, ...], table: Table) -> tuple[ColumnSample, ...]:
    """What the columns hold, by evenly spread rows where there are many.

    Columns that are set aside are left out: no score depends on them, and who scores need not give them.

    Parameters
    ----------
    columns : tuple of Column
        What they are, in the order of the table.
    table : Table
        The rows.
    """
    n_taken = min(table.n_rows, MAX_ROWS, max(MIN_ROWS, MAX_CELLS // max(len(columns), 1)))
    some = table.take(np.unique(np.linspace(0, table.n_rows - 1, n_taken).round().astype(np.intp)))
    some = without_codes(some, columns)
    return tuple(_sample(column, some, position) for position, column in enumerate(columns) if column.is_used)


def _sample(column: Column, table: Table, position: int) -> ColumnSample:
    missing = table.missing(position)
    if column.kind in LEVEL_KINDS:
        return ColumnSample.of_levels(column.name, _levels(column, table, position))
    if column.kind in WITHOUT_VALUES:
        return ColumnSample.of_presence(column.name, missing)
    return ColumnSample.of_values(column.name, table.numbers(position))


def _levels(column: Column, table: Table, position: int) -> list[str | None]:
    """Cells as the model reads them, whatever their dtype: None is missing."""
    if column.textual:
        return list(table.texts(position))
    name: Callable[[float], str] = (lambda number: str(number != 0)) if column.boolean else level_text
    return [None if np.isnan(number) else name(number) for number in table.numbers(position)]
