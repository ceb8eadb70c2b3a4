"""Exceptions and warnings of the toolkit: one line each, saying what, where, what was expected and what to do.

They carry fields, and their text is made of the fields when it is asked for.  Positional arguments stay in ``args``, so
that each of them can be pickled and copied.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal, Self


class VAEAnomalyError(Exception):
    """Root of every exception that the toolkit raises on purpose."""


class DataError(VAEAnomalyError, ValueError):
    """The data cannot be used as given; the text names the column, the row and the remedy.

    Parameters
    ----------
    problem : str
        What is wrong, without the row and without a full stop if there is more to say.
    expected : str, default=""
        What was expected, and what to do.
    column : str, optional
        Name of the column.
    row : int, optional
        Position of the row or image, counted from 0.
    item : {"row", "image"}, default="row"
        What `row` counts.

    Examples
    --------
    >>> error = DataError("column 'age' holds 'n/a'", "numeric columns take numbers.", column="age", row=17)
    >>> print(error)
    column 'age' holds 'n/a' (row 17); numeric columns take numbers.
    >>> print(error.text(row="line 19"))
    column 'age' holds 'n/a' (line 19); numeric columns take numbers.
    """

    def __init__(
        self,
        problem: str,
        expected: str = "",
        *,
        column: str | None = None,
        row: int | None = None,
        item: Literal["row", "image"] = "row",
    ) -> None:
        super().__init__(problem, expected)
        self.problem = problem
        self.expected = expected
        self.column = column
        self.row = row
        self.item = item

    def __str__(self) -> str:
        return self.text()

    def text(self, *, row: str | None = None) -> str:
        """The sentence, with the row in the caller's terms.

        Parameters
        ----------
        row : str, optional
            How the caller calls the row, such as "line 19"; by default its position, such as "row 17". Not used where
            the error is not about a single row.
        """
        where = "" if self.row is None else f" ({row or f'{self.item} {self.row}'})"
        return f"{self.problem}{where}; {self.expected}" if self.expected else f"{self.problem}{where}"

    def with_row(self, row: int) -> Self:
        """The same error about another row, for callers that passed on a selection of their rows."""
        moved = copy.copy(self)
        moved.row = row
        return moved


class CellTypeError(DataError, TypeError):
    """A cell holds an object that is neither a number nor a string, such as a dict or a list."""


class SpecificationError(VAEAnomalyError, ValueError):
    """A likelihood, prior, backbone or score was asked for by a name or an object that is not one."""


class NotAvailable(SpecificationError, AttributeError):
    """A model of this kind has no such thing; an AttributeError too, so that ``hasattr`` can ask for it."""


class ModelFileError(VAEAnomalyError, ValueError):
    """The file is not a model file, is damaged, or was written by a newer version."""


class TrainingDiverged(VAEAnomalyError, RuntimeError):
    """The loss became NaN or infinite twice, the second time after a rollback with a smaller step.

    Parameters
    ----------
    iteration : int
        Optimisation step, counted from 1, at whose check the loss was found not finite.
    epoch : int
        Pass over the members' subsamples in which that step lies, counted from 1.
    last_finite_loss : float
        Mean negative ELBO, in nats per row, at the last check where it was finite.
    column : str, optional
        The column with the cell that is furthest from the others of its column.
    """

    def __init__(self, iteration: int, epoch: int, last_finite_loss: float, column: str | None = None) -> None:
        super().__init__(iteration, epoch, last_finite_loss, column)
        self.column = column
        self.iteration = iteration
        self.epoch = epoch
        self.last_finite_loss = last_finite_loss

    def __str__(self) -> str:
        return (
            f"training diverged at iteration {self.iteration} (epoch {self.epoch}), also after a rollback with a tenth "
            f"of the step; the last finite loss was {self.last_finite_loss:.6g} nats per row. "
            f"{self._remedy}"
        )

    @property
    def _remedy(self) -> str:
        if self.column is None:
            return "Lower learning_rate_init, or scale columns with extreme values."
        return f"Look at the extreme values of column {self.column!r}, or lower learning_rate_init."


class VAEAnomalyWarning(UserWarning):
    """Root of every warning of the toolkit.

    Attributes
    ----------
    subject : str
        What it is about: warnings of one class with the same subject differ in their figures alone. Empty where the
        text itself is the subject.
    """

    subject = ""


class FitWarning(VAEAnomalyWarning):
    """Training ended in a state that scores alone would not reveal; ``fit_report_`` holds the figures.

    Parameters
    ----------
    message : str
        One line.
    kind : str, default=""
        Which state: "interrupted", "rolled_back", "collapsed", "worse_than_baseline" or "failed".
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message, kind)
        self.message = message
        self.kind = kind
        self.subject = kind

    def __str__(self) -> str:
        return self.message


class DetectorLeftOutWarning(FitWarning):
    """A detector failed in a comparison and is left out of a setting.

    Parameters
    ----------
    detector : str
        Its name in the comparison.
    setting : str
        "clean" or "all".
    reason : str
        What it said, in one line.
    """

    def __init__(self, detector: str, setting: str, reason: str) -> None:
        super().__init__(f"{detector} is left out of {setting!r}: {reason}", "failed")
        self.args = (detector, setting, reason)
        self.detector = detector
        self.setting = setting
        self.reason = reason
        self.subject = f"{detector}, {setting}"


class DataWarning(VAEAnomalyWarning):
    """Data were left out or treated in a way that their owner should know of."""


class FileLeftOutWarning(DataWarning):
    """A file cannot be used and is left out.

    Parameters
    ----------
    path : Path
        The file.
    reason : str
        Why not, and what to do.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason
        self.subject = str(path)

    def __str__(self) -> str:
        return f"left out: {self.path}: {self.reason}"


class ColumnSetAsideWarning(DataWarning):
    """A column is not modelled.

    Parameters
    ----------
    column : str
        Name of the column.
    reason : str
        Why not.
    """

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(column, reason)
        self.column = column
        self.reason = reason
        self.subject = column

    def __str__(self) -> str:
        return f"column {self.column!r} is set aside: {self.reason}"


class MissingCodeWarning(DataWarning):
    """A value that repeats far from all others stands for missing cells.

    Parameters
    ----------
    column : str
        Name of the column.
    codes : tuple of str
        The values, as people write them.
    count : int
        How many training cells hold one of them.
    """

    def __init__(self, column: str, codes: tuple[str, ...], count: int) -> None:
        super().__init__(column, codes, count)
        self.column = column
        self.codes = codes
        self.count = count
        self.subject = column

    def __str__(self) -> str:
        return (
            f"column {self.column!r}: {' and '.join(self.codes)} in {self.count} cells is taken as missing, in rows to "
            f"score as well. Keep it with missing_values={{{self.column!r}: False}}, on the command line --missing "
            f"{self.column}=none; or name what is missing."
        )


class SortedColumnWarning(DataWarning):
    """The numbers of a column only rise or only fall from row to row, and it is modelled all the same.

    Parameters
    ----------
    column : str
        Name of the column.
    rises : bool
        Whether they rise.
    """

    def __init__(self, column: str, rises: bool) -> None:
        super().__init__(column, rises)
        self.column = column
        self.rises = rises
        self.subject = column

    def __str__(self) -> str:
        return (
            f"column {self.column!r} {'rises' if self.rises else 'falls'} from row to row. Where the rows were sorted "
            "by it, all is well; where it goes on with time, all later rows will look anomalous: then leave it out: "
            f"columns={{{self.column!r}: 'identifier'}}."
        )


class NumericTextWarning(DataWarning):
    """A column of text that holds numbers is taken as categories.

    Parameters
    ----------
    column : str
        Name of the column.
    number : str
        A number among its cells.
    text : str, optional
        A cell that is no number; None where all cells are numbers.
    """

    def __init__(self, column: str, number: str, text: str | None = None) -> None:
        super().__init__(column, number, text)
        self.column = column
        self.subject = column
        self.number = number
        self.text = text

    def __str__(self) -> str:
        if self.text is None:
            return (
                f"column {self.column!r} holds numbers written as text ({self.number!r}): taken as categories. Convert "
                f"it with pandas.to_numeric, or say columns={{{self.column!r}: 'continuous'}} or 'categorical'."
            )
        return (
            f"column {self.column!r} mixes numbers and text ({self.number!r}, {self.text!r}): taken as text. "
            f"Clean it, or say columns={{{self.column!r}: 'categorical'}}."
        )
