"""One pass over an input of any size: what a model finds of all its rows, for decisions about the model itself."""

import dataclasses
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.data import Data
from vae_anomaly_cli.errors import CommandError
from vae_anomaly_cli.labels import Labels
from vae_anomaly_cli.models import CellBatch, Features, Model, Unusable, library_errors
from vae_anomaly_cli.progress import progress_bar
from vae_anomaly_cli.stages import run_stages
from vae_anomaly_cli.table_model import TableModel
from vae_anomaly_cli.tables import SAMPLED_ROWS, SmallestKeys

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly import PatchDetector, VAEDetector

Scores = npt.NDArray[np.float64]
Fingerprints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Judged:
    """What a model finds of rows.

    Attributes
    ----------
    scores : ndarray of shape (rows,)
        Nats, higher is more anomalous; NaN where a row or file cannot be used.
    comparisons : ndarray of shape (rows, folds)
        What they are compared with the folds of the model's calibration by; no column where that is not kept.
    fingerprints : ndarray of int, shape (rows,)
        Equal for equal rows.
    groups : ndarray of str, shape (rows,), or None
        The calibration group of each row.
    """

    scores: Scores
    comparisons: Scores
    fingerprints: Fingerprints
    groups: npt.NDArray[np.object_] | None = None

    @classmethod
    def of(cls, model: Model, batch: CellBatch, features: Features) -> "Judged":
        """Judge the rows of a batch."""
        source, detector = model.source, model.detector
        with library_errors(source.name, lambda row: source.locate(*batch.position(int(features.rows[row])))):
            rows = np.asarray(features.rows, dtype=np.intp)
            if not len(rows):
                missing = np.full(batch.n_rows, np.nan)
                groups = np.full(batch.n_rows, None, dtype=object) if has_groups(detector) else None
                comparisons = np.repeat(missing[:, None], n_folds(detector), axis=1)
                return cls(missing, comparisons, np.zeros_like(missing, int), groups)
            found = detector.compared(features.usable)
        if len(rows) == batch.n_rows:
            return cls(found.scores, found.comparisons, found.fingerprints, found.groups)
        scores = np.full(batch.n_rows, np.nan)
        comparisons = np.full((batch.n_rows, found.comparisons.shape[1]), np.nan)
        fingerprints = np.zeros(batch.n_rows, dtype=np.int64)
        scores[rows], comparisons[rows], fingerprints[rows] = found.scores, found.comparisons, found.fingerprints
        groups = None if found.groups is None else np.full(batch.n_rows, None, dtype=object)
        if groups is not None:
            groups[rows] = found.groups
        return cls(scores, comparisons, fingerprints, groups)

    @classmethod
    def joined(cls, parts: "list[Judged]") -> "Judged":
        """All rows of several batches."""
        groups = [part.groups for part in parts if part.groups is not None]
        return cls(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.comparisons for part in parts]),
            np.concatenate([part.fingerprints for part in parts]),
            np.concatenate(groups) if groups else None,
        )

    def n_trained_on(self, detector: "VAEDetector | PatchDetector") -> int:
        """How many of the rows are equal to some that the model was trained on; 0 where that may be chance."""
        unseen = detector.decisions_.unseen(self.fingerprints[~np.isnan(self.scores)])
        return int((~unseen).sum())


@dataclass(frozen=True)
class Sample:
    """Rows of an input.

    Attributes
    ----------
    rows : ndarray of int, shape (rows,)
        Which they are, from 0.
    cells : pyarrow.Table
        What was read of them.
    """

    rows: npt.NDArray[np.int64]
    cells: pa.Table

    def frame(self, model: Model, rows: Rows | None = None) -> "pd.DataFrame":
        """Return what the detector sees of them, or of those that are among others, where they can be scored."""
        assert isinstance(model, TableModel)
        cells = self.cells if rows is None else self.cells.filter(pa.array(np.isin(self.rows, rows)))
        return model.features_of(cells).usable


@dataclass(frozen=True)
class Pass:
    """All rows of an input, judged.

    Attributes
    ----------
    judged : Judged
        What the model finds of them.
    labels : Labels or None
        What they are.
    n_unusable : int
        Rows or files of the input without a score.
    sample : Sample or None
        Some rows of a table, drawn at random, where they were asked for.
    """

    judged: Judged
    labels: Labels | None
    n_unusable: int
    sample: Sample | None = None

    @property
    def labelled(self) -> Rows:
        """Rows with a score and, where there are labels, with one."""
        known = ~np.isnan(self.judged.scores)
        return np.flatnonzero(known if self.labels is None else known & self.labels.known)

    @property
    def is_anomaly(self) -> npt.NDArray[np.bool_]:
        """What the labelled rows are.

        Raises
        ------
        InputError
            If the labels do not say.
        """
        assert self.labels is not None
        self.labels.check_meaning()
        return self.labels.is_anomaly[self.labelled]


def judge(
    data: Data,
    model: Model,
    messages: Messages,
    *,
    sampled: bool = False,
    compared: bool = False,
    on_batch: Callable[[Features, Judged], None] = lambda _features, _judged: None,
) -> Pass:
    """Judge all rows of an input, batch by batch.

    Parameters
    ----------
    data : Data
        The input.
    model : Model
        Judges it.
    messages : Messages
        Shows progress and warnings.
    sampled : bool
        Whether to keep some rows of a table, for what their columns hold.
    compared : bool
        Whether to keep what all rows are compared by; it takes several times the memory of their scores.
    on_batch : callable
        Gets the features of each batch, and what was found of them.

    Raises
    ------
    CommandError
        If none can be.
    InputError
        If the input or its labels cannot be used.
    """
    names = data.read_columns(model)
    label = data.columns.label
    unusable = Unusable(data.noun)
    parts: list[Judged] = []
    labels: list[pa.Array] = []
    sample = SmallestKeys(SAMPLED_ROWS) if sampled and isinstance(model, TableModel) else None

    def read() -> Generator[tuple[CellBatch, Features], None, None]:
        for batch in model.batches(names):
            yield batch, model.features(batch)

    def work(read: tuple[CellBatch, Features]) -> CellBatch:
        batch, features = read
        found = Judged.of(model, batch, features)
        on_batch(features, found)
        parts.append(found if compared else dataclasses.replace(found, comparisons=np.empty((batch.n_rows, 0))))
        if sample is not None:
            sample.append(batch.cells, *batch.position(0))
        for row, problem in features.problems.items():
            unusable.add(partial(model.source.locate, *batch.position(row)), problem)
        if label is not None:
            labels.append(batch.cells[label.name])
        return batch

    with (
        messages.library_warnings(),
        progress_bar(model.source.size, "scoring", model.noun, messages) as advance,
    ):
        run_stages(read(), work, advance, separate_writer=False)
    judged = Judged.joined(parts)
    unusable.warn(messages, len(judged.scores))
    if np.isnan(judged.scores).all():
        raise CommandError(unusable.none_of(model.source.name, len(judged.scores)))
    read_labels = None if label is None else label.usable(model.values(pa.chunked_array(labels)), messages)
    return Pass(judged, read_labels, unusable.count, None if sample is None else Sample(*sample.rows_and_cells()))


def has_groups(detector: "VAEDetector | PatchDetector") -> bool:
    """Whether rows are calibrated by the values of a column."""
    return getattr(detector, "calibration_groups", None) is not None


def n_folds(detector: "VAEDetector | PatchDetector") -> int:
    """How many folds the calibration of a model has; 1 without one."""
    calibration = detector.decisions_.calibration
    return 1 if calibration is None else len(calibration.folds)
