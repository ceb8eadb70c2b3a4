"""PatchDetector: images whose anomalous spot is small beside the image."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from vae_anomaly.callbacks import Callback, Watch, check_callbacks, watched
from vae_anomaly.columns import (
    MAX_SEEDS,
    Augment,
    Augmentation,
    Batch,
    ImageEncoder,
    check_suits_size,
    learn_channels,
    resolve_augment,
)
from vae_anomaly.data import ColumnRoles, FloatArray, ImageFormat, Images
from vae_anomaly.decisions import MIN_DEVIATION, Decisions
from vae_anomaly.deprecation import RenamedAttribute
from vae_anomaly.detectors.base import copied_parameters, fitted_at_once
from vae_anomaly.detectors.calibrated import (
    Compared,
    decisions_of,
    image_fingerprints,
    warn_if_uncalibrated,
)
from vae_anomaly.detectors.fit_log import log_fit, log_rows
from vae_anomaly.detectors.inputs import format_of_files, is_files, new_seed, open_files, read_images, read_portions
from vae_anomaly.detectors.names import AugmentationName, DeviceName
from vae_anomaly.detectors.parameters import resolved_rule
from vae_anomaly.detectors.patch.maps import MapReduction, PositionLevels, position_helps, smoothed
from vae_anomaly.detectors.patch.patch_config import (
    MASKED,
    PARAMETER_CONSTRAINTS,
    WHOLE,
    Geometry,
    default_top_pixels,
    geometries_of,
    windows_config,
)
from vae_anomaly.detectors.patch.sampling import joined, split, with_pixels
from vae_anomaly.detectors.patch.window_encoder import NOISE_FLOOR, learn_windows
from vae_anomaly.detectors.patch.window_model import WindowModel
from vae_anomaly.detectors.patch.windows import IntArray, PaddedImage, check_image_size
from vae_anomaly.detectors.reported import ReportedDetectorMixin
from vae_anomaly.errors import DataError, FitWarning, NonFiniteScoreError, callers_level
from vae_anomaly.explain import ImageExplanation
from vae_anomaly.fitting import FitConfig, FitReport, TrainingRows, fit_model, rows_set_aside
from vae_anomaly.likelihoods import Gaussian
from vae_anomaly.model import History, OnCheck, TrainingStates, own_settings

SAMPLE_WINDOWS, N_SAMPLED_IMAGES, MAX_STOPPING_WINDOWS = 4096, 64, 2048
MAX_POSITION_IMAGES, AUGMENTED_IMAGES = 128, 512


class PatchDetector(ReportedDetectorMixin, OutlierMixin, BaseEstimator):
    r"""Anomaly detector for images whose anomalous spot is small beside the image: scratches, cracks, missing parts.

    One small variational autoencoder scores every window of an image, and its nats are put together to a map.

    The "masked" model hides a square of pixels and predicts it from what surrounds it: the map holds
    :math:`-E_{q(z|s)} \log p(c \mid z) \ge -\log p(c \mid s)`, for pixels c and surroundings s.  The "whole" model
    sees whole windows and has their negative ELBO, the KL spread over the pixels.  Windows overlap, and a pixel has the
    mean of all windows that cover it.

    Parameters
    ----------
    model : {"masked", "whole"}, default="masked"
        What is modelled of a window: its middle given its surroundings, or all of it.
    window : int or sequence of int, default=None
        Side of the square of pixels that have a likelihood; several give a model each, whose nats are averaged.  None
        takes (8, 16) for the masked model, because nobody knows how large defects are, and 16 for the whole one.  The
        masked model sees the 8 pixels around, and the mean of every 4 x 4 pixels of the 64 x 64 around.
    stride : int, default=None
        Pixels between windows in a map; None takes 4, or half of a smaller window.
    n_windows : int, default=65536
        Windows to train on, at random positions in the training images.
    position : {"auto", "ignore", "use"}, default="auto"
        Whether maps are weighted by position, so that those of training images vary alike everywhere: for parts that
        are always in the same position.  "auto" does so where it makes the maps of held-out images more even.
    smoothing : float, default=2.0
        Standard deviation, in pixels, of the Gaussian filter over the maps.
    top_pixels : int, default=None
        The score of an image is the mean of so many of the largest values of its map; None takes as many as one point
        covers after smoothing, 50.
    n_estimators : int, default=1
        Autoencoders in the ensemble.
    latent_dim : int, default=None
        Latent variables; None takes 64 for the masked model, where they cost nothing, and 8 for the whole one.
    hidden_layer_sizes : sequence of int, default=(512, 512)
        Hidden units of the encoder; the decoder has them in reverse.
    batch_size : int, default=256
        Windows of a mini-batch.
    max_iter : int, default=2000
        Optimisation steps.
    learning_rate_init : float, default=0.003
        Largest step of AdamW.
    image_shape : sequence of int, default=None
        (height, width) of flattened images, or the size that image files are resized to: see `VAEDetector`.
    augment : str, sequence of str or callable, default=None
        Changes training images at random before windows are cut from them: "flips", "rotations", "shifts" and
        "brightness", or a function; see `VAEDetector`.
    contamination : "auto" or float, default="auto"
        Threshold of `predict`, by the scores of the calibration images: three robust standard deviations above their
        median (a deviation below half a nat over the largest pixels together counts as that), or so that this share
        of images like them is flagged.
    calibration : {"auto", "split"} or None, default="auto"
        Whether a fifth of the images is set aside, so that thresholds and p-values come from images that influenced
        nothing; None takes the threshold from images that stopped the training, or for a share from all images.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where the arithmetic runs.
    random_state : int, RandomState, Generator or None, default=0
        Source of everything random in `fit`.
    verbose : bool, default=False
        Whether a `ProgressBar` watches: ELBO, KL, rows per second and the time left, on stderr or in a notebook.
    callbacks : sequence of Callback, default=None
        Who watches a fit, see `vae_anomaly.callbacks`; a training for each size of windows. A model file does not keep
        them.

    Attributes
    ----------
    encoder_ : ImageEncoder
        What the images are.
    models_ : tuple of WindowModel
        The models of windows.
    levels_ : PositionLevels or None
        The weights of positions, where they are used.
    offset_ : float
        `decision_function` is ``score_samples - offset_``.
    threshold_ : Threshold
        The same as an anomaly score, with its rule and the false alarms to expect.
    decisions_ : Decisions
        The threshold, and the calibration that it follows from.
    reduction_ : MapReduction
        The smoothing and the number of largest pixels of the fit.
    map_scale_ : (float, float)
        From how many nats per pixel on, and up to how many, maps are coloured.
    fit_report_ : FitReport
        How the training on windows went; of the last model, if there are several.
    history_ : History
        The same, check by check.
    n_features_in_ : int
        Pixels of an image, over all channels.
    n_images_ : int
        Training images.
    image_format_ : ImageFormat
        The format in which the model reads image files.
    fitted_parameters_ : dict
        The parameters of the fit, which a model file keeps.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import PatchDetector
    >>> rng = np.random.default_rng(0)
    >>> images = rng.normal(size=(30, 32, 32))
    >>> detector = PatchDetector(n_windows=512, max_iter=30, hidden_layer_sizes=(32,)).fit(images)
    >>> images[0, 10:20, 10:20] += 5
    >>> int(detector.anomaly_score(images).argmax())
    0
    """

    encoder_: ImageEncoder
    models_: tuple[WindowModel, ...]
    levels_: PositionLevels | None
    reduction_: MapReduction
    decisions_: Decisions
    map_scale_: tuple[float, float]
    n_features_in_: int
    n_images_: int
    fitted_parameters_: dict[str, Any]

    _parameter_constraints: ClassVar[dict[str, Any]] = PARAMETER_CONSTRAINTS

    # Of pickles of earlier versions.
    callbacks: Sequence[Callback] | None = None

    def __init__(
        self,
        *,
        model: Literal["masked", "whole"] = "masked",
        window: int | Sequence[int] | None = None,
        stride: int | None = None,
        n_windows: int = 65_536,
        position: Literal["auto", "ignore", "use"] = "auto",
        smoothing: float = 2.0,
        top_pixels: int | None = None,
        n_estimators: int = 1,
        latent_dim: int | None = None,
        hidden_layer_sizes: Sequence[int] = (512, 512),
        batch_size: int = 256,
        max_iter: int = 2000,
        learning_rate_init: float = 0.003,
        image_shape: Sequence[int] | None = None,
        augment: Augment | AugmentationName | Sequence[AugmentationName] | None = None,
        contamination: Literal["auto"] | float = "auto",
        calibration: Literal["auto", "split"] | None = "auto",
        device: DeviceName = "auto",
        random_state: Any = 0,
        verbose: bool = False,
        callbacks: Sequence[Callback] | None = None,
    ) -> None:
        self.model = model
        self.window = window
        self.stride = stride
        self.n_windows = n_windows
        self.position = position
        self.smoothing = smoothing
        self.top_pixels = top_pixels
        self.n_estimators = n_estimators
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.image_shape = image_shape
        self.augment = augment
        self.contamination = contamination
        self.calibration = calibration
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    @_fit_context(prefer_skip_nested_validation=True)
    @own_settings()
    def fit(self, X: Any, y: Any = None) -> PatchDetector:
        """Learn what windows of normal images look like.

        Parameters
        ----------
        X : ndarray or Tensor of images, or path-like, or list of them
            Arrays of shape (n, height, width), (n, height, width, channels) or (n, channels, height, width), or a
            folder or image files; at least two.
        y : ignored
            For scikit-learn's interface.

        Returns
        -------
        PatchDetector
            The fitted estimator.

        Raises
        ------
        DataError
            If the images cannot be used.
        TrainingDiverged
            If the loss was not finite even after a rollback with a smaller step.

        Warns
        -----
        FitWarning
            If the training on windows was interrupted, which leaves later ones out, or its latents collapsed.
        """
        with fitted_at_once(self) as draft:
            config = draft._config()
            resolve_augment(draft.augment)
            check_callbacks(draft.callbacks)
            with watched(draft, X, draft.callbacks, verbose=bool(draft.verbose)) as watch:
                images = with_pixels(read_images(draft, X, None))
                log_rows(images, np.ones(images.n_rows, dtype=bool))
                draft._fit(images, config, watch)
        return self

    def _fit(self, images: Images, config: FitConfig, watch: Watch) -> None:
        check_image_size(images.shape)
        _, height, width = images.shape
        check_suits_size(resolve_augment(self.augment), height, width)
        geometries = geometries_of(self.window, self.stride, height, width, masked=self.model == MASKED)
        seed = new_seed(self.random_state)
        rng = np.random.default_rng(seed)
        smoothing = float(self.smoothing)
        self.n_images_ = images.n_rows
        self.reduction_ = MapReduction(smoothing, self.top_pixels or default_top_pixels(smoothing))
        aside = np.zeros(images.n_rows, dtype=bool)
        if self.calibration is not None:
            aside = rows_set_aside(images.n_rows, rng)
        self.encoder_ = _learned_channels(images, aside)
        judged, images = images.take(np.flatnonzero(aside)), images.take(np.flatnonzero(~aside))
        held_out, kept = split(images.n_rows, rng)
        models = []
        for number, geometry in enumerate(geometries):
            told = watch.on_check(number, len(geometries)), watch.states
            fitted = self._fit_windows(images, held_out, kept, geometry, config, seed, rng, *told)
            models.append(fitted)
            for warning in fitted.model.report.warnings():
                side = geometry.windows.target
                warnings.warn(
                    FitWarning(f"windows of {side}x{side} pixels: {warning}", warning.kind), stacklevel=callers_level()
                )
            if fitted.model.history.interrupted:
                break
        self.models_ = tuple(models)
        self.fitted_parameters_ = copied_parameters(self)
        self.column_roles_ = ColumnRoles()
        maps = self._learn_positions(images, held_out, kept)
        self._decide(images, judged, np.flatnonzero(aside), maps)

    @own_settings()
    def score_samples(self, X: Any) -> FloatArray:
        """Minus the mean of the largest values of each image's map, nats per pixel; higher for more normal images.

        Parameters
        ----------
        X : ndarray or Tensor of images, or path-like, or list of them
            Images of the size of the training images; files of another size are brought to it where `image_shape` is
            given.

        Returns
        -------
        ndarray of shape (n,), float64
            NaN, with a warning, for files that cannot be read or have another size; an error where all have another.
        """
        check_is_fitted(self)
        return -self._compared(X).scores

    def _compared(self, X: Any) -> Compared:
        def compared(images: Images) -> Compared:
            scores = -self._scores(images)
            return Compared(scores, scores[:, None], lambda: image_fingerprints(images))

        if is_files(X):
            return Compared.over(read_portions(open_files(X, self.image_format_)), compared)
        return compared(read_images(self, X, self.encoder_))

    @own_settings()
    def explain(self, X: Any) -> ImageExplanation:
        """Maps of nats per pixel, and what was expected of every pixel.

        `excess` is the map that the score comes from, smoothed and weighted by position; `contributions` has one
        channel and holds the same before that: nats above the least possible, over all channels and averaged over
        windows.

        Parameters
        ----------
        X : ndarray or Tensor of images, or path-like, or list of them
            Images.

        Returns
        -------
        ImageExplanation
        """
        check_is_fitted(self)
        images = read_images(self, X, self.encoder_)
        nats, expected = zip(*self._mapped(images, with_expected=True), strict=True)
        maps = np.stack([self._smoothed(one) for one in nats])
        return ImageExplanation(
            score=np.array([self.reduction_.score(one) for one in maps]),
            threshold=-self.offset_,
            excess=maps,
            contributions=np.nan_to_num(np.stack(nats))[:, None],
            kl=np.zeros(len(maps)),
            reconstruction=self.encoder_.decode(np.stack(expected).reshape(len(maps), -1)),
            pixels=images.pixels,
        )

    picture_format_ = RenamedAttribute("image_format_")
    reading_ = RenamedAttribute("reduction_")

    @property
    def fit_report_(self) -> FitReport:
        """How the training of the last model of windows went."""
        return self.models_[-1].model.report

    @property
    def history_(self) -> History:
        """The training of the last model of windows, check by check."""
        return self.models_[-1].model.history

    @property
    def image_format_(self) -> ImageFormat:
        """The format in which the model reads image files."""
        check_is_fitted(self)
        found = format_of_files(self, self.encoder_)
        assert found is not None
        return found

    def _config(self) -> FitConfig:
        return windows_config(
            masked=self.model == MASKED,
            n_members=self.n_estimators,
            latent_dim=self.latent_dim,
            hidden_layer_sizes=self.hidden_layer_sizes,
            max_iter=self.max_iter,
            batch_size=self.batch_size,
            learning_rate_init=self.learning_rate_init,
            device=self.device,
        )

    def _fit_windows(
        self,
        images: Images,
        held_out: IntArray,
        kept: IntArray,
        geometry: Geometry,
        config: FitConfig,
        seed: int,
        rng: np.random.Generator,
        on_check: OnCheck,
        states: TrainingStates | None,
    ) -> WindowModel:
        """Fit one model on windows at random positions."""
        sample = self._windows(images, rng.permutation(kept)[:N_SAMPLED_IMAGES], SAMPLE_WINDOWS, geometry, rng)
        names = tuple(column.name for column in self.encoder_.columns)
        encoder = learn_windows(list(sample), names, geometry.windows)
        n_stopping = max(1, min(self.n_windows // 8, MAX_STOPPING_WINDOWS))
        augment = resolve_augment(self.augment)
        n_rounds = 1 if augment is None else -(-AUGMENTED_IMAGES // len(kept))
        stopping = joined(encoder, self._windows(images, held_out, n_stopping, geometry, rng))
        repeated = np.tile(kept, n_rounds)
        training = joined(encoder, self._windows(images, repeated, self.n_windows, geometry, rng, augment=augment))
        batch = Batch(torch.cat([stopping.values, training.values]), torch.cat([stopping.observed, training.observed]))
        held_out_rows = np.arange(len(batch)) < len(stopping)
        rows = TrainingRows(len(batch), lambda indices: batch.take(torch.from_numpy(indices)), None, held_out_rows)
        model = fit_model(encoder, rows, config, seed, on_check, states=states)
        log_fit(model)
        if self.model == MASKED:
            model = dataclasses.replace(model, noise=torch.zeros_like(model.noise))
        return WindowModel(model, geometry.stride, self.model == WHOLE)

    def _scores(self, images: Images) -> FloatArray:
        return -np.array([self.reduction_.score(self._smoothed(nats)) for nats, _ in self._mapped(images)])

    def _mapped(self, images: Images, *, with_expected: bool = False) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Nats per pixel of every image, and what was expected."""
        for index in range(images.n_rows):
            image = self._tensor(self.encoder_.encode(images.take(slice(index, index + 1))))
            try:
                yield self._map(image, with_expected=with_expected)
            except NonFiniteScoreError as error:
                raise NonFiniteScoreError(1, images.n_rows, index, "image") from error

    def _map(self, image: Tensor, *, with_expected: bool = False) -> tuple[FloatArray, FloatArray]:
        """Nats per pixel and what was expected, averaged over the models."""
        maps = [model.maps(PaddedImage.of(image, model.windows), with_expected=with_expected) for model in self.models_]
        nats, expected = (np.mean([one[part] for one in maps], axis=0) for part in (0, 1))
        return nats, expected

    def _smoothed(self, nats: FloatArray) -> FloatArray:
        smooth = smoothed(nats, self.reduction_.smoothing)
        return smooth if self.levels_ is None else self.levels_.applied(smooth)

    def _maps(self, images: Images, chosen: IntArray) -> FloatArray:
        """Smoothed maps of some images: (images, height, width)."""
        maps = [self._smoothed(nats) for nats, _ in self._mapped(images.take(chosen))]
        return np.stack(maps) if maps else np.empty((0, self.encoder_.height, self.encoder_.width))

    def _tensor(self, batch: Batch) -> Tensor:
        """An image in model units, (channels, height, width), NaN where a pixel is missing."""
        return batch.values.where(batch.observed, torch.nan).view(self.encoder_.shape)

    def _windows(
        self,
        images: Images,
        chosen: IntArray,
        n_windows: int,
        geometry: Geometry,
        rng: np.random.Generator,
        *,
        augment: Augment | tuple[Augmentation, ...] | None = None,
    ) -> Iterator[tuple[PaddedImage, IntArray]]:
        """Windows at random positions in some images, which may be named more than once."""
        each = -(-n_windows // max(len(chosen), 1))
        side = geometry.windows.target
        n_corners = np.array([self.encoder_.height - side + 1, self.encoder_.width - side + 1])
        for index in chosen:
            batch = self.encoder_.encode(images.take(slice(index, index + 1)))
            if augment is not None:
                batch = self.encoder_.augmented(batch, augment, int(rng.integers(MAX_SEEDS)))
            yield PaddedImage.of(self._tensor(batch), geometry.windows), rng.integers(0, n_corners, (each, 2))

    def _learn_positions(self, images: Images, held_out: IntArray, kept: IntArray) -> FloatArray:
        """How maps vary by position, and how they are coloured; returns those of images that stopped the training."""
        self.levels_ = None
        maps = self._maps(images, held_out)
        if self.position == "use" or (self.position == "auto" and position_helps(maps)):
            others = np.setdiff1d(kept, held_out)
            others = others[:: max(1, -(-len(others) // MAX_POSITION_IMAGES))]
            self.levels_ = PositionLevels.of(np.concatenate([maps, self._maps(images, others)]))
            maps = np.stack([self.levels_.applied(one) for one in maps])
        low, high = np.nanquantile(maps, [0.99, 0.9999])
        self.map_scale_ = float(low), float(low + 2 * (high - low) + 1e-9)
        return maps

    def _decide(self, images: Images, judged: Images, ids: IntArray, maps: FloatArray) -> None:
        """Find the threshold: by images that were set aside, or else by some that were learned from."""
        rule = resolved_rule(self.contamination, MIN_DEVIATION / self.reduction_.top_pixels)
        trained = image_fingerprints(images)
        if judged.n_rows:
            self.decisions_ = decisions_of(rule, -self._scores(judged), ids, image_fingerprints(judged), trained)
            return
        if isinstance(self.contamination, str):
            scores = np.array([self.reduction_.score(one) for one in maps])
        else:
            scores = -self._scores(images)
        self.decisions_ = decisions_of(rule, scores, None, trained, trained)
        if self.calibration is not None:
            warn_if_uncalibrated(self.decisions_, images.n_rows)


def _learned_channels(images: Images, aside: npt.NDArray[np.bool_]) -> ImageEncoder:
    """What the channels are, learned from the images that are not set aside."""
    likelihood = Gaussian("shared", NOISE_FLOOR)
    if aside.any():
        try:
            encoder = learn_channels(images.take(np.flatnonzero(~aside)), likelihood)
            encoder.encode(images.take(np.flatnonzero(aside)))
        except DataError:
            # Only all images together say what such a channel is, and name the image that is wrong as it was given.
            return learn_channels(images, likelihood)
        return encoder
    return learn_channels(images, likelihood)
