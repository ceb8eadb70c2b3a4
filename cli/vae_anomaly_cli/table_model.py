"""Models of tables: fitted on rows of the input or loaded, and their scores and reasons."""

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.arrow_rows import RowFeatures, as_series, scoring_features
from vae_anomaly.batches import RowScores, TableKernel
from vae_anomaly_cli.columns import InputColumns, baseline_for_training
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.features import training_frame, with_row_numbers
from vae_anomaly_cli.known_anomalies import KnownAnomalies
from vae_anomaly_cli.models import EXPECTATIONS, Unusable, library_errors, load_detector, rank_among
from vae_anomaly_cli.options import Device, FitOptions
from vae_anomaly_cli.progress import progress_bar
from vae_anomaly_cli.sources import RowBatch, TableSource
from vae_anomaly_cli.stores import place_of
from vae_anomaly_cli.tables import Sampler, Table, sample_table

if TYPE_CHECKING:
    from vae_anomaly import VAEDetector
    from vae_anomaly.columns import Column, MissingValues
    from vae_anomaly.explain import Patterns

SAMPLE_ROWS = 1_000_000
MAX_SHOWN_KINDS = 5
# Rows that others are ranked among: of more, every second or third will do.
MAX_RANKED_AMONG = 100_000


@dataclass(frozen=True)
class TableModel:
    """A detector and the table that it scores.

    Attributes
    ----------
    source : TableSource
        The table.
    detector : VAEDetector
        Fitted.
    given : mapping of str to str
        Columns of the input that it sees, by their names in the model.
    fit_seconds : float or None
        What the fit took; None if it was loaded.
    report : str
        How it was fitted or loaded, in a line.
    fitted : Table or None
        The rows that it was fitted on; None if it was loaded.
    n_passes : int
        How often the fit went through the table.
    left_out : Unusable
        None: a table that cannot be used is an error.
    """

    source: TableSource
    detector: "VAEDetector"
    given: Mapping[str, str]
    fit_seconds: float | None
    report: str
    fitted: Table | None = None
    n_passes: int = 1
    left_out: Unusable = dataclasses.field(default_factory=Unusable)
    noun: str = "row"

    @property
    def threshold(self) -> float:
        """Scores above it are flagged, nats."""
        return self.detector.threshold_.score

    @property
    def _kernel(self) -> TableKernel:
        return TableKernel(self.detector, self.given, self.source.cell_reader, forgiving=self.fitted is not None)

    @property
    def names(self) -> list[str]:
        """Columns of the input that it sees."""
        return list(self.given.values())

    @property
    def n_rows(self) -> int | None:
        """Rows of the table, where it was read for a fit."""
        return None if self.fitted is None else self.fitted.n_input_rows

    def batches(self, names: list[str]) -> Iterator[RowBatch]:
        """Read some columns."""
        return self.source.batches(names)

    def features(self, batch: RowBatch) -> RowFeatures:
        """Return what the detector sees of a batch."""
        return self.features_of(batch.cells)

    def features_again(self, cells: pa.Table, rows: npt.NDArray[np.int64]) -> RowFeatures:
        """Return what it sees of rows of several batches, by their cells."""
        return self.features_of(cells)

    def features_of(self, cells: pa.RecordBatch | pa.Table) -> RowFeatures:
        """Return what the detector sees of rows; where it was fitted on them, odd cells are missing as in the fit."""
        return self._kernel.features(cells)

    def score(self, batch: RowBatch, features: RowFeatures, start: int) -> RowScores:
        """Score the rows of a batch from one of them on; NaN where one has a problem."""
        rows = features.rows[features.rows >= start]
        if not len(rows):
            return RowScores.nothing(batch.n_rows - start)
        every = len(rows) == batch.n_rows
        with library_errors(self.source.name, lambda row: self.source.locate(*batch.position(int(rows[row])))):
            found = self._kernel.score(features.frame if every else features.frame.iloc[rows])
        return found if every else found.spread(rows.tolist(), batch.n_rows).take(slice(start, None))

    def rank_among_fitted(self, messages: Messages) -> None:
        """Compare rows with those that were fitted, or a part of them where they are many."""
        table = self.fitted
        if table is None:
            return
        cells = table.cells.take(np.arange(0, table.n_rows, -(-table.n_rows // MAX_RANKED_AMONG)))
        with messages.library_warnings(), library_errors(table.name):
            rank_among(self.detector, self.detector.anomaly_score(self.features_of(cells).usable))

    def patterns(self, cells: pa.Table, date: str | None, messages: Messages) -> "Patterns":
        """Sort rows that can be scored, all of them alerts, into patterns.

        Parameters
        ----------
        cells : pyarrow.Table
            What was read of them.
        date : str or None
            The column of their dates, by default the first of the model.
        messages : Messages
            Shows warnings.
        """
        from vae_anomaly.explain import Patterns

        if not cells.num_rows:
            return Patterns((), np.empty(0, dtype=np.intp))
        frame = self.features_of(cells).frame
        dates = None if date is None else as_series(self.source.cell_reader.values(cells[date])).rename(index=date)
        with library_errors(self.source.name), messages.library_warnings():
            return self.detector.patterns(frame, np.ones(len(frame), dtype=bool), date=dates)

    def score_table(self, table: Table, features: RowFeatures) -> npt.NDArray[np.float64]:
        """Score rows in memory, of which the features are given, in nats; NaN where one has a problem."""
        scores = np.full(table.n_rows, np.nan)
        rows = features.rows
        if len(rows):
            with library_errors(table.name, lambda row: table.locate(int(rows[row]))):
                scores[rows] = self.detector.anomaly_score(features.usable)
        return scores

    def values(self, cells: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the cells of a column with their types."""
        return self.source.cell_reader.values(cells)

    def summary(self, n_rows: int, n_unusable: int) -> dict[str, Any]:
        """Describe table and detector for --json."""
        return {
            "input": self.source.name,
            "rows": n_rows,
            "rows_scored": n_rows - n_unusable,
            "unusable": n_unusable,
            "columns": _kinds_of(self.detector.columns_),
            "set_aside": _set_aside(self.detector.columns_),
            "preset": self.detector.preset,
            "threshold": self.threshold,
            "fit_seconds": None if self.fit_seconds is None else round(self.fit_seconds, 3),
            "fitted_rows": None if self.fitted is None else self.fitted.n_rows,
        }

    def fit_summary(self) -> dict[str, Any]:
        """Describe table, detector and fit for --json."""
        assert self.fitted is not None
        return self.summary(self.fitted.n_input_rows, 0) | {"passes": self.n_passes}


def new_detector(
    fitting: FitOptions,
    declared: Mapping[str, str],
    device: Device,
    *,
    missing_values: "MissingValues" = None,
    baseline: Mapping[str, tuple[str, ...] | str] | None = None,
    verbose: bool = False,
) -> "VAEDetector":
    """Return a detector, not yet fitted, with the parameters that the user gave."""
    from vae_anomaly import VAEDetector

    detector = VAEDetector(verbose=verbose)
    detector.set_params(
        **fitting.parameters(),
        **(baseline or {}),
        columns=dict(declared) or None,
        missing_values=missing_values,
        device=str(device),
    )
    return detector


def fit_table(
    source: TableSource,
    columns: InputColumns,
    fitting: FitOptions,
    device: Device,
    messages: Messages,
    *,
    n_passes: int = 1,
    known: KnownAnomalies | None = None,
    sampler: Sampler = sample_table,
) -> TableModel:
    """Fit on all rows, or on a sample where they are too many; in further passes on other samples.

    Parameters
    ----------
    source : TableSource
        The table.
    columns : InputColumns
        Which of its columns are features.
    fitting : FitOptions
        What the user said of the fit.
    device : Device
        Where the arithmetic runs.
    messages : Messages
        Shows progress and warnings.
    n_passes : int
        How often to go through the table.
    known : KnownAnomalies, optional
        Rows to leave out.
    sampler : callable
        Reads the rows.
    """
    group = fitting.calibration_groups
    declared = columns.declared_for_training(fitting.column, group)
    baseline = baseline_for_training(columns, fitting.baseline_by, fitting.baseline_time)
    if baseline and n_passes > 1:
        raise InputError(
            f"--passes {n_passes}: what --baseline-by and --baseline-time compare with is learned in one pass. Leave "
            "--passes out."
        )
    names = columns.for_training(messages)
    draw = partial(_draw, source, columns, names, fitting, messages, known, sampler)
    table = draw()
    if table.drawn is None and columns.label is not None:
        # Labels that cannot be used are known before the work; those of a sample may be too few to tell.
        columns.label.read(table.values(columns.label.name))
    frame = training_frame(table, names, declared, group, forced=fitting.reads_text)
    missing_values = columns.missing_values(fitting.missing_values)
    detector = new_detector(
        fitting, declared, device, missing_values=missing_values, baseline=baseline, verbose=messages.progress
    )
    start = time.perf_counter()
    with library_errors(table.name, table.locate), messages.library_warnings(locate=table.locate):
        (detector.partial_fit if n_passes > 1 else detector.fit)(frame)
    n_done = 1
    # Ctrl-C ends the fit with what was learned, and not the pass alone.
    with messages.library_warnings():
        while n_done < n_passes and not detector.fit_report_.interrupted:
            table = draw(n_done)
            with library_errors(table.name, table.locate):
                more = scoring_features(table.cells, detector.columns_, source.cell_reader, group, forgiving=True)
                detector.partial_fit(with_row_numbers(more.frame, table))
            n_done += 1
    seconds = time.perf_counter() - start
    # The table has them, where they are needed.
    detector.forget_training_rows()
    report = _fit_report(table, detector.columns_, seconds) + (f", in {n_done} passes" if n_done > 1 else "")
    report += f", {EXPECTATIONS[detector.preset]}" if detector.preset in EXPECTATIONS else ""
    return TableModel(source, detector, {name: name for name in names}, seconds, report, table, n_done)


def load_table_model(
    source: TableSource, columns: InputColumns, model: str, device: Device, messages: Messages
) -> TableModel:
    """Load a model that takes the columns of a table."""
    from vae_anomaly import VAEDetector

    with messages.library_warnings():
        detector = load_detector(model, device, of_images=False)
    assert isinstance(detector, VAEDetector)
    return model_of(source, columns, detector, messages, f"scored {source.name} with {place_of(model)}")


def model_of(
    source: TableSource, columns: InputColumns, detector: "VAEDetector", messages: Messages, report: str = ""
) -> TableModel:
    """Put a detector that was loaded before to work on a table.

    Raises
    ------
    InputError
        If the table lacks a column that it needs.
    """
    given = columns.for_scoring(detector.columns_, messages, detector.calibration_groups, detector.baseline_columns_)
    return TableModel(source, detector, given, None, report)


def _draw(
    source: TableSource,
    columns: InputColumns,
    names: list[str],
    fitting: FitOptions,
    messages: Messages,
    known: KnownAnomalies | None,
    sampler: Sampler,
    n_done: int = 0,
) -> Table:
    """Read the rows of one pass of a fit: all, or a sample that is another one in each pass."""
    label = [name for name in columns.label_names if name not in names]
    n_rows = fitting.sample_rows or SAMPLE_ROWS
    with progress_bar(source.size, "reading", "row", messages) as done:
        table = sampler(source, [*names, *label], n_rows, (fitting.random_state or 0, n_done), done)
    return table if known is None else table.without(known.among(table.cells, names))


def _kinds_of(columns: "tuple[Column, ...]") -> dict[str, int]:
    """Count the columns in use by kind, the most frequent kind first."""
    return dict(Counter(column.kind for column in columns if column.is_used).most_common())


def _set_aside(columns: "tuple[Column, ...]") -> dict[str, str]:
    """Columns that are not in use, with the reason."""
    return {column.name: column.reason for column in columns if not column.is_used}


def _fit_report(table: Table, columns: "tuple[Column, ...]", seconds: float) -> str:
    """Say in short what a fit did."""
    kinds = _kinds_of(columns)
    shown = list(kinds.items())[: MAX_SHOWN_KINDS if len(kinds) <= MAX_SHOWN_KINDS else MAX_SHOWN_KINDS - 1]
    others = sum(kinds.values()) - sum(count for _, count in shown)
    counts = ", ".join([f"{count} {kind}" for kind, count in shown] + ([f"{others} of other kinds"] if others else []))
    n_set_aside = len(_set_aside(columns))
    rest = f", {n_set_aside} set aside" if n_set_aside else ""
    rows = counted(table.n_rows, "row")
    if table.is_sample:
        rows = f"a sample of {table.n_rows:,} of {counted(table.n_input_rows, 'row')}"
    rows += f", {table.n_left_out:,} known to be anomalous left out" if table.n_left_out else ""
    return f"fitted on {table.name}: {rows}, {counted(sum(kinds.values()), 'column')} ({counts}){rest}, {seconds:.1f} s"
