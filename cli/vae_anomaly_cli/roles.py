"""Which columns of the input are features, and which have another role."""

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.options import InputOptions
from vae_anomaly_cli.sources import TableSource, listed

if TYPE_CHECKING:
    from vae_anomaly.columns import Column

SCORE, FLAG, REASONS = "anomaly_score", "is_anomaly", "reasons"
PANDAS_INDEX = re.compile(r"__index_level_\d+__")


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


def assign_roles(table: TableSource, given: InputOptions) -> Roles:
    """Find the columns that options name.

    Raises
    ------
    InputError
        If the table has no such column.
    """
    roles = Roles(
        _columns_named(table, "--id", given.ids),
        next(iter(_columns_named(table, "--label", None if given.label is None else [given.label])), None),
        _columns_named(table, "--drop", given.drop),
    )
    for name in roles.ids:
        if name in (SCORE, FLAG):
            raise InputError(f"--id {name}: the output has a column of that name; choose another.")
    if given.anomalous is not None and roles.label is None:
        raise InputError(f"--anomalous {given.anomalous} says what a label means; name the column with --label, too.")
    if roles.label in roles.ids:
        raise InputError(f"--label {roles.label} is also named by --id; a column is one or the other.")
    return roles


def _columns_named(table: TableSource, option: str, given: list[str] | None) -> tuple[str, ...]:
    names: list[str] = []
    for text in given or []:
        names += [text] if text in table.names else [part.strip() for part in text.split(",")]
    for name in names:
        if name not in table.names:
            close = difflib.get_close_matches(name, table.names, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"It has {listed(table.names)}."
            raise InputError(f"{option} {name}: {table.name} has no such column. {hint}")
    return tuple(dict.fromkeys(names))


def earlier_columns(names: list[str]) -> set[str]:
    """Columns that an earlier run of ours appended."""
    found = {SCORE, FLAG} & set(names)
    # A column of reasons alone may be anyone's.
    return found | ({REASONS} & set(names) if len(found) == 2 else set())


def kept_columns(table: TableSource, roles: Roles) -> list[str]:
    """Columns of the input that go to the output."""
    return list(roles.ids) or [name for name in table.names if name not in earlier_columns(table.names)]


def training_columns(table: TableSource, roles: Roles, messages: Messages) -> list[str]:
    """Columns to fit on: all without a role.

    Raises
    ------
    InputError
        If no column is left.
    """
    own = [name for name in table.names if name in earlier_columns(table.names) and name != roles.label]
    if own:
        messages.note(f"{table.name} holds {' and '.join(own)} from an earlier run: not used as features.")
    names = [name for name in table.names if name not in roles.named | {*own} and not PANDAS_INDEX.fullmatch(name)]
    if not names:
        raise InputError(f"{table.name} has no column left to learn from; name fewer with --id, --label and --drop.")
    return names


def scoring_columns(table: TableSource, roles: Roles, columns: "tuple[Column, ...]", messages: Messages) -> list[str]:
    """Columns that a model is to see, of those that it was fitted on.

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
            f"{table.name} lacks {listed(missing)} of the {len(used)} columns that the model "
            f"uses.{unnamed} Add what is missing (empty cells do), or fit a model without them."
        )
    for name in used:
        if name == roles.label or name in roles.dropped:
            option = "--label" if name == roles.label else "--drop"
            raise InputError(
                f"{option} {name}: the model uses this column as a feature. Fit a model with "
                f"{option} {name} to leave it out."
            )
    known = {column.name for column in columns} | roles.named | earlier_columns(table.names)
    extra = [n for n in table.names if n not in known and not PANDAS_INDEX.fullmatch(n)]
    if extra:
        messages.warning(f"{table.name} has {listed(extra)} that the model does not know: ignored.")
    return used
