"""Known anomalies, for measures of quality and nothing else."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import InputError

CONVENTIONS = (
    "expected 0 and 1 or true and false (1, true = anomaly), or scikit-learn's -1 and 1 (-1 = anomaly). "
    "Recode the column, or name the anomalous one of two values with --anomalous, or normal values with --normal"
)
SHOWN_VALUES = 5
ROOT = "."

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelColumn:
    """Which column says what is anomalous, and how.

    Attributes
    ----------
    name : str
        The column.
    anomalous : str or None
        The one of two values that is anomalous.
    normal : tuple of str
        The values that are normal, where all others are anomalous. Without either, a convention decides.
    is_folder : bool
        Whether values are folders, which include those below them.
    by_model : bool
        Whether a saved model says so, and not the user: labels that cannot be used are then left out.
    """

    name: str
    anomalous: str | None = None
    normal: tuple[str, ...] = ()
    is_folder: bool = False
    by_model: bool = False

    def usable(self, values: pa.ChunkedArray, messages: Messages) -> "Labels | None":
        """Read the cells of the column; None, with a note, where a model names it and they cannot be used.

        Raises
        ------
        InputError
            If the user names it and they cannot be used.
        """
        try:
            return self.read(values)
        except InputError as error:
            if not self.by_model:
                raise
            empty = "every cell of it is empty" if values.null_count == len(values) else str(error)
            messages.note(f"the label '{self.name}' of the model is left out: {empty}")
            return None

    def read(self, values: pa.ChunkedArray) -> "Labels":
        """Read the cells of the column, with their types; empty ones are rows without a label.

        Raises
        ------
        InputError
            If the labels are of neither convention, or no value is one that was named.
        """
        known = np.asarray(pc.is_valid(values), dtype=bool)
        if not known.any():
            raise InputError(f"--label {self.name}: every cell is empty; {CONVENTIONS}, or leave --label out.")
        if self.normal:
            return self._with_normal_values(values, known)
        if self.anomalous is not None:
            return self._with_anomalous_value(values, known, self.anomalous)
        return self._by_convention(values, known)

    def _by_convention(self, values: pa.ChunkedArray, known: Flags) -> "Labels":
        if self.is_folder:
            raise InputError(
                f"--label {self.name}: the images lie in {self._shown(_levels(values))}; name the folders of normal "
                "ones with --normal."
            )
        kind = values.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise InputError(f"--label {self.name}: the column holds {_listed(_levels(values), 3)}; {CONVENTIONS}.")
        numbers = np.asarray(pc.fill_null(pc.cast(values, pa.float64()), np.nan))
        levels = np.unique(numbers[known]).tolist()
        if levels == [0, 1]:
            anomaly, meaning = 1, "true" if pa.types.is_boolean(kind) else "1"
        elif levels == [-1, 1]:
            anomaly, meaning = -1, "-1"
        elif len(levels) == 1 and levels[0] in (-1, 0, 1):
            # 1 is an anomaly beside 0, and normal beside -1; true is no -1.
            is_anomaly = known & (levels[0] == -1 or (levels[0] == 1 and pa.types.is_boolean(kind)))
            is_ambiguous = levels[0] == 1 and not pa.types.is_boolean(kind)
            return Labels(self, None, known, is_anomaly, is_ambiguous)
        else:
            shown = ", ".join(f"{level:g}" for level in levels[:4])
            more = ", ..." if len(levels) > 4 else ""
            raise InputError(f"--label {self.name}: the column holds {shown}{more}; {CONVENTIONS}.")
        return Labels(self, meaning, known, numbers == anomaly)

    def _with_anomalous_value(self, values: pa.ChunkedArray, known: Flags, anomalous: str) -> "Labels":
        levels = _levels(values)
        named = [level for level in levels if self._means(level, anomalous)]
        if len(named) != 1 or len(levels) > 2:
            raise InputError(
                f"--anomalous {anomalous}: column '{self.name}' holds {_listed(levels, 4)}; expected two values, one "
                f"of them {anomalous!r}. Name the one that says anomaly, or those that are normal with --normal."
            )
        return Labels(self, anomalous if len(levels) == 2 else None, known, _are(values, named))

    def _with_normal_values(self, values: pa.ChunkedArray, known: Flags) -> "Labels":
        levels = _levels(values)
        normal = []
        for text in self.normal:
            named = [level for level in levels if self._means(level, text)]
            if not named:
                raise InputError(
                    f"--normal {text}: column '{self.name}' has no such value; expected one of {self._shown(levels)}."
                )
            normal += named
        is_anomaly = known & ~_are(values, normal)
        mixed = is_anomaly.any() and not is_anomaly[known].all()
        return Labels(self, f"not {' or '.join(self.normal)}" if mixed else None, known, is_anomaly)

    def _shown(self, levels: Sequence[Any]) -> str:
        """Name the first values; the folder of no name is DATA itself."""
        return _listed([level or ROOT for level in levels] if self.is_folder else levels, SHOWN_VALUES)

    def _means(self, level: object, text: str) -> bool:
        """Whether a text names a value: 2 is 2.0, True is true; a folder includes those below it."""
        if isinstance(level, bool):
            return str(level).lower() == text.lower()
        if isinstance(level, int | float):
            try:
                return level == float(text)
            except ValueError:
                return False
        if self.is_folder:
            folder = PurePath(text).as_posix()
            return level == "" if folder == ROOT else f"{level}/".startswith(f"{folder}/")
        return str(level) == text.strip()


@dataclass(frozen=True)
class Labels:
    """A label column, read.

    Attributes
    ----------
    column : LabelColumn
        Which it is.
    anomaly : str or None
        The value that says anomaly, in words; None where all rows have the same label.
    known : ndarray of bool, shape (rows,)
        Rows with a label.
    is_anomaly : ndarray of bool, shape (rows,)
        Meaningful where known.
    is_ambiguous : bool
        Whether all labels are 1, which is an anomaly beside 0, and normal beside -1.
    """

    column: LabelColumn
    anomaly: str | None
    known: Flags
    is_anomaly: Flags
    is_ambiguous: bool = False

    def check_meaning(self) -> None:
        """Refuse labels that say the same of all rows, and not what.

        Raises
        ------
        InputError
            If they do.
        """
        if self.is_ambiguous:
            raise InputError(
                f"--label {self.column.name}: every label is 1, which means anomaly beside 0, and normal beside -1. "
                "Say which with --anomalous 1 or --normal 1."
            )

    def describe(self) -> dict[str, Any]:
        """Say for programs which column it is and how many anomalies it knows."""
        column = self.column
        return {
            "column": column.name,
            "anomaly_value": None if column.normal else self.anomaly,
            **({"normal_values": list(column.normal)} if column.normal else {}),
            "n_anomalies": int(self.is_anomaly[self.known].sum()) if self.anomaly else None,
            "n_labelled": int(self.known.sum()),
        }

    def measure(self, scores: npt.NDArray[np.float64]) -> "Measures":
        """Compare scores with the labels, of the rows that have a score; the others have NaN."""
        has_score = ~np.isnan(scores)
        known = self.known & has_score
        is_anomaly = self.is_anomaly[known]
        n_rows = int(has_score.sum())
        if self.anomaly is None or is_anomaly.all() or not is_anomaly.any():
            return Measures(dataclasses.replace(self, anomaly=None, known=known), n_rows, None, None)
        from sklearn.metrics import average_precision_score, roc_auc_score

        auroc = float(roc_auc_score(is_anomaly, scores[known]))
        average_precision = float(average_precision_score(is_anomaly, scores[known]))
        return Measures(dataclasses.replace(self, known=known), n_rows, auroc, average_precision)


@dataclass(frozen=True)
class Measures:
    """How well scores agree with labels.

    Attributes
    ----------
    labels : Labels
        Known of the rows that have a score.
    n_rows : int
        Rows that have a score, those without a label included.
    auroc, average_precision : float or None
        None where all rows have the same label.
    """

    labels: Labels
    n_rows: int
    auroc: float | None
    average_precision: float | None

    def describe(self) -> dict[str, Any]:
        """Say it for programs."""
        return self.labels.describe() | {"auroc": self.auroc, "average_precision": self.average_precision}

    def line(self, noun: str) -> str:
        """Say it in one line; `noun` is what the rows are."""
        about = self.labels.describe()
        unlabelled = self.n_rows - about["n_labelled"]
        skipped = f"; {counted(unlabelled, noun)} without a label left out" if unlabelled else ""
        name = about["column"]
        if self.auroc is None:
            return f"label '{name}': all {noun}s have the same label, nothing to measure{skipped}"
        return (
            f"label '{name}' ({self.labels.anomaly} = anomaly, {about['n_anomalies']:,} of "
            f"{counted(about['n_labelled'], noun)}): AUROC {self.auroc:.3f}, average precision "
            f"{self.average_precision:.3f}{skipped}"
        )


def _levels(values: pa.ChunkedArray) -> list[Any]:
    levels: list[Any] = pc.unique(pc.drop_null(values)).to_pylist()
    return levels


def _are(values: pa.ChunkedArray, levels: Sequence[Any]) -> Flags:
    """Which cells hold one of some values; not the missing ones."""
    return np.asarray(pc.is_in(values, value_set=pa.array(list(levels), values.type)), dtype=bool)


def _listed(levels: Sequence[Any], n_shown: int) -> str:
    shown = ", ".join(repr(str(level)) for level in levels[:n_shown])
    return f"{shown}, ..." if len(levels) > n_shown else shown
