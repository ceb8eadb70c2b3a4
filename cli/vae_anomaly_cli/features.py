"""From a table in a file to the features that the detector sees."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli.cells import dates_of, is_text, numbers_of, with_decimal_points, without_missing
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.tables import PANDAS_INDEX, Table

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.columns import Column

SCORE, FLAG, REASONS = "anomaly_score", "is_anomaly", "reasons"
SHOWN_NAMES = 5
NUMERIC_KINDS = ("continuous", "positive", "bounded", "integer", "count", "ordinal")


@dataclass(frozen=True)
class Roles:
    """Which columns are what, apart from features.

    Attributes
    ----------
    ids : tuple of str
        Columns that name the row; carried to the output.
    label : str or None
        Column with known anomalies; used for measures of quality only.
    dropped : tuple of str
        Columns that are left out.
    """

    ids: tuple[str, ...]
    label: str | None
    dropped: tuple[str, ...]

    @property
    def named(self) -> set[str]:
        """All columns with a role."""
        return {*self.ids, *self.dropped, *([self.label] if self.label else [])}

    def option_of(self, name: str) -> str | None:
        """Return the option that gives a column a role, if one does."""
        if name == self.label:
            return "--label"
        return "--id" if name in self.ids else "--drop" if name in self.dropped else None


def assign_roles(table: Table, ids: list[str] | None, label: str | None, dropped: list[str] | None) -> Roles:
    """Find the columns that options name.

    Raises
    ------
    InputError
        If the table has no such column.
    """
    roles = Roles(
        _columns_named(table, "--id", ids),
        next(iter(_columns_named(table, "--label", None if label is None else [label])), None),
        _columns_named(table, "--drop", dropped),
    )
    for name in roles.ids:
        if name in (SCORE, FLAG):
            raise InputError(f"--id {name}: the output has a column of that name; choose another.")
    if roles.label in roles.ids:
        raise InputError(f"--label {roles.label} is also named by --id; a column is one or the other.")
    return roles


def _columns_named(table: Table, option: str, given: list[str] | None) -> tuple[str, ...]:
    names: list[str] = []
    for text in given or []:
        names += [text] if text in table.names else [part.strip() for part in text.split(",")]
    for name in names:
        if name not in table.names:
            close = difflib.get_close_matches(name, table.names, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"It has {listed(table.names)}."
            raise InputError(f"{option} {name}: {table.source.name} has no such column. {hint}")
    return tuple(dict.fromkeys(names))


def earlier_columns(table: Table) -> set[str]:
    """Columns that an earlier run of ours appended."""
    found = {SCORE, FLAG} & set(table.names)
    # A column of reasons alone may be anyone's.
    return found | ({REASONS} & set(table.names) if len(found) == 2 else set())


def training_frame(table: Table, roles: Roles, declared: Mapping[str, str], messages: Messages) -> "pd.DataFrame":
    """Return the features to fit on: all columns without a role.

    Parameters
    ----------
    table, roles, messages : Table, Roles, Messages
        What there is, and who hears of it.
    declared : mapping of str to str
        Kinds of columns, where the user says them.

    Raises
    ------
    InputError
        If no column is left, or too few rows to learn from.
    """
    own = [name for name in table.names if name in earlier_columns(table) and name != roles.label]
    if own:
        messages.note(f"{table.source.name} holds {' and '.join(own)} from an earlier run: not used as features.")
    names = [name for name in table.names if name not in roles.named | {*own} and not PANDAS_INDEX.fullmatch(name)]
    if not names:
        raise InputError(
            f"{table.source.name} has no column left to learn from; name fewer with --id, --label and --drop."
        )
    if table.n_rows < 2:
        raise InputError(
            f"{table.source.name} has 1 row; fitting needs at least 2. To score single rows, use a "
            "saved model: --model FILE."
        )
    return _frame({name: _declared_feature(table, name, declared.get(name)) for name in names})


def scoring_frame(table: Table, roles: Roles, columns: "tuple[Column, ...]", messages: Messages) -> "pd.DataFrame":
    """Return the features that a model was fitted on, by name and in its order.

    Columns that the model set aside when it was fitted need not be there.

    Raises
    ------
    InputError
        If a column that the model uses is missing, or has a role now.
    """
    used = [column.name for column in columns if column.likelihood is not None]
    missing = [name for name in used if name not in table.names]
    if missing:
        unnamed = "" if set(used) - set(missing) else " None of the model's columns is there."
        raise InputError(
            f"{table.source.name} lacks {listed(missing)} of the {len(used)} columns that the model "
            f"uses.{unnamed} Add what is missing (empty cells do), or fit a model without them."
        )
    for name in used:
        if name == roles.label or name in roles.dropped:
            option = "--label" if name == roles.label else "--drop"
            raise InputError(
                f"{option} {name}: the model uses this column as a feature. Fit a model with "
                f"{option} {name} to leave it out."
            )
    known = {column.name for column in columns} | roles.named | earlier_columns(table)
    extra = [n for n in table.names if n not in known and not PANDAS_INDEX.fullmatch(n)]
    if extra:
        messages.warning(f"{table.source.name} has {listed(extra)} that the model does not know: ignored.")
    nothing = pa.chunked_array([pa.nulls(table.n_rows, pa.float64())])
    return _frame(
        {
            column.name: _feature(table, column.name, column)
            if column.name in table.names and column.likelihood is not None
            else nothing
            for column in columns
        }
    )


def _declared_feature(table: Table, name: str, kind: str | None) -> pa.ChunkedArray:
    """Read one column to fit on, as what the user says it is."""
    if kind is None:
        return _feature(table, name)
    column = _plain(table.cells[name])
    if kind == "categorical" and not table.typed:
        # 01234 and 1234 are different codes.
        return without_missing(column)
    values = column if table.typed else table.values(name)
    if kind == "datetime" and not (is_text(values.type) or pa.types.is_temporal(values.type)):
        first = next((str(value) for value in values if value.is_valid), None)
        if first is not None:
            raise InputError(
                f"--column {name}=datetime: the column holds '{first}'; expected dates or times like 2026-02-28 or "
                "2026-02-28 13:45:00."
            )
    if not is_text(values.type):
        return pc.cast(values, pa.float64()) if pa.types.is_decimal(values.type) else values
    if kind == "datetime":
        dates = dates_of(values)
        return values if dates is None else dates
    if kind in NUMERIC_KINDS and not table.typed:
        return numbers_of(values, table.decimal_comma)
    return values


def _feature(table: Table, name: str, fitted: "Column | None" = None) -> pa.ChunkedArray:
    """Read one column, as the model took it when there is one."""
    column = _plain(table.cells[name])
    text_wanted = fitted is not None and fitted.textual
    # Levels that were numbers are found by their value: 1.0 is the level 1.
    if not table.typed and fitted is not None and text_wanted and not fitted.numeric:
        return without_missing(column)
    values = column if table.typed else table.values(name)
    if pa.types.is_decimal(values.type):
        return pc.cast(values, pa.float64())
    if not is_text(values.type) or text_wanted:
        return values
    if table.format.value != "parquet":
        dates = dates_of(values)
        if dates is not None:
            return dates
    # With text among the numbers, the library finds the cell; here it learns to read the others.
    return with_decimal_points(values) if fitted is not None and table.decimal_comma else values


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    # Ordered categories keep their order, which makes them ordinal.
    return pc.cast(column, kind.value_type) if pa.types.is_dictionary(kind) and not kind.ordered else column


def _frame(columns: dict[str, pa.ChunkedArray]) -> "pd.DataFrame":
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    series = {
        name: column.to_pandas(types_mapper=nullable.get if column.null_count else None)
        for name, column in columns.items()
    }
    return pd.DataFrame(series)


def listed(names: list[str]) -> str:
    """Name the first few columns, and say how many there are beside them."""
    shown = ", ".join(f"'{name}'" for name in names[:SHOWN_NAMES])
    rest = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{'column' if len(names) == 1 else 'columns'} {shown}{rest}"
