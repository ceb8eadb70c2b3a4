"""Pages that show where images are anomalous, and the sheet of the most anomalous."""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from vae_anomaly.files import make_folder, remove_stale_parts
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.image_model import HeatMap, ImageFeatures, ImageModel
from vae_anomaly_cli.models import Unusable, library_errors
from vae_anomaly_cli.output.targets import check_links, check_writable
from vae_anomaly_cli.progress import progress_bar
from vae_anomaly_cli.render.heat_maps import SheetEntry, contact_sheet, heat_map_page, number_text
from vae_anomaly_cli.sources import ImageBatch, ImageSource, as_text, without_links
from vae_anomaly_cli.top_k import Ranked

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    from vae_anomaly_cli.console import Messages

PNG = ".png"
MARK = {"Software": "vae-anomaly"}
ON_SHEET, MAX_ON_SHEET = 24, 240


class Pages:
    """A folder with a page for each image, under the names and in the sub-folders of the input.

    Parameters
    ----------
    folder : Path
        Where they go.
    source : ImageSource
        The images.

    Raises
    ------
    InputError
        If the folder is none, or the pages would stand among the images, or replace these or a PNG file that is none
        of ours.
    """

    def __init__(self, folder: Path, source: ImageSource) -> None:
        self.folder, self.source = folder, source
        check_links(folder, "--heatmaps")
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--heatmaps {folder} is a file; expected the name of a directory.")
        source.check_image_output("--heatmaps", folder)
        self._names = {source.relative(path) for path in source.paths}
        self._paths = [self.path(index) for index in range(source.n_files)]
        if source.includes(self._paths):
            raise InputError(f"--heatmaps {folder}: pages would replace input files; name another directory.")
        for path in self._paths:
            if path.is_symlink():
                check_links(path, "--heatmaps")
            if path.exists() and not path.is_file():
                raise InputError(f"--heatmaps {folder}: {path} is there, and is no file; name another directory.")
            if path.is_file() and not _is_marked(path):
                raise InputError(
                    f"--heatmaps {folder}: a page would replace {path}, which vae-anomaly did not write; name another "
                    "directory."
                )

    def path(self, index: int) -> Path:
        """The page of an image; names of other formats get .png behind them, and never that of another image."""
        name = self.source.relative(self.source.paths[index])
        if name.suffix.lower() != PNG:
            name = PurePath(f"{name}{PNG}")
            while name in self._names:
                name = PurePath(f"{name}{PNG}")
        return self.folder / name

    def make(self) -> None:
        """Make the folder, and remove what a killed run left of the pages."""
        _make_folder(self.folder)
        remove_stale_parts(self._paths)

    def includes(self, path: Path) -> bool:
        """Whether a file is one of the pages."""
        folder, resolved = without_links(self.folder), without_links(path)
        if not resolved.is_relative_to(folder):
            return False
        return any(resolved.relative_to(folder) == page.relative_to(self.folder) for page in self._paths)

    def write(self, index: int, heat_map: HeatMap, model: ImageModel) -> None:
        """Draw and write the page of an image."""
        name = as_text(self.source.relative(self.source.paths[index]))
        title = f"{name}: {number_text(heat_map.score)} (threshold {number_text(model.threshold)})"
        scale = model.detector.map_scale_
        write_image(
            heat_map_page(heat_map.image, heat_map.surprise, heat_map.reconstruction, *scale, title), self.path(index)
        )


@dataclass(frozen=True)
class ExplainedImages:
    """What is drawn of a batch, by index of the image in the input."""

    heat_maps: Mapping[int, HeatMap]
    texts: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PageExplainer:
    """Writes a page for each image as it is scored.

    Attributes
    ----------
    pages : Pages
        Where they go.
    model : ImageModel
        Draws heat maps with the scores.
    n_rows : int
        No row has cells to explain.
    """

    pages: Pages
    model: ImageModel
    n_rows: int = 0

    def note(self, n_rows: int) -> None:
        """Count images that were explained elsewhere: none are."""

    def needs(self, batch: ImageBatch) -> bool:
        """Whether a page of a batch is not there, although its scores are."""
        return not all(self.pages.path(index).exists() for index in batch.indices)

    def explain(self, batch: ImageBatch, features: ImageFeatures, flags: "npt.NDArray[np.bool_]") -> ExplainedImages:
        """Explain all images of a batch."""
        return ExplainedImages({batch.indices[row]: heat_map for row, heat_map in features.heat_maps.items()})

    def write(self, explained: ExplainedImages, stopped: threading.Event) -> None:
        """Write their pages; leave when stopped."""
        for index, heat_map in explained.heat_maps.items():
            if stopped.is_set():
                return
            self.pages.write(index, heat_map, self.model)

    def reasons(self, ranked: Ranked, flags: "npt.NDArray[np.bool_]") -> None:
        """Return none: pixels have no reasons in words."""


@dataclass(frozen=True)
class Figures:
    """What is drawn of images.

    Attributes
    ----------
    pages : Pages or None
        A page for each image.
    sheet : Path or None
        The file for the most anomalous images together.
    top : int or None
        Draw only so many of the most anomalous.
    """

    pages: Pages | None = None
    sheet: Path | None = None
    top: int | None = None

    @property
    def outputs(self) -> dict[str, str | None]:
        """Where they go, by option."""
        return {
            "heatmaps": None if self.pages is None else str(self.pages.folder),
            "sheet": None if self.sheet is None else str(self.sheet),
        }

    @property
    def n_on_sheet(self) -> int:
        """How many of the most anomalous go on the sheet."""
        return 0 if self.sheet is None else min(self.top or ON_SHEET, MAX_ON_SHEET)

    @property
    def n_ranked(self) -> int:
        """How many of the most anomalous are drawn when all are scored."""
        return max(self.n_on_sheet, 0 if self.pages is None else self.top or 0)

    @property
    def pages_of_all(self) -> Pages | None:
        """The pages, where every image gets one."""
        return self.pages if self.top is None else None

    def draw(self, ranked: Ranked, model: ImageModel, messages: "Messages") -> None:
        """Read the most anomalous images again, and draw what is wanted of them; leave out what is gone by now."""
        if not len(ranked):
            return
        rank_of = {index: rank for rank, index in enumerate(ranked.rows.tolist())}
        entries = []
        unusable = Unusable()
        with (
            library_errors(model.source.name),
            messages.library_warnings(),
            progress_bar(len(rank_of), "drawing", "image", messages) as done,
        ):
            for batch in model.source.batches_of(list(rank_of), model.n_per_batch):
                features = model.features(batch)
                for row, problem in features.problems.items():
                    unusable.add_file(str(batch.paths[row]), problem)
                for row, heat_map in features.heat_maps.items():
                    index = batch.indices[row]
                    if self.pages is not None and rank_of[index] < (self.top or 0):
                        self.pages.write(index, heat_map, model)
                    if rank_of[index] < self.n_on_sheet:
                        entries.append(_sheet_entry(model.source, index, heat_map))
                done(batch)
        unusable.warn(messages)
        if self.sheet is not None and entries:
            write_image(contact_sheet(entries, *model.detector.map_scale_), self.sheet)


def plan_figures(heatmaps: str | None, sheet: str | None, top: int | None, source: ImageSource) -> Figures:
    """Settle where pages and the contact sheet go, and see whether they can be written there.

    Raises
    ------
    InputError
        If they would stand among the images or replace other files, or the sheet is no PNG file.
    CommandError
        If nothing can be written there.
    """
    pages = None if heatmaps is None else Pages(Path(heatmaps), source)
    path = None if sheet is None else Path(sheet)
    if path is not None:
        if path.suffix.lower() != PNG:
            raise InputError(f"--sheet {sheet}: expected a name that ends in .png.")
        source.check_image_output("--sheet", path)
        if pages is not None and pages.includes(path):
            raise InputError(f"--sheet {sheet} is also a page of --heatmaps; name another file.")
    if pages is not None:
        pages.make()
    if path is not None:
        check_writable(path, "--sheet")
        remove_stale_parts([path])
    return Figures(pages, path, top)


def write_image(image: "Image.Image", path: Path) -> None:
    """Write a PNG file, whole or not at all."""
    from vae_anomaly.data import write_png

    try:
        write_png(image, path, MARK)
    except OSError as error:
        raise CommandError(error) from error


def _sheet_entry(source: ImageSource, index: int, heat_map: HeatMap) -> SheetEntry:
    name = as_text(source.relative(source.paths[index]))
    return SheetEntry(name, heat_map.score, heat_map.image, heat_map.surprise, heat_map.reconstruction)


def _make_folder(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        raise CommandError(f"{folder} cannot be made: {error.strerror or error}. Name another directory.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CommandError(f"{folder} cannot be written: no permission to write there. Name another directory.")


def _is_marked(path: Path) -> bool:
    """Whether a file is a page or a sheet of ours."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            return all(image.info.get(keyword) == text for keyword, text in MARK.items())
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
