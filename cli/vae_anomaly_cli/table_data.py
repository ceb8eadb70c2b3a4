"""A table as the data of a command."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.batches import PROBLEM, REASONS
from vae_anomaly_cli.columns import FILE, ROW, InputColumns, LabelUse, find_columns
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.known_anomalies import KnownAnomalies
from vae_anomaly_cli.labels import Labels, Measures
from vae_anomaly_cli.models import remembered_roles
from vae_anomaly_cli.options import ROBUST, Device, FitOptions, InputOptions
from vae_anomaly_cli.pipeline import OwnColumns
from vae_anomaly_cli.progress import progress_bar
from vae_anomaly_cli.render.ranking import Ranking, RowNumber
from vae_anomaly_cli.render.reasons import Reasons, RowExplainer
from vae_anomaly_cli.sources import TableSource, open_table
from vae_anomaly_cli.table_model import TableModel, fit_table, load_table_model
from vae_anomaly_cli.tables import Sampler, Table, sample_table
from vae_anomaly_cli.top_k import Ranked
from vae_anomaly_cli.types import InferredType

if TYPE_CHECKING:
    from vae_anomaly_cli.output.targets import PartFile


@dataclass(frozen=True)
class TableData:
    """A table, and which of its columns are features; see `data.Data`."""

    source: TableSource
    columns: InputColumns
    parts: "Sequence[PartFile]"
    figures: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    n_drawn: int = 0
    noun: str = "row"

    @classmethod
    def open(
        cls, given: InputOptions, messages: Messages, *, model: str | None = None, labels: LabelUse = "measured"
    ) -> "TableData":
        """Find the files of a table, and the columns that options name, or a saved model; see `data.open_data`."""
        source = open_table(list(given.data), given.format, given.layout(), messages.warning)
        named = {*given.id, *given.drop, given.label}
        given = dataclasses.replace(
            given, drop=(*given.drop, *(name for name in source.row_indices if name not in named))
        )
        columns = find_columns(source.name, source.names, given)
        if model is not None:
            columns = columns.with_roles(remembered_roles(model), model, labels, messages)
        return cls(source, columns, source.files)

    def fit(
        self,
        fitting: FitOptions,
        device: Device,
        messages: Messages,
        *,
        n_passes: int = 1,
        known: KnownAnomalies | None = None,
        sampler: Sampler = sample_table,
    ) -> TableModel:
        """Fit a model on the rows, but for those that are known to be anomalous."""
        return fit_table(
            self.source,
            self.columns,
            fitting,
            device,
            messages,
            n_passes=n_passes,
            known=known,
            sampler=sampler,
        )

    def fit_own_rows(self, fitting: FitOptions, device: Device, messages: Messages) -> TableModel:
        """Fit a model whose own rows are judged: anomalies are expected, and rows are ranked among themselves."""
        model = self.fit(fitting.for_own_rows(ROBUST), device, messages)
        model.rank_among_fitted(messages)
        return model

    def load(
        self, model: str, device: Device, messages: Messages, *, size: tuple[int, int] | None = None
    ) -> TableModel:
        """Load a model that takes the columns."""
        return load_table_model(self.source, self.columns, model, device, messages)

    def measure_fit(self, model: TableModel, messages: Messages) -> Measures | None:
        """Compare the scores of the rows that a model was fitted on with their labels."""
        table = model.fitted
        labels = None if table is None else self.labels(table, messages)
        if table is None or labels is None:
            return None
        return labels.measure(model.score_table(table, model.features_of(table.cells)))

    def labels(self, table: Table, messages: Messages) -> Labels | None:
        """Read the labels of rows in memory, where there are some."""
        label = self.columns.label
        return None if label is None else label.usable(table.values(label.name), messages)

    def infer_types(self, names: Sequence[str], messages: Messages) -> Mapping[str, InferredType]:
        """Find out what columns of text hold, in a pass over all rows."""
        if self.source.format.typed:
            return {}
        with progress_bar(self.source.size, "reading", self.noun, messages) as done:
            return self.source.infer_types(names, done)

    def own_columns(self, *, explain: bool, by_file: bool) -> OwnColumns:
        """Return the columns of the result that are ours: row, file where rows of several stand together, and texts."""
        if explain and REASONS in self.columns.kept:
            raise InputError(
                f"--explain: {self.source.name} has a column '{REASONS}' of its own, and the output gets one. Rename "
                "it, or name the columns to keep with --id."
            )
        names = self.columns
        return OwnColumns(
            names.own_name(ROW),
            names.own_name(FILE) if self.source.n_files > 1 and not by_file else None,
            names.own_name(PROBLEM),
            REASONS if explain else None,
            tuple(file.name for file in self.source.files),
        )

    def read_columns(self, model: TableModel) -> list[str]:
        """Return the columns to read for a model, its label and the output."""
        needed = {*self.columns.kept, *model.names, *self.columns.label_names}
        return [name for name in self.source.names if name in needed]

    def sampled_columns(self, model: TableModel) -> Sequence[str]:
        """Return the columns that are compared with the training: none where the model was fitted on them."""
        return model.names if model.fitted is None else ()

    def draw(self, ranked: Ranked, model: TableModel, messages: Messages) -> None:
        """Draw nothing: figures are of images."""

    def explainer(self, model: TableModel, messages: Messages, *, explain: bool, streamed: bool) -> RowExplainer | None:
        """Return what explains rows by their cells."""
        return RowExplainer(model, messages, streamed=streamed) if explain else None

    def ranking(self, scored: pa.Table, ranked: Ranked, reasons: Reasons | None) -> Ranking:
        """Return the most anomalous rows with their numbers."""
        return Ranking(scored, self.columns.ids, self.numbers(ranked.files, ranked.rows_in_file), reasons)

    def numbers(self, files: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> list[RowNumber]:
        """Return the numbers of rows, with their file where there are several.

        Parameters
        ----------
        files, rows : ndarray of int, shape (rows,)
            In which file they are, and where there, both from 0.
        """
        names = [file.name if self.source.n_files > 1 else None for file in self.source.files]
        return [RowNumber(names[file], row + 1) for file, row in zip(files.tolist(), rows.tolist(), strict=True)]
