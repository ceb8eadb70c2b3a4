"""FeatureMapDetector: the density of a network's feature maps at each position of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional

from vae_anomaly.columns import ImageEncoder, learn_channels
from vae_anomaly.data import ColumnRoles, FloatArray, ImageFormat, Images
from vae_anomaly.decisions import Decisions
from vae_anomaly.deprecation import RenamedAttribute
from vae_anomaly.detectors.base import copied_parameters, fitted_at_once
from vae_anomaly.detectors.calibrated import (
    Compared,
    decisions_of,
    image_fingerprints,
    warn_if_repeated,
    warn_if_uncalibrated,
)
from vae_anomaly.detectors.feature_maps.map_group import MAX_KEPT, N_FOLDS, GroupSample, MapGroup, joined
from vae_anomaly.detectors.image_features import NETWORK_CONSTRAINTS, Network, network_outputs
from vae_anomaly.detectors.inputs import new_seed, warn_of_files
from vae_anomaly.detectors.names import CalibrationName, DeviceName
from vae_anomaly.detectors.network_inputs import GivenImages, NetworkInput, open_given, refuse
from vae_anomaly.detectors.parameters import resolved_rule
from vae_anomaly.detectors.patch import MAX_SMOOTHING, NOISE_FLOOR, smoothed
from vae_anomaly.detectors.reported import ReportedDetectorMixin
from vae_anomaly.errors import DataError, NonFiniteScoreError, SpecificationError
from vae_anomaly.explain import ImageExplanation
from vae_anomaly.fitting import calibration_kind, rows_set_aside
from vae_anomaly.likelihoods import Gaussian
from vae_anomaly.model import each_in_own_settings, own_settings, resolve_device
from vae_anomaly.networks import Group, PretrainedNetwork, Weights

# Of fewer images that were held out in turn, scores say little of those to come.
MIN_HELD_OUT = 10
# In place of a rank among the images that are learned from.
SET_ASIDE = -1


@dataclass(frozen=True)
class _Seen:
    """What a fit keeps of its images, besides densities.

    Parameters
    ----------
    readable : bool ndarray of shape (images,)
    fingerprints : int64 ndarray of shape (images,)
        Of those that can be read.
    held_out : int64 ndarray of shape (held out,)
        Which images were held out once.
    scores : ndarray of shape (held out,)
        Their anomaly scores by densities of others, nats.
    """

    readable: npt.NDArray[np.bool_]
    fingerprints: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]
    scores: FloatArray


class FeatureMapDetector(ReportedDetectorMixin, OutlierMixin, BaseEstimator):
    r"""Anomaly detector for images by the feature maps of a network that others have trained.

    At each position of the maps the features of normal images have a density, `PositionDensity`: kernels around those
    of training images, whose width and covariance are those under which images that were held out are most likely.
    Maps of a group are modelled together; the nats above what is expected at a position are its anomaly map.

    The score of an image is the largest, over the groups that score, of minus the logarithm of the chance that a normal
    image has so high a top of its map; see `TopTail`.  It is not an ELBO: other detectors have another scale.

    Nothing is downloaded, and the network is not trained.  How levels are scaled, and in which format files are read,
    is said at `ImageFeatures`: neither depends on other images.

    Parameters
    ----------
    network : callable or "efficientnet-lite0"
        From a float32 tensor of images, (n, channels, height, width), to maps, (n, features, height, width), or to
        several of them, each a group of its own; a `PretrainedNetwork` says which go together.  A name needs the extra
        ``features``.
    top_fraction : float, default=0.01
        The top of a map is the mean of this share of its values, and of one value at least.
    smoothing : float, default=2.0
        Standard deviation, in pixels, of the Gaussian filter over anomaly maps.  The score does not depend on it.
    image_shape : (int, int), default=None
        Height and width that images are resized to; without it, files need one size, that of the fit.
    channels : int, default=None
        A single channel is repeated so often; 3 for a network with a name.
    mean, std : sequence of float, default=None
        Of the normalisation; see `ImageFeatures`.
    max_pixels : int, default=65536
        A network with a name sees larger images reduced to so many pixels; None shows them as they are.
    batch_size : int, default=8
        Images that the network sees at once.
    contamination : "auto" or float, default="auto"
        Threshold of `predict`, by the scores of the calibration images: see `VAEDetector`.
    calibration : {"auto", "split", "cross"} or None, default="auto"
        Where the scores come from that thresholds and p-values are found by.  "cross" learns from all images, and
        scores each fifth of them (at most 320 in all; of fewer than 100 each twentieth, of fewer than ten none) by
        densities of the others; those of new images come from densities of all, and tend to be a little lower, so that
        p-values tend to be too large.  "split" sets a fifth of
        the images aside, at most 4,096, for p-values that are proved.  "auto" splits where there are 1,280 images or
        more, and crosses else.  None takes the threshold from the images that were learned from.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where the network runs.
    random_state : int, RandomState, Generator or None, default=0
        Which images calibrate, are held out, and are compared with.

    Attributes
    ----------
    groups_ : tuple of MapGroup
        The densities.
    encoder_ : ImageEncoder
        What the images are.
    image_format_ : ImageFormat
        How files are read: in the channels and the depth of the training images.
    network_weights_ : Weights or None
        Where the weights of the network come from, if it says so.
    map_scale_ : (float, float)
        From which value on, and up to which, maps are coloured.
    n_images_ : int
        Training images that could be read.
    n_features_in_ : int
        Pixels of an image, over all channels.
    fitted_parameters_ : dict
        The parameters of the fit, which a model file keeps.
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
    >>> from vae_anomaly import FeatureMapDetector
    >>> images = np.random.default_rng(0).integers(90, 160, (30, 16, 16)).astype(np.uint8)
    >>> detector = FeatureMapDetector(torch.nn.AvgPool2d(4)).fit(images)
    >>> images[3, 4:8, 4:8] = 255
    >>> int(detector.anomaly_score(images).argmax())
    3
    """

    groups_: tuple[MapGroup, ...]
    encoder_: ImageEncoder
    own_format_: ImageFormat
    picture_format_ = RenamedAttribute("image_format_")
    network_weights_: Weights | None
    decisions_: Decisions
    map_scale_: tuple[float, float]
    n_images_: int
    n_features_in_: int
    fitted_parameters_: dict[str, Any]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **NETWORK_CONSTRAINTS,
        "smoothing": [Interval(Real, 0, MAX_SMOOTHING, closed="both")],
        "top_fraction": [Interval(Real, 0, 1, closed="right")],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "calibration": [StrOptions({"auto", "split", "cross"}), None],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        network: Network | str,
        *,
        top_fraction: float = 0.01,
        smoothing: float = 2.0,
        image_shape: Sequence[int] | None = None,
        channels: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        max_pixels: int | None = 65_536,
        batch_size: int = 8,
        contamination: Literal["auto"] | float = "auto",
        calibration: CalibrationName | None = "auto",
        device: DeviceName = "auto",
        random_state: Any = 0,
    ) -> None:
        self.network = network
        self.top_fraction = top_fraction
        self.smoothing = smoothing
        self.image_shape = image_shape
        self.channels = channels
        self.mean = mean
        self.std = std
        self.max_pixels = max_pixels
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
            Normal images, at least two besides those that are set aside; files that cannot be read are left out, with a
            warning.  The features of 320 of them are kept in memory, whatever their number.
        y : ignored
            For scikit-learn's interface.

        Raises
        ------
        DataError
            If the images cannot be used or are too small for the network, or the network gives no maps.
        SpecificationError
            If no network has the name, or maps are too large.
        NotInstalled
            If the weights of the name are not installed.
        """
        resolve_device(self.device)
        with fitted_at_once(self) as draft:
            inputs = NetworkInput.of(draft)
            images = open_given(inputs, X, None)
            seed = new_seed(draft.random_state)
            rng = np.random.default_rng(seed)
            kind = calibration_kind(draft.calibration, images.n_images, N_FOLDS, MAX_KEPT, by_member=True)
            aside = rows_set_aside(images.n_images, rng) if kind == "split" else np.zeros(images.n_images, dtype=bool)
            draft.fitted_parameters_ = copied_parameters(draft)
            draft.network_weights_ = inputs.network.weights if isinstance(inputs.network, PretrainedNetwork) else None
            seen = draft._learn(images, inputs, _ranks(aside, rng), seed)
            draft.own_format_ = images.image_format
            draft.column_roles_ = ColumnRoles()
            draft.n_images_ = int(seen.readable.sum())
            draft.decisions_ = draft._decisions(images, seen, aside & seen.readable, crossed=kind == "cross")
            if draft.calibration is not None:
                warn_if_uncalibrated(draft.decisions_, draft.n_images_)
                warn_if_repeated(draft.decisions_)
        return self

    def anomaly_maps(self, X: Any) -> Iterator[FloatArray]:
        """How anomalous every pixel is, in the size of the image: (height, width) for each image.

        The sum, over the groups that locate, of the nats above what is expected at a position, in units of the scale of
        `TopTail`.

        Parameters
        ----------
        X : ndarray or Tensor of images, or path-like, or list of them
            Images.

        Raises
        ------
        DataError
            If an image cannot be read.
        """
        yield from each_in_own_settings(self._given_maps(X))

    def _given_maps(self, X: Any) -> Iterator[FloatArray]:
        check_is_fitted(self)
        images = self._opened(X)
        excess = (one for some in images.portions(refuse) for one in self._excess_of_each(some))
        for one, size in zip(excess, images.given_sizes(), strict=True):
            yield self._map(one, size)

    @own_settings()
    def score_samples(self, X: Any) -> FloatArray:
        """Logarithm of the chance that a normal image is as anomalous, nats; higher for more normal images.

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

    @own_settings()
    def explain(self, X: Any) -> ImageExplanation:
        """Anomaly maps and scores in one pass; there is nothing that the network expects to see.

        `excess` is the map of `anomaly_maps`, `contributions` has it in one channel.

        Parameters
        ----------
        X : ndarray or Tensor of images, or path-like, or list of them
            Images.

        Returns
        -------
        ImageExplanation

        Raises
        ------
        DataError
            If an image cannot be read.
        """
        check_is_fitted(self)
        pixels, maps, scores = [], [], []
        for images in self._opened(X).portions(refuse):
            pixels.append(images.pixels)
            for excess in self._excess_of_each(images):
                maps.append(self._map(excess, (images.shape[1], images.shape[2])))
                scores.append(self._score(excess))
        excess_of_all = np.stack(maps)
        return ImageExplanation(
            score=np.array(scores),
            threshold=-self.offset_,
            excess=excess_of_all,
            contributions=excess_of_all[:, None],
            kl=np.zeros(len(maps)),
            reconstruction=None,
            pixels=np.concatenate(pixels),
        )

    @property
    def image_format_(self) -> ImageFormat:
        """How files are read: resized where `image_shape` is given, and else only those of its own size."""
        check_is_fitted(self)
        return replace(self.own_format_, resizes=self.image_shape is not None)

    def _compared(self, X: Any) -> Compared:
        def compared(images: Images) -> Compared:
            scores = self._scores(images)
            return Compared(scores, scores[:, None], lambda: image_fingerprints(images))

        return Compared.over(self._opened(X).read(), compared)

    def _opened(self, X: Any) -> GivenImages:
        images = open_given(self._inputs(), X, self.image_format_)
        size, own = images.image_format, self.image_format_
        if (size.height, size.width) != (own.height, own.width) and not own.resizes:
            raise DataError(
                f"images of {size.height}x{size.width} pixels, and the model takes {own.height}x{own.width}. Give "
                f"images of that size, or have them resized by set_params(image_shape=({own.height}, {own.width}))."
            )
        return images

    def _inputs(self) -> NetworkInput:
        """The network of the fit.

        Raises
        ------
        SpecificationError
            If the model comes from a file, which does not have the network.
        """
        if self.network is None:
            raise SpecificationError(
                "the model file does not hold the network, which is none with a name. Set detector.network to it."
            )
        inputs = NetworkInput.of(self)
        weights = inputs.network.weights if isinstance(inputs.network, PretrainedNetwork) else None
        if weights != self.network_weights_:
            known, given = (one or "a network without a name" for one in (self.network_weights_, weights))
            raise SpecificationError(f"the model was fitted with {known}, and the network is {given}. Fit again.")
        return inputs

    def _learn(self, images: GivenImages, inputs: NetworkInput, ranks: npt.NDArray[np.int64], seed: int) -> _Seen:
        """Fit the densities in one pass."""
        readable = np.zeros(images.n_images, dtype=bool)
        fingerprints = np.zeros(images.n_images, dtype=np.int64)
        samples: list[GroupSample] = []
        groups: tuple[Group, ...] = ()
        size = (0, 0)
        for some, places in _placed(images.read(warn_of_files)):
            readable[places], fingerprints[places] = True, image_fingerprints(some)
            learned = np.flatnonzero(ranks[places] != SET_ASIDE)
            if not len(learned):
                continue
            of_each = torch.from_numpy(ranks[places][learned])
            if not samples:
                self.encoder_ = learn_channels(some.take(learned), Gaussian("shared", NOISE_FLOOR))
                size = some.shape[1], some.shape[2]
            begin = 0
            for maps in self._maps(some.take(learned), inputs):
                groups = groups or inputs.groups(len(maps))
                rows = [joined([maps[number] for number in group.maps]) for group in groups]
                if not samples:
                    samples = [
                        GroupSample(group, grid, first) for group, (first, grid) in zip(groups, rows, strict=True)
                    ]
                end = begin + len(maps[0])
                for sample, (features, grid) in zip(samples, rows, strict=True):
                    _check_grid(sample, features, grid)
                    sample.add(features, of_each[begin:end])
                begin = end
        if not samples:
            raise DataError("there are no images to learn from; expected at least two that can be read.")
        fitted = [sample.fitted(self.top_fraction, seed) for sample in samples]
        self.groups_ = tuple(one.group for one in fitted)
        self.n_features_in_ = self.encoder_.n_model_columns
        first = zip(*(one.excess[: one.n_first] for one in fitted), strict=True)
        low, high = np.quantile(np.stack([self._map(one, size) for one in first]), [0.99, 0.9999])
        self.map_scale_ = float(low), float(low + 2 * (high - low) + 1e-9)
        scoring = [one for one in fitted if one.group.group.scores]
        surprise = [one.group.surprise(one.excess, self.top_fraction) for one in scoring]
        places_of = np.argsort(np.where(ranks == SET_ASIDE, images.n_images, ranks))
        return _Seen(readable, fingerprints, places_of[scoring[0].ranks], np.max(surprise, 0))

    def _decisions(self, images: GivenImages, seen: _Seen, aside: npt.NDArray[np.bool_], *, crossed: bool) -> Decisions:
        """The threshold, from images that were held out or set aside, or else from those that were learned from."""
        rule, learned = resolved_rule(self.contamination), seen.fingerprints[seen.readable & ~aside]
        if crossed and len(seen.held_out) >= MIN_HELD_OUT:
            fingerprints = seen.fingerprints[seen.held_out]
            return decisions_of(rule, seen.scores, seen.held_out, fingerprints, learned, crossed=True)
        judged = aside if aside.any() else seen.readable
        scores = [
            self._scores(some.take(np.flatnonzero(judged[places])))
            for some, places in _placed(images.read(_warned_before))
            if judged[places].any()
        ]
        ids = np.flatnonzero(aside) if aside.any() else None
        return decisions_of(rule, np.concatenate(scores), ids, seen.fingerprints[judged], learned)

    def _scores(self, images: Images) -> FloatArray:
        return np.array([self._score(excess) for excess in self._excess_of_each(images)])

    def _score(self, excess: Sequence[FloatArray]) -> float:
        """Of an image by the excess of each group."""
        found = [
            float(group.surprise(one[None], self.fitted_parameters_["top_fraction"])[0])
            for group, one in zip(self.groups_, excess, strict=True)
            if group.group.scores
        ]
        return max(found)

    def _map(self, excess: Sequence[FloatArray], size: tuple[int, int]) -> FloatArray:
        """The groups of an image as one map of a size."""
        whole = np.zeros(size)
        for group, one in zip(self.groups_, excess, strict=True):
            if not group.group.locates:
                continue
            standard = torch.from_numpy(one / group.tail.scale)[None, None]
            whole += functional.interpolate(standard, size=size, mode="bilinear")[0, 0].numpy()
        return smoothed(whole, float(self.fitted_parameters_["smoothing"]))

    def _excess_of_each(self, images: Images) -> Iterator[tuple[FloatArray, ...]]:
        """Nats above what is expected, of each image for each group: (height, width)."""
        inputs = self._inputs()
        n_done = 0
        for maps in self._maps(images, inputs):
            if inputs.groups(len(maps)) != tuple(group.group for group in self.groups_):
                raise DataError(f"the network gives {len(maps)} maps, and gave others at the fit. Fit again.")
            excess = []
            for group in self.groups_:
                features, grid = joined([maps[number] for number in group.group.maps])
                wanted = *group.expected.shape, group.density.means.shape[1]
                if (*grid, features.shape[2]) != wanted:
                    raise DataError(
                        f"the network gives maps of {grid[0]}x{grid[1]} positions with {features.shape[2]} features; "
                        f"the model has {wanted[0]}x{wanted[1]} with {wanted[2]}. Give images of the size of the fit, "
                        "or resize them by image_shape."
                    )
                excess.append(group.excess(features))
            for number, one in enumerate(zip(*excess, strict=True)):
                if not all(np.isfinite(part).all() for part in one):
                    raise NonFiniteScoreError(1, images.n_rows, n_done + number, "image")
                yield one
            n_done += len(maps[0])

    def _maps(self, images: Images, inputs: NetworkInput) -> Iterator[list[Tensor]]:
        for maps in network_outputs(inputs, images, self.batch_size, self.device):
            if any(part.dim() != 4 for part in maps):
                raise DataError(
                    "the network gives vectors; expected maps, (n, features, height, width). Take ImageFeatures in a "
                    "pipeline with VAEDetector for vectors."
                )
            yield maps


def _ranks(aside: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A random order of the images that are learned from."""
    ranks = np.full(len(aside), SET_ASIDE, dtype=np.int64)
    learned = rng.permutation(np.flatnonzero(~aside))
    ranks[learned] = np.arange(len(learned))
    return ranks


def _check_grid(sample: GroupSample, features: Tensor, grid: tuple[int, int]) -> None:
    n_features = features.shape[2]
    if grid != sample.size or n_features != len(sample.sums.centre):
        raise DataError(
            f"the network gives maps of {grid[0]}x{grid[1]} positions with {n_features} features for one image, and "
            f"of {sample.size[0]}x{sample.size[1]} with {len(sample.sums.centre)} for another. Give image_shape."
        )


def _placed(read: Iterator[tuple[Images, npt.NDArray[np.bool_]]]) -> Iterator[tuple[Images, npt.NDArray[np.intp]]]:
    """Some images at a time, and their places among all that were given, readable or not."""
    first = 0
    for some, usable in read:
        if usable.any():
            yield some, first + np.flatnonzero(usable)
        first += len(usable)


def _warned_before(_problems: Sequence[object]) -> None:
    """Files that were warned of when they were read first."""
