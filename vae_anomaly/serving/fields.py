"""What a server asks of each column of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vae_anomaly.columns import Column
    from vae_anomaly.onnx_model import InputColumn

FieldType = Literal["number", "text", "date"]
ReadNumbers = Callable[[list[str]], tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]]

MAX_LEVELS = 10
MAX_EXAMPLE_CHARACTERS = 40


@dataclass(frozen=True)
class Field:
    """A column that every row has to name.

    Parameters
    ----------
    name : str
    type : {"number", "text", "date"}
        What its cells become.
    kind : str
        What the model took the column for.
    levels : tuple of str or of float
        Some of the values that it had in training, as far as they are not known by hashes alone.
    read_numbers : callable
        Reads text as the column of the model does, and says which texts it cannot read.
    explain_cell : callable
        Says why a cell cannot be read.
    """

    name: str
    type: FieldType
    kind: str
    levels: tuple[Any, ...]
    read_numbers: ReadNumbers
    explain_cell: Callable[[str], str]

    def describe(self) -> dict[str, Any]:
        """Name, kind and levels, for people."""
        levels = {"levels": list(self.levels)} if self.levels else {}
        return {"name": self.name, "type": self.type, "kind": self.kind} | levels

    def example(self, cell: Any) -> Any:
        """A cell of this column as JSON takes it; null where it would be of another type, or too much to show."""
        from vae_anomaly.data import is_hashed

        if cell is None or is_hashed(cell):
            return None
        if self.type == "number":
            if isinstance(cell, float):
                shown = float(f"{cell:.4g}")
                return int(shown) if shown.is_integer() else shown
            return cell if isinstance(cell, int) else None
        text = str(cell)
        return text if len(text) <= MAX_EXAMPLE_CHARACTERS else None

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a cell: any level may come, and a missing cell is null."""
        if self.type == "number":
            known = "boolean" if self.kind == "boolean" else "number"
            schema: dict[str, Any] = {"type": [known, "null"], "description": f"{self.kind}; text is read as well"}
        elif self.type == "date":
            schema = {"type": ["string", "null"], "description": f"{self.kind}, as 2026-02-28 or 2026-02-28T13:45:00"}
        else:
            schema = {"type": ["string", "null"], "description": f"{self.kind}; values unseen in training may come"}
        return schema | ({"examples": list(self.levels)} if self.levels else {})


def field_of(column: Column, *, as_text: bool = False) -> Field:
    """What a column of a detector takes; `as_text` where its cells name groups alone."""
    from vae_anomaly.arrow_rows import unreadable_cell
    from vae_anomaly.columns import unreadable

    def read_numbers(texts: list[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        import pandas as pd

        from vae_anomaly.columns import read_text
        from vae_anomaly.data import Table

        lost = unreadable(column, np.array(texts, dtype=object))
        readable = pd.Series(texts, dtype=object).mask(lost, None)
        if readable.isna().all():
            return np.full(len(texts), np.nan), lost
        table = Table((column.name,), pd.DataFrame({column.name: readable}))
        return read_text(table, [column]).numbers(0), lost

    type_: FieldType = "date" if column.is_date else "text" if column.textual or as_text else "number"
    return Field(
        column.name,
        type_,
        column.kind,
        _some_levels(column.levels),
        read_numbers,
        lambda cell: unreadable_cell(column, cell),
    )


def field_of_input(column: InputColumn) -> Field:
    """What a column of an exported detector takes."""
    form = column.known_text.form
    wanted = "date like 2026-02-28" if column.kind == "date" else "number"

    def read_numbers(texts: list[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        assert form is not None
        values, lost = form.read([text.strip() for text in texts])
        if form.kind == "date":
            return np.full(len(texts), np.nan), lost
        words = {"true": 1.0, "false": 0.0}
        numbers = np.array([np.nan if value is None else float(words.get(value, value)) for value in values])
        lost = lost | np.isinf(numbers)
        return np.where(lost, np.nan, numbers), lost

    textual = bool(column.levels) and isinstance(column.levels[0], str)
    type_: FieldType = "date" if column.kind == "date" else "text" if textual else "number"
    return Field(
        column.name,
        type_,
        column.described,
        _some_levels(column.levels),
        read_numbers,
        lambda cell: f"'{column.name}' holds {cell!r}, which is no {wanted}",
    )


def _some_levels(levels: tuple[Any, ...]) -> tuple[Any, ...]:
    """The first levels that are known as they are."""
    from vae_anomaly.data import is_hashed

    readable = [level for level in levels if not is_hashed(level)]
    return tuple(level for level in readable if len(str(level)) <= MAX_EXAMPLE_CHARACTERS)[:MAX_LEVELS]
