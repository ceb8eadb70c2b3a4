"""Models of images: fitted on them or loaded, and their scores and heat maps."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.batches import RowScores, n_images_at_a_time, pixels_of_files
from vae_anomaly.caching import cached_property
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.models import Unusable, library_errors, load_detector, rank_among
from vae_anomaly_cli.options import Device, FitOptions, Method
from vae_anomaly_cli.progress import progress_bar
from vae_anomaly_cli.sources import ImageBatch, ImageSource
from vae_anomaly_cli.stores import place_of
from vae_anomaly_cli.table_model import new_detector

if TYPE_CHECKING:
    from typing import TypeAlias

    from vae_anomaly import FeatureMapDetector, PatchDetector, VAEDetector
    from vae_anomaly.data import ImageFormat, Images

    ImageDetector: TypeAlias = VAEDetector | PatchDetector | FeatureMapDetector

# Sides of the windows that PatchDetector takes by default.
MIN_WINDOW, MAX_WINDOW = 8, 16
DEFAULT_NETWORK = "efficientnet-lite0"
# Parameters that a detector of features has, too.
OF_FEATURES = {"contamination", "random_state", "image_shape", "calibration"}
# Images that others are ranked among: of more, every second or third will do.
MAX_RANKED_AMONG = 1000


@dataclass(frozen=True)
class HeatMap:
    """What is drawn of one image.

    Attributes
    ----------
    image : ndarray of shape (channels, height, width)
        As the model reads it.
    surprise : ndarray of shape (height, width)
        Nats per pixel; NaN where it is missing.
    reconstruction : ndarray of shape (channels, height, width) or None
        What the model expects, if it predicts pixels.
    score : float
        Nats.
    """

    image: npt.NDArray[Any]
    surprise: npt.NDArray[np.float64]
    reconstruction: npt.NDArray[Any] | None
    score: float


@dataclass(frozen=True)
class ImageFeatures:
    """What a detector sees of image files.

    Attributes
    ----------
    detector : VAEDetector, PatchDetector or FeatureMapDetector
        Which it is.
    images : Images
        The pixels of those that can be used.
    rows : tuple of int
        Which files these are.
    problems : mapping of int to str
        Why the others cannot be used.
    """

    detector: "ImageDetector"
    images: "Images"
    rows: tuple[int, ...]
    problems: Mapping[int, str]

    @property
    def usable(self) -> "Images":
        """What it takes of these."""
        return self.images

    @cached_property
    def heat_maps(self) -> "dict[int, HeatMap]":
        """Where images are anomalous, by row."""
        if not self.rows:
            return {}
        from vae_anomaly.explain import ImageExplanation

        explanation = self.detector.explain(self.images)
        assert isinstance(explanation, ImageExplanation)
        expected = explanation.reconstruction
        if expected is not None and expected.ndim == 3:
            expected = expected[:, None]
        elif expected is not None and expected.shape[1:] != self.images.shape:
            expected = np.moveaxis(expected, 3, 1)
        drawn = zip(self.rows, self.images.pixels, explanation.excess, explanation.score, strict=True)
        return {
            row: HeatMap(image, surprise, None if expected is None else expected[number], float(score))
            for number, (row, image, surprise, score) in enumerate(drawn)
        }


@dataclass(frozen=True)
class ImageModel:
    """A detector and the images that it scores.

    Attributes
    ----------
    source : ImageSource
        The images.
    detector : VAEDetector, PatchDetector or FeatureMapDetector
        Fitted.
    fit_seconds : float or None
        What the fit took; None if it was loaded.
    report : str
        How it was fitted or loaded, in a line.
    left_out : Unusable
        Files that the fit left out.
    with_heat_maps : bool
        Whether all images get heat maps, of which the scores are a part.
    """

    source: ImageSource
    detector: "ImageDetector"
    fit_seconds: float | None
    report: str
    left_out: Unusable = field(default_factory=Unusable)
    with_heat_maps: bool = False
    noun: str = "image"

    @property
    def threshold(self) -> float:
        """Scores above it are flagged, nats."""
        return self.detector.threshold_.score

    @property
    def n_rows(self) -> int:
        """Files, those included that cannot be used."""
        return self.source.n_files

    @cached_property
    def image_format(self) -> "ImageFormat":
        """What the detector brings images to."""
        image_format = self.detector.image_format_
        assert image_format is not None
        return image_format

    @property
    def n_per_batch(self) -> int:
        """How many images to read at a time."""
        return n_images_at_a_time(self.image_format)

    def batches(self, names: list[str]) -> Iterator[ImageBatch]:
        """List the files, some at a time."""
        return self.source.batches_of(range(self.source.n_files), self.n_per_batch, names)

    def features(self, batch: ImageBatch) -> ImageFeatures:
        """Read the pixels of files."""
        with library_errors(self.source.name):
            pixels = pixels_of_files(batch.paths, self.image_format)
        self.source.check_unchanged(batch.indices)
        return ImageFeatures(self.detector, pixels.images, pixels.rows, pixels.problems)

    def features_again(self, cells: pa.Table, rows: npt.NDArray[np.int64]) -> ImageFeatures:
        """Read the pixels of files of several batches again."""
        (batch,) = self.source.batches_of(rows.tolist(), len(rows))
        return self.features(batch)

    def score(self, batch: ImageBatch, features: ImageFeatures, start: int) -> RowScores:
        """Score the files of a batch from one of them on; NaN where one cannot be used."""
        first = sum(row < start for row in features.rows)
        rows = list(features.rows[first:])
        if not rows:
            return RowScores.nothing(batch.n_rows - start)
        with library_errors(self.source.name):
            if self.with_heat_maps:
                found = self._with_p_values(np.array([features.heat_maps[row].score for row in rows]))
            else:
                found = RowScores.by(self.detector, features.images.take(slice(first, None)))
        return found.spread(rows, batch.n_rows).take(slice(start, None))

    def rank_among_fitted(self, messages: Messages) -> None:
        """Compare images with those that were fitted, or a part of them where they are many."""
        if self.fit_seconds is None:
            return
        indices = range(0, self.source.n_files, -(-self.source.n_files // MAX_RANKED_AMONG))
        scores = []
        with messages.library_warnings(), progress_bar(len(indices), "ranking", self.noun, messages) as done:
            for batch in self.source.batches_of(indices, self.n_per_batch):
                features = self.features(batch)
                if features.rows:
                    scores.append(self.detector.anomaly_score(features.images))
                done(batch)
        rank_among(self.detector, np.concatenate(scores))

    def _with_p_values(self, scores: npt.NDArray[np.float64]) -> RowScores:
        """Compare scores with the calibration: models of images have one score for all folds."""
        calibration = self.detector.decisions_.calibration
        nothing = np.full(len(scores), np.nan)
        return RowScores(scores, nothing if calibration is None else calibration.p_values(scores[:, None]))

    def values(self, cells: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the cells of a column: they have their types."""
        return cells

    def summary(self, n_rows: int, n_unusable: int) -> dict[str, Any]:
        """Describe images and detector for --json."""
        image_format = self.image_format
        return {
            "input": self.source.name,
            "files": self.source.n_files,
            "height": image_format.height,
            "width": image_format.width,
            "channels": image_format.channels,
            "depth": image_format.depth,
            "threshold": self.threshold,
            "fit_seconds": None if self.fit_seconds is None else round(self.fit_seconds, 3),
            "fitted_images": None if self.fit_seconds is None else _n_fitted(self.detector),
            "images": n_rows - n_unusable,
            "unusable": n_unusable,
        }

    def fit_summary(self) -> dict[str, Any]:
        """Describe images, detector and fit for --json."""
        return self.summary(self.source.n_files, self.left_out.count)


def fit_images(source: ImageSource, fitting: FitOptions, device: Device, messages: Messages) -> ImageModel:
    """Fit on all images, or on a sample where they are too many.

    Parameters
    ----------
    source : ImageSource
        The images.
    fitting : FitOptions
        What the user said of the fit.
    device : Device
        Where the arithmetic runs.
    messages : Messages
        Shows progress and warnings.
    """
    from vae_anomaly import FeatureMapDetector

    left_out = Unusable()
    start = time.perf_counter()
    try:
        with library_errors(source.name), messages.library_warnings(left_out.add_file):
            detector = _new_image_detector(source, fitting, device, verbose=messages.progress)
            if fitting.calibration == "cross" and not isinstance(detector, FeatureMapDetector):
                raise InputError(
                    "--calibration cross holds out rows of a table, or images of which a pretrained network gives "
                    f"features, in turn; these get a {type(detector).__name__}, for which some are set aside: expected "
                    "--calibration split, or none."
                )
            detector.fit(list(source.paths))
    except CommandError:
        source.check_unchanged()
        raise
    source.check_unchanged()
    seconds = time.perf_counter() - start
    wanted = detector.image_format_
    assert wanted is not None
    n_fitted = _n_fitted(detector)
    images = counted(n_fitted, "image")
    if n_fitted < source.n_files:
        images = f"{n_fitted:,} of {counted(source.n_files, 'file')}"
    size = f"{wanted.height}x{wanted.width} pixels, {describe_depth(wanted.channels, wanted.depth)}"
    report = f"fitted on {source.name}: {images} as {size}, {_method_of(detector)}, {seconds:.1f} s"
    return ImageModel(source, detector, seconds, report, left_out)


def load_image_model(
    source: ImageSource, model: str, device: Device, messages: Messages, size: tuple[int, int] | None = None
) -> ImageModel:
    """Load a model of images that reads files.

    Parameters
    ----------
    source : ImageSource
        The images.
    model : str
        The file.
    device : Device
        Where the arithmetic runs.
    messages : Messages
        Shows warnings.
    size : (height, width), optional
        That of the model, to which images of other sizes are resized; without it they cannot be used.

    Raises
    ------
    InputError
        If it takes another size, or no image has the size of a model that resizes none.
    """
    from vae_anomaly import SpecificationError
    from vae_anomaly.data import open_images

    with messages.library_warnings():
        detector = load_detector(model, device, of_images=True)
    try:
        if size is not None:
            detector.set_params(image_shape=size)
        wanted = detector.image_format_
    except SpecificationError as error:
        raise InputError(f"{model}: {error}") from error
    assert wanted is not None
    if size not in (None, (wanted.height, wanted.width)):
        raise InputError(
            f"--image-shape {size[0]}x{size[1]}: {model} takes images of {wanted.height}x{wanted.width} pixels, to "
            "which others can be resized. Give that, or fit another model."
        )
    with library_errors(source.name):
        open_images(source.paths, image_format=wanted)
    return ImageModel(source, detector, None, f"scored {source.name} with {place_of(model)}")


def describe_depth(channels: int, depth: int | None) -> str:
    """Say how many channels and bits there are; None stands for floats.

    Examples
    --------
    >>> describe_depth(1, 8), describe_depth(3, 8), describe_depth(1, 1), describe_depth(1, None)
    ('grey with 8 bits', 'colour with 8 bits', 'black and white', 'grey as floats')
    """
    if depth == 1:
        return "black and white"
    return f"{'grey' if channels == 1 else 'colour'} {'as floats' if depth is None else f'with {depth} bits'}"


def _new_image_detector(source: ImageSource, fitting: FitOptions, device: Device, *, verbose: bool) -> "ImageDetector":
    """Return a detector of whole images, or where they are large of their features or of patches."""
    from vae_anomaly import PatchDetector
    from vae_anomaly.data import open_images
    from vae_anomaly.detectors import MAX_FLAT_PIXELS

    parameters = fitting.parameters()
    method = fitting.method or Method.AUTO
    named = fitting.features not in (None, "auto", "none")
    if named and method is not Method.AUTO:
        raise InputError(
            f"--features {fitting.features} and --method {method} are two ways to see images. Leave one of them out."
        )
    if method is Method.IMAGE:
        return new_detector(fitting, {}, device, verbose=verbose)
    wanted = open_images(list(source.paths), fitting.size)[0].image_format
    side, n_pixels = min(wanted.height, wanted.width), wanted.channels * wanted.height * wanted.width
    if named:
        return _feature_detector(str(fitting.features), parameters, device)
    if method is Method.AUTO and (n_pixels <= MAX_FLAT_PIXELS or side < MAX_WINDOW):
        return new_detector(fitting, {}, device, verbose=verbose)
    if method is Method.AUTO and fitting.features != "none" and not parameters.keys() - OF_FEATURES:
        network = _installed_network(side)
        if network is not None:
            return _feature_detector(network, parameters, device)
    if side < MIN_WINDOW:
        raise InputError(
            f"{source.name}: the images are {wanted.height}x{wanted.width} pixels, and patches have at least "
            f"{MIN_WINDOW}x{MIN_WINDOW}. Give --method image, or a larger --image-shape."
        )
    if parameters.pop("max_samples", None) is not None:
        raise InputError(
            "--max-samples is for models of whole images; these images get one of patches. Leave it out, or give "
            "--method image."
        )
    detector = PatchDetector(verbose=verbose)
    detector.set_params(**parameters, device=str(device))
    return detector


def _feature_detector(network: str, parameters: dict[str, Any], device: Device) -> "FeatureMapDetector":
    """Return a detector of what a network sees.

    Raises
    ------
    InputError
        If there are parameters that it has not.
    """
    from vae_anomaly import FeatureMapDetector

    others = sorted(parameters.keys() - OF_FEATURES)
    if others:
        options = ", ".join("--" + name.replace("_", "-") for name in others)
        raise InputError(
            f"--features {network}: nothing is trained but densities of features, for which {options} says nothing. "
            "Leave it out, or give --features none."
        )
    detector = FeatureMapDetector(network)
    detector.set_params(**parameters, device=str(device))
    return detector


def _installed_network(side: int) -> str | None:
    """Return the network of the extra, if it is installed and sees images of such a smaller side."""
    from vae_anomaly import NotInstalled
    from vae_anomaly.networks import named_network

    try:
        network = named_network(DEFAULT_NETWORK)
    except NotInstalled:
        return None
    return DEFAULT_NETWORK if side >= network.min_side else None


def _n_fitted(detector: "ImageDetector") -> int:
    from vae_anomaly import VAEDetector

    return detector.fit_report_.n_rows if isinstance(detector, VAEDetector) else detector.n_images_


def _method_of(detector: "ImageDetector") -> str:
    """Say which method of --method or --features it is, and of patches their sizes."""
    from vae_anomaly import FeatureMapDetector, PatchDetector

    if isinstance(detector, FeatureMapDetector):
        return f"features of {detector.network} (--features none fits without)"
    if not isinstance(detector, PatchDetector):
        return "method image"
    sides = " and ".join(f"{model.windows.target}" for model in detector.models_)
    return f"method patch of {sides} pixels"
