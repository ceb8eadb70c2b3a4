"""FeatureMapDetector: a variational autoencoder over the positions of feature maps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context, clone
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional

from vae_anomaly.data import FloatArray, ImageFormat, Images
from vae_anomaly.decisions import Decisions
from vae_anomaly.deprecation import RenamedAttribute
from vae_anomaly.detectors.base import fitted_at_once
from vae_anomaly.detectors.calibrated import (
    Compared,
    decisions_of,
    image_fingerprints,
    warn_if_uncalibrated,
)
from vae_anomaly.detectors.image_features import NETWORK_CONSTRAINTS, Network, network_outputs
from vae_anomaly.detectors.inputs import new_seed, warn_of_files
from vae_anomaly.detectors.names import DeviceName
from vae_anomaly.detectors.network_inputs import GivenImages, open_given, refuse
from vae_anomaly.detectors.parameters import resolved_rule
from vae_anomaly.detectors.patch import smoothed, top_mean
from vae_anomaly.detectors.reported import ReportedDetectorMixin
from vae_anomaly.detectors.vae_detector import VAEDetector
from vae_anomaly.errors import DataError
from vae_anomaly.fitting import rows_set_aside
from vae_anomaly.model import each_in_own_settings, own_settings, resolve_device


class FeatureMapDetector(ReportedDetectorMixin, OutlierMixin, BaseEstimator):
    """Anomaly detector for images by the feature maps of a network of the user's.

    Every position of the maps is a row whose columns are its features; a `VAEDetector` learns rows of normal images,
    and the negative ELBO of each position is the map.  Nothing is downloaded, and the network is not trained.  How
    levels are scaled, and in which format files are read, is said at `ImageFeatures`: neither depends on other images.

    Parameters
    ----------
    network : callable
        From a float32 tensor of images, (n, channels, height, width), to maps, (n, features, height, width), or to
        several of them, which are enlarged to the largest and stacked.
    detector : VAEDetector, default=None
        Learns the rows; a clone of it is fitted.  None takes the defaults.  It does not calibrate, because images do.
    n_rows : int, default=20000
        Positions to learn from, at most.
    smoothing : float, default=0.5
        Standard deviation of the Gaussian filter over the maps, in their pixels.
    top_fraction : float, default=0.01
        The score of an image is the mean of this share of its map, and of one position at least.
    image_size : (int, int), default=None
        Height and width that images are resized to before the network sees them; without it, files need one size.
    channels : int, default=None
        A single channel is repeated so often.
    mean, std : sequence of float, default=None
        Of the normalisation; see `ImageFeatures`.
    batch_size : int, default=32
        Images that the network sees at once.
    contamination : "auto" or float, default="auto"
        Threshold of `predict`, by the scores of the calibration images: see `VAEDetector`.
    calibration : {"auto", "split"} or None, default="auto"
        Whether a fifth of the images is set aside, so that thresholds and p-values come from images that influenced
        nothing; None learns from all images and takes the threshold from these.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where the network runs.
    random_state : int, RandomState, Generator or None, default=0
        Which positions are learned from.

    Attributes
    ----------
    detector_ : VAEDetector
        Of the positions.
    image_format_ : ImageFormat
        In whose channels and depth files are read: that of the training images.
    offset_ : float
        `decision_function` is ``score_samples - offset_``.
    threshold_ : Threshold
        The same as an anomaly score, with its rule and the false alarms to expect.
    decisions_ : Decisions
        The threshold, and the calibration that it follows from.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from vae_anomaly import FeatureMapDetector, VAEDetector
    >>> images = np.random.default_rng(0).integers(90, 160, (30, 16, 16)).astype(np.uint8)
    >>> pooled = torch.nn.AvgPool2d(4)
    >>> detector = FeatureMapDetector(pooled, VAEDetector(max_iter=60, early_stopping=False)).fit(images)
    >>> images[3, 4:8, 4:8] = 255
    >>> int(detector.anomaly_score(images).argmax())
    3
    """

    detector_: VAEDetector
    image_format_: ImageFormat
    picture_format_ = RenamedAttribute("image_format_")
    decisions_: Decisions

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **NETWORK_CONSTRAINTS,
        "detector": [VAEDetector, None],
        "n_rows": [Interval(Integral, 2, None, closed="left")],
        "smoothing": [Interval(Real, 0, None, closed="left")],
        "top_fraction": [Interval(Real, 0, 1, closed="right")],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "calibration": [StrOptions({"auto", "split"}), None],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        network: Network,
        detector: VAEDetector | None = None,
        *,
        n_rows: int = 20_000,
        smoothing: float = 0.5,
        top_fraction: float = 0.01,
        image_size: Sequence[int] | None = None,
        channels: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        batch_size: int = 32,
        contamination: Literal["auto"] | float = "auto",
        calibration: Literal["auto", "split"] | None = "auto",
        device: DeviceName = "auto",
        random_state: Any = 0,
    ) -> None:
        self.network = network
        self.detector = detector
        self.n_rows = n_rows
        self.smoothing = smoothing
        self.top_fraction = top_fraction
        self.image_size = image_size
        self.channels = channels
        self.mean = mean
        self.std = std
        self.batch_size = batch_size
        self.contamination = contamination
        self.calibration = calibration
        self.device = device
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    @own_settings()
    def fit(self, X: Any, y: Any = None) -> FeatureMapDetector:
        """Learn what the network makes of positions of normal images.

        Parameters
        ----------
        X : ndarray or Tensor of images, or path-like, or list of them
            Normal images; files that cannot be read are left out, with a warning.
        y : ignored
            For scikit-learn's interface.

        Raises
        ------
        DataError
            If the images cannot be used, or the network gives no maps.
        """
        resolve_device(self.device)
        with fitted_at_once(self) as draft:
            images = open_given(draft, X, None)
            seed = new_seed(draft.random_state)
            aside = np.zeros(images.n_images, dtype=bool)
            if draft.calibration is not None:
                aside = rows_set_aside(images.n_images, np.random.default_rng(seed))
            readable = np.zeros(images.n_images, dtype=bool)
            learned = draft._learned(images, aside, readable)
            rows = draft._sampled_positions(chain.from_iterable(map(draft._maps, learned)), seed)
            aside &= readable
            detector = VAEDetector() if draft.detector is None else clone(draft.detector)
            # Images calibrate, and not their positions.
            detector.set_params(calibration=None)
            draft.detector_ = detector.fit(rows).forget_training_rows()
            draft.image_format_ = images.image_format
            draft.decisions_ = draft._decisions(images, aside)
            if draft.calibration is not None:
                warn_if_uncalibrated(draft.decisions_, images.n_images)
        return self

    def anomaly_maps(self, X: Any) -> Iterator[FloatArray]:
        """The negative ELBO of every position, enlarged to the size of the image: (height, width) for each image.

        Parameters
        ----------
        X : ndarray or Tensor of images, or path-like, or list of them
            Images.

        Raises
        ------
        DataError
            If an image cannot be read.
        """
        yield from each_in_own_settings(self._enlarged_maps(X))

    def _enlarged_maps(self, X: Any) -> Iterator[FloatArray]:
        check_is_fitted(self)
        images = open_given(self, X, self.image_format_)
        maps = chain.from_iterable(map(self._score_maps, images.portions(refuse)))
        for one, size in zip(maps, images.given_sizes(), strict=True):
            large = functional.interpolate(torch.from_numpy(one)[None, None], size=size, mode="bilinear")
            yield large[0, 0].numpy()

    @own_settings()
    def score_samples(self, X: Any) -> FloatArray:
        """Minus the mean of the largest values of each image's map, nats; higher for more normal images.

        Parameters
        ----------
        X : ndarray or Tensor of images, or path-like, or list of them
            Images.

        Returns
        -------
        ndarray of shape (n,), float64
            NaN, with a warning, for files that cannot be read.
        """
        check_is_fitted(self)
        return -self._compared(X).scores

    def _compared(self, X: Any) -> Compared:
        def compared(images: Images) -> Compared:
            scores = self._scores(images)
            return Compared(scores, scores[:, None], lambda: image_fingerprints(images))

        return Compared.over(open_given(self, X, self.image_format_).read(), compared)

    def _sampled_positions(self, batches: Iterator[Tensor], seed: int) -> FloatArray:
        """A uniform sample of all positions of maps in one pass, as rows of features: the smallest keys stay."""
        rng = np.random.default_rng(seed)
        keys = np.empty(0)
        rows: FloatArray | None = None
        for maps in batches:
            positions = maps.movedim(1, 3).flatten(0, 2).double().numpy()
            keys = np.concatenate([keys, rng.random(len(positions))])
            rows = positions if rows is None else np.concatenate([rows, positions])
            chosen = np.argsort(keys, kind="stable")[: self.n_rows]
            keys, rows = keys[chosen], rows[chosen]
        if rows is None or len(rows) < 2:
            raise DataError("there are no images to learn from; expected at least two positions of maps.")
        return rows

    def _learned(
        self, images: GivenImages, aside: npt.NDArray[np.bool_], readable: npt.NDArray[np.bool_]
    ) -> Iterator[Images]:
        """Images that are not set aside, some at a time; marks those that can be read."""
        for some, places in _placed(images.read(warn_of_files)):
            readable[places] = True
            if not aside[places].all():
                yield some.take(np.flatnonzero(~aside[places]))

    def _decisions(self, images: GivenImages, aside: npt.NDArray[np.bool_]) -> Decisions:
        """The threshold, from images that were set aside, or else from those that were learned from."""
        scores, fingerprints, learned = [], [], []
        for some, places in _placed(images.read(_warned_before)):
            own = aside[places]
            learned.append(image_fingerprints(some.take(np.flatnonzero(~own))))
            judged = some.take(np.flatnonzero(own if aside.any() else ~own))
            if judged.n_rows:
                scores.append(self._scores(judged))
                fingerprints.append(image_fingerprints(judged))
        return decisions_of(
            resolved_rule(self.contamination),
            np.concatenate(scores),
            np.flatnonzero(aside) if aside.any() else None,
            np.concatenate(fingerprints),
            np.concatenate(learned),
        )

    def _scores(self, images: Images) -> FloatArray:
        return np.array(
            [top_mean(found, math.ceil(self.top_fraction * found.size)) for found in self._score_maps(images)]
        )

    def _score_maps(self, images: Images) -> Iterator[FloatArray]:
        """Smoothed maps of nats, in the resolution of the network's maps."""
        for maps in self._maps(images):
            n, _, height, width = maps.shape
            rows = maps.movedim(1, 3).flatten(0, 2).double().numpy()
            for found in self.detector_.anomaly_score(rows).reshape(n, height, width):
                yield smoothed(found, self.smoothing)

    def _maps(self, images: Images) -> Iterator[Tensor]:
        """Maps of images, several ones stacked at the size of the largest."""
        for outputs in network_outputs(self, images):
            if any(part.dim() != 4 for part in outputs):
                raise DataError(
                    "the network gives vectors; expected maps, (n, features, height, width). Take ImageFeatures in a "
                    "pipeline with VAEDetector for vectors."
                )
            largest = max((part.shape[2:] for part in outputs), key=math.prod)
            parts = [
                part.float()
                if part.shape[2:] == largest
                else functional.interpolate(part.float(), largest, mode="bilinear")
                for part in outputs
            ]
            yield torch.cat(parts, 1)


def _placed(read: Iterator[tuple[Images, npt.NDArray[np.bool_]]]) -> Iterator[tuple[Images, npt.NDArray[np.intp]]]:
    """Some images at a time, and their places among all that were given, readable or not."""
    first = 0
    for some, usable in read:
        if usable.any():
            yield some, first + np.flatnonzero(usable)
        first += len(usable)


def _warned_before(_problems: Sequence[object]) -> None:
    """Files that were warned of when they were read first."""
