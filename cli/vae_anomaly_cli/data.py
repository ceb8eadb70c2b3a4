"""The data of a command, be they a table or images: the one module that knows both."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from vae_anomaly_cli.columns import InputColumns, LabelUse
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.known_anomalies import KnownAnomalies
from vae_anomaly_cli.labels import Measures
from vae_anomaly_cli.models import Model
from vae_anomaly_cli.options import Device, FitOptions, InputOptions
from vae_anomaly_cli.output.targets import PartFile, TabularSource
from vae_anomaly_cli.pipeline import Explainer, OwnColumns
from vae_anomaly_cli.render.ranking import Ranking
from vae_anomaly_cli.render.reasons import Reasons
from vae_anomaly_cli.sources import Kind
from vae_anomaly_cli.tables import Sampler, sample_table
from vae_anomaly_cli.top_k import Ranked
from vae_anomaly_cli.types import InferredType


class Data(Protocol):
    """A source, what its columns are, and how models of it are fitted, loaded and explained.

    Attributes
    ----------
    noun : str
        What a row is: ``row`` or ``image``.
    source : TabularSource
        Its rows.
    columns : InputColumns
        What its columns are.
    parts : sequence of PartFile
        Its files, where each can become a file of results.
    n_drawn : int
        How many of the most anomalous rows are drawn when all are scored.
    figures : mapping of str to str or None
        Where figures go, by option; empty for tables, which have none.
    """

    @property
    def noun(self) -> str: ...

    @property
    def source(self) -> TabularSource: ...

    @property
    def columns(self) -> InputColumns: ...

    @property
    def parts(self) -> Sequence[PartFile]: ...

    @property
    def n_drawn(self) -> int: ...

    @property
    def figures(self) -> Mapping[str, str | None]: ...

    def draw(self, ranked: Ranked, model: Any, messages: Messages) -> None:
        """Draw the most anomalous rows."""

    def fit(
        self,
        fitting: FitOptions,
        device: Device,
        messages: Messages,
        *,
        n_passes: int = 1,
        known: KnownAnomalies | None = None,
        sampler: Sampler = sample_table,
    ) -> Model:
        """Fit a model on it, but for rows that are known to be anomalous; `sampler` reads those of tables."""

    def fit_own_rows(self, fitting: FitOptions, device: Device, messages: Messages) -> Model:
        """Fit a model whose own rows are judged: they are ranked among themselves."""

    def load(self, model: str, device: Device, messages: Messages, *, size: tuple[int, int] | None = None) -> Model:
        """Load a model that takes it; images of other sizes are resized where the size is given."""

    def measure_fit(self, model: Any, messages: Messages) -> Measures | None:
        """Compare the scores of what a model was fitted on with the labels, where there are some."""

    def infer_types(self, names: Sequence[str], messages: Messages) -> Mapping[str, InferredType]:
        """Find out what columns hold that have no types, in a pass over all rows."""

    def own_columns(self, *, explain: bool, by_file: bool) -> OwnColumns:
        """Return the columns of the result that are ours, besides scores and flags.

        Parameters
        ----------
        explain : bool
            Whether there are reasons.
        by_file : bool
            Whether each file of the input becomes one of results.

        Raises
        ------
        InputError
            If the source has some of the same names.
        """

    def read_columns(self, model: Any) -> list[str]:
        """Return the columns to read for a model, its label and the output."""

    def sampled_columns(self, model: Any) -> Sequence[str]:
        """Return the columns that are compared with the training: none where the model was fitted on them."""

    def explainer(self, model: Any, messages: Messages, *, explain: bool, streamed: bool) -> Explainer | None:
        """Return what explains rows: while they are scored if they are streamed to a table, or else the ranked ones."""

    def ranking(self, scored: pa.Table, ranked: Ranked, reasons: Reasons | None) -> Ranking:
        """Return the most anomalous rows as people and programs see them."""


def open_data(
    kind: Kind,
    given: InputOptions,
    messages: Messages,
    *,
    model: str | None = None,
    labels: LabelUse = "measured",
    heatmaps: str | None = None,
    sheet: str | None = None,
    top: int | None = None,
) -> Data:
    """Find the input of a command, what options or a model say of its columns, and of images where figures go.

    Parameters
    ----------
    kind : Kind
        Tables or images.
    given : InputOptions
        The input, and what the user says of its columns.
    messages : Messages
        Shows notes and warnings.
    model : str, optional
        A saved model, which remembers what was said of columns at its fit.
    labels : {"measured", "needed", "unused"}
        What the command does with known anomalies.
    heatmaps, sheet, top
        What is drawn of images.

    Raises
    ------
    InputError
        If there is none, or it does not have the columns that options name.
    """
    if kind is Kind.IMAGES:
        from vae_anomaly_cli.image_data import ImageData

        return ImageData.open(given, messages, heatmaps, sheet, top, model=model, labels=labels)
    from vae_anomaly_cli.table_data import TableData

    return TableData.open(given, messages, model=model, labels=labels)
