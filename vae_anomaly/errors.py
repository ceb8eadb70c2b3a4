"""Exceptions and warnings of the toolkit: one line each, saying what, where, what was expected and what to do.

They carry fields, and their text is made of the fields when it is asked for.  Positional arguments stay in ``args``, so
that each of them can be pickled and copied.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

MAX_NAMED = 5
# Packages whose lines are not those of who called the library.
INTERNAL = frozenset({"vae_anomaly", "sklearn", "contextlib", "joblib", "torch"})


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
    label : object, optional
        What the index of a DataFrame calls the row.

    Examples
    --------
    >>> error = DataError("column 'age' holds 'n/a'", "numeric columns take numbers.", column="age", row=17)
    >>> print(error)
    column 'age' holds 'n/a' (index 17); numeric columns take numbers.
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
        label: Hashable = None,
    ) -> None:
        super().__init__(problem, expected)
        self.problem = problem
        self.expected = expected
        self.column = column
        self.row = row
        self.item = item
        self.label = label

    def __str__(self) -> str:
        return self.text()

    def text(self, *, row: str | None = None) -> str:
        """The sentence, with the row in the caller's terms.

        Parameters
        ----------
        row : str, optional
            How the caller calls the row, such as "line 19"; by default its label in the index, or else its position,
            such as "index 17". Not used where the error is not about a single row.
        """
        where = "" if self.row is None else f" ({row or self._place()})"
        return f"{self.problem}{where}; {self.expected}" if self.expected else f"{self.problem}{where}"

    def _place(self) -> str:
        if self.item == "image":
            return f"image {self.row}"
        return f"index {row_label(self.row if self.label is None else self.label)}"

    def with_row(self, row: int) -> Self:
        """The same error about another row, for callers that passed on a selection of their rows."""
        moved: Self = _with_row(self, row)
        return moved


class CellTypeError(DataError, TypeError):
    """A cell holds an object that is neither a number nor a string, such as a dict or a list."""


class SpecificationError(VAEAnomalyError, ValueError):
    """A likelihood, prior, backbone or score was asked for by a name or an object that is not one."""


class NotAvailable(SpecificationError, AttributeError):
    """A model of this kind has no such thing; an AttributeError too, so that ``hasattr`` can ask for it."""


class ModelFileError(VAEAnomalyError, ValueError):
    """The file is not a model file, is damaged, or was written by a newer version."""


class NotInstalled(VAEAnomalyError, ImportError):
    """A library that only some need is not installed; the text has the command that installs it.

    Parameters
    ----------
    library : str
        What is missing.
    extra : str
        The extra of this package that brings it.

    Examples
    --------
    >>> print(NotInstalled("onnxruntime", "onnx"))
    onnxruntime is not installed; install it with: python -m pip install "vae-anomaly[onnx]"
    """

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(library, extra)
        self.library = library
        self.extra = extra

    def __str__(self) -> str:
        return f'{self.library} is not installed; install it with: python -m pip install "vae-anomaly[{self.extra}]"'


class ExportError(VAEAnomalyError, ArithmeticError):
    """An exported graph has other scores than the detector, and was not written.

    Parameters
    ----------
    difference : float
        Of the row where they differ most; nats.
    score : float
        The detector's score of that row.
    allowed : float
        The largest difference that there may be.

    Examples
    --------
    >>> print(ExportError(0.5, -12.0, 2e-5))
    a score of the exported graph is 0.5 nats from that of the detector, -12; expected at most 2e-05. Nothing was
    written: score with the model file, and report this with the model.
    """

    def __init__(self, difference: float, score: float, allowed: float) -> None:
        super().__init__(difference, score, allowed)
        self.difference = difference
        self.score = score
        self.allowed = allowed

    def __str__(self) -> str:
        return (
            f"a score of the exported graph is {self.difference:.3g} nats from that of the detector, {self.score:.6g}; "
            f"expected at most {self.allowed:.3g}. Nothing was written: score with the model file, and report this "
            "with the model."
        )


class NonFiniteScoreError(VAEAnomalyError, ArithmeticError):
    """Rows with finite cells have a score that is NaN or infinite; it would count as neither normal nor anomalous.

    Parameters
    ----------
    n_affected, n_rows : int
        Rows or images with such a score, and all that were scored with them.
    row : int
        Position of the first one, counted from 0.
    item : {"row", "image"}, default="row"
        What is counted.

    Examples
    --------
    >>> print(NonFiniteScoreError(2, 600, 17))
    2 of 600 rows have a score that is not finite (the first is index 17), although their cells are; the model is
    damaged or beyond single precision. Copy or fit it again, and scale columns with extreme values.
    """

    def __init__(self, n_affected: int, n_rows: int, row: int, item: Literal["row", "image"] = "row") -> None:
        super().__init__(n_affected, n_rows, row, item)
        self.n_affected = n_affected
        self.n_rows = n_rows
        self.row = row
        self.item = item

    def __str__(self) -> str:
        return self.text()

    def text(self, *, row: str | None = None) -> str:
        """The sentence, with the row in the caller's terms.

        Parameters
        ----------
        row : str, optional
            How the caller calls the first row, such as "line 19"; by default its position.
        """
        have = "has" if self.n_affected == 1 else "have"
        first = row or (f"image {self.row}" if self.item == "image" else f"index {self.row}")
        cells = "pixels" if self.item == "image" else "cells"
        return (
            f"{self.n_affected:,} of {self.n_rows:,} {self.item}s {have} a score that is not finite (the first is "
            f"{first}), although their {cells} are; the model is damaged or beyond single precision. Copy or fit it "
            "again, and scale columns with extreme values."
        )

    def with_row(self, row: int) -> Self:
        """The same error with another position, for callers that passed on a selection of their rows."""
        moved: Self = _with_row(self, row)
        return moved


class ForkedProcessError(VAEAnomalyError, RuntimeError):
    """PyTorch cannot compute in this process, because it was forked beside a GPU.

    Parameters
    ----------
    reason : str
        What PyTorch says, or what was asked for.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        reason = " ".join(self.reason.split()).rstrip(".")
        return (
            f"this process was forked on a machine with a GPU, where PyTorch cannot go on after a fork ({reason}). "
            "Start processes with 'spawn' or 'forkserver', as multiprocessing.get_context('spawn') does, or load the "
            "model with device='cpu' in the forked process."
        )


class WorkerError(VAEAnomalyError, RuntimeError):
    """A process, here or on another machine, that was to compute a part of the work ended or cannot compute it.

    Parameters
    ----------
    problem : str
        What is wrong with the worker, without a full stop.
    remedy : str
        What to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"a worker {self.problem}. {self.remedy}"


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
        finite = math.isfinite(self.last_finite_loss)
        before = (
            f"the last finite loss was {self.last_finite_loss:.6g} nats per row" if finite else "no loss was finite"
        )
        return (
            f"training diverged at iteration {self.iteration} (epoch {self.epoch}), also after a rollback with a tenth "
            f"of the step; {before}. {self._remedy}"
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


class PagesLeftOutWarning(DataWarning):
    """An image file has several pages or frames, of which the first is read.

    Parameters
    ----------
    path : Path
        The file.
    n_pages : int
        How many it has.
    """

    def __init__(self, path: Path, n_pages: int) -> None:
        super().__init__(path, n_pages)
        self.path = path
        self.n_pages = n_pages
        self.subject = str(path)

    def __str__(self) -> str:
        return (
            f"{self.path} has {self.n_pages} pages or frames: the first is read. Save each of them as a file of its "
            "own to have them all."
        )


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


class ExtraColumnsWarning(DataWarning):
    """Rows have columns that the model does not know; they are ignored.

    Parameters
    ----------
    columns : tuple of str
        Their names.
    """

    def __init__(self, columns: tuple[str, ...]) -> None:
        super().__init__(columns)
        self.columns = columns

    def __str__(self) -> str:
        return f"the model does not know {_listed(self.columns)}: ignored. strict_columns=True refuses such rows."


class MatchedColumnsWarning(DataWarning):
    """Columns are found under names that differ from those of the model in case, or in blanks around them.

    Parameters
    ----------
    columns : tuple of str
        Names in the rows.
    names : tuple of str
        Names in the model.
    """

    def __init__(self, columns: tuple[str, ...], names: tuple[str, ...]) -> None:
        super().__init__(columns, names)
        self.columns = columns
        self.names = names

    def __str__(self) -> str:
        return f"{_listed(self.columns)} taken for {_listed(self.names)} of the model."


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
    impossible : bool
        Whether they are dates of no calendar, which cannot be kept.
    """

    def __init__(self, column: str, codes: tuple[str, ...], count: int, impossible: bool = False) -> None:
        super().__init__(column, codes, count, impossible)
        self.column = column
        self.codes = codes
        self.count = count
        self.impossible = impossible
        self.subject = column

    def __str__(self) -> str:
        if self.impossible:
            return (
                f"column {self.column!r}: {' and '.join(self.codes)} in {self.count} cells is no date and taken as "
                "missing, in rows to score as well."
            )
        return (
            f"column {self.column!r}: {' and '.join(self.codes)} in {self.count} cells is taken as missing, in rows to "
            f"score as well. Keep it with missing_values={{{self.column!r}: False}}, on the command line "
            f"--missing-values {self.column}=none; or name what is missing."
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
    """A column that is mostly numbers is taken as text.

    Parameters
    ----------
    column : str
        Name of the column.
    number : str
        A number among its cells.
    text : str, optional
        A cell that is no number; None where all cells are numbers.
    units : tuple of str, default=()
        Units that differ.
    """

    def __init__(self, column: str, number: str, text: str | None = None, units: tuple[str, ...] = ()) -> None:
        super().__init__(column, number, text, units)
        self.column = column
        self.subject = column
        self.number = number
        self.text = text
        self.units = units

    def __str__(self) -> str:
        if self.units:
            named = ", ".join(map(repr, self.units[:3]))
            return (
                f"column {self.column!r} holds numbers in several units ({named}), which are not converted: taken as "
                "text. Convert them to one unit."
            )
        if self.text is None:
            return (
                f"column {self.column!r} holds numbers written as text ({self.number!r}): taken as categories. Convert "
                f"it with pandas.to_numeric, or say columns={{{self.column!r}: 'continuous'}} or 'categorical'."
            )
        return (
            f"column {self.column!r} is mostly numbers and holds too much else ({self.number!r}, {self.text!r}): taken "
            f"as text. Clean it, or say columns={{{self.column!r}: 'categorical'}}."
        )


class EmptyRowWarning(DataWarning):
    """Rows hold no value in any column of the model, so that nothing is known of them.

    Parameters
    ----------
    n_rows : int
        How many.
    first : hashable
        The first of them: its label in the index of a DataFrame, or its position from 0.
    item : {"row", "image"}, default="row"
        What they are.
    """

    def __init__(self, n_rows: int, first: Hashable, item: Literal["row", "image"] = "row") -> None:
        super().__init__(n_rows, first, item)
        self.n_rows = n_rows
        self.first = first
        self.item = item

    def __str__(self) -> str:
        one = self.n_rows == 1
        what = f"1 {self.item} holds" if one else f"{self.n_rows} {self.item}s hold"
        where = f"{'' if one else 'the first at '}index {row_label(self.first)}"
        return (
            f"{what} no value in any column of the model ({where}): the score is that of an average {self.item} if "
            "missing cells are charged, and says nothing. Leave such rows out, or look at why they are empty."
        )


class SmallGroupsWarning(DataWarning):
    """Most rows are in groups of fewer than five rows, whose own baseline says little.

    Parameters
    ----------
    keys : tuple of str
        Columns that group the rows.
    n_small : int
        Rows in such groups.
    n_rows, n_groups : int
        Of all.
    """

    def __init__(self, keys: tuple[str, ...], n_small: int, n_rows: int, n_groups: int) -> None:
        super().__init__(keys, n_small, n_rows, n_groups)
        self.keys = keys
        self.n_small = n_small
        self.n_rows = n_rows
        self.n_groups = n_groups

    def __str__(self) -> str:
        return (
            f"baseline_by {', '.join(self.keys)}: {self.n_small:,} of {self.n_rows:,} rows are in groups of fewer than "
            f"5 rows ({self.n_groups:,} groups), which are compared with little more than the group around theirs. "
            "Leave out the last key, or take one with fewer values."
        )


class NewGroupsWarning(DataWarning):
    """Most rows are of groups that training did not have, and are compared with the group around theirs.

    Parameters
    ----------
    n_new, n_rows : int
        Such rows, and all.
    """

    def __init__(self, n_new: int, n_rows: int) -> None:
        super().__init__(n_new, n_rows)
        self.n_new = n_new
        self.n_rows = n_rows

    def __str__(self) -> str:
        return (
            f"{self.n_new:,} of {self.n_rows:,} rows are of groups without a baseline of their own, because training "
            "had no such group or a key is missing: they are compared with the group around theirs. Look whether keys "
            "are written as in training, or fit anew."
        )


class GroupsLeftOutWarning(DataWarning):
    """Groups have no model of their own, and the pooled one judges their rows.

    Parameters
    ----------
    by : str
        The column of the groups.
    n_groups : int
        Of the fit.
    small, failed : tuple of str
        Groups with too few rows, and those whose fit failed.
    min_rows : int
        Rows that a group needs.
    reason : str
        Why the first of the failed ones failed.
    """

    def __init__(
        self, by: str, n_groups: int, small: tuple[str, ...], failed: tuple[str, ...], min_rows: int, reason: str = ""
    ) -> None:
        super().__init__(by, n_groups, small, failed, min_rows, reason)
        self.by = by
        self.n_groups = n_groups
        self.small = small
        self.failed = failed
        self.min_rows = min_rows
        self.reason = reason

    def __str__(self) -> str:
        why = []
        if self.small:
            why.append(f"{len(self.small):,} with fewer than {self.min_rows:,} rows ({first_names(self.small)})")
        if self.failed:
            why.append(f"{len(self.failed):,} whose fit failed ({first_names(self.failed)}; the first: {self.reason})")
        n_left_out = len(self.small) + len(self.failed)
        return (
            f"{n_left_out:,} of {self.n_groups:,} groups of {self.by!r} have no model of their own, and the pooled one "
            f"judges their rows: {'; '.join(why)}"
        )


class SimilarGroupsWarning(DataWarning):
    """Names of groups differ in nothing but case and blanks: each is a group of its own.

    Parameters
    ----------
    by : str
        The column of the groups.
    similar : tuple of tuple of str
        Names that are alike, together.
    """

    def __init__(self, by: str, similar: tuple[tuple[str, ...], ...]) -> None:
        super().__init__(by, similar)
        self.by = by
        self.similar = similar

    def __str__(self) -> str:
        return (
            f"{self.by!r}: {' and '.join(map(repr, self.similar[0]))} are groups of their own"
            f"{f', and {len(self.similar) - 1:,} others are as alike' if len(self.similar) > 1 else ''}. Write a name "
            "in one way where it is one group."
        )


class UnknownGroupsWarning(DataWarning):
    """Rows are judged by the pooled model, because their groups have no model of their own.

    Parameters
    ----------
    by : str
        The column of the groups.
    n_pooled, n_rows : int
        Such rows, and all.
    unknown : tuple of str
        Names of their groups.
    n_missing : int
        Rows without a name.
    """

    def __init__(self, by: str, n_pooled: int, n_rows: int, unknown: tuple[str, ...], n_missing: int = 0) -> None:
        super().__init__(by, n_pooled, n_rows, unknown, n_missing)
        self.by = by
        self.n_pooled = n_pooled
        self.n_rows = n_rows
        self.unknown = unknown
        self.n_missing = n_missing

    def __str__(self) -> str:
        of = []
        if self.unknown:
            counted = f"{len(self.unknown):,} group{'' if len(self.unknown) == 1 else 's'}"
            of.append(f"of {counted} without a model of their own ({first_names(self.unknown)})")
        if self.n_missing:
            of.append(f"{self.n_missing:,} without a value in {self.by!r}")
        return (
            f"{self.n_pooled:,} of {self.n_rows:,} rows are judged by the pooled model, which promises nothing of "
            f"groups that it has not seen: {', '.join(of)}"
        )


class OddCellsWarning(DataWarning):
    """A few cells of a column of numbers or dates are neither, and are taken as missing.

    Parameters
    ----------
    column : str
        Name of the column.
    found : str
        The first of them.
    row : int
        Its position, counted from 0.
    count, n_cells : int
        How many they are, of how many cells that are not missing.
    content : str, default="numbers"
        What the others are.
    label : object, optional
        What the index of a DataFrame calls the row.
    """

    def __init__(
        self,
        column: str,
        found: str,
        row: int,
        count: int,
        n_cells: int,
        content: str = "numbers",
        label: Hashable = None,
    ) -> None:
        super().__init__(column, found, row, count, n_cells, content, label)
        self.column = column
        self.found = found
        self.row = row
        self.count = count
        self.n_cells = n_cells
        self.content = content
        self.label = label
        self.subject = column

    def __str__(self) -> str:
        return self.text()

    def text(self, *, row: str | None = None) -> str:
        """The sentence, with the row in the caller's terms, such as "line 19"."""
        cells = "1 cell" if self.count == 1 else f"{self.count:,} cells"
        place = row or f"index {row_label(self.row if self.label is None else self.label)}"
        return (
            f"column {self.column!r} holds {self.content}, and {self.found!r} ({place}): {cells} of "
            f"{self.n_cells:,} that {'is' if self.count == 1 else 'are'} none, taken as missing. Clean the column, or "
            "say that it is categorical."
        )


class AmbiguousTextWarning(DataWarning):
    """Text can be read in two ways, and nothing in the table tells which.

    Parameters
    ----------
    column : str
        Name of the column.
    found : str
        Such a cell.
    reading : str
        How it is read.
    remedy : str
        What to say where it is the other.
    """

    def __init__(self, column: str, found: str, reading: str, remedy: str) -> None:
        super().__init__(column, found, reading, remedy)
        self.column = column
        self.found = found
        self.reading = reading
        self.remedy = remedy
        self.subject = column

    def __str__(self) -> str:
        return (
            f"column {self.column!r} holds {self.found!r}, which can be read in two ways, and no cell tells which: "
            f"read {self.reading}. {self.remedy}"
        )


class DecimalMarkWarning(DataWarning):
    """Rows to score have numbers that may be a thousand times what they were written as.

    Parameters
    ----------
    column : str
        Name of the column.
    found : str
        A cell that can be read in two ways.
    reading : str
        What it is read as, as the column was in training.
    sure : str
        A cell of these rows whose decimal mark is another; empty where the column had no thousands in training.
    count : int
        How many cells can be read in two ways.
    """

    def __init__(self, column: str, found: str, reading: str, sure: str, count: int) -> None:
        super().__init__(column, found, reading, sure, count)
        self.column = column
        self.found = found
        self.reading = reading
        self.sure = sure
        self.count = count
        self.subject = column

    def __str__(self) -> str:
        why = f"these rows hold {self.sure!r}, too" if self.sure else "it had no marks between thousands in training"
        return (
            f"column {self.column!r}: {self.found!r} ({self.count:,} such cell{'s' * (self.count > 1)}) is read as "
            f"{self.reading}, by the decimal mark of training, but {why}. Where that is wrong, give numbers instead of "
            "text, or write the rows with the mark of training."
        )


class LevelsMergedWarning(DataWarning):
    """Levels that differ in upper and lower case alone are taken as one.

    Parameters
    ----------
    column : str
        Name of the column.
    spelling, level : str
        One that is rarer, and what it is taken for.
    count : int
        How many spellings are taken for another.
    """

    def __init__(self, column: str, spelling: str, level: str, count: int) -> None:
        super().__init__(column, spelling, level, count)
        self.column = column
        self.spelling = spelling
        self.level = level
        self.count = count
        self.subject = column

    def __str__(self) -> str:
        more = f", and {self.count - 1:,} more are merged" if self.count > 1 else ""
        return (
            f"column {self.column!r}: {self.spelling!r} is taken for {self.level!r}{more}. Where case matters, say so: "
            "reading=Reading(fold_case=False), or --no-fold-case."
        )


class HashedLevelWarning(DataWarning):
    """What would be put into cells is a level that the model file does not hold: they are left missing.

    Parameters
    ----------
    column : str
        Name of the column.
    count : int
        How many cells.
    """

    def __init__(self, column: str, count: int) -> None:
        super().__init__(column, count)
        self.column = column
        self.count = count
        self.subject = column

    def __str__(self) -> str:
        return (
            f"column {self.column!r}: in {self.count:,} cell{'' if self.count == 1 else 's'} the expected level is one "
            "that the model file knows by its hash alone, because it is rare or long; left missing. Save the detector "
            "that was fitted with min_level_count=1 to keep short ones."
        )


class TextReadWarning(DataWarning):
    """How text was read, where it is not plain.

    Parameters
    ----------
    readings : tuple of (str, str)
        Names of columns, each with what its text is read as.
    """

    MAX_SHOWN = 8

    def __init__(self, readings: tuple[tuple[str, str], ...]) -> None:
        super().__init__(readings)
        self.readings = readings

    def __str__(self) -> str:
        shown = "; ".join(f"{column!r} as {reading}" for column, reading in self.readings[: self.MAX_SHOWN])
        more = len(self.readings) - self.MAX_SHOWN
        return f"text is read: {shown}{f'; and {more} more columns' if more > 0 else ''}."


def row_label(label: Hashable) -> str:
    """A label of an index in a sentence: text in quotes."""
    return repr(label) if isinstance(label, str) else str(label)


def _with_row(error: Exception, row: int) -> Any:
    moved = copy.copy(error)
    # tblib, which Dask loads, has copies of exceptions share their fields.
    moved.__dict__ = {**vars(error), "row": row}
    return moved


def first_names(names: Sequence[str]) -> str:
    """The first few of some names, and how many more there are."""
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return f"{', '.join(map(repr, names[:MAX_NAMED]))}{more}"


def _listed(names: tuple[str, ...]) -> str:
    """The first few columns, and how many there are beside them."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"column{'' if len(names) == 1 else 's'} {', '.join(map(repr, names[:MAX_NAMED]))}{more}"


def callers_level() -> int:
    """The `stacklevel` at which a warning points to the line that called the library, however deep it is made."""
    level = 1
    frame = inspect.currentframe()
    frame = None if frame is None else frame.f_back
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in INTERNAL:
        frame = frame.f_back
        level += 1
    return level
