"""The detector of a command on images, fitted on them or loaded."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.images.inputs import ImageInput
from vae_anomaly_cli.models import load_image_detector, new_detector
from vae_anomaly_cli.options import Device, FitOptions, Look

if TYPE_CHECKING:
    from vae_anomaly import PatchDetector, VAEDetector
    from vae_anomaly.data import ImageFormat


# Sides of the windows that PatchDetector takes by default.
MIN_WINDOW, MAX_WINDOW = 8, 16


@dataclass(frozen=True)
class LearnedImages:
    """A detector for images, and how it came about.

    Attributes
    ----------
    detector : VAEDetector or PatchDetector
        Fitted.
    image_format : ImageFormat
        What it brings images to.
    seconds : float or None
        What the fit took; None if it was loaded.
    done : str
        All that in a line.
    """

    detector: "VAEDetector | PatchDetector"
    image_format: "ImageFormat"
    seconds: float | None
    done: str

    @property
    def threshold(self) -> float:
        """Scores above it are flagged."""
        return -float(self.detector.offset_)

    @property
    def n_fitted(self) -> int | None:
        """How many images it was fitted on; None if it was loaded."""
        return None if self.seconds is None else _n_fitted(self.detector)

    def summary(self, source: ImageInput) -> dict[str, Any]:
        """What --json tells about input and detector."""
        wanted = self.image_format
        return {
            "input": source.name,
            "files": len(source),
            "height": wanted.height,
            "width": wanted.width,
            "channels": wanted.channels,
            "depth": wanted.depth,
            "threshold": self.threshold,
            "fit_seconds": None if self.seconds is None else round(self.seconds, 3),
            "fitted_images": self.n_fitted,
        }


def learn_images(
    source: ImageInput,
    fit_options: FitOptions,
    device: Device,
    messages: Messages,
    left_out: Callable[[str], None],
) -> LearnedImages:
    """Fit on all images, or on a sample where they are too many.

    Parameters
    ----------
    source : ImageInput
        The images.
    fit_options : FitOptions
        What the user said of the fit.
    device : Device
        Where the arithmetic runs.
    messages : Messages
        Who hears of it.
    left_out : callable
        Is told of every file that cannot be used.
    """
    start = time.perf_counter()
    with image_refusals(source.name), messages.library_warnings(left_out):
        detector = _new_detector(source, fit_options, device, verbose=messages.progress)
        detector.fit(list(source.paths))
    seconds = time.perf_counter() - start
    wanted = detector.image_format_
    assert wanted is not None
    n_fitted = _n_fitted(detector)
    images = counted(n_fitted, "image")
    if n_fitted < len(source):
        images = f"{n_fitted:,} of {counted(len(source), 'file')}"
    done = f"fitted on {source.name}: {images} as {format_line(wanted)}, {_looked(detector)}, {seconds:.1f} s"
    return LearnedImages(detector, wanted, seconds, done)


def _new_detector(
    source: ImageInput, fit_options: FitOptions, device: Device, *, verbose: bool
) -> "VAEDetector | PatchDetector":
    """For wholes, or for windows where the images are large."""
    from vae_anomaly import PatchDetector
    from vae_anomaly.data import open_images
    from vae_anomaly.detectors import MAX_FLAT_PIXELS

    parameters = fit_options.parameters()
    look = fit_options.look or Look.AUTO
    if look is Look.WHOLE:
        return new_detector(fit_options, {}, device, verbose=verbose)
    size = parameters.get("image_shape")
    assert size is None or isinstance(size, tuple)
    wanted = open_images(list(source.paths), size)[0].image_format
    side, n_pixels = min(wanted.height, wanted.width), wanted.channels * wanted.height * wanted.width
    if look is Look.AUTO and (n_pixels <= MAX_FLAT_PIXELS or side < MAX_WINDOW):
        return new_detector(fit_options, {}, device, verbose=verbose)
    if side < MIN_WINDOW:
        raise InputError(
            f"{source.name}: the images are {wanted.height}x{wanted.width} pixels, and windows have at least "
            f"{MIN_WINDOW}x{MIN_WINDOW}. Give --look whole, or a larger --size."
        )
    if parameters.pop("max_samples", None) is not None:
        raise InputError(
            "--max-samples is for images that are looked at as wholes; these are looked at through windows. Leave it "
            "out, or give --look whole."
        )
    detector = PatchDetector(device=str(device), verbose=verbose)
    detector.set_params(**parameters)
    return detector


def _n_fitted(detector: "VAEDetector | PatchDetector") -> int:
    from vae_anomaly import PatchDetector

    return detector.n_images_ if isinstance(detector, PatchDetector) else detector.fit_report_.n_rows


def _looked(detector: "VAEDetector | PatchDetector") -> str:
    """Say how the images are looked at."""
    from vae_anomaly import PatchDetector

    if not isinstance(detector, PatchDetector):
        return "as wholes"
    sides = " and ".join(f"{model.windows.target}" for model in detector.models_)
    return f"through windows of {sides} pixels"


def recall_images(source: ImageInput, model: str, device: Device, messages: Messages) -> LearnedImages:
    """Load a model of images."""
    with messages.library_warnings():
        detector = load_image_detector(model, device)
    wanted = detector.image_format_
    assert wanted is not None
    return LearnedImages(detector, wanted, None, f"scored {source.name} with {model}")


@contextmanager
def image_refusals(name: str) -> Iterator[None]:
    """Turn what the library refuses of images into one line for people."""
    from vae_anomaly import DataError, SpecificationError, TrainingDiverged

    try:
        yield
    except TrainingDiverged as error:
        raise CommandError(error) from error
    except DataError as error:
        raise InputError(f"{name}: {error}") from error
    except SpecificationError as error:
        raise InputError(error) from error


def format_line(wanted: "ImageFormat") -> str:
    """Say what images are brought to."""
    return f"{wanted.height}x{wanted.width} pixels, {depth_line(wanted.channels, wanted.depth)}"


def depth_line(channels: int, depth: int | None) -> str:
    """Say how many channels and bits there are; None stands for floats.

    Examples
    --------
    >>> depth_line(1, 8), depth_line(3, 8), depth_line(1, 1), depth_line(1, None)
    ('grey with 8 bits', 'colour with 8 bits', 'black and white', 'grey as floats')
    """
    if depth == 1:
        return "black and white"
    return f"{'grey' if channels == 1 else 'colour'} {'as floats' if depth is None else f'with {depth} bits'}"
