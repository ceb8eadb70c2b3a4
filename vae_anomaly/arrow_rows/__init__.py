"""Rows that come as columns of Arrow, or as JSON, to the frame that a detector sees; without loading PyTorch."""

from vae_anomaly.arrow_rows.arrow_text import cast_or_none, is_text, plain_dates, with_nulls
from vae_anomaly.arrow_rows.row_features import EMPTY, RowFeatures, scoring_features, unreadable_cell
from vae_anomaly.arrow_rows.strict_json import MAX_NESTING, loads
from vae_anomaly.arrow_rows.typed_cells import (
    ISO,
    ReadsCells,
    TypedRows,
    as_series,
    date_series,
    level_series,
    number_array,
    unreadable_rows,
    without_encoding,
)

__all__ = [
    "EMPTY",
    "ISO",
    "MAX_NESTING",
    "ReadsCells",
    "RowFeatures",
    "TypedRows",
    "as_series",
    "cast_or_none",
    "date_series",
    "is_text",
    "level_series",
    "loads",
    "number_array",
    "plain_dates",
    "scoring_features",
    "unreadable_cell",
    "unreadable_rows",
    "with_nulls",
    "without_encoding",
]
