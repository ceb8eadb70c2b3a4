"""Images as the data of a command."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from vae_anomaly.batches import PROBLEM
from vae_anomaly_cli.columns import ROW, InputColumns, LabelUse, find_columns
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.flagging import Decision
from vae_anomaly_cli.image_model import ImageModel, fit_images, load_image_model
from vae_anomaly_cli.known_anomalies import KnownAnomalies
from vae_anomaly_cli.labels import Measures
from vae_anomaly_cli.models import remembered_roles
from vae_anomaly_cli.options import Device, FitOptions, InputOptions
from vae_anomaly_cli.output.sinks import NoOutput
from vae_anomaly_cli.pipeline import Layout, OwnColumns, Pipeline
from vae_anomaly_cli.render.pages import Figures, PageExplainer, plan_figures
from vae_anomaly_cli.render.ranking import Ranking
from vae_anomaly_cli.render.reasons import Reasons
from vae_anomaly_cli.sources import FOLDER, PATH, ImageSource, open_images
from vae_anomaly_cli.tables import Sampler, sample_table
from vae_anomaly_cli.top_k import Ranked
from vae_anomaly_cli.types import InferredType

if TYPE_CHECKING:
    from vae_anomaly_cli.output.targets import PartFile


@dataclass(frozen=True)
class ImageData:
    """Image files, and which of their columns name them or are labels; see `data.Data`."""

    source: ImageSource
    columns: InputColumns
    drawing: Figures
    parts: "Sequence[PartFile]" = ()
    noun: str = "image"

    @classmethod
    def open(
        cls,
        given: InputOptions,
        messages: Messages,
        heatmaps: str | None,
        sheet: str | None,
        top: int | None,
        *,
        model: str | None = None,
        labels: LabelUse = "measured",
    ) -> "ImageData":
        """Find image files, and the columns that options name; labels that cannot be used are known before the work."""
        source = open_images(given.data)
        columns = find_columns(source.name, source.schema.names, given, FOLDER)
        if model is not None:
            columns = columns.with_roles(remembered_roles(model), model, labels, messages, FOLDER)
        if columns.label is not None:
            cells = pa.chunked_array([batch.cells[columns.label.name] for batch in source.batches()])
            if columns.label.usable(cells, messages) is None:
                columns = dataclasses.replace(columns, label=None)
        return cls(source, columns, plan_figures(heatmaps, sheet, top, source))

    def fit(
        self,
        fitting: FitOptions,
        device: Device,
        messages: Messages,
        *,
        n_passes: int = 1,
        known: KnownAnomalies | None = None,
        sampler: Sampler = sample_table,
    ) -> ImageModel:
        """Fit a model on the images."""
        return dataclasses.replace(fit_images(self.source, fitting, device, messages), with_heat_maps=self._draws_all)

    def fit_own_rows(self, fitting: FitOptions, device: Device, messages: Messages) -> ImageModel:
        """Fit a model whose own images are judged: they are ranked among themselves."""
        model = self.fit(fitting.for_own_rows(), device, messages)
        model.rank_among_fitted(messages)
        return model

    def load(
        self, model: str, device: Device, messages: Messages, *, size: tuple[int, int] | None = None
    ) -> ImageModel:
        """Load a model that takes the images, those of other sizes included where the size is given."""
        loaded = load_image_model(self.source, model, device, messages, size)
        return dataclasses.replace(loaded, with_heat_maps=self._draws_all)

    def measure_fit(self, model: ImageModel, messages: Messages) -> Measures | None:
        """Compare the scores of all images with their labels."""
        if self.columns.label is None:
            return None
        layout = Layout(self.source.schema, self.columns.kept, {}, OwnColumns(row=ROW, problem=PROBLEM))
        names = self.read_columns(model)
        decision = Decision(model.detector.threshold_)
        pipeline = Pipeline(model, names, layout, NoOutput(), messages, decision=decision, label=self.columns.label)
        pipeline.run(separate_writer=False)
        return pipeline.tally.measures(model, self.columns.label, messages)

    def infer_types(self, names: Sequence[str], messages: Messages) -> Mapping[str, InferredType]:
        """Return none: all columns have types."""
        return {}

    def own_columns(self, *, explain: bool, by_file: bool) -> OwnColumns:
        """Return the columns of the result that are ours: the number of the image, and why it cannot be used."""
        return OwnColumns(row=ROW, problem=PROBLEM)

    def read_columns(self, model: ImageModel) -> list[str]:
        """Return all columns."""
        return list(self.source.schema.names)

    def sampled_columns(self, model: ImageModel) -> Sequence[str]:
        """Return none: images have no columns."""
        return ()

    @property
    def n_drawn(self) -> int:
        """How many of the most anomalous images are drawn when all are scored."""
        return self.drawing.n_ranked

    @property
    def figures(self) -> Mapping[str, str | None]:
        """Where pages and the contact sheet go."""
        return self.drawing.outputs

    def draw(self, ranked: Ranked, model: ImageModel, messages: Messages) -> None:
        """Read the most anomalous images again, and draw what is wanted of them."""
        self.drawing.draw(ranked, model, messages)

    def explainer(
        self, model: ImageModel, messages: Messages, *, explain: bool, streamed: bool
    ) -> PageExplainer | None:
        """Return what writes a page for each image."""
        pages = self.drawing.pages_of_all
        return None if pages is None else PageExplainer(pages, model)

    def ranking(self, scored: pa.Table, ranked: Ranked, reasons: Reasons | None) -> Ranking:
        """Return the most anomalous images."""
        name = PATH if PATH in scored.column_names else self.columns.kept[0]
        return Ranking(scored, (name,))

    @property
    def _draws_all(self) -> bool:
        """Whether each image gets a page."""
        return self.drawing.pages_of_all is not None
