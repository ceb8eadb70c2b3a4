"""Tables with errors planted in known cells: what is corrupted, and how."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ROW_SHARE, CELL_SHARE = 0.05, 0.2
MAX_ROWS = 2_000
NUMERIC_ERRORS = ("swap", "shift", "sign", "unit")
TEXT_ERRORS = ("swap", "category", "typo")
FEW_VALUES = 10


@dataclass(frozen=True)
class Planted:
    """A table before and after, and where the errors are.

    Attributes
    ----------
    clean, dirty : DataFrame
        The same rows.
    errors : ndarray of shape (rows, columns), str
        The kind of error of each cell, empty where there is none.
    """

    name: str
    clean: pd.DataFrame
    dirty: pd.DataFrame
    errors: npt.NDArray[np.str_]

    @property
    def cells(self) -> npt.NDArray[np.bool_]:
        """Which cells are corrupted."""
        return np.not_equal(self.errors, "")

    @property
    def rows(self) -> npt.NDArray[np.bool_]:
        """Which rows hold a corrupted cell."""
        return np.asarray(self.cells.any(1))


def load_adult() -> pd.DataFrame:
    return pd.read_csv(DATA / "adult" / "adult.csv.gz").drop(columns=["income", "split", "label"])


def load_default_credit() -> pd.DataFrame:
    frame = pd.read_csv(DATA / "default_credit" / "default_credit.csv.gz")
    return frame.drop(columns=["default payment next month", "label"])


def load_nsl_kdd_normals() -> pd.DataFrame:
    frame = pd.read_csv(DATA / "nsl_kdd" / "nsl_kdd_train20.csv.gz")
    return frame[frame["label"] == 0].drop(columns=["class", "difficulty", "label"])


def load_thyroid() -> pd.DataFrame:
    return pd.read_csv(DATA / "thyroid_sick" / "sick.csv.gz").drop(columns=["Class", "label"])


TABLES = {
    "adult": load_adult,
    "default_credit": load_default_credit,
    "nsl_kdd_normals": load_nsl_kdd_normals,
    "thyroid": load_thyroid,
}


def plant(name: str, seed: int) -> Planted:
    """Corrupt a fifth of the cells in a twentieth of the rows of a table.

    Columns with one value or none are left out of the table: nothing can be swapped there.  Only observed cells are
    corrupted, and each error changes its cell.
    """
    rng = np.random.default_rng(seed)
    frame = TABLES[name]()
    frame = frame.iloc[np.sort(rng.permutation(len(frame))[:MAX_ROWS])].reset_index(drop=True)
    frame = frame.loc[:, [len(frame[name].dropna().unique()) > 1 for name in frame]]
    for column in frame.columns:
        if pd.api.types.is_numeric_dtype(frame[column]):
            frame[column] = frame[column].astype(float)
    dirty = frame.copy()
    errors = np.full(frame.shape, "", dtype="U8")
    rows = rng.choice(len(frame), round(ROW_SHARE * len(frame)), replace=False)
    n_cells = max(1, round(CELL_SHARE * frame.shape[1]))
    for row in rows:
        for position in rng.choice(frame.shape[1], n_cells, replace=False):
            column = frame.iloc[:, position]
            for kind, cell in _errors(column, column.iloc[row], rng):
                if not pd.isna(column.iloc[row]) and cell != column.iloc[row]:
                    dirty.iloc[row, position] = cell  # type: ignore[call-overload]
                    errors[row, position] = kind
                    break
    return Planted(name, frame, dirty, errors)


def _errors(column: pd.Series, cell: object, rng: np.random.Generator) -> Iterator[tuple[str, object]]:
    """Corruptions of a cell, in a random order, for the first that changes it."""
    present = column.dropna()
    numeric = pd.api.types.is_numeric_dtype(column)
    few = column.nunique() <= FEW_VALUES
    kinds = ("swap",) if numeric and few else NUMERIC_ERRORS if numeric else TEXT_ERRORS
    for kind in rng.permutation(kinds):
        if kind == "swap":
            yield kind, present.iloc[rng.integers(len(present))]
        elif kind == "category":
            yield kind, rng.choice(present.unique())
        elif kind == "typo":
            yield kind, _typo(str(cell), rng)
        elif kind == "shift":
            distance = rng.uniform(2, 5) * float(present.std())
            moved = float(cell) + distance * rng.choice([-1, 1])  # type: ignore[arg-type]
            yield kind, float(np.rint(moved)) if (present == present.round()).all() else moved
        elif kind == "sign":
            yield kind, -float(cell)  # type: ignore[arg-type]
        else:
            yield kind, float(cell) * float(rng.choice([0.001, 0.01, 0.1, 10, 100, 1000]))  # type: ignore[arg-type]
    other = present[present != cell]
    if len(other):
        yield "swap", other.iloc[rng.integers(len(other))]


def _typo(text: str, rng: np.random.Generator) -> str:
    """One letter replaced, doubled or dropped; an only letter is doubled: a blank cell is missing, not wrong."""
    index = int(rng.integers(len(text)))
    letter = string.ascii_lowercase[rng.integers(26)]
    typo = text[:index] + str(rng.choice([letter, text[index] * 2, ""])) + text[index + 1 :]
    return typo or text * 2
