"""TrainingPlan: the training parameters that hardly anybody changes."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

from vae_anomaly.detectors.names import PrecisionName
from vae_anomaly.model import PRECISIONS


class TrainingPlan(BaseEstimator):
    """How a `VAEDetector` trains, beyond the parameters of its own.

    Parameters
    ----------
    weight_decay : float, default=1e-4
        Of AdamW.
    max_grad_norm : float, default=1.0
        Largest norm of a member's gradient, of the loss divided by the number of columns.
    kl_warmup : float, default=0.2
        Share of the steps over which the weight of the KL in the loss rises to 1.
    hidden_fraction : float, default=None
        In training, about a third of the rows have some cells hidden from the encoder, each with a probability
        drawn for the row between 0 and this; scores use the full view.  0 turns it off; None takes 0.6 for tables and
        0 for images.
    trim_fraction : float, default=None
        Share of each mini-batch, the rows with the largest loss, that is left out of the gradient, and the same share
        of the held-out bound and of the rows that an exemplar prior is made of, so that anomalies among the training
        rows are not learned.  None takes what the `preset` says: 0.15 for "robust", else 0.
    n_iter_no_change : int, default=5
        Checks without improvement of any member before stopping; a training of full length has 20 checks.
    matmul_precision : {"highest", "high", "medium"}, default=None
        Of matrix products in `fit`, as in ``torch.set_float32_matmul_precision``: on GPUs "high" is TF32 and "medium"
        may be bfloat16.  None leaves PyTorch as it is set.  On CUDA "highest" also keeps convolutions
        from being rounded to TF32, as PyTorch lets cuDNN do; scoring never rounds them.

    Examples
    --------
    >>> from vae_anomaly import TrainingPlan, VAEDetector
    >>> detector = VAEDetector(training=TrainingPlan(trim_fraction=0.1))
    >>> detector.set_params(training__weight_decay=0.0).training
    TrainingPlan(trim_fraction=0.1, weight_decay=0.0)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither")],
        "kl_warmup": [Interval(Real, 0, 1, closed="both")],
        "hidden_fraction": [Interval(Real, 0, 1, closed="left"), None],
        "trim_fraction": [Interval(Real, 0, 1, closed="left"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "matmul_precision": [StrOptions(set(PRECISIONS)), None],
    }

    def __init__(
        self,
        *,
        weight_decay: float = 1e-4,
        max_grad_norm: float = 1.0,
        kl_warmup: float = 0.2,
        hidden_fraction: float | None = None,
        trim_fraction: float | None = None,
        n_iter_no_change: int = 5,
        matmul_precision: PrecisionName | None = None,
    ) -> None:
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.kl_warmup = kl_warmup
        self.hidden_fraction = hidden_fraction
        self.trim_fraction = trim_fraction
        self.n_iter_no_change = n_iter_no_change
        self.matmul_precision = matmul_precision

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrainingPlan) and self.get_params() == other.get_params()

    # A plan can be changed.
    __hash__ = None  # type: ignore[assignment]

    def validate(self) -> None:
        """Refuse values that no training can have.

        Raises
        ------
        ValueError
            If a parameter has one.
        """
        self._validate_params()
