"""How values show themselves: a line on the terminal, a table in a notebook."""

from __future__ import annotations

import abc
import math
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_anomaly.display.drawing import shortened

if TYPE_CHECKING:
    import pandas as pd

MAX_CHARACTERS = 1_000
MAX_ROWS, MAX_CELL = 30, 300


class Described(abc.ABC):
    """A value that says in short what it is, however much it holds."""

    __slots__ = ()

    @abc.abstractmethod
    def _summary(self) -> str:
        """What stands between the brackets."""

    def __repr__(self) -> str:
        text = f"{type(self).__name__}({self._summary()})"
        return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 2]}…)"


class Shown(Described):
    """A value that shows itself as a table in a notebook, too."""

    __slots__ = ()

    @abc.abstractmethod
    def _table(self) -> pd.DataFrame:
        """What the notebook shows below the summary."""

    def _repr_html_(self) -> str:
        return html_table(one_line(self), self._table())


def one_line(value: object) -> str:
    """The text of a value, and of several lines the first."""
    first, newline, _ = repr(value).partition("\n")
    return f"{first})" if newline else first


def html_table(title: str, table: pd.DataFrame) -> str:
    """A table as HTML, with every value escaped and in the colours of the page.

    Parameters
    ----------
    title : str
        Stands above the table.
    table : DataFrame
        Its columns, and its first rows; the index is left out.

    Examples
    --------
    >>> import pandas as pd
    >>> html_table("<b>", pd.DataFrame({"n": [1.5]}))
    '<div><p><strong>&lt;b&gt;</strong></p><table class="dataframe"><thead><tr><th>n</th></tr></thead>...</div>'
    """

    def row(cells: Any, tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(_text(cell))}</{tag}>' for cell in cells)}</tr>"

    head = row(table.columns, "th")
    body = "".join(row(cells, "td") for cells in table.head(MAX_ROWS).itertuples(index=False, name=None))
    n_more = len(table) - MAX_ROWS
    more = f"<p>and {n_more:,} more</p>" if n_more > 0 else ""
    return (
        f'<div><p><strong>{escape(title)}</strong></p><table class="dataframe"><thead>{head}</thead>'
        f"<tbody>{body}</tbody></table>{more}</div>"
    )


def number_text(number: float) -> str:
    """A number with four digits.

    Examples
    --------
    >>> number_text(12345.678), number_text(0.00123456), number_text(float("nan"))
    ('12,346', '0.001235', '')
    """
    if math.isnan(number):
        return ""
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e12 else f"{number:.4g}"


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """A number of things.

    Examples
    --------
    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float | np.floating):
        return number_text(float(cell))
    return shortened(str(cell), MAX_CELL)
