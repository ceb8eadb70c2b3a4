"""Text of tables to what it stands for: learned from training rows, and by what the columns of a model learned."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.columns.column import Column
from vae_anomaly.data import (
    CONTENT,
    DecimalMarks,
    KnownText,
    LearnedText,
    Table,
    TextColumn,
    TextFormat,
    TextKind,
    TextRules,
    cells_of,
    empty_of,
    is_few,
    learn_levels,
    learn_text,
    order_of,
    read_known_text,
    unreadable_text,
)
from vae_anomaly.errors import (
    AmbiguousTextWarning,
    DataWarning,
    LevelsMergedWarning,
    MissingCodeWarning,
    NumericTextWarning,
    OddCellsWarning,
    TextReadWarning,
    callers_level,
)
from vae_anomaly.likelihoods import Likelihood

NUMBER_KINDS = ("continuous", "positive", "bounded", "integer", "count")
LEVEL_KINDS = ("categorical", "binary")
MIN_NUMERIC_SHARE, MIN_LEVELS = 0.9, 20


def read_training_text(table: Table, declared: Mapping[str, str | Likelihood], rules: TextRules) -> Table:
    """Learn how the text of each column is read, and read it.

    Parameters
    ----------
    table : Table
        Training rows.
    declared : mapping of column name to kind or Likelihood
        What the user says some columns are.
    rules : TextRules
        What the user says of how text is read.

    Returns
    -------
    Table
        With numbers, dates, booleans and levels in the place of text, and `formats`.

    Raises
    ------
    DataError
        If a column that is declared to be numbers or dates holds other text.

    Warns
    -----
    DataWarning
        Of cells that are taken as missing, of text that can be read in two ways, of columns that are numbers but for
        some cells, of levels that are merged, and of how text was read.
    """
    formats: list[TextFormat | None] = [None] * len(table.names)
    read: dict[int, Any] = {}
    said: list[DataWarning] = []
    found = {
        position: TextColumn.of(table.distinct_texts(position))
        for position, name in enumerate(table.names)
        if (table.content(position) == "text" or (name not in declared and _is_flag_or_nothing(table, position)))
        and not table.has_categories(position)
        and declared.get(name) != "identifier"
    }
    evidence = {position: column.evidence for position, column in found.items()}
    marks = DecimalMarks.of(evidence.values())

    def learn(position: int, order: str = "") -> LearnedText:
        mark = marks.without(evidence[position])
        return _learned(table, position, found[position], mark, rules, declared, order)

    learned = {position: learn(position) for position in found}
    dates = [each for each in learned.values() if each.format.kind == "date" and not each.unsure]
    orders = {order_of(each.format.date_format) for each in dates} - {""}
    for position, first in learned.items():
        # Where the cells do not tell day from month, those of other columns may.
        unsure = first.format.kind == "date" and first.unsure and len(orders) == 1
        text = learn(position, *orders) if unsure else first
        formats[position] = text.format
        values = found[position].distinct.spread(text.values, empty_of(text.format))
        read[position] = cells_of(text.format, values)
        said += _warnings(table.names[position], text, table)
    for position in range(len(table.names)):
        if table.has_categories(position) and declared.get(table.names[position]) != "identifier":
            formats[position], read[position] = _read_categories(table, position, rules)
    described = tuple(
        (name, form.described)
        for name, form in zip(table.names, formats, strict=True)
        if form is not None and form.kind != "level" and not form.is_plain
    )
    for warning in [*said, *([TextReadWarning(described)] if described else [])]:
        warnings.warn(warning, stacklevel=callers_level())
    return table.with_text_read(read, tuple(formats))


def read_text(table: Table, columns: Sequence[Column], *, lenient: bool = False) -> Table:
    """Read the text of rows by what the columns of a model learned.

    Parameters
    ----------
    table : Table
        Rows with these columns.
    columns : sequence of Column
        Of the model, in the order of the table.
    lenient : bool, default=False
        Whether a few cells that cannot be read are missing, with a warning, as they are in training.

    Raises
    ------
    DataError
        If a cell cannot be read.
    """
    formats = tuple(column.text_format for column in columns)
    if table.formats is not None or not isinstance(table.cells, pd.DataFrame):
        return table if table.formats is not None else table.with_text_read({}, formats)
    known = [
        KnownText(column.name, _format_of(column) if column.is_used else None, column.level_codes) for column in columns
    ]
    read, unchanged = read_known_text(table, known, lenient=lenient)
    return table.with_text_read(read, formats, unchanged=unchanged)


def unreadable(column: Column, texts: Any) -> npt.NDArray[np.bool_]:
    """Which texts a column of a model cannot read: no numbers, infinite ones, or no dates, where it wants some.

    Parameters
    ----------
    column : Column
        Of a model.
    texts : Series or ndarray of str
        Cells; None or NaN where missing, which can be read.

    Returns
    -------
    ndarray of bool, shape (rows,)

    Examples
    --------
    >>> from vae_anomaly.likelihoods import StudentT
    >>> unreadable(
    ...     Column("x", "continuous", StudentT(), "so"), np.array(["1", "n.a.", "abc", None], dtype=object)
    ... ).tolist()
    [False, False, True, False]
    """
    form = _format_of(column)
    if not column.is_used or form is None or form.kind == "level":
        # Any text is a level.
        return np.zeros(len(texts), dtype=bool)
    table = Table((column.name,), pd.DataFrame({column.name: pd.Series(texts).reset_index(drop=True)}))
    if table.content(0) != "text":
        return np.zeros(table.n_rows, dtype=bool)
    distinct = table.distinct_texts(0)
    values, lost = form.read(distinct.texts)
    if form.kind == "number":
        lost |= np.isinf(values)
    every: npt.NDArray[np.bool_] = distinct.spread(lost, False)
    return every


def _format_of(column: Column) -> TextFormat | None:
    """How the text of a column is read, where training had no text of it, too; None of levels that are as they came."""
    if column.text_format is not None or column.textual:
        return column.text_format
    if column.is_date:
        return TextFormat("date", date_format="ISO8601")
    return TextFormat("boolean" if column.boolean else "number")


def _learned(
    table: Table,
    position: int,
    column: TextColumn,
    mark: str | None,
    rules: TextRules,
    declared: Mapping[str, str | Likelihood],
    order: str,
) -> LearnedText:
    """What was learned of a column, or a refusal where it is declared to be something else."""
    name, by_value = table.names[position], table.has_numeric_levels(position)
    kind, required = _asked_for(declared.get(name))
    learned = learn_text(column, mark, rules, kind, order=order, by_value=by_value)
    if kind == "number" and not required and learned.odd is not None:
        learned = learn_levels(column.distinct, rules, by_value=by_value)
    learned = _rather_numbers(learned)
    if required and learned.odd is not None and not is_few(learned.odd.count, learned.odd.n_cells):
        raise unreadable_text(name, learned.format, learned.odd.text, learned.odd.row)
    return learned


def _asked_for(declared: str | Likelihood | None) -> tuple[TextKind | None, bool]:
    """What a declaration makes of text, and whether text that is nothing of it is refused."""
    levels = declared.traits.levels if isinstance(declared, Likelihood) else None
    if levels == "none" or declared in NUMBER_KINDS:
        return "number", True
    if levels == "ordered" or declared == "ordinal":
        return "number", False
    if isinstance(declared, str) and declared.startswith("datetime"):
        return "date", True
    return ("level" if levels == "unordered" or declared in LEVEL_KINDS else None), False


def _rather_numbers(learned: LearnedText) -> LearnedText:
    """Numbers, where nearly all cells are and so many levels would be set aside."""
    numbers = learned.numbers
    if numbers is None or numbers.odd is None:
        return learned
    n_levels = len({level for level in learned.values if level is not None})
    n_cells, n_odd = numbers.odd.n_cells, numbers.odd.count
    lost = n_levels > max(MIN_LEVELS, n_cells / 2) and n_odd <= (1 - MIN_NUMERIC_SHARE) * n_cells
    return numbers if lost else learned


def _warnings(name: str, learned: LearnedText, table: Table) -> list[DataWarning]:
    """What the user should know of how a column was read."""
    said: list[DataWarning] = []
    form = learned.format
    if learned.odd is not None and form.kind != "level":
        odd = learned.odd
        content, label = CONTENT[form.kind], table.label(odd.row)
        said.append(OddCellsWarning(name, odd.text, odd.row, odd.count, odd.n_cells, content, label))
    if learned.coded is not None:
        codes, count = learned.coded
        said.append(MissingCodeWarning(name, codes, count, impossible=True))
    if learned.units:
        said.append(NumericTextWarning(name, "", None, learned.units))
    if learned.mixed is not None:
        said.append(NumericTextWarning(name, *learned.mixed))
    if learned.unsure:
        if form.kind == "date":
            reading, remedy = (
                f"as {form.date_format}",
                "Where it is the other, say so: date_format in Reading, or --date-format.",
            )
        else:
            (number,) = form.read([learned.unsure])[0].tolist()
            reading, remedy = f"as {number:.15g}", "Where it is the other, say so: decimal in Reading, or --decimal."
        said.append(AmbiguousTextWarning(name, learned.unsure, reading, remedy))
    if learned.merged:
        said.append(LevelsMergedWarning(name, *learned.merged[0], len(learned.merged)))
    return said


def _read_categories(table: Table, position: int, rules: TextRules) -> tuple[TextFormat, Any]:
    """The categories of a dtype: levels as they are, but for the spaces around them."""
    distinct = table.distinct_texts(position)
    learned = learn_levels(distinct, rules, exact=True, by_value=table.has_numeric_levels(position))
    order = table.ordered_levels(position)
    levels = distinct.spread(learned.values, None)
    if order is None:
        return learned.format, levels
    named = [learned.format.level_of(level.strip()) for level in order]
    return learned.format, pd.Categorical(levels, named, ordered=True) if len(set(named)) == len(named) else levels


def _is_flag_or_nothing(table: Table, position: int) -> bool:
    """Whether all cells are true or missing, or all false or missing."""
    if table.content(position) != "boolean":
        return False
    missing = table.missing(position)
    return bool(missing.any() and not missing.all() and len(np.unique(table.numbers(position)[~missing])) == 1)
