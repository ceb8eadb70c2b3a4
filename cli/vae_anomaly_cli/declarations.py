"""What the user says columns are: `--column NAME=KIND`."""

import difflib

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.roles import FLAG, SCORE, Roles
from vae_anomaly_cli.sources import TableSource, listed


def read_declarations(table: TableSource, roles: Roles, given: list[str]) -> dict[str, str]:
    """Read declarations of columns; a name may hold '=' itself.

    Raises
    ------
    InputError
        If one of them names no feature of the table or no kind, or names a column again.
    """
    declared: dict[str, str] = {}
    for text in given:
        name, kind = _parts(text)
        if name not in table.names:
            close = difflib.get_close_matches(name, table.names, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"It has {listed(table.names)}."
            raise InputError(f"--column {text}: {table.name} has no column '{name}'. {hint}")
        if name in declared:
            raise InputError(f"--column {text}: '{name}' is already declared {declared[name]}; say it once.")
        option = roles.option_of(name)
        if option is not None:
            raise InputError(f"--column {text}: {option} says that '{name}' is no feature; leave one of them out.")
        if name in (SCORE, FLAG):
            raise InputError(f"--column {text}: '{name}' is of an earlier run and no feature; leave it out.")
        declared[name] = kind
    return declared


def _parts(text: str) -> tuple[str, str]:
    # Loads PyTorch, and so only where a column is declared.
    from vae_anomaly.columns import DECLARABLE

    name, sign, kind = text.rpartition("=")
    if not sign or not name:
        raise InputError(f"--column {text}: expected NAME=KIND, like zip=categorical.")
    if kind not in DECLARABLE:
        raise InputError(f"--column {text}: '{kind}' is no kind; expected one of {', '.join(DECLARABLE)}.")
    return name, kind
