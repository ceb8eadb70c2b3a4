"""VAEDetector: the scikit-learn face of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from vae_anomaly.columns import Augment, Column, Encoder, ImageEncoder
from vae_anomaly.data import ImageFormat
from vae_anomaly.deprecation import RenamedAttribute
from vae_anomaly.detectors.base import JudgingMixin
from vae_anomaly.detectors.explaining import ExplanationMixin
from vae_anomaly.detectors.image_results import score_images
from vae_anomaly.detectors.inputs import is_files, open_files, read_rows
from vae_anomaly.detectors.latents import LatentVariableMixin
from vae_anomaly.detectors.parameter_constraints import PARAMETER_CONSTRAINTS
from vae_anomaly.detectors.streams import StreamMixin, check_same_shape, with_weight
from vae_anomaly.fitting import FitReport, Rows, defaults_for, learn_encoder, specification_of
from vae_anomaly.likelihoods import Likelihood
from vae_anomaly.model import VAE, Backbone, History, Prior
from vae_anomaly.scores import Score

FloatArray = npt.NDArray[np.float64]


class VAEDetector(JudgingMixin, OutlierMixin, StreamMixin, LatentVariableMixin, ExplanationMixin, BaseEstimator):
    r"""Anomaly detector whose score is the evidence lower bound of a variational autoencoder, in nats.

    An ensemble of small autoencoders, each on a subsample of the rows, learns p(x).  The score of a row is

    .. math:: \log p(x) \ge E_{q(z|x)}[\log p(x|z)] - KL(q(z|x) \,\|\, p(z)),

    a lower bound of its log-density in the units of the data as given.  `score_samples` returns the bound (higher is
    more normal, as in scikit-learn), `anomaly_score` its negative (higher is more anomalous).

    Rows are those of a table, or images: arrays and tensors of shape (n, height, width), (n, height, width, channels)
    or (n, channels, height, width), image files, and flattened rows with `image_shape`.  Because high likelihoods of
    images can mislead, images are judged by a `Surprise` of the ELBO and two companions, unless `row_score` says
    otherwise.

    Parameters
    ----------
    n_estimators : int, default=None
        Autoencoders in the ensemble, trained at once; None takes 4 for tables and 1 for images.
    max_samples : int or float, default=None
        Rows each of them trains on, without replacement; a float is a share of the rows.  None takes 4,096 for tables
        and 16,384 for images, fewer of large ones.
    latent_dim : int, default=None
        Latent variables of each; None takes the number of columns that vary, at most 16.
    hidden_layer_sizes : sequence of int, default=None
        Hidden units of the encoder, or channels after each halving of an image; the decoder has them in reverse.
        None takes (64, 64) for tables, (256, 256) for small images, and see `Convolutional` for larger ones.
    activation : {"silu", "relu", "tanh", "gelu", "softplus", "identity"}, default="silu"
        Between layers.
    backbone : str or Backbone, default="auto"
        Bodies of encoder and decoder: "mlp", "convolutional" for images, or an instance;
        ``MLP(skip_connection=False)`` is the textbook one.  "auto" takes convolutions for images of more than 4,096
        pixels.
    likelihood : str or Likelihood, default="auto"
        p(x_j | z) of the numeric columns or pixels: "gaussian", "unit_gaussian", "student_t", "continuous_bernoulli",
        "bernoulli", "discretized_logistic", "categorical", "poisson", or an instance.
        "auto" chooses by what a column holds: see `columns_`.  Text columns are always categorical.  Pixels are
        Gaussian with one learned noise for all, or Bernoulli where they have two values.
    columns : dict, default=None
        What columns are, by name (``x0``, ``x1``, ... for arrays), where inference would be wrong: "continuous",
        "positive", "bounded", "integer", "count", "binary", "boolean", "categorical", "ordinal", "datetime",
        "identifier" (set aside), or a Likelihood.
    model_missing : bool, default=False
        Whether it counts which cells of a row are missing: each column then has a second term, the log-probability of
        its cell being missing or not.
    image_shape : sequence of int, default=None
        (height, width) of images that are given as flattened rows, with the channels first or last if there are
        several; of image files, the size that they are resized to.
    augment : callable, default=None
        Changes images at random, one by one and anew for each mini-batch, a transform of torchvision's for instance:
        from a tensor of shape (channels, height, width) to one of the same shape.  It is given uint8 where grey levels
        are whole numbers from 0 to 255, int32 for other whole numbers, and floats else, or where pixels are missing,
        which are NaN.  Held-out images stay as they are, and a model file does not keep the function.
    prior : str or Prior, default="exemplar"
        p(z) that rows are scored against: "standard_normal", or "exemplar", the aggregated posterior of the
        training rows.  Training always uses the standard normal.
    row_score : str or Score, default="auto"
        What `score_samples` returns: "pooled_elbo", the ELBO of the autoencoders pooled with an independence model and
        the default for tables, "elbo" without that, "elbo_per_cell", "importance_weighted" (a tighter bound),
        "reconstruction", "kl"; and where high likelihoods mislead "surprise", the default for images,
        "likelihood_ratio", "input_complexity", "debiased_elbo", "likelihood_regret" or "likelihood_path".
    batch_size : int, default=None
        Rows of a mini-batch, for each member; None takes 128, and fewer large images.
    max_iter : int, default=None
        Optimisation steps; None takes 1,200 for images, and for tables 700, from 33 columns on more, with their
        square root, up to 1,000.
    learning_rate_init : float, default=None
        Largest step of AdamW; it rises over the first 50 steps and falls along a cosine to 0.  None takes 0.02 for
        tables and 0.003 for images.
    weight_decay : float, default=1e-4
        Of AdamW.
    max_grad_norm : float, default=1.0
        Largest norm of a member's gradient, of the loss divided by the number of columns.
    kl_warmup : float, default=0.2
        Share of the steps over which the weight of the KL in the loss rises to 1.
    hidden_fraction : float, default=None
        In training, about a third of the rows are shown to the encoder with some cells hidden, each with a probability
        drawn for the row between 0 and this; scores use the full view.  0 turns it off; None takes 0.6 for tables and
        0 for images.
    trim_fraction : float, default=0.0
        Share of each mini-batch, the rows with the largest loss, that is left out of the gradient and of the held-out
        bound, so that anomalies among the training rows are not learned.
    early_stopping : bool, default=True
        Whether to hold rows out, keep each member's weights with the best held-out ELBO, and stop when none
        improves.  Without effect where fewer than ten rows would be held out.
    validation_fraction : float, default=0.1
        Share of the rows to hold out, at most half of them and 512 rows.
    n_iter_no_change : int, default=5
        Checks without improvement of any member before stopping; a training of full length has 20 checks.
    contamination : "auto" or float, default="auto"
        Where `predict` draws the line.  A float in (0, 0.5] flags exactly that share of the training rows; "auto"
        flags rows three robust standard deviations below the median of the training scores, and images whose
        surprise is above 7 nats, as that of about three in a thousand training images is.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        "auto" is CUDA where there is one, else the CPU.
    matmul_precision : {"highest", "high", "medium"}, default=None
        Of matrix products in `fit`, as in ``torch.set_float32_matmul_precision``: on GPUs "high" is TF32 and "medium"
        may be bfloat16.  None leaves PyTorch as it is set.
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the fit before, with the columns as they were learned then.
    random_state : int, RandomState, Generator or None, default=0
        Source of everything random in `fit`.  With an int, the default, two fits agree bit for bit on a
        machine; None takes fresh entropy.  Scoring is deterministic in any case.
    verbose : bool, default=False
        Whether to draw a progress bar on stderr.

    Attributes
    ----------
    columns_ : tuple of Column
        What each column was taken for, why, and what was learned of it.
    offset_ : float
        `decision_function` is ``score_samples - offset_``.
    history_ : History
        The training, check by check.
    n_iter_ : int
        Optimisation steps made.
    row_score_ : Score
        What `score_samples` returns: the `row_score` of the fit, also if the parameter was changed since.
    fitted_parameters_ : dict
        The parameters of the fit, which a model file keeps.
    map_scale_ : (float, float)
        Of images: from how many nats per pixel on, and up to how many, maps are coloured.
    fit_report_ : FitReport
        How the training went, with the figures behind every `FitWarning`.
    encoder_ : Encoder
        Turns tables or images into batches.
    vae_ : VAE
        The weights.
    noise_ : Tensor of shape (members, draws, 1, latents)
        The noise that all rows are scored with.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if `fit` saw a DataFrame with string names.

    Warns
    -----
    FitWarning
        If the latents collapsed, a plain Gaussian explains held-out rows as well, or the training was interrupted.
    DataWarning
        If a column was set aside.

    References
    ----------
    Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, eq. 3.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import VAEDetector
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> detector = VAEDetector(max_iter=100, early_stopping=False).fit(X)
    >>> anomalous, normal = detector.anomaly_score([[8.0, -8.0], [0.0, 0.0]])
    >>> bool(anomalous > normal + 10)
    True
    >>> detector.predict([[8.0, -8.0], [0.0, 0.0]])
    array([-1,  1])
    """

    vae_: VAE
    noise_: Tensor
    encoder_: Encoder
    columns_: tuple[Column, ...]
    offset_: float
    n_iter_: int
    row_score_: Score
    fitted_parameters_: dict[str, Any]
    history_: History
    fit_report_: FitReport
    n_features_in_: int

    _parameter_constraints: ClassVar[dict[str, Any]] = PARAMETER_CONSTRAINTS

    def __init__(
        self,
        *,
        n_estimators: int | None = None,
        max_samples: int | float | None = None,
        latent_dim: int | None = None,
        hidden_layer_sizes: Sequence[int] | None = None,
        activation: str = "silu",
        backbone: str | Backbone = "auto",
        likelihood: str | Likelihood = "auto",
        columns: Mapping[str, str | Likelihood] | None = None,
        model_missing: bool = False,
        image_shape: Sequence[int] | None = None,
        augment: Augment | None = None,
        prior: str | Prior = "exemplar",
        row_score: str | Score = "auto",
        batch_size: int | None = None,
        max_iter: int | None = None,
        learning_rate_init: float | None = None,
        weight_decay: float = 1e-4,
        max_grad_norm: float = 1.0,
        kl_warmup: float = 0.2,
        hidden_fraction: float | None = None,
        trim_fraction: float = 0.0,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        contamination: str | float = "auto",
        device: str = "auto",
        matmul_precision: str | None = None,
        warm_start: bool = False,
        random_state: Any = 0,
        verbose: bool = False,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.backbone = backbone
        self.likelihood = likelihood
        self.columns = columns
        self.model_missing = model_missing
        self.image_shape = image_shape
        self.augment = augment
        self.prior = prior
        self.row_score = row_score
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.kl_warmup = kl_warmup
        self.hidden_fraction = hidden_fraction
        self.trim_fraction = trim_fraction
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.contamination = contamination
        self.device = device
        self.matmul_precision = matmul_precision
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> VAEDetector:
        """Learn what normal rows look like.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Training rows, at least two: numbers, text, booleans, dates; NaN, None and NA are missing cells.
        y : ignored
            For scikit-learn's interface.
        sample_weight : array-like of shape (rows,), optional
            Weights of the rows in the loss and in means and standard deviations; rows of weight 0 are left out.

        Returns
        -------
        VAEDetector
            The fitted estimator.

        Raises
        ------
        DataError
            If the data cannot be used; the message names the column and the row.
        TrainingDiverged
            If the loss was not finite even after a rollback with a smaller step.
        """
        continued = bool(self.warm_start) and hasattr(self, "vae_")
        data, weights = with_weight(read_rows(self, X, fitting=not continued), sample_weight)
        if continued:
            check_same_shape(self)
        specification = specification_of(self, defaults_for(data))
        encoder = self.encoder_ if continued else learn_encoder(data, weights, specification)
        rows = Rows(data.n_rows, lambda numbers: encoder.encode(data.take(numbers)), weights)
        self._learn(encoder, rows, specification.for_encoder(encoder), self.vae_ if continued else None)
        self._sample = None
        return self

    def score_samples(self, X: Any) -> FloatArray:
        """The score of each row in nats, higher for more normal rows: by default the pooled ELBO.

        The number depends on the row alone: not on the other rows of the call, their order or their number.  A
        missing cell has no term, so rows with more of them have higher scores; ``row_score="elbo_per_cell"`` divides by
        the number of observed cells.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data.

        Returns
        -------
        ndarray of shape (rows,), float64
        """
        check_is_fitted(self)
        if is_files(X) and isinstance(self.encoder_, ImageEncoder):
            encoder = self.encoder_
            return score_images(open_files(X, None, encoder), lambda some: self._score(encoder.encode(some)))
        return self._score(self.encoder_.encode(read_rows(self, X, fitting=False)))

    picture_format_ = RenamedAttribute("image_format_")

    @property
    def image_format_(self) -> ImageFormat | None:
        """The format in which the model reads image files; None for tables."""
        check_is_fitted(self)
        return self.encoder_.image_format if isinstance(self.encoder_, ImageEncoder) else None

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
