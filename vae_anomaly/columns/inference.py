"""What each column is: by what the user says, by its dtype, by its values."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.columns.column import Column, Kind, days_of
from vae_anomaly.columns.dates import epoch_unit
from vae_anomaly.columns.growth import direction_of, why_codes, why_set_aside
from vae_anomaly.columns.levels import DECLARED, level_column, ordinal_column, text_column
from vae_anomaly.columns.missing_codes import (
    MissingValues,
    check_named_columns,
    code_text,
    codes_for,
    given_codes,
    is_code,
)
from vae_anomaly.columns.numeric import asked_column, date_column, number_column
from vae_anomaly.columns.scales import MAX_MAGNITUDE, largest_number
from vae_anomaly.columns.text_reading import read_training_text
from vae_anomaly.data import FloatArray, Table, TextFormat, TextRules, holds_long_numbers, with_missing_cells
from vae_anomaly.errors import (
    ColumnSetAsideWarning,
    DataError,
    MissingCodeWarning,
    SortedColumnWarning,
    SpecificationError,
    callers_level,
)
from vae_anomaly.likelihoods import Likelihood

WITH_TREND = "datetime+trend"
DATES = ("datetime", WITH_TREND)
SEVERAL_UNITS = "numbers in several units"
DECLARABLE: tuple[str, ...] = (
    "continuous",
    "positive",
    "bounded",
    "integer",
    "count",
    "binary",
    "boolean",
    "categorical",
    "ordinal",
    *DATES,
    "identifier",
)
Declarations = Mapping[str, str | Likelihood]


def infer_columns(
    table: Table,
    likelihood: Likelihood | None = None,
    weights: FloatArray | None = None,
    declared: Declarations | None = None,
    *,
    missing_values: MissingValues = None,
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
    missing_values : number, text, date, list of these, mapping of columns to these, or False, optional
        Cells that stand for missing ones; by default codes such as -999 are recognised, False keeps all.
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
        If a declaration names no column or no kind, or `missing_values` no column.

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
    check_named_columns(missing_values, table.names)
    with table.naming_rows():
        if table.formats is None:
            table = read_training_text(table, declared, TextRules())
        codes = tuple(
            _codes(table, position, missing_values, declared.get(name)) for position, name in enumerate(table.names)
        )
        table = with_missing_cells(table, {position: found.cells for position, found in enumerate(codes)})
        columns = tuple(
            found.told(_infer(table, position, likelihood, weights, declared.get(table.names[position])))
            for position, found in enumerate(codes)
        )
    if not any(column.is_used for column in columns):
        # A running number is better than nothing, and so is a place in time.
        columns = tuple(
            codes[position].told(_last_resort(table, position, likelihood, weights, column))
            if column.name not in declared and column.kind in ("identifier", "datetime")
            else column
            for position, column in enumerate(columns)
        )
    columns = tuple(_with_remark(column, table.remarks.get(column.name)) for column in columns)
    columns = tuple(map(_with_format, columns, table.formats or ()))
    for column in columns:
        if not column.is_used:
            warnings.warn(ColumnSetAsideWarning(column.name, column.reason), stacklevel=callers_level())
    if not any(column.is_used for column in columns):
        reasons = "; ".join(f"{column.name!r}: {column.reason}" for column in columns[:3])
        raise DataError(f"no column is left to model ({reasons}). Give at least one column with observed values.")
    if model_missing:
        columns = tuple(
            column if not column.is_used else column.with_missing_part(int(table.missing(position).sum()), table.n_rows)
            for position, column in enumerate(columns)
        )
    return columns


@dataclass(frozen=True)
class _Codes:
    """What stands for missing in a column, as `Column.missing_values` has it and as people do, and where it is."""

    values: tuple[float, ...] | tuple[str, ...]
    texts: tuple[str, ...]
    cells: npt.NDArray[np.bool_]

    def told(self, column: Column) -> Column:
        """The column, which knows of them."""
        if not self.values:
            return column
        reason = f"{column.reason}; missing where {' or '.join(self.texts)}"
        return replace(column, missing_values=self.values, reason=reason)


def _codes(table: Table, position: int, missing_values: MissingValues, declared: str | Likelihood | None) -> _Codes:
    """What stands for missing in a column."""
    name, content = table.names[position], table.content(position)
    given = given_codes(missing_values, name)
    none = _Codes((), (), np.zeros(table.n_rows, dtype=bool))
    if table.is_empty(position):
        return none
    dates = content == "datetime" or declared in DATES
    if given is None and (
        declared == "identifier" or (content == "text" and not dates) or _exceeds_floats(table, position)
    ):
        return none
    unit = _epoch_unit(table, position) if dates and content == "number" else ""
    values = codes_for(table, position, given, dates=dates, unit=unit)
    if not values:
        return none
    # As the column will read it.
    kind: Kind = "datetime" if dates else "continuous"
    cells = is_code(table, position, Column(name, kind, None, "", missing_values=values, date_unit=unit))
    texts = tuple(code_text(value, is_date=dates and not unit) for value in values)
    if given is None:
        warnings.warn(MissingCodeWarning(name, texts, int(cells.sum())), stacklevel=callers_level())
    return _Codes(values, texts, cells)


def _last_resort(
    table: Table, position: int, likelihood: Likelihood | None, weights: FloatArray | None, column: Column
) -> Column:
    """A column that was set aside as what it can be used as, where no other is left; as it is if it holds text."""
    if column.kind == "datetime":
        used = _infer(table, position, likelihood, weights, WITH_TREND)
        return replace(used, reason=f"{used.reason}; no other column is left")
    if table.content(position) != "number":
        return column
    numbers = table.numbers(position)
    whole = bool((numbers[~np.isnan(numbers)] % 1 == 0).all())
    used = _infer(table, position, likelihood, weights, "integer" if whole else "continuous")
    return replace(used, reason="it counts the rows" if used.reason == DECLARED else used.reason)


def check_declarations(declared: Declarations, names: tuple[str, ...]) -> Declarations:
    """Refuse declarations of columns that are not there, and of kinds that are none."""
    known = frozenset(names)
    for name, kind in declared.items():
        if name not in known:
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
    if content == "datetime" and declared not in (None, *DATES):
        if isinstance(declared, Likelihood) and declared.standardize:
            return date_column(name, table.days(position), declared, weights, trend=True)
        raise DataError(
            f"column {name!r} holds dates and is declared {declared}; expected datetime, datetime+trend, identifier, "
            "or a likelihood for numbers. Convert it first.",
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
    if declared in DATES or content == "datetime":
        unit = _epoch_unit(table, position) if content == "number" else ""
        days = days_of(table, position, unit)
        return date_column(name, days, likelihood, weights, trend=declared == WITH_TREND, unit=unit)
    if declared is None and _exceeds_floats(table, position):
        return _long_number_column(table, position)
    numbers = table.numbers(position)
    observed = ~np.isnan(numbers)
    present, weights = numbers[observed], None if weights is None else weights[observed]
    _check_magnitude(name, numbers, present)
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
    if declared is None:
        reason = why_set_aside(name, present)
        if reason is not None:
            return Column(name, "identifier", None, reason)
        reason = why_codes(present)
        if reason is not None:
            return _code_column(table, position, reason)
        direction = direction_of(present)
        if direction and len(table.names) > 1:
            warnings.warn(SortedColumnWarning(name, rises=direction > 0), stacklevel=callers_level())
    return number_column(name, present, weights, declared if isinstance(declared, str) else None)


def _check_magnitude(name: str, numbers: FloatArray, present: FloatArray) -> None:
    """Refuse numbers whose distances may be infinite, unless all are one or a few stand out."""
    furthest = largest_number(present)
    if furthest is None or np.ptp(present / MAX_MAGNITUDE) == 0:
        return
    raise DataError(
        f"column {name!r} holds {furthest:g}",
        f"expected numbers up to {MAX_MAGNITUDE:g}. Rescale the column, or replace the cell with NaN if it stands for "
        "a missing value.",
        column=name,
        row=int((numbers == furthest).argmax()),
    )


def _with_remark(column: Column, remark: str | None) -> Column:
    """The column with how it was read that is of another kind, or why it cannot be used."""
    if remark is None:
        return column
    if column.kind == "empty":
        return replace(column, kind="unusable", reason=remark)
    return replace(column, reason=f"{column.reason}; {remark}")


def _exceeds_floats(table: Table, position: int) -> bool:
    """Whether a column holds whole numbers that are too large for floats to tell from their neighbours."""
    return isinstance(table.cells, pd.DataFrame) and holds_long_numbers(table.cells.iloc[:, position])


def _long_number_column(table: Table, position: int) -> Column:
    """Whole numbers that floats do not tell apart: keys where most are different, else codes, which are text."""
    column = text_column(table, position, None)
    if column.likelihood is None:
        return replace(
            column,
            reason=f"{len(set(table.texts(position)) - {None})} distinct whole numbers above 2**53 look like "
            "identifiers; declare it integer to use it",
        )
    return replace(column, reason=column.reason.replace("text with", "whole numbers above 2**53, taken as codes:"))


def _code_column(table: Table, position: int, reason: str) -> Column:
    """Whole numbers that name things: keys where most are different, else levels."""
    column = text_column(table, position, None)
    if column.likelihood is None:
        return replace(column, reason=f"{reason}: a key; declare it integer to use it as a number")
    return replace(column, reason=f"{column.reason.replace('text with', 'whole numbers with')}; {reason}")


def _epoch_unit(table: Table, position: int) -> str:
    """What numbers that are declared dates count since 1970."""
    name, numbers = table.names[position], table.numbers(position)
    present = numbers[~np.isnan(numbers)]
    unit = epoch_unit(present)
    if unit is None:
        raise DataError(
            f"column {name!r} is declared datetime and holds {present[0]:g}; of numbers expected seconds, or "
            "thousandths, millionths or billionths of them, since 1970. Convert it with pandas.to_datetime.",
            column=name,
        )
    return unit


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
    elif text_format.kind == "level" and described.startswith(SEVERAL_UNITS) and column.kind == "identifier":
        reason = described
    elif text_format.kind == "level" and described:
        reason += f"; {described}"
    return replace(column, text_format=text_format, reason=reason)
