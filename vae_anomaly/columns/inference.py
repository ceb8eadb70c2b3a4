"""What each column is: by what the user says, by its dtype, by its values."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vae_anomaly.columns.column import Column, Kind
from vae_anomaly.columns.levels import DECLARED, level_column, ordinal_column, text_column
from vae_anomaly.columns.numeric import asked_column, date_column, number_column
from vae_anomaly.columns.text_reading import read_training_text
from vae_anomaly.data import FloatArray, Table, TextFormat, TextRules
from vae_anomaly.errors import ColumnSetAsideWarning, DataError, SpecificationError
from vae_anomaly.likelihoods import Likelihood

DECLARABLE: tuple[Kind, ...] = (
    "continuous",
    "positive",
    "bounded",
    "integer",
    "count",
    "binary",
    "boolean",
    "categorical",
    "ordinal",
    "datetime",
    "identifier",
)
MIN_ROWS_TO_COUNT = 20

Declarations = Mapping[str, str | Likelihood]


def infer_columns(
    table: Table,
    likelihood: Likelihood | None = None,
    weights: FloatArray | None = None,
    declared: Declarations | None = None,
    *,
    model_missing: bool = False,
) -> tuple[Column, ...]:
    """Learn from training rows what every column is.

    Parameters
    ----------
    table : Table
        Training rows; text that is not read yet is read without rules of the user.
    likelihood : Likelihood, optional
        For all numeric columns that are not declared; by default what `columns_` of a detector gives as reasons.
    weights : ndarray of shape (rows,), optional
        Weights of the rows, for means and standard deviations.
    declared : mapping of column name to kind or Likelihood, optional
        What the user says some columns are.
    model_missing : bool, default=False
        Whether every column gets a part that says which of its cells are missing.

    Returns
    -------
    tuple of Column
        In the user's order.

    Raises
    ------
    DataError
        If a column cannot be read, is not what it is declared to be, or if no column is left.
    SpecificationError
        If a declaration names no column or no kind.

    Warns
    -----
    DataWarning
        For each column that is set aside, or whose text looks like something else.

    Examples
    --------
    >>> import numpy as np
    >>> table = Table(("x",), np.sqrt(np.arange(50.0))[:, None])
    >>> infer_columns(table)[0].kind
    'continuous'
    >>> infer_columns(table, declared={"x": "positive"})[0].reason
    'declared so'
    """
    declared = check_declarations(declared or {}, table.names)
    with table.naming_rows():
        if table.formats is None:
            table = read_training_text(table, declared, TextRules())
        columns = tuple(
            _infer(table, position, likelihood, weights, declared.get(name))
            for position, name in enumerate(table.names)
        )
    if all(column.kind == "identifier" or column.likelihood is None for column in columns):
        # A running number is better than nothing.
        columns = tuple(
            replace(_infer(table, position, likelihood, weights, "integer"), reason="it counts the rows")
            if column.kind == "identifier"
            and table.content(position) == "number"
            and table.names[position] not in declared
            else column
            for position, column in enumerate(columns)
        )
    columns = tuple(_with_remark(column, table.remarks.get(column.name)) for column in columns)
    columns = tuple(map(_with_format, columns, table.formats or ()))
    for column in columns:
        if column.likelihood is None:
            warnings.warn(ColumnSetAsideWarning(column.name, column.reason), stacklevel=3)
    if all(column.likelihood is None for column in columns):
        reasons = "; ".join(f"{column.name!r}: {column.reason}" for column in columns[:3])
        raise DataError(f"no column is left to model ({reasons}). Give at least one column with observed values.")
    if model_missing:
        columns = tuple(
            column
            if column.likelihood is None
            else column.with_missing_part(int(table.missing(position).sum()), table.n_rows)
            for position, column in enumerate(columns)
        )
    return columns


def check_declarations(declared: Declarations, names: tuple[str, ...]) -> Declarations:
    """Refuse declarations of columns that are not there, and of kinds that are none."""
    for name, kind in declared.items():
        if name not in names:
            close = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(map(repr, names[:5]))}."
            raise SpecificationError(f"columns names {name!r}, which is no column of the data; {hint}")
        if not isinstance(kind, Likelihood) and kind not in DECLARABLE:
            raise SpecificationError(
                f"columns[{name!r}] is one of {', '.join(DECLARABLE)} or a Likelihood, not {kind!r}"
            )
    return declared


def _infer(
    table: Table,
    position: int,
    likelihood: Likelihood | None,
    weights: FloatArray | None,
    declared: str | Likelihood | None,
) -> Column:
    name, content = table.names[position], table.content(position)
    if table.is_empty(position):
        return Column(name, "empty", None, "it holds no value in any training row")
    if declared == "identifier":
        return Column(name, "identifier", None, "declared an identifier")
    if content == "datetime" and declared not in (None, "datetime"):
        if isinstance(declared, Likelihood) and declared.standardize:
            return date_column(name, table.days(position), declared, weights)
        raise DataError(
            f"column {name!r} holds dates and is declared {declared}; expected datetime, identifier, or a likelihood "
            "for numbers. Convert it first.",
            column=name,
        )
    if declared == "ordinal" or _levels_of(declared) == "ordered":
        return ordinal_column(table, position, declared)
    if declared is None and table.ordered_levels(position) is not None:
        return ordinal_column(table, position, None)
    levels = declared in ("categorical", "binary", "boolean") or _levels_of(declared) == "unordered"
    if levels and content != "boolean":
        return text_column(table, position, declared)
    if content == "text" and declared is None:
        return text_column(table, position, None)
    if declared == "datetime" or (content == "datetime" and declared is None):
        return date_column(name, table.days(position), likelihood, weights)
    numbers = table.numbers(position)
    observed = ~np.isnan(numbers)
    present = numbers[observed]
    weights = None if weights is None else weights[observed]
    if isinstance(declared, Likelihood) and not levels:
        return asked_column(name, declared, present, weights)
    if _levels_of(likelihood) == "unordered" or (likelihood is None and declared is None) or levels:
        given = (each for each in (declared, likelihood) if isinstance(each, Likelihood))
        chosen = next((each for each in given if _levels_of(each) == "unordered"), None)
        column = level_column(name, present, content == "boolean", chosen)
        if column is not None:
            return column
    if declared is None and likelihood is not None:
        return asked_column(name, likelihood, present, weights)
    if declared is None and _counts_rows(present, table.n_rows):
        return Column(
            name,
            "identifier",
            None,
            f"it counts the rows from {present[0]:g} to {present[-1]:g}; declare it integer to use it",
        )
    return number_column(name, present, weights, declared if isinstance(declared, str) else None)


def _with_remark(column: Column, remark: str | None) -> Column:
    """The column with how it was read that is of another kind, or why it cannot be used."""
    if remark is None:
        return column
    if column.kind == "empty":
        return replace(column, kind="unusable", reason=remark)
    return replace(column, reason=f"{column.reason}; {remark}")


def _levels_of(declared: str | Likelihood | None) -> str | None:
    """Whether a likelihood is one of levels, as in its traits; None of anything else."""
    return declared.traits.levels if isinstance(declared, Likelihood) else None


def _with_format(column: Column, text_format: TextFormat | None) -> Column:
    """The column with how its text is read, and in its reason that it was text."""
    if text_format is None:
        return column
    described = text_format.description
    reason = column.reason
    if text_format.kind != "level" and not (reason == DECLARED and text_format.is_plain):
        reason += f"; text that is read as {described}"
    elif text_format.kind == "level" and described and column.kind == "identifier":
        reason = described
    elif text_format.kind == "level" and described:
        reason += f"; {described}"
    return replace(column, text_format=text_format, reason=reason)


def _counts_rows(present: FloatArray, n_rows: int) -> bool:
    whole = len(present) == n_rows and float(present[0]).is_integer()
    return n_rows >= MIN_ROWS_TO_COUNT and whole and bool((np.diff(present) == 1).all())
