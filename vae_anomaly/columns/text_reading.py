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
    DecimalMarks,
    LearnedText,
    Table,
    TextColumn,
    TextFormat,
    TextKind,
    TextRules,
    learn_levels,
    learn_text,
    order_of,
)
from vae_anomaly.errors import (
    AmbiguousTextWarning,
    DataError,
    DataWarning,
    DecimalMarkWarning,
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
MAX_ODD_SHARE, MIN_CELLS_FOR_ODD = 0.01, 20
MIN_NUMERIC_SHARE, MIN_LEVELS = 0.9, 20
CONTENT = {"number": "numbers", "date": "dates", "boolean": "true and false"}
EXPECTED = {
    "number": "numeric columns take numbers or NaN. Clean the cell, or fit with the whole column as text.",
    "date": "expected dates",
    "boolean": "expected true or false. Clean the cell.",
}


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
        values = found[position].distinct.spread(text.values, _empty_of(text.format))
        read[position] = _cells(text.format, values)
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
    read = {}
    unchanged: set[int] = set()
    marked: list[tuple[str, TextFormat, TextColumn]] = []
    for position, column in enumerate(columns):
        form = _format_of(column) if column.is_used else None
        # Where empty cells are a level they are one in any type of column.
        if form is None or not (form.empty_level or table.content(position) == "text"):
            continue
        distinct = table.distinct_texts(position)
        values, lost = form.read(distinct.texts)
        if form.kind == "number" and any("," in text or "." in text for text in distinct.texts):
            marked.append((column.name, form, TextColumn.of(distinct)))
        if form.kind == "level":
            values = np.array([column.spelling_of(level) for level in values] + [None], dtype=object)[:-1]
            if distinct.are_cells and not form.empty_level and values.tolist() == distinct.texts:
                unchanged.add(position)
                continue
        elif lost.any():
            rows = np.isin(distinct.codes, np.flatnonzero(lost))
            row, n_odd = int(rows.argmax()), int(rows.sum())
            text = distinct.texts[int(distinct.codes[row])]
            if not (lenient and _few(n_odd, table.n_rows)):
                raise _unreadable(column.name, form, text, row)
            label = table.label(row)
            odd = OddCellsWarning(column.name, text, row, n_odd, table.n_rows, CONTENT[form.kind], label)
            warnings.warn(odd, stacklevel=callers_level())
        read[position] = _cells(form, distinct.spread(values, _empty_of(form)))
    for warning in _doubtful_marks(marked):
        warnings.warn(warning, stacklevel=callers_level())
    return table.with_text_read(read, formats, unchanged=frozenset(unchanged))


def _doubtful_marks(marked: Sequence[tuple[str, TextFormat, TextColumn]]) -> list[DecimalMarkWarning]:
    """Columns with cells like 1,234 where other cells, or those of training, speak against how they are read."""
    said = []
    # Of the columns that are read with each mark, the first text that certainly has the other.
    sure_of: dict[str, str] = {}
    for _, form, column in marked:
        for text in _with_other_mark(column, form.decimal) if form.decimal not in sure_of else ():
            sure_of[form.decimal] = text
    for name, form, column in marked:
        parsed, texts, counts = column.parsed, column.distinct.texts, column.distinct.counts
        doubtful = np.flatnonzero((parsed.marks != "") & ~column.empty)
        if not len(doubtful):
            continue
        sure = next(iter(_with_other_mark(column, form.decimal)), sure_of.get(form.decimal, ""))
        grouped = doubtful[parsed.marks[doubtful] != form.decimal]
        own = column.evidence[form.decimal] if column.evidence else 0
        new = [] if own else [index for index in grouped.tolist() if not form.had_thousands(str(parsed.marks[index]))]
        if sure or new:
            first = int(doubtful[0]) if sure else new[0]
            count = int(counts[doubtful if sure else new].sum())
            reading = f"{form.read([texts[first]])[0][0]:.15g}"
            said.append(DecimalMarkWarning(name, texts[first], reading, sure, count))
    return said


def _with_other_mark(column: TextColumn, decimal: str) -> list[str]:
    """The first text whose decimal mark is certainly another, if there is one."""
    parsed = column.parsed
    other = "," if decimal == "." else "."
    found = np.flatnonzero((parsed.decimals == other) | (parsed.thousands == decimal))
    return [column.distinct.texts[int(found[0])]] if len(found) else []


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
    table = Table((column.name,), pd.DataFrame({column.name: pd.Series(texts).reset_index(drop=True)}))
    form = _format_of(column)
    if not column.is_used or form is None or table.content(0) != "text":
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
    if required and learned.odd is not None and not _few(learned.odd.count, learned.odd.n_cells):
        raise _unreadable(name, learned.format, learned.odd.text, learned.odd.row)
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


def _few(count: int, n_cells: int) -> bool:
    return count <= max(MAX_ODD_SHARE * n_cells, 1 if n_cells >= MIN_CELLS_FOR_ODD else 0)


def _unreadable(name: str, form: TextFormat, text: str, row: int) -> DataError:
    expected = EXPECTED[form.kind]
    if form.kind == "date":
        how = "ISO dates such as 2026-01-31" if form.date_format == "ISO8601" else f"dates like {form.date_format}"
        expected += f". Give a date dtype or {how}."
    return DataError(f"column {name!r} holds {text!r}", expected, column=name, row=row)


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


def _empty_of(form: TextFormat) -> Any:
    """What stands for a missing cell."""
    if form.kind == "number":
        return np.nan
    if form.kind == "date":
        return np.datetime64("NaT")
    return form.empty_level or None


def _cells(form: TextFormat, values: npt.NDArray[Any]) -> Any:
    return pd.array(values, dtype="boolean") if form.kind == "boolean" else values
