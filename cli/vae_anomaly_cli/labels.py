"""Known anomalies, for measures of quality and nothing else."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.tables import Table

REMEDY = (
    "expected 0 and 1 or true and false (1, true = anomaly), or scikit-learn's -1 and 1 (-1 = anomaly). "
    "Recode the column, or name the anomalous one of two values with --anomalous"
)


@dataclass(frozen=True)
class Labels:
    """A label column, read.

    Attributes
    ----------
    name : str
        The column.
    anomaly : str or None
        The value that was taken for an anomaly; None where all rows have the same label.
    known : ndarray of bool, shape (rows,)
        Rows with a label.
    is_anomaly : ndarray of bool, shape (rows,)
        Meaningful where known.
    """

    name: str
    anomaly: str | None
    known: npt.NDArray[np.bool_]
    is_anomaly: npt.NDArray[np.bool_]

    def measure(self, scores: npt.NDArray[np.float64]) -> dict[str, Any]:
        """Lay the scores beside the labels: AUROC and average precision over the labelled rows."""
        measures: dict[str, Any] = {
            "column": self.name,
            "anomaly_value": self.anomaly,
            "n_anomalies": int(self.is_anomaly.sum()) if self.anomaly else None,
            "n_labelled": int(self.known.sum()),
            "auroc": None,
            "average_precision": None,
        }
        if self.anomaly is not None:
            from sklearn.metrics import average_precision_score, roc_auc_score

            known = self.is_anomaly[self.known], scores[self.known]
            measures["auroc"] = float(roc_auc_score(*known))
            measures["average_precision"] = float(average_precision_score(*known))
        return measures


def labels_of(table: Table, label: str | None, anomalous: str | None) -> Labels | None:
    """Read the label column where one is named.

    Raises
    ------
    InputError
        If its labels cannot be used.
    """
    return None if label is None else read_labels(table.values(label), label, anomalous)


def read_labels(values: pa.ChunkedArray, name: str, anomalous: str | None = None) -> Labels:
    """Read a label column; empty cells are rows without a label.

    Parameters
    ----------
    values : pyarrow.ChunkedArray
        The cells, with their types.
    name : str
        The column.
    anomalous : str, optional
        The value that says anomaly, of two that may be anything; otherwise one of the conventions decides.

    Raises
    ------
    InputError
        If the labels are of neither convention, or not two values of which one is `anomalous`.
    """
    known = np.asarray(pc.is_valid(values), dtype=bool)
    if not known.any():
        raise InputError(f"--label {name}: every cell is empty; {REMEDY}, or leave --label out.")
    if anomalous is not None:
        return _named_labels(values, known, name, anomalous)
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        levels = pc.unique(pc.drop_null(values)).to_pylist()
        shown = ", ".join(repr(str(level)) for level in levels[:3])
        more = ", ..." if len(levels) > 3 else ""
        raise InputError(f"--label {name}: the column holds {shown}{more}; {REMEDY}.")
    numbers = np.asarray(pc.fill_null(pc.cast(values, pa.float64()), np.nan))
    levels = np.unique(numbers[known]).tolist()
    if levels == [0, 1]:
        anomaly, meaning = 1, "true" if pa.types.is_boolean(kind) else "1"
    elif levels == [-1, 1]:
        anomaly, meaning = -1, "-1"
    elif len(levels) == 1 and levels[0] in (-1, 0, 1):
        return Labels(name, None, known, np.zeros(len(known), dtype=bool))
    else:
        shown = ", ".join(f"{level:g}" for level in levels[:4])
        more = ", ..." if len(levels) > 4 else ""
        raise InputError(f"--label {name}: the column holds {shown}{more}; {REMEDY}.")
    return Labels(name, meaning, known, numbers == anomaly)


def _named_labels(values: pa.ChunkedArray, known: npt.NDArray[np.bool_], name: str, anomalous: str) -> Labels:
    """Labels of two values of any kind, one of which is named."""
    levels = pc.unique(pc.drop_null(values)).to_pylist()
    named = [level for level in levels if _means(level, anomalous)]
    if len(named) != 1 or len(levels) > 2:
        shown = ", ".join(repr(str(level)) for level in levels[:4])
        more = ", ..." if len(levels) > 4 else ""
        raise InputError(
            f"--anomalous {anomalous}: column '{name}' holds {shown}{more}; expected two values, one of them "
            f"{anomalous!r}. Name the one that says anomaly, or recode the column."
        )
    is_anomaly = np.asarray(pc.fill_null(pc.equal(values, pa.scalar(named[0], values.type)), False), dtype=bool)
    return Labels(name, anomalous if len(levels) == 2 else None, known, is_anomaly)


def _means(level: object, text: str) -> bool:
    """Whether a text names a label: 2 is 2.0, True is true."""
    if isinstance(level, bool):
        return str(level).lower() == text.lower()
    if isinstance(level, int | float):
        try:
            return level == float(text)
        except ValueError:
            return False
    return str(level) == text.strip()


def label_line(measures: dict[str, Any], n_rows: int) -> str:
    """Say in one line how well the scores agree with the labels."""
    unlabelled = n_rows - measures["n_labelled"]
    skipped = f"; {unlabelled:,} rows without a label left out" if unlabelled else ""
    if measures["anomaly_value"] is None:
        return f"label '{measures['column']}': all rows have the same label, nothing to measure{skipped}"
    return (
        f"label '{measures['column']}' ({measures['anomaly_value']} = anomaly, {measures['n_anomalies']:,} of "
        f"{measures['n_labelled']:,} rows): AUROC {measures['auroc']:.3f}, average precision "
        f"{measures['average_precision']:.3f}{skipped}"
    )
