"""VAEDetector: the scikit-learn face of a fitted model."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Literal, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from vae_anomaly.callbacks import NO_WATCH, Callback, Watch, check_callbacks, watched
from vae_anomaly.columns import (
    Augment,
    BaselineSpecification,
    Batch,
    Columns,
    Encoder,
    ImageEncoder,
    MissingValues,
    References,
    TableEncoder,
    check_declarations,
    check_suits_size,
    given_codes,
    read_training_text,
    resolve_augment,
)
from vae_anomaly.data import ColumnRoles, FloatArray, ImageFormat, Images, Table, as_array
from vae_anomaly.decisions import ColumnSample, Decisions
from vae_anomaly.deprecation import RenamedAttribute
from vae_anomaly.detectors.base import CHANGES, as_it_is, copied_parameters, fitted_at_once
from vae_anomaly.detectors.calibrated import (
    Compared,
    decisions_frame,
    row_ids,
    warn_if_repeated,
    warn_if_uncalibrated,
)
from vae_anomaly.detectors.containers import pack_like, row_labels, unshared
from vae_anomaly.detectors.drift_report import column_samples
from vae_anomaly.detectors.examined import ExaminedDetectorMixin
from vae_anomaly.detectors.fit_log import log_columns, log_fit, log_rows
from vae_anomaly.detectors.inputs import (
    format_of_files,
    group_labels,
    is_files,
    new_seed,
    open_files,
    read_images,
    read_portions,
    read_rows,
    read_table,
    read_training_rows,
    spread,
)
from vae_anomaly.detectors.known_columns import aligned
from vae_anomaly.detectors.names import (
    ActivationName,
    AugmentationName,
    BackboneName,
    CalibrationName,
    DeviceName,
    LikelihoodName,
    PresetName,
    PriorName,
    ScoreName,
    UnitsName,
)
from vae_anomaly.detectors.parameters import (
    DEFAULT,
    PARAMETER_CONSTRAINTS,
    ROBUST,
    check_names,
    check_suits_images,
    check_suits_tables,
    checked_layer_sizes,
    defaults_for,
    resolved_backbone,
    resolved_baseline,
    resolved_batch_size,
    resolved_latent_dim,
    resolved_layer_sizes,
    resolved_likelihood,
    resolved_max_iter,
    resolved_max_samples,
    resolved_max_share,
    resolved_prior,
    resolved_score,
    resolved_threshold,
)
from vae_anomaly.detectors.reading import Reading
from vae_anomaly.detectors.repaired import RepairedDetectorMixin
from vae_anomaly.detectors.reported import ReportedDetectorMixin
from vae_anomaly.detectors.reviewed import CalibrationSet, KeptRows, ReviewedDetectorMixin, digests_of
from vae_anomaly.detectors.training_plan import TrainingPlan
from vae_anomaly.detectors.training_view import MADE_WHEN_READ, NO_ROWS, NOT_OF_IMAGES, JudgedRows, TrainingView
from vae_anomaly.errors import (
    DataError,
    EmptyRowWarning,
    FitWarning,
    NewGroupsWarning,
    NotAvailable,
    SpecificationError,
    callers_level,
)
from vae_anomaly.explain import (
    NO_REASON,
    Explanation,
    ImageExplanation,
    explain_images,
    explain_table,
    reconstruct,
    with_cell_reference,
    with_reference,
)
from vae_anomaly.fitting import (
    Answers,
    CalibrationKind,
    ELBOTerms,
    FitConfig,
    FitReport,
    FittedModel,
    NetworkConfig,
    RowSample,
    SplitConfig,
    TrainingRows,
    calibration_kind,
    drawn_folds,
    fit_model,
    latent_means,
    learn_encoder,
    sample_rows,
    score_rows,
    score_shares,
    scores_and_comparisons,
    terms_by_member,
)
from vae_anomaly.likelihoods import Likelihood
from vae_anomaly.model import (
    BLOCK_MEMBERS,
    UNCHANGED,
    VAE,
    Backbone,
    History,
    Prior,
    TrainingConfig,
    in_one_process,
    own_settings,
    resolve_device,
)
from vae_anomaly.scores import AdditiveScore, MemberScore, Score, likelihood_score_of

SHAPE_PARAMETERS = (
    "preset",
    "n_estimators",
    "latent_dim",
    "hidden_layer_sizes",
    "activation",
    "backbone",
    "likelihood",
    "columns",
    "reading",
    "missing_values",
    "model_missing",
    "image_shape",
    "baseline_by",
    "baseline_time",
    "baseline_units",
)
EVERY = slice(None)
SAMPLE_ROWS_PER_MEMBER = 4096
MIN_NEW_ROWS = 10
SEED_OF_CALIBRATION = 15
N_REASONS = 3
WATCHED = (
    "the training is watched (callbacks, verbose or an automatic log), which takes one process: n_jobs has no effect. "
    "Leave one of them out."
)
CONTINUOUS = ("continuous", "positive", "bounded")
# Scores of a row on two devices are nearer than this, relatively or in nats.
SCORE_TOLERANCE = 0.05


class VAEDetector(
    ReviewedDetectorMixin,
    RepairedDetectorMixin,
    ExaminedDetectorMixin,
    ReportedDetectorMixin,
    TransformerMixin,
    OutlierMixin,
    BaseEstimator,
):
    r"""Anomaly detector whose score is the evidence lower bound of a variational autoencoder, in nats.

    An ensemble of small autoencoders, each on a subsample of the rows, learns p(x).  The score of a row is

    .. math:: \log p(x) \ge E_{q(z|x)}[\log p(x|z)] - KL(q(z|x) \,\|\, p(z)),

    a lower bound of its log-density in the units of the data as given.  `score_samples` returns the bound (higher is
    more normal, as in scikit-learn), `anomaly_score` its negative (higher is more anomalous).

    Rows are those of a table, or images: arrays and tensors of shape (n, height, width), (n, height, width, channels)
    or (n, channels, height, width), image files, and flattened rows with `image_shape`.  Because high likelihoods of
    images can mislead, images are scored by a `Surprise` of the ELBO and two companions, unless `row_score` says
    otherwise.

    Which rows are judged makes a difference.  `score_samples` judges new rows; `training_scores_` those of the fit,
    which may hold the anomalies that are looked for, and so must not teach what is normal.

    Parameters
    ----------
    preset : {"default", "accurate", "robust"}, default="default"
        What the training rows are taken for; None and "auto" in other parameters stand for what it says, and
        what is given there wins. "default" assumes nothing, and is for judging new rows. "accurate" takes the
        training rows for normal ones and pools the bound of kernels at up to 4,096 of them that do not
        calibrate, which takes several times as long for each row; a model file then holds these rows. "robust"
        expects anomalies among them, where the rows of the fit themselves are judged or the history is known to
        be dirty: each autoencoder sees half of the rows, 4,096 at most, for 300 steps, and leaves the most
        anomalous 15 % out of every mini-batch, of the held-out bound and of the prior. Images have "default"
        alone.
    n_estimators : int, default=None
        Autoencoders in the ensemble, trained at once; None takes 4 for tables and 1 for images.
    max_samples : int or float, default=None
        Rows each of them trains on, without replacement; a float is a share of the rows.  None takes 4,096 for tables
        (at most half of the rows with ``preset="robust"``) and 16,384 for images, fewer of large ones.
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
        "positive", "bounded", "integer", "count", "binary", "boolean", "categorical", "ordinal", "datetime" (hours,
        weekdays, days of the month and months, where the rows span enough of them), "datetime+trend" (the place in time
        as well), "identifier" (set aside), or a Likelihood.
    reading : Reading, default=None
        How text is read, where its cells do not tell: decimal mark, date format, upper and lower case; searched as
        ``reading__decimal`` and so on.  None takes the defaults of `Reading`: text that holds numbers or dates is read
        as such, in one format for each column, and `columns_` says how.
    missing_values : number, text, date, list of these, dict or False, default=None
        Cells that stand for missing ones, in all columns or by column.  None recognises codes that repeat far from all
        other values, such as -999, 9999 or 1900-01-01, with a warning; False keeps all.
    model_missing : bool, default=False
        Whether it counts which cells of a row are missing: each column then has a second term, the log-probability of
        its cell being missing or not.
    image_shape : sequence of int, default=None
        (height, width) of images that are given as flattened rows, with the channels first or last if there are
        several; of image files, the size that they are resized to.  Without it files have to have one size, that of the
        training images where a model takes them; set after the fit, it has files of other sizes resized.
    augment : str, sequence of str or callable, default=None
        Changes images at random, one by one and anew for each mini-batch, so that images changed so count as normal.
        Names, in the order in which they are applied: "flips" of left and right and of up and down, each with chance
        one half; "rotations" of square images by multiples of 90 degrees; "shifts" by up to a 16th of each side, with
        the pixels of the edge repeated; "brightness", all pixels times a factor from 0.9 to 1.1, within their levels.
        Or a function, a transform of torchvision's for instance, from a tensor of shape (channels, height, width) to
        one of the same shape.  It is given uint8 where grey levels are whole numbers from 0 to 255, int32 for other
        whole numbers, and floats else, or where pixels are missing, which are NaN.  Held-out images stay as they are.
        A model file keeps names, and no function.
    prior : str or Prior, default="auto"
        p(z) that rows are scored against: "mixture", the default for tables, a mixture of normal components fitted to
        the posteriors of the training rows; "exemplar", the default for images, these posteriors themselves; or
        "standard_normal".  Training always uses the standard normal.
    row_score : str or Score, default="auto"
        What `score_samples` returns: "pooled_elbo", the default for tables, the soft minimum of the ELBO of the
        autoencoders and of an independence model, in which missing cells are neutral; "local_ratio", how much less
        likely a row is than the training rows around it; "elbo" alone, the plain sum,
        "elbo_per_cell", "importance_weighted" (a tighter bound), "reconstruction", "kl"; and where high likelihoods
        mislead "surprise", the default for images, "likelihood_ratio", "input_complexity", "debiased_elbo",
        "likelihood_regret" or "likelihood_path".
    batch_size : int, default=None
        Rows of a mini-batch, for each member; None takes 128, and fewer large images.
    max_iter : int, default=None
        Optimisation steps; None takes 1,200 for images, and for tables 700, from 33 columns on more, with their
        square root, up to 1,000; 300 with ``preset="robust"``; 100 for tables with fewer rows than the training can be
        stopped by.
    learning_rate_init : float, default=None
        Largest step of AdamW; it rises over the first 50 steps and falls along a cosine to 0.  None takes 0.02 for
        tables and 0.003 for images.
    early_stopping : bool, default=True
        Whether to hold rows out, keep each member's weights with the best held-out ELBO, and stop when none
        improves.  Without effect where fewer than ten rows would be held out.
    validation_fraction : float, default=0.1
        Share of the rows to hold out, at most half of them and 512 rows.
    training : TrainingPlan, default=None
        Training parameters that hardly anybody changes; searched as ``training__weight_decay`` and so on.  None takes
        the defaults of `TrainingPlan`.
    contamination : "auto" or float, default="auto"
        Threshold of `predict`, by the scores of the calibration rows: a float in (0, 0.5] is the share of rows like
        them that is flagged; "auto" flags rows three robust standard deviations above their median, and images whose
        surprise is above 7 nats, as that of about three in a thousand images is.  `set_threshold` moves it later.
    calibration : {"auto", "split", "cross"} or None, default="auto"
        Where the scores come from that thresholds and p-values are found by: rows that influenced nothing.  "split"
        sets a fifth of the rows aside, at most 4,096; "cross" lets each member leave out a fold of the rows and
        calibrates with the scores of the member that has not seen them, so that all rows train; "auto" splits where
        there are at least four times as many rows as a member trains on, for images and for a single member, and
        crosses else.  None trains on all rows and takes the threshold from these, which flags more of the rows to come
        than it says, and has no p-values until `calibrate`.
    calibration_groups : str, default=None
        Name of a column, of a table, for whose values p-values are computed one by one; a group has none below
        1 / (n + 1) for its n calibration rows.  The threshold is that of all rows.
        `partial_fit` has no groups.
    baseline_by : str or sequence of str, default=None
        Columns of a table, from the largest groups to the smallest, that say what a row's numbers are compared with:
        those of its own group.  Each group has a median and a spread, drawn to those of the group around it as far as
        its rows are few; groups that training did not have, and rows with a missing key, take those of the group
        around.  Non-negative columns are compared on a logarithmic scale where training rows are more probable there,
        others as they are, and those stay that hold one value in half of the rows.  Scores stay log-densities in the
        units of the data.  A key is modelled like any other column unless it is declared "identifier".  Weights of rows
        do not count here.  For the scores "pooled_elbo", "elbo", "importance_weighted" and "reconstruction";
        `partial_fit` has none.
    baseline_time : str, default=None
        Column of dates, by whose hours, weekdays, months and trend numbers are compared as well, on the same scales;
        before and after the training the trend stays what it was.
    baseline_units : {"data", "group"}, default="data"
        Units of the score where numbers are compared: "data" makes it a log-density of the data as given, in which a
        cell of a group that spreads widely is less likely than the same of a narrow one; "group" takes the spread of
        the row's group for the unit, so that groups of all sizes are ranked alike, and adds the same nats to all rows,
        with which the mean over training rows is that of the log-density.
    strict_columns : bool, default=False
        Whether rows to come must have the names of the training rows in the same order, and no others, as
        scikit-learn has it. By default columns of a DataFrame are taken by name: their order does not count, nor case
        or blanks around names where only one can be meant, and columns that the model does not know are ignored with a
        warning. Columns that were set aside need not be there.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        "auto" is CUDA where there is one, else the CPU.
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the fit before, with the columns as they were learned then.
    random_state : int, RandomState, Generator or None, default=0
        Source of everything random in `fit`.  With an int, the default, two fits agree bit for bit on a
        machine; None takes fresh entropy.  Scoring is deterministic in any case.
    verbose : bool, default=False
        Whether a `ProgressBar` watches: ELBO, KL, rows per second and the time left, on stderr or in a notebook.
    callbacks : sequence of Callback, default=None
        Who watches a fit, and may end its training: see `vae_anomaly.callbacks`. A model file does not keep them.
    n_jobs : int, default=None
        Ensembles of more than 8 autoencoders train in blocks of 8 on the CPU; this is how many blocks train at once, in
        processes or on a cluster, as ``joblib.parallel_config`` says.  None takes what it says, else 1, and -1 all
        processors.  The model is the same, bit for bit, and a model file does not keep it.  Callbacks and `verbose`
        watch a training in one process.

    Attributes
    ----------
    model_ : FittedModel
        Everything that was learned, as one value; the attributes below are parts of it.
    columns_ : Columns, a tuple of Column
        What each column was taken for, why, and what was learned of it.
    offset_ : float
        `decision_function` is ``score_samples - offset_``.
    threshold_ : Threshold
        The same as an anomaly score, with its rule and the false alarms to expect.
    calibration_ : Calibration
        Scores of rows that influenced nothing.
    decisions_ : Decisions
        Both of them.
    baseline_columns_ : tuple of str
        Columns that say what the numbers of a row are compared with: `baseline_by` and `baseline_time` of the fit.
    history_ : History
        The training, check by check.
    n_iter_ : int
        Optimisation steps made.
    row_score_ : Score
        What `score_samples` returns: the `row_score` of the fit, also if the parameter was changed since.
    map_scale_ : (float, float)
        Of images: from how many nats per pixel on, and up to how many, maps are coloured.
    image_format_ : ImageFormat or None
        The format in which the model reads image files; None for tables.
    fit_report_ : FitReport
        How the training went, with the figures behind every `FitWarning`.
    column_roles_ : ColumnRoles
        Columns of the training rows that are no features: nothing but names, which a model file keeps, so that scoring
        does not warn of them. A fit empties it; the command line fills it in, and you may, too.
    encoder_ : Encoder
        Turns tables or images into batches.
    training_scores_ : ndarray of shape (rows,)
        Scores of the rows of the fit, with the sign of `score_samples`, as ``preset="robust"`` judges them.
    training_decisions_ : DataFrame
        The same as `decide` gives them, with a calibration and a threshold of their own.
    vae_ : VAE
        The weights.
    noise_ : Tensor of shape (members, draws, 1, latents)
        The noise that all rows are scored with.
    fitted_parameters_ : dict
        The parameters of the fit, which a model file keeps.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if `fit` saw a DataFrame with string names.

    Warns
    -----
    FitWarning
        If the latents collapsed, a plain Gaussian explains held-out rows as well, or the training was interrupted.
    DataWarning
        If a column was set aside; in scoring, an ExtraColumnsWarning or a MatchedColumnsWarning about names.

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

    model_: FittedModel[Encoder]
    fitted_parameters_: dict[str, Any]
    n_features_in_: int
    feature_names_in_: npt.NDArray[np.object_]
    _sample: RowSample | None
    _training_view: TrainingView | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = PARAMETER_CONSTRAINTS

    # Of pickles of earlier versions.
    preset: PresetName = DEFAULT
    baseline_by: str | Sequence[str] | None = None
    baseline_time: str | None = None
    baseline_units: UnitsName = "data"
    callbacks: Sequence[Callback] | None = None
    n_jobs: int | None = None

    def __init__(
        self,
        *,
        preset: PresetName = DEFAULT,
        n_estimators: int | None = None,
        max_samples: int | float | None = None,
        latent_dim: int | None = None,
        hidden_layer_sizes: Sequence[int] | None = None,
        activation: ActivationName = "silu",
        backbone: BackboneName | Backbone = "auto",
        likelihood: LikelihoodName | Likelihood = "auto",
        columns: Mapping[str, str | Likelihood] | None = None,
        reading: Reading | None = None,
        missing_values: MissingValues = None,
        model_missing: bool = False,
        image_shape: Sequence[int] | None = None,
        augment: Augment | AugmentationName | Sequence[AugmentationName] | None = None,
        prior: PriorName | Prior = "auto",
        row_score: ScoreName | Score = "auto",
        batch_size: int | None = None,
        max_iter: int | None = None,
        learning_rate_init: float | None = None,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        training: TrainingPlan | None = None,
        contamination: Literal["auto"] | float = "auto",
        calibration: CalibrationName | None = "auto",
        calibration_groups: str | None = None,
        baseline_by: str | Sequence[str] | None = None,
        baseline_time: str | None = None,
        baseline_units: UnitsName = "data",
        strict_columns: bool = False,
        device: DeviceName = "auto",
        warm_start: bool = False,
        random_state: Any = 0,
        verbose: bool = False,
        callbacks: Sequence[Callback] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.preset = preset
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.backbone = backbone
        self.likelihood = likelihood
        self.columns = columns
        self.reading = reading
        self.missing_values = missing_values
        self.model_missing = model_missing
        self.image_shape = image_shape
        self.augment = augment
        self.prior = prior
        self.row_score = row_score
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.training = training
        self.contamination = contamination
        self.calibration = calibration
        self.calibration_groups = calibration_groups
        self.baseline_by = baseline_by
        self.baseline_time = baseline_time
        self.baseline_units = baseline_units
        self.strict_columns = strict_columns
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    @own_settings()
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> VAEDetector:
        """Learn what normal rows look like.

        The detector keeps the rows for `training_scores_`, until these are made or `forget_training_rows` is called;
        pickles and model files do not hold them.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (rows, columns), or list of dicts
            Training rows, at least two: numbers, text, booleans, dates; NaN, None and NA are missing cells. Zeros of a
            sparse matrix are zeros.
        y : ignored
            For scikit-learn's interface.
        sample_weight : array-like of shape (rows,), optional
            Weights of the rows in the loss and in means and standard deviations; rows of weight 0 are left out.
            Kernels (``preset="accurate"``) count all others alike.

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
        with fitted_at_once(self) as draft:
            check_parameters(draft)
            with watched(draft, X, draft.callbacks, verbose=bool(draft.verbose)) as watch:
                initial = draft.model_ if draft.warm_start and hasattr(draft, "model_") else None
                training = draft._read_training(X, sample_weight, initial, min_rows=2)
                seed = draft._learn_from(training, initial, watch)
                draft._keep_columns(training.data, ())
                draft._sample = None
                draft.column_roles_ = ColumnRoles()
                draft._training_view = draft._view_of(training, X, seed, fixed=initial is not None)
                draft._kept_rows = KeptRows(_calibration_set(training, X))
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    @own_settings()
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> VAEDetector:
        """Learn from a further batch of rows.

        The detector keeps a sample of all rows that it was given this way, each with the same chance to be in it, of
        `n_estimators` times `max_samples` rows (4,096 where that is a share).  After a batch it trains on from its
        weights, on the sample: `max_iter` steps at first, later the share of them that is the share of new rows in the
        sample.  So all batches count alike, none is forgotten, and later ones cost less; exemplars and threshold are
        those of the sample.  What columns are, their scales and levels come from the first batch: it should be
        like those to follow.

        After `fit`, a sample of its rows stands for all of them.  A model file holds no rows: after `load`, rows are
        collected until there are 512, and the detector stays as it is until then.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            The batch; at least two rows at first.
        y : ignored
            For scikit-learn's interface.
        sample_weight : array-like of shape (rows,), optional
            Weights of the rows in the loss; rows of weight 0 are left out.

        Returns
        -------
        VAEDetector
            The fitted estimator.

        Raises
        ------
        DataError
            If the data cannot be used; the message names the column and the row.
        SpecificationError
            If a parameter that shapes the model was changed since, or `calibration_groups` is given.
        TrainingDiverged
            If the loss was not finite even after a rollback with a smaller step.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> detector = VAEDetector(max_iter=50, early_stopping=False)
        >>> rng = np.random.default_rng(0)
        >>> for _ in range(3):
        ...     detector = detector.partial_fit(rng.normal(size=(500, 2)))
        >>> detector.n_iter_
        17
        """
        with fitted_at_once(self) as draft:
            check_parameters(draft)
            if draft.calibration_groups is not None:
                raise SpecificationError(
                    f"partial_fit has no calibration_groups, and {draft.calibration_groups!r} is given: it keeps rows "
                    "without their groups. Set it to None, or fit all rows at once."
                )
            if draft._baseline is not None:
                raise SpecificationError(
                    "partial_fit has no baseline_by and no baseline_time: groups are learned from all rows at once. "
                    "Set both to None, or call fit."
                )
            with watched(draft, X, draft.callbacks, verbose=bool(draft.verbose)) as watch:
                draft._learn_further(X, sample_weight, watch)
        return self

    def set_params(self, **params: Any) -> VAEDetector:
        """Set parameters by name; those of `TrainingPlan` and `Reading` as ``training__weight_decay`` and so on.

        Parameters
        ----------
        **params : dict
            Values by name. Where no plan is given, those of a plan change a new one.

        Returns
        -------
        VAEDetector
            The estimator.
        """
        if self.training is None and any(name.startswith("training__") for name in params):
            params = {"training": TrainingPlan()} | params
        if self.reading is None and any(name.startswith("reading__") for name in params):
            params = {"reading": Reading()} | params
        super().set_params(**params)
        return self

    @own_settings()
    def score_samples(self, X: Any) -> FloatArray:
        """The score of each row in nats, higher for more normal rows: by default the pooled ELBO.

        The number depends on the row alone: not on the other rows of the call, their order or their number.  By
        default a missing cell is neutral: it costs what it was expected to cost, see `PooledELBO`.  In other scores it
        has no term, so that the units of its column decide what its absence does to the score;
        ``row_score="elbo_per_cell"`` divides by the number of observed cells.  Rows without any cell get an
        `EmptyRowWarning`.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (rows, columns), dict, Series, or list of dicts
            Rows with the columns of the training data: of a DataFrame, a dict or a Series by name.

        Returns
        -------
        ndarray of shape (rows,), float64
        """
        check_is_fitted(self)
        fitted = as_it_is(self)
        encoder = fitted.model_.encoder
        if encoder.takes_images and is_files(X):
            portions = read_portions(open_files(X, fitted.image_format_))
            return np.concatenate(
                [spread(fitted._scores(images) if usable.any() else np.empty(0), usable) for images, usable in portions]
            )
        return fitted._scores(read_rows(fitted, X, encoder), X)

    @overload
    def explain(self, X: pd.DataFrame) -> Explanation: ...

    @overload
    def explain(self, X: Any) -> Explanation | ImageExplanation: ...

    @own_settings()
    def explain(self, X: Any) -> Explanation | ImageExplanation:
        """Why rows are anomalous: every cell's share of the score, and what was expected instead.

        For images the shares are maps of nats per pixel, and the encoder sees all pixels.

        The contributions of the cells and the KL add up to `anomaly_score` for the scores "pooled_elbo", "local_ratio"
        and "elbo"; where a score pools several bounds, they are those of each, the more the bound counts for the row.
        `Explanation.charged` is how much of them is expected, for cells that are missing, which are never a reason.
        What is expected and how rare a cell is come from the other cells of its row: the cell itself is hidden from
        the encoder, so that it cannot explain itself, and so are suspicious cells, so that they do not make others
        look anomalous.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data; a pass for each column, so best the most anomalous few.

        Returns
        -------
        Explanation, or ImageExplanation for images

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(300, 2)) @ [[1.0, 0.9], [0.0, 0.2]]
        >>> explanation = VAEDetector(max_iter=200, early_stopping=False).fit(X).explain([[0.0, 5.0]])
        >>> explanation.reasons(1)[0][0].column
        'x1'
        >>> bool(np.isclose(explanation.contributions.sum(axis=1) + explanation.kl, explanation.score).all())
        True
        """
        check_is_fitted(self)
        if self.model_.takes_images:
            return explain_images(self.model_, read_images(self, X, self.model_.encoder))
        table = read_table(self, X, fitting=False)
        return explain_table(self._with_reference(), table, row_labels(X, table.n_rows))

    @own_settings()
    def transform(self, X: Any) -> FloatArray:
        """Posterior means of the latent variables.

        Every member has a latent space of its own, with axes that mean nothing to the others; they come side by
        side, member after member.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows.

        Returns
        -------
        ndarray of shape (rows, members * latents)
        """
        check_is_fitted(self)
        return latent_means(self.model_, read_rows(self, X, self.model_.encoder))

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Names of the columns of `transform`: ``member0_latent0``, ``member0_latent1``, ...

        Parameters
        ----------
        input_features : ignored
            For scikit-learn's interface.
        """
        check_is_fitted(self)
        members, latents = range(self.vae_.n_members), range(self.vae_.latent_dim)
        return np.array([f"member{m}_latent{i}" for m in members for i in latents], dtype=object)

    @own_settings()
    def reconstruct(self, X: Any) -> Any:
        """What the model expects in every cell, given the row: in the units and the container of `X`.

        Numbers are the mean over draws and members of p(x_j | z); levels are the most probable one under the
        members' mixture.  Missing cells are filled; columns that were set aside are NaN, and dates whose place in time
        is not modelled NaT.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows.

        Returns
        -------
        ndarray or DataFrame of shape (rows, columns)
        """
        check_is_fitted(self)
        rows = self._prepared(X)
        return pack_like(X, reconstruct(self.model_, read_rows(self, rows, self.model_.encoder)), rows)

    @own_settings()
    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Rows drawn from the model, in the units of the data.

        The ensemble is a mixture: each row comes from one member, chosen at random, by way of z from its prior.
        Columns that were set aside are NaN, dates whose place in time is not modelled NaT: declare them
        "datetime+trend".

        Parameters
        ----------
        n_samples : int, default=1
            Rows to draw.
        random_state : int, RandomState, Generator or None, default=None
            Source of randomness; global state is not touched.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, columns)
            A DataFrame if the detector was fitted on one with string names.

        Raises
        ------
        SpecificationError
            If `n_samples` is not a positive integer.
        """
        check_is_fitted(self)
        if not (isinstance(n_samples, int | np.integer) and n_samples >= 1):
            raise SpecificationError(f"n_samples is a positive integer, not {n_samples!r}.")
        names = getattr(self, "feature_names_in_", None)
        like = None if names is None else pd.DataFrame(index=range(n_samples), columns=names)
        return pack_like(like, sample_rows(self.model_, n_samples, new_seed(random_state)))

    @own_settings()
    def elbo_terms(self, X: Any) -> ELBOTerms:
        """The ELBO by member, row and cell, before anything is summed.

        The mean over members of ``elbo_terms(X).elbo`` is what `score_samples` returns for ``row_score="elbo"``; the
        default pools it with the bound of an independence model.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows.

        Returns
        -------
        ELBOTerms
        """
        check_is_fitted(self)
        return terms_by_member(self.model_, read_rows(self, X, self.model_.encoder))

    @property
    @own_settings()
    def training_scores_(self) -> FloatArray:
        """The score of each row of the fit, in nats, higher for more normal rows, where anomalies may be among them.

        A model that was trained on anomalies finds them less anomalous, and `score_samples` has to take them for new
        rows.  These are the scores that ``preset="robust"`` gives the same rows, with the parameters and the seed of
        the fit.  They are made when they are first asked for, in a second, shorter training, whose warnings are shown
        then: about a second for 10,000 rows.  With ``preset="robust"`` the detector's own model has them.  They are in
        other nats than `score_samples`: do not mix them in one ranking, nor compare them with `offset_`.

        `fit_predict` remains ``fit(X).predict(X)``, the judgement of new rows: for that of the rows of the fit take
        `training_decisions_`, or ``preset="robust"``, where both are the same.

        Returns
        -------
        ndarray of shape (rows,), float64
            In the order in which the rows were given; NaN for rows of weight 0, which had no part in the fit.

        Raises
        ------
        NotAvailable
            If the rows are not here any more: after `load`, unpickling, `partial_fit` or `forget_training_rows`, unless
            the scores were made before; or if they are images.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> X[0] = [5.0, -5.0]
        >>> detector = VAEDetector(max_iter=100, early_stopping=False).fit(X)
        >>> int(detector.training_scores_.argmin())
        0
        """
        return self._judged_rows().scores.copy()

    @property
    @own_settings()
    def training_decisions_(self) -> pd.DataFrame:
        """Scores, p-values and flags of the rows of the fit, as `decide` has them: see `training_scores_`.

        Calibration and threshold are those of the fit that made the scores, by its rule (`contamination`):
        `set_threshold` and `calibrate` move what new rows are judged by, and not these.

        Returns
        -------
        DataFrame
            Columns anomaly_score (nats), p_value (NaN without a calibration) and is_anomaly, with the index of the rows
            that were given; NaN and False for rows of weight 0.

        Raises
        ------
        NotAvailable
            If the rows are not here any more; see `training_scores_`.
        """
        return self._judged_rows().decisions.copy()

    @own_settings()
    def forget_training_rows(self) -> VAEDetector:
        """Let go of the rows of the fit, where memory counts: `training_scores_` is available no more.

        Nor does `learn` find the rows that calibrate.

        Returns
        -------
        VAEDetector
            The detector.
        """
        self._training_view = None
        self._kept_rows = KeptRows(None)
        return self

    def __dir__(self) -> list[str]:
        # What lists attributes reads them, as debuggers do, and scikit-learn to show a detector in a notebook.
        view = self._training_view
        if view is not None and view.is_made:
            return list(super().__dir__())
        twin = object.__new__(type(self))
        twin.__dict__ = self.__dict__ | {"_training_view": None}
        return [name for name in super(VAEDetector, twin).__dir__() if name not in MADE_WHEN_READ]

    @property
    def columns_(self) -> Columns:
        """What each column was taken for, why, and what was learned of it."""
        return Columns(self.model_.encoder.columns)

    @property
    def baseline_columns_(self) -> tuple[str, ...]:
        """Columns that say what the numbers of a row are compared with."""
        encoder = self.model_.encoder
        return encoder.baseline_names if isinstance(encoder, TableEncoder) else ()

    @property
    def decisions_(self) -> Decisions:
        """The threshold, and the calibration that it follows from."""
        return self.model_.decisions

    @decisions_.setter
    def decisions_(self, decisions: Decisions) -> None:
        with CHANGES:
            self.model_ = dataclasses.replace(self.model_, decisions=decisions)

    @property
    def history_(self) -> History:
        """The training, check by check."""
        return self.model_.history

    @property
    def n_iter_(self) -> int:
        """Optimisation steps made."""
        return self.model_.report.n_iter

    @property
    def row_score_(self) -> Score:
        """What `score_samples` returns."""
        return self.model_.score

    @property
    def fit_report_(self) -> FitReport:
        """How the training went."""
        return self.model_.report

    @property
    def encoder_(self) -> Encoder:
        """Turns tables or images into batches."""
        return self.model_.encoder

    @property
    def vae_(self) -> VAE:
        """The weights."""
        return self.model_.vae

    @property
    def noise_(self) -> Tensor:
        """The noise that all rows are scored with: (members, draws, 1, latents)."""
        return self.model_.noise

    picture_format_ = RenamedAttribute("image_format_")

    @property
    def image_format_(self) -> ImageFormat | None:
        """The format in which the model reads image files; None for tables."""
        return format_of_files(self, self.model_.encoder)

    @property
    def map_scale_(self) -> tuple[float, float]:
        """From how many nats per pixel on, and up to how many, maps of images are coloured.

        Raises
        ------
        NotAvailable
            If the model takes rows of a table.
        """
        if self.model_.map_scale is None:
            raise NotAvailable("the model takes rows of a table, which have no maps.")
        return self.model_.map_scale

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _learn_further(self, X: Any, sample_weight: Any, watch: Watch) -> None:
        """Take a batch of a stream into the sample, and train on."""
        initial = getattr(self, "model_", None)
        min_rows = 2 if initial is None else 1
        training = self._read_training(X, sample_weight, initial, min_rows=min_rows, streaming=True)
        earlier = self._earlier_sample()
        n_rows = training.data.n_rows + (0 if earlier is None else earlier.n_rows)
        config = fit_config(self, training.encoder, training.kind, n_rows)
        rng = np.random.default_rng([new_seed(self.random_state), 0 if earlier is None else earlier.n_seen])
        batch = training.encoder.encode(training.data)
        sample = RowSample.drawn(batch, training.weights, config.split.validation_fraction, rng, training.folds >= 0)
        if earlier is not None:
            sample = earlier.joined(sample)
        wanted = config.split.max_samples
        per_member = int(wanted) if isinstance(wanted, Integral) else SAMPLE_ROWS_PER_MEMBER
        sample = sample.reduced(config.network.n_members * per_member)
        if initial is not None:
            new_share = 0.0 if sample.is_too_small else float(1 - sample.trained.mean())
            steps = math.ceil(new_share * config.training.max_iter)
            fewer_steps = dataclasses.replace(config.training, max_iter=steps, kl_warmup=0.0)
            config = dataclasses.replace(config, training=fewer_steps)
        if config.training.max_iter:
            rows = dataclasses.replace(
                sample.rows(),
                before=None if initial is None else initial.decisions,
                augment=self._augmentation(training.encoder),
            )
            self._learn(training.encoder, rows, config, initial, watch)
            self._keep_columns(training.data, () if initial is None else initial.decisions.columns)
            sample = dataclasses.replace(sample, trained=np.ones_like(sample.trained))
        self._sample = sample
        self._training_view = None
        self._kept_rows = KeptRows(None)

    def _read_training(
        self,
        X: Any,
        sample_weight: Any,
        initial: FittedModel[Encoder] | None,
        *,
        min_rows: int,
        streaming: bool = False,
    ) -> _Training:
        """Training rows, those that calibrate, and what the columns are: as before, or learned from the other rows."""
        known = None if initial is None else initial.encoder
        data, weights, used = read_training_rows(self, X, sample_weight, known, min_rows)
        log_rows(data, used)
        if isinstance(data, Images):
            check_suits_images(self.preset)
        else:
            check_suits_tables(self.row_score, self.backbone, self.augment)
            if known is None:
                rules = (self.reading or Reading()).rules
                data = read_training_text(data, check_declarations(self._declared, data.names), rules)
        if known is not None:
            self._check_same_shape()
        data, weights, used = self._without_confirmed(data, weights, used)
        ids = row_ids(X, np.flatnonzero(used)) if isinstance(data, Table) else None
        return self._training(data, weights, used, ids, known, streaming=streaming)

    def _training(
        self,
        data: Table | Images,
        weights: FloatArray | None,
        used: npt.NDArray[np.bool_],
        ids: npt.NDArray[np.int64] | None,
        known: Encoder | None,
        *,
        streaming: bool = False,
    ) -> _Training:
        """What a fit learns from: rows as they were read, the part of each, and what the columns are."""
        kind, folds = self._folds(data, streaming=streaming)
        references = None
        if known is None:
            encoder, references = self._learned_encoder(data, weights, folds >= 0)
        else:
            encoder = known
        log_columns(encoder)
        groups = _groups_of(data, self.calibration_groups)
        return _Training(data, weights, used, encoder, kind, folds, ids, groups, references)

    def _folds(self, data: Table | Images, *, streaming: bool) -> tuple[CalibrationKind, npt.NDArray[np.intp]]:
        """How to calibrate, and in which fold each row does."""
        is_images = isinstance(data, Images)
        defaults = defaults_for(self.preset, images=is_images)
        score = resolved_score(self.row_score, defaults)
        n_members = self.n_estimators or defaults.n_estimators
        max_samples = self.max_samples or defaults.max_samples
        max_share = resolved_max_share(self.max_samples, defaults)
        limit = int(max_share * data.n_rows)
        kind = calibration_kind(
            self.calibration,
            data.n_rows,
            n_members,
            min(max_samples, limit) if isinstance(max_samples, Integral) else max_samples,
            by_member=isinstance(score, MemberScore) and not is_images and not streaming,
        )
        split = SplitConfig(max_samples, self.validation_fraction, kind, max_share)
        rng = np.random.default_rng([new_seed(self.random_state), SEED_OF_CALIBRATION])
        return kind, drawn_folds(data.n_rows, split, n_members, rng)

    def _learned_encoder(
        self, data: Table | Images, weights: FloatArray | None, calibrating: npt.NDArray[np.bool_]
    ) -> tuple[Encoder, References | None]:
        """What the columns are, learned from the rows that do not calibrate, and what numbers are compared with.

        Those of the rows that do not calibrate with others than their own.
        """

        def learned(chosen: npt.NDArray[np.intp] | None) -> tuple[Encoder, References | None]:
            return learn_encoder(
                data if chosen is None else data.take(chosen),
                weights if chosen is None or weights is None else weights[chosen],
                resolved_likelihood(self.likelihood),
                self._declared,
                missing_values=self.missing_values,
                model_missing=bool(self.model_missing),
                baseline=self._baseline,
            )

        if not calibrating.any():
            return learned(None)
        try:
            encoder, references = learned(np.flatnonzero(~calibrating))
            encoder.encode(data.take(np.flatnonzero(calibrating)))
        except DataError:
            # Only all rows together say what such a column is, and name the row that is wrong as it was given.
            return learned(None)
        if references is None or not isinstance(encoder, TableEncoder) or isinstance(data, Images):
            return encoder, None
        every = encoder.references(data)
        return encoder, None if every is None else every.replaced(np.flatnonzero(~calibrating), references)

    @property
    def _baseline(self) -> BaselineSpecification | None:
        """What numbers are compared by."""
        return resolved_baseline(self.baseline_by, self.baseline_time, self.baseline_units)

    @property
    def _declared(self) -> dict[str, str | Likelihood]:
        """What columns are said to be, by name."""
        return {str(name): kind for name, kind in (self.columns or {}).items()}

    def _calibration_groups(self) -> str | None:
        calibration = self.decisions_.calibration
        return self.calibration_groups if calibration is None else calibration.group_column

    def _augmentation(self, encoder: Encoder) -> Callable[[Batch, int], Batch] | None:
        """What changes the rows of mini-batches."""
        augment = resolve_augment(self.augment)
        if augment is None or not isinstance(encoder, ImageEncoder):
            return None
        check_suits_size(augment, *encoder.grid)
        return lambda batch, seed: encoder.augmented(batch, augment, seed)

    def _learn_from(self, training: _Training, initial: FittedModel[Encoder] | None, watch: Watch = NO_WATCH) -> int:
        """Fit the model; returns the seed."""
        data, encoder = training.data, training.encoder
        rows = TrainingRows(
            data.n_rows,
            training.encoded,
            training.weights,
            folds=training.folds,
            before=None if initial is None else initial.decisions,
            augment=self._augmentation(encoder),
            ids=training.ids,
            group_column=self.calibration_groups,
            groups=training.groups,
        )
        config = fit_config(self, encoder, training.kind, training.data.n_rows)
        return self._learn(encoder, rows, config, initial, watch)

    def _learn(
        self,
        encoder: Encoder,
        rows: TrainingRows,
        config: FitConfig,
        initial: FittedModel[Encoder] | None,
        watch: Watch,
    ) -> int:
        seed = new_seed(self.random_state)
        before = None if initial is None else initial.vae
        n_jobs = self.n_jobs
        if watch.callbacks:
            n_jobs = 1
            if self.n_jobs not in (None, 1) and config.network.n_members > BLOCK_MEMBERS:
                warnings.warn(FitWarning(WATCHED, "one_process"), stacklevel=callers_level())
        model = fit_model(encoder, rows, config, seed, watch.on_check(), before, watch.states, n_jobs)
        log_fit(model)
        for warning in model.report.warnings():
            warnings.warn(warning, stacklevel=callers_level())
        if self.calibration is not None:
            warn_if_uncalibrated(model.decisions, rows.n_rows)
        if any(column.kind in CONTINUOUS for column in encoder.columns):
            warn_if_repeated(model.decisions)
        self.fitted_parameters_ = copied_parameters(self)
        self.model_ = dataclasses.replace(model, answers=self._answers_of_before())
        return seed

    def _view_of(self, training: _Training, X: Any, seed: int, *, fixed: bool) -> TrainingView | None:
        """What will judge the rows of this fit, if they are of a table.

        Parameters
        ----------
        training : _Training
        X : array-like or DataFrame
            The rows as they were given.
        seed : int
            Of the fit.
        fixed : bool
            Whether the columns are those of an earlier fit.
        """
        if isinstance(training.data, Images):
            return None
        kept = dataclasses.replace(training, data=training.data.with_cells(unshared(training.data.cells, X)))
        labels = training.data.index
        if labels is None or not training.used.all():
            labels = row_labels(X, len(training.used))
        if self.preset == ROBUST:
            return TrainingView(partial(_judged, self.model_, kept, labels))
        own = {"preset": ROBUST, "random_state": seed, "warm_start": False, "callbacks": None}
        parameters = self.fitted_parameters_ | own
        return TrainingView(partial(_judged_robustly, parameters, kept, labels, fixed=fixed))

    def _judged_rows(self) -> JudgedRows:
        check_is_fitted(self)
        if self._training_view is None:
            raise NotAvailable(NOT_OF_IMAGES if self.model_.takes_images else NO_ROWS)
        return self._training_view.judged()

    def _check_same_shape(self) -> None:
        """Refuse to go on from weights of another shape."""
        present = self.get_params(deep=False)
        before = {
            "preset": DEFAULT,
            "baseline_by": None,
            "baseline_time": None,
            "baseline_units": "data",
        } | self.fitted_parameters_
        for name in SHAPE_PARAMETERS:
            now, then = (
                tuple(p[name]) if isinstance(p[name], list | np.ndarray) else p[name] for p in (present, before)
            )
            if now != then:
                raise SpecificationError(
                    f"{name} is {now!r} and was {then!r} in the fit before, whose weights this one starts from. Set it "
                    "back, or fit anew with warm_start=False."
                )

    def _earlier_sample(self) -> RowSample | None:
        """The sample of the stream so far; after `fit`, rows of that fit instead."""
        sample: RowSample | None = getattr(self, "_sample", None)
        model: FittedModel[Encoder] | None = getattr(self, "model_", None)
        if sample is not None or model is None or model.reference_rows is None:
            return sample
        rng = np.random.default_rng(new_seed(self.random_state))
        drawn = RowSample.drawn(model.reference_rows, None, self.validation_fraction, rng)
        return drawn.standing_for(model.report.n_rows)

    def _scores(self, data: Table | Images, X: Any = None) -> FloatArray:
        model = self.model_
        batch = model.encoder.encode(data, fingerprints=model.tells_copies)
        warn_of_empty_rows(model.encoder, batch, X)
        warn_of_new_groups(model.encoder, batch)
        return score_rows(model.vae, batch, model.score, model.noise).numpy()

    def _keep_columns(self, data: Table | Images, known: tuple[ColumnSample, ...]) -> None:
        """Keep what the columns of the training rows hold, or of the first batch of a stream."""
        if isinstance(data, Table):
            columns = known or column_samples(self.columns_, data)
            self.decisions_ = dataclasses.replace(self.decisions_, columns=columns)

    def _with_reference(self, *, cells: bool = False) -> FittedModel[Encoder]:
        """The model with what explanations, or p-values of cells, compare cells with, which the detector keeps."""
        model = with_cell_reference(self.model_) if cells else with_reference(self.model_)
        with CHANGES:
            if self.model_.vae is model.vae:
                self.model_ = dataclasses.replace(self.model_, reference=model.reference)
        return model

    def _without_confirmed(
        self, data: Table | Images, weights: FloatArray | None, used: npt.NDArray[np.bool_]
    ) -> tuple[Table | Images, FloatArray | None, npt.NDArray[np.bool_]]:
        """Training rows without those that a review found anomalous."""
        answers = self._answers_of_before()
        if answers is None or not answers.n_anomalies:
            return data, weights, used
        left = np.flatnonzero(~answers.found(digests_of(data), anomalous=True))
        n_left_out = data.n_rows - len(left)
        if not n_left_out:
            return data, weights, used
        warnings.warn(
            FitWarning(
                f"{n_left_out} of the rows were found anomalous in a review, and are left out of the fit; "
                "forget_answers() takes them in again",
                "reviewed",
            ),
            stacklevel=callers_level(),
        )
        if len(left) < 2:
            raise DataError(f"{len(left)} of the rows are left without those that a review found anomalous. Give more.")
        present = np.flatnonzero(used)
        kept = np.zeros_like(used)
        kept[present[left]] = True
        return data.take(left), None if weights is None else weights[left], kept

    def _answers_of_before(self) -> Answers | None:
        """What was found in rows, whatever a model learned of it."""
        model: FittedModel[Encoder] | None = getattr(self, "model_", None)
        answers = None if model is None else model.answers
        return None if answers is None else Answers(answers.digests, answers.is_anomaly)

    def _read(self, X: Any) -> Table | Images:
        return read_rows(self, X, self.model_.encoder)

    def _digests(self, X: Any) -> npt.NDArray[np.int64]:
        encoder = self.model_.encoder
        if encoder.takes_images and is_files(X):
            portions = read_portions(open_files(X, self.image_format_))
            return np.concatenate([spread(digests_of(images), usable) for images, usable in portions])
        return digests_of(self._read(X))

    def _reasons_of(self, X: Any, rows: npt.NDArray[np.intp]) -> list[str] | None:
        if self.model_.takes_images:
            return None
        table = read_table(self, X, fitting=False).take(rows)
        explanation = explain_table(self._with_reference(), table, pd.RangeIndex(len(rows)))
        return ["; ".join(map(str, of_row)) or NO_REASON for of_row in explanation.reasons(N_REASONS)]

    def _prepared(self, X: Any) -> Any:
        return X if self.model_.takes_images else aligned(self, X)[0]

    def _column_samples(self, X: Any) -> tuple[ColumnSample, ...]:
        if self.model_.takes_images:
            return ()
        return column_samples(self.columns_, read_table(self, X, fitting=False))

    def _nats_by_column(self, X: Any) -> pd.DataFrame | None:
        model = self.model_
        score = model.score
        if model.takes_images or not isinstance(score, AdditiveScore):
            return None
        model = self._with_reference()
        if model.reference is None:
            return None
        batch = model.encoder.encode(read_table(self, X, fitting=False))
        cells = score_shares(model.vae, batch.relative(), score, model.noise).cells
        nats = {
            "nats_before": model.encoder.by_column(model.reference.typical[:-1].numpy()),
            "nats_now": model.encoder.by_column(-cells.mean(0).numpy()),
        }
        return pd.DataFrame(nats, index=[column.name for column in self.columns_])

    def _with_reasons(self, listed: pd.DataFrame, X: Any) -> pd.DataFrame:
        if self.model_.takes_images:
            return listed
        ids = row_ids(X, np.arange(len(X)))
        known = bool(np.isin(listed["id"], ids).all())
        if known and len(listed):
            order = np.argsort(ids)
            places = order[np.searchsorted(ids, listed["id"], sorter=order)]
            rows = X.iloc[places] if isinstance(X, pd.DataFrame) else as_array(X)[places]
            suspects = self.calibration_.suspects
            folds = suspects.folds[suspects.positions(listed["id"])]
            scores = self._compared(rows).comparisons[np.arange(len(rows)), folds]
            known = bool(np.allclose(scores, listed["anomaly_score"], SCORE_TOLERANCE, SCORE_TOLERANCE))
        if not known:
            raise SpecificationError("X has not the rows of the audit. Give what was given to fit or calibrate.")
        if not len(listed):
            return listed.assign(reason=[])
        reasoned = listed.assign(reason=self._reasons_of(rows, np.arange(len(places))))
        return reasoned.set_axis(rows.index) if isinstance(rows, pd.DataFrame) else reasoned

    def _compared(self, X: Any) -> Compared:
        fitted = as_it_is(self)
        model = fitted.model_

        def compared(data: Table | Images) -> Compared:
            return _compared_rows(model, data, _groups_of(data, fitted._calibration_groups()), X)

        if model.takes_images and is_files(X):
            return Compared.over(read_portions(open_files(X, fitted.image_format_)), compared)
        return compared(read_rows(fitted, X, model.encoder))


@dataclass(frozen=True)
class _Training:
    """What a fit learns from, and which of the rows that were given it is; the rest as in `TrainingRows`."""

    data: Table | Images
    weights: FloatArray | None
    used: npt.NDArray[np.bool_]
    encoder: Encoder
    kind: CalibrationKind
    folds: npt.NDArray[np.intp]
    ids: npt.NDArray[np.int64] | None
    groups: npt.NDArray[np.object_] | None
    references: References | None = None

    def encoded(self, rows: npt.NDArray[np.intp] | slice = EVERY, *, fingerprints: bool = True) -> Batch:
        """Some rows as the model learns from them: their numbers are compared with others than their own."""
        data = self.data.take(rows)
        if self.references is None or isinstance(data, Images):
            return self.encoder.encode(data, fingerprints=fingerprints)
        assert isinstance(self.encoder, TableEncoder)
        return self.encoder.encode(data, fingerprints=fingerprints, references=self.references.take(rows))


def _compared_rows(
    model: FittedModel[Encoder],
    data: Table | Images,
    groups: npt.NDArray[np.object_] | None,
    X: Any = None,
    training: _Training | None = None,
) -> Compared:
    """Rows beside the calibration, with a warning of those that are empty where they were given as `X`."""

    def encoded(*, fingerprints: bool) -> Batch:
        if training is not None:
            return training.encoded(fingerprints=fingerprints)
        return model.encoder.encode(data, fingerprints=fingerprints)

    batch = encoded(fingerprints=model.tells_copies)
    if X is not None:
        warn_of_empty_rows(model.encoder, batch, X)
        warn_of_new_groups(model.encoder, batch)

    def fingerprints() -> npt.NDArray[np.int64]:
        known = batch if model.tells_copies else encoded(fingerprints=True)
        return known.fingerprints().numpy()

    calibration = model.decisions.calibration
    crossed = calibration is not None and calibration.kind == "cross"
    scores, comparisons = scores_and_comparisons(model.vae, batch, model.score, model.noise, by_member=crossed)
    base = likelihood_score_of(model.score)
    likelihood = None if base is model.score else -score_rows(model.vae, batch, base, model.noise).numpy()
    return Compared(-scores, -comparisons, fingerprints, groups, likelihood)


def _calibration_set(training: _Training, X: Any) -> CalibrationSet | None:
    """The rows of a table that calibrate since the fit."""
    rows = np.flatnonzero(training.folds >= 0)
    if training.kind == "none" or not len(rows) or training.ids is None:
        return None
    groups = None if training.groups is None else training.groups[rows]
    data = training.data.take(rows)
    assert isinstance(data, Table)
    data = data.with_cells(unshared(data.cells, X))
    references = None if training.references is None else training.references.take(rows)
    return CalibrationSet(data, training.folds[rows], training.ids[rows], groups, training.kind, references)


def _judged(model: FittedModel[Encoder], training: _Training, labels: pd.Index[Any]) -> JudgedRows:
    """Judge the rows of a fit.

    Parameters
    ----------
    model : FittedModel
        What judges.
    training : _Training
        The rows.
    labels : Index
        What the rows that were given are called, those without a part in the fit included.
    """
    compared = _compared_rows(model, training.data, training.groups, training=training)
    frame = decisions_frame(compared, model.decisions, pd.RangeIndex(len(compared.scores)))
    columns = {name: spread(frame[name].to_numpy(), training.used) for name in frame}
    return JudgedRows(spread(-compared.scores, training.used), pd.DataFrame(columns, index=labels))


def _judged_robustly(
    parameters: Mapping[str, Any], training: _Training, labels: pd.Index[Any], *, fixed: bool
) -> JudgedRows:
    """Train on the rows of a fit once more, and judge them.

    Parameters
    ----------
    parameters : dict
        Of this training.
    training, labels
        See `_judged`.
    fixed : bool
        Whether the columns are not learned anew.

    Raises
    ------
    KeyboardInterrupt
        If the training was interrupted: nobody would know that its scores are not those of another time.
    """
    detector = VAEDetector(**parameters)
    known = training.encoder if fixed else None
    own = detector._training(training.data, training.weights, training.used, training.ids, known)
    # Whoever reads the scores first may be the only process that does.
    with in_one_process():
        detector._learn_from(own, None)
    if detector.fit_report_.interrupted:
        raise KeyboardInterrupt
    return _judged(detector.model_, own, labels)


def _groups_of(data: Table | Images, name: str | None) -> npt.NDArray[np.object_] | None:
    """The calibration group of each row."""
    if name is None:
        return None
    if isinstance(data, Images):
        raise SpecificationError("calibration_groups names a column, and the rows are images. Leave it out.")
    return group_labels(data, name)


def warn_of_empty_rows(encoder: Encoder, batch: Batch, X: Any) -> None:
    """Warn of rows without any observed cell; whether a cell is missing is always observed."""
    observed = batch.observed.numpy()
    if observed.shape[1] and observed.all():
        return
    hideable = observed[:, encoder.hideable] if isinstance(encoder, TableEncoder) else observed
    empty = np.asarray(~hideable.any(axis=1))
    if empty.any():
        first = int(empty.argmax())
        item: Literal["row", "image"] = "image" if encoder.takes_images else "row"
        labels = pd.RangeIndex(len(empty)) if encoder.takes_images else row_labels(X, len(empty))
        label = labels[first] if len(labels) == len(empty) else first
        warnings.warn(EmptyRowWarning(int(empty.sum()), label, item), stacklevel=callers_level())


def warn_of_new_groups(encoder: Encoder, batch: Batch) -> None:
    """Warn where most rows are of groups that training did not have."""
    if batch.units is None or not isinstance(encoder, TableEncoder) or encoder.baseline is None:
        return
    n_new = int((batch.units.n_known_keys < len(encoder.baseline.keys)).sum())
    if n_new >= MIN_NEW_ROWS and 2 * n_new > len(batch):
        warnings.warn(NewGroupsWarning(n_new, len(batch)), stacklevel=callers_level())


def check_parameters(detector: VAEDetector) -> None:
    """Refuse parameters that no data could make right, before any data are read.

    Raises
    ------
    SpecificationError
        If a name is in no table, a layer has no units, missing values are none, a callback is none, or the device is
        not here.
    ValueError
        If a parameter of the training plan has a value that it cannot have.
    """
    if detector.training is not None:
        detector.training.validate()
    if detector.reading is not None:
        detector.reading.validate()
    check_names(detector.row_score, detector.backbone, detector.likelihood, detector.prior, detector.augment)
    missing_values = detector.missing_values
    for name in missing_values if isinstance(missing_values, Mapping) else ("",):
        given_codes(missing_values, name)
    if detector.hidden_layer_sizes is not None:
        checked_layer_sizes(detector.hidden_layer_sizes)
    check_callbacks(detector.callbacks)
    resolve_device(detector.device)


def fit_config(detector: VAEDetector, encoder: Encoder, calibration: CalibrationKind, n_rows: int) -> FitConfig:
    """The parameters of a detector, with every automatic value replaced by what it stands for.

    Parameters
    ----------
    detector : VAEDetector
    encoder : Encoder
        What the columns or channels are.
    calibration : {"split", "cross", "none"}
        How to calibrate.
    n_rows : int
        Training rows.

    Raises
    ------
    SpecificationError
        If a name is in no table, a layer has no units, or the device is not here; see `check_parameters`.
    """
    defaults = defaults_for(detector.preset, images=encoder.takes_images)
    plan = detector.training or TrainingPlan()
    score = resolved_score(detector.row_score, defaults)
    if not score.is_density and detector._baseline is not None:
        raise SpecificationError(
            f"row_score={type(score).__name__} is no log-density, so that baseline_by and baseline_time have no units "
            "to bring it to. Take 'pooled_elbo', 'elbo', 'importance_weighted' or 'reconstruction'."
        )
    backbone = resolved_backbone(detector.backbone, encoder)
    rate, hidden_fraction, trim_fraction = detector.learning_rate_init, plan.hidden_fraction, plan.trim_fraction
    return FitConfig(
        network=NetworkConfig(
            n_members=detector.n_estimators or defaults.n_estimators,
            latent_dim=resolved_latent_dim(detector.latent_dim, encoder, defaults),
            backbone=backbone,
            hidden_layer_sizes=resolved_layer_sizes(detector.hidden_layer_sizes, backbone, encoder),
            activation=detector.activation,
            mask_input=True,
        ),
        training=TrainingConfig(
            max_iter=resolved_max_iter(detector.max_iter, encoder, defaults, n_rows, detector.validation_fraction),
            batch_size=resolved_batch_size(detector.batch_size, encoder),
            learning_rate_init=defaults.learning_rate_init if rate is None else rate,
            weight_decay=plan.weight_decay,
            kl_warmup=plan.kl_warmup,
            hidden_fraction=defaults.hidden_fraction if hidden_fraction is None else hidden_fraction,
            trim_fraction=defaults.trim_fraction if trim_fraction is None else trim_fraction,
            max_grad_norm=plan.max_grad_norm,
            early_stopping=detector.early_stopping,
            n_iter_no_change=plan.n_iter_no_change,
            kl_weight=1.0,
        ),
        split=SplitConfig(
            max_samples=resolved_max_samples(detector.max_samples, encoder, defaults),
            validation_fraction=detector.validation_fraction,
            calibration=calibration,
            max_share=resolved_max_share(detector.max_samples, defaults),
        ),
        prior=resolved_prior(detector.prior, defaults),
        score=score,
        threshold=resolved_threshold(detector.contamination, score),
        device=resolve_device(detector.device),
        matmul_precision=plan.matmul_precision or UNCHANGED,
    )
