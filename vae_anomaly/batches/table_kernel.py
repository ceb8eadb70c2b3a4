"""What a detector of tables makes of rows: their features, and from there their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from vae_anomaly.arrow_rows import RowFeatures, TypedRows, is_text, scoring_features
from vae_anomaly.batches.row_scores import RowScores
from vae_anomaly.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.arrow_rows import ReadsCells
    from vae_anomaly.detectors import VAEDetector

MAX_NAMED = 10


@dataclass(frozen=True)
class TableKernel:
    """A detector of tables at work on columns of Arrow.

    Parameters
    ----------
    detector : VAEDetector
        Fitted.
    given : mapping of str to str
        What columns of the model are called in the input, where that differs.
    reader : ReadsCells
        How cells become values.
    forgiving : bool
        Whether cells that cannot be read are missing and no problem, as in a fit.
    """

    detector: VAEDetector
    given: Mapping[str, str] = field(default_factory=dict)
    reader: ReadsCells = field(default_factory=TypedRows)
    forgiving: bool = False

    def features(self, cells: pa.RecordBatch | pa.Table) -> RowFeatures:
        """Return what the detector sees of rows, and which of them cannot be scored."""
        return scoring_features(
            cells,
            self.detector.columns_,
            self.reader,
            self.detector.calibration_groups,
            self.given,
            compared_by=self.detector.baseline_columns_,
            forgiving=self.forgiving,
        )

    def score(self, frame: pd.DataFrame) -> RowScores:
        """Score rows of the features in one pass."""
        return RowScores.by(self.detector, frame)


@dataclass(frozen=True)
class ModelColumns:
    """Columns that rows to score have to have.

    Attributes
    ----------
    names : tuple of str
        What the model calls them.
    others : frozenset of str
        Columns of the training rows that are no features, and stand for none.
    """

    names: tuple[str, ...]
    others: frozenset[str]

    @classmethod
    def of(cls, detector: VAEDetector) -> ModelColumns:
        """Ask a detector."""
        beside = {detector.calibration_groups, *detector.baseline_columns_}
        names = [column.name for column in detector.columns_ if column.is_used or column.name in beside]
        return cls(tuple(names), frozenset({*detector.column_roles_.names} - {*names}))

    def given(self, schema: pa.Schema) -> dict[str, str]:
        """Which columns of an input stand for them: equal names, or equal but for case and blanks around.

        Raises
        ------
        DataError
            If one is missing, is there twice, or holds what no cell of a table can be.
        """
        # Loaded here: commands that refuse early do without it.
        from vae_anomaly.data import close_name, match_names

        free = [name for name in schema.names if name not in self.others]
        found = match_names(self.names, free)
        missing = [name for name in self.names if name not in found]
        if missing:
            close = close_name(missing[0], (name for name in free if name not in found.values()))
            meant = "" if close is None else f" Did you mean '{close}'? Call it '{missing[0]}' then."
            raise DataError(
                f"the batch lacks {listed(missing)} of the {len(self.names)} columns that the model uses.{meant} Add "
                "what is missing (nulls do), or fit a model without them."
            )
        check_once(schema, list(found.values()))
        for name in found.values():
            _check_type(name, schema.field(name).type)
        return found


def check_once(schema: pa.Schema, names: Sequence[str]) -> None:
    """Refuse columns of which there are two.

    Raises
    ------
    DataError
        If there is one.
    """
    counts = Counter(schema.names)
    twice = next((name for name in names if counts[name] > 1), None)
    if twice is not None:
        raise DataError(f"the batch has {counts[twice]} columns '{twice}'; rename all but one.")


def listed(names: Sequence[str]) -> str:
    """The first few columns, and how many there are beside them."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{'column' if len(names) == 1 else 'columns'} {', '.join(map(repr, names[:MAX_NAMED]))}{more}"


def _check_type(name: str, given: pa.DataType) -> None:
    type_ = given.value_type if pa.types.is_dictionary(given) else given
    fits = (
        is_text(type_)
        or pa.types.is_integer(type_)
        or pa.types.is_floating(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_boolean(type_)
        or pa.types.is_timestamp(type_)
        or pa.types.is_date(type_)
        or pa.types.is_time(type_)
        or pa.types.is_duration(type_)
        or pa.types.is_null(type_)
    )
    if not fits:
        raise DataError(
            f"column '{name}' is of the type {given}; a model reads numbers, text, dates, or true and false. Cast it, "
            "or take a part of it."
        )
