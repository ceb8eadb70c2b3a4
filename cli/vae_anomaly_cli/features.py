"""From a table in a file to the features that the detector sees."""

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli.cells import dates_of, is_text, with_decimal_points, without_missing
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.tables import PANDAS_INDEX, Table

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.columns import Column

SCORE, FLAG = "anomaly_score", "is_anomaly"
SHOWN_NAMES = 5


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
            hint = f"Did you mean '{close[0]}'?" if close else f"It has {_listed(table.names)}."
            raise InputError(f"{option} {name}: {table.source.name} has no such column. {hint}")
    return tuple(dict.fromkeys(names))


def training_frame(table: Table, roles: Roles, messages: Messages) -> "pd.DataFrame":
    """Return the features to fit on: all columns without a role.

    Raises
    ------
    InputError
        If no column is left, or too few rows to learn from.
    """
    own = [name for name in (SCORE, FLAG) if name in table.names and name != roles.label]
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
    return _frame({name: _feature(table, name) for name in names})


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
            f"{table.source.name} lacks {_listed(missing)} of the {len(used)} columns that the model "
            f"uses.{unnamed} Add what is missing (empty cells do), or fit a model without them."
        )
    for name in used:
        if name == roles.label or name in roles.dropped:
            option = "--label" if name == roles.label else "--drop"
            raise InputError(
                f"{option} {name}: the model uses this column as a feature. Fit a model with "
                f"{option} {name} to leave it out."
            )
    known = {column.name for column in columns} | roles.named | {SCORE, FLAG}
    extra = [n for n in table.names if n not in known and not PANDAS_INDEX.fullmatch(n)]
    if extra:
        messages.warning(f"{table.source.name} has {_listed(extra)} that the model does not know: ignored.")
    nothing = pa.chunked_array([pa.nulls(table.n_rows, pa.float64())])
    return _frame(
        {
            column.name: _feature(table, column.name, column)
            if column.name in table.names and column.likelihood is not None
            else nothing
            for column in columns
        }
    )


def _feature(table: Table, name: str, fitted: "Column | None" = None) -> pa.ChunkedArray:
    """Read one column, as the model took it when there is one."""
    column = table.cells[name]
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if not table.typed and fitted is not None and fitted.textual:
        return without_missing(column)
    values = column if table.typed else table.values(name)
    if pa.types.is_decimal(values.type):
        return pc.cast(values, pa.float64())
    if not is_text(values.type) or (fitted is not None and fitted.textual):
        return values
    if table.format.value != "parquet":
        dates = dates_of(values)
        if dates is not None:
            return dates
    if fitted is not None and fitted.kind == "datetime":
        _refuse_date(table, name, values)
    # With text among the numbers, the library finds the cell; here it learns to read the others.
    return with_decimal_points(values) if fitted is not None and table.decimal_comma else values


def _refuse_date(table: Table, name: str, values: pa.ChunkedArray) -> None:
    for row, value in enumerate(values):
        if value.is_valid and dates_of(pa.chunked_array([[value.as_py()]])) is None:
            raise InputError(
                f"column '{name}' holds '{value}' ({table.where(row)}); the model expects dates or "
                "times like 2026-02-28 or 2026-02-28 13:45:00, or empty cells."
            )


def _frame(columns: dict[str, pa.ChunkedArray]) -> "pd.DataFrame":
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    series = {
        name: column.to_pandas(types_mapper=nullable.get if column.null_count else None)
        for name, column in columns.items()
    }
    return pd.DataFrame(series)


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:SHOWN_NAMES])
    rest = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{'column' if len(names) == 1 else 'columns'} {shown}{rest}"
