"""Pages that show where images are anomalous, and the sheet of the most anomalous."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.images.inputs import ImageInput
from vae_anomaly_cli.rendering import SheetEntry, contact_sheet, heat_map_page, number_text
from vae_anomaly_cli.sources import without_links

if TYPE_CHECKING:
    from PIL import Image

    from vae_anomaly import PatchDetector, VAEDetector
    from vae_anomaly.data import Images

PNG = ".png"
MARK = {"Software": "vae-anomaly"}


@dataclass(frozen=True)
class Shown:
    """What is drawn of one image.

    Attributes
    ----------
    image : ndarray of shape (channels, height, width)
        As the model reads it.
    surprise : ndarray of shape (height, width)
        Nats per pixel; NaN where it is missing.
    reconstruction : ndarray of shape (channels, height, width)
        What the model expects.
    score : float
        Nats.
    """

    image: npt.NDArray[Any]
    surprise: npt.NDArray[np.float64]
    reconstruction: npt.NDArray[Any]
    score: float


def explained_images(detector: "VAEDetector | PatchDetector", images: "Images") -> Iterator[Shown]:
    """Say of each image where it is anomalous."""
    from vae_anomaly.explain import ImageExplanation

    explanation = detector.explain(images)
    assert isinstance(explanation, ImageExplanation)
    expected = explanation.reconstruction
    if expected.ndim == 3:
        expected = expected[:, None]
    elif expected.shape[1:] != images.shape:
        expected = np.moveaxis(expected, 3, 1)
    for image, surprise, reconstruction, score in zip(
        images.pixels, explanation.excess, expected, explanation.score, strict=True
    ):
        yield Shown(image, surprise, reconstruction, float(score))


class Pages:
    """A folder with a page for each image, under the names and in the sub-folders of the input.

    Parameters
    ----------
    folder : Path
        Where they go.
    source : ImageInput
        The images.

    Raises
    ------
    InputError
        If the folder is none, or the pages would stand among the images, or replace these or a PNG file that is none
        of ours.
    """

    def __init__(self, folder: Path, source: ImageInput) -> None:
        self.folder, self.source = folder, source
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--heatmaps {folder} is a file; expected the name of a directory.")
        source.check_apart("--heatmaps", folder)
        self._names = {source.relative(path) for path in source.paths}
        if source.holds(self.path(place) for place in range(len(source))):
            raise InputError(f"--heatmaps {folder}: pages would replace input files; name another directory.")
        for place in range(len(source)):
            path = self.path(place)
            if path.is_file() and not _is_marked(path):
                raise InputError(
                    f"--heatmaps {folder}: a page would replace {path}, which vae-anomaly did not write; name another "
                    "directory."
                )

    def path(self, place: int) -> Path:
        """The page of an image; names of other formats get .png behind them, and never that of another image."""
        name = self.source.relative(self.source.paths[place])
        if name.suffix.lower() != PNG:
            name = PurePath(f"{name}{PNG}")
            while name in self._names:
                name = PurePath(f"{name}{PNG}")
        return self.folder / name

    def holds(self, path: Path) -> bool:
        """Whether a file is one of the pages."""
        folder, resolved = without_links(self.folder), without_links(path)
        return resolved.is_relative_to(folder) and any(
            resolved.relative_to(folder) == self.path(place).relative_to(self.folder)
            for place in range(len(self.source))
        )

    def write(self, place: int, shown: Shown, scale: tuple[float, float], threshold: float) -> None:
        """Draw and write the page of an image."""
        name = self.source.shown(self.source.paths[place])
        title = f"{name}: {number_text(shown.score)} (threshold {number_text(threshold)})"
        page = heat_map_page(shown.image, shown.surprise, shown.reconstruction, *scale, title)
        write_image(page, self.path(place))


def check_sheet(sheet: str, source: ImageInput, pages: Pages | None) -> Path:
    """Settle where a contact sheet goes.

    Raises
    ------
    InputError
        If its name is not that of a PNG file, it would stand among the images, or it would replace a page.
    """
    path = Path(sheet)
    if path.suffix.lower() != PNG:
        raise InputError(f"--sheet {sheet}: expected a name that ends in .png.")
    source.check_apart("--sheet", path)
    if pages is not None and pages.holds(path):
        raise InputError(f"--sheet {sheet} is also a page of --heatmaps; name another file.")
    return path


def make_folder(folder: Path) -> None:
    """Make the folder for pages, and see whether it can be written to.

    Raises
    ------
    CommandError
        If not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{folder} cannot be made: {error.strerror or error}. Name another place.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CommandError(f"{folder} cannot be written: no permission to write there. Name another place.")


def write_sheet(entries: list[tuple[str, Shown]], scale: tuple[float, float], path: Path) -> None:
    """Draw and write the most anomalous images, with their names."""
    rows = [SheetEntry(name, each.score, each.image, each.surprise, each.reconstruction) for name, each in entries]
    write_image(contact_sheet(rows, *scale), path)


def write_image(image: "Image.Image", path: Path) -> None:
    """Write a PNG file, whole or not at all."""
    from vae_anomaly.data import write_png

    try:
        write_png(image, path, MARK)
    except OSError as error:
        raise CommandError(error) from error


def _is_marked(path: Path) -> bool:
    """Whether a file is a page or a sheet of ours."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            return all(image.info.get(keyword) == text for keyword, text in MARK.items())
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
