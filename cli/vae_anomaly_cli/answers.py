"""What a person wrote into a review: yes or no, and the scores by which rows are known again."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_anomaly.batches import FLAG, SCORE
from vae_anomaly_cli.console import counted
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import Location, TableSource
from vae_anomaly_cli.tables import Table, read_table

YES, NO = ("1", "1.0", "true", "yes", "y"), ("0", "0.0", "false", "no", "n")
NOT_LOOKED_AT = ("", "nan", "na", "n/a", "none", "null", "<na>")
# Between devices, and what a spreadsheet leaves of a number.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class AnsweredLines:
    """Lines of a review that have an answer.

    Attributes
    ----------
    table : Table
        The review, whole.
    lines : ndarray of int, shape (answers,)
        Which lines they are, from 0.
    is_anomaly : ndarray of bool, shape (answers,)
        What they say.
    """

    table: Table
    lines: npt.NDArray[np.intp]
    is_anomaly: npt.NDArray[np.bool_]

    @classmethod
    def read(cls, source: TableSource) -> "AnsweredLines":
        """Read a review.

        Raises
        ------
        InputError
            If it is none, or nobody has filled it in, or an answer cannot be read.
        """
        if FLAG not in source.names:
            raise InputError(
                f"{source.name} has no column '{FLAG}'; expected a review, as vae-anomaly review -o writes it, with "
                f"{FLAG} filled in."
            )
        table = read_table(source)
        answers = [read_answer(cell, where_of(table, line)) for line, cell in enumerate(table.cells[FLAG].to_pylist())]
        lines = np.array([line for line, answer in enumerate(answers) if answer is not None], dtype=np.intp)
        if not len(lines):
            raise InputError(
                f"{source.name}: {FLAG} is empty in all {counted(table.n_rows, 'row')}, and nothing changes. Fill it "
                "in with 1 or 0 where somebody looked."
            )
        return cls(table, lines, np.array([answers[line] for line in lines], dtype=bool))

    @property
    def n_open(self) -> int:
        """Lines without an answer."""
        return self.table.n_rows - len(self.lines)

    def locate(self, row: int) -> Location:
        """Say where a person finds one of them."""
        return self.table.locate(int(self.lines[row]))

    def where(self, row: int) -> str:
        """Say the same in words."""
        return where_of(self.table, int(self.lines[row]))


def read_answer(cell: object, where: str) -> bool | None:
    """Read one answer; None where nobody looked.

    Parameters
    ----------
    cell : object
        What `is_anomaly` holds.
    where : str
        File and line, for messages.

    Raises
    ------
    InputError
        If it is neither yes nor no.

    Examples
    --------
    >>> read_answer("Yes", "review.csv, line 2"), read_answer(0.0, "line 3"), read_answer(None, "line 4")
    (True, False, None)
    """
    text = "" if cell is None else str(cell).strip().lower()
    if text in NOT_LOOKED_AT:
        return None
    if text not in (*YES, *NO):
        raise InputError(
            f"{where}: {FLAG} holds '{cell}'; expected 1 or 0, true or false, yes or no, or nothing where nobody "
            "looked."
        )
    return text in YES


def read_score(cell: object, where: str, name: str = SCORE) -> float | None:
    """Read a score, with a decimal comma if a spreadsheet has written one; None where there is none.

    Parameters
    ----------
    cell : object
        What the column holds.
    where : str
        File and line, for messages.
    name : str
        Of the column.

    Raises
    ------
    InputError
        If it is no number.

    Examples
    --------
    >>> read_score("3,25", "review.csv, line 2"), read_score("", "review.csv, line 3")
    (3.25, None)
    """
    text = "" if cell is None else str(cell).strip()
    if text.lower() in NOT_LOOKED_AT:
        return None
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise InputError(
            f"{where}: {name} holds '{cell}'; expected the score of the row, as the review had it."
        ) from None


def is_score(given: float, score: float) -> bool:
    """Whether a score that was read back is the one that a model gives a row.

    Examples
    --------
    >>> is_score(412.3, 412.25), is_score(3.5, 3.6)
    (True, False)
    """
    return abs(given - score) <= TOLERANCE * max(abs(score), 1.0)


def where_of(table: Table, line: int) -> str:
    """Say where a person finds a line of a table."""
    location = table.locate(line)
    return f"{location.file}, {location.where}"
