"""p(x_j | z): how a column's cells are distributed once the latent variables are known."""

from __future__ import annotations

from collections.abc import Callable

from vae_anomaly.likelihoods.base import ColumnFacts, Constants, Likelihood, single
from vae_anomaly.likelihoods.bounded import Bounded
from vae_anomaly.likelihoods.categorical import Binary, Categorical
from vae_anomaly.likelihoods.conditional import InputOnly, OutputOnly
from vae_anomaly.likelihoods.constant import Constant
from vae_anomaly.likelihoods.continuous_bernoulli import FLAT_LOGIT, ContinuousBernoulli
from vae_anomaly.likelihoods.discrete import MAX_LOG_RATE, STIRLING_FROM, Bernoulli, Poisson
from vae_anomaly.likelihoods.distribution import CellDistribution
from vae_anomaly.likelihoods.gaussian import Gaussian, UnitGaussian
from vae_anomaly.likelihoods.gradients import Backward, StatesGradient
from vae_anomaly.likelihoods.logistic import MAX_LOG_SCALE, STEPS_OF_MIN_SCALE, DiscretizedLogistic
from vae_anomaly.likelihoods.noise import MIN_MASS, OUTERMOST
from vae_anomaly.likelihoods.ordinal import Ordinal
from vae_anomaly.likelihoods.rounded import MAX_ANGLE, Rounded, RoundedDistribution
from vae_anomaly.likelihoods.spiked import PEAK, TOLERANCE, Spiked
from vae_anomaly.likelihoods.student_t import StudentT
from vae_anomaly.likelihoods.student_t4 import DF
from vae_anomaly.likelihoods.student_t_wrapped import (
    BoundedStudentT,
    RoundedStudentT,
    SpikedBoundedStudentT,
    SpikedRoundedStudentT,
    SpikedStudentT,
)
from vae_anomaly.likelihoods.wrappable import LINEAR_RANGE, WrappableLikelihood
from vae_anomaly.registry import resolve

LIKELIHOODS: dict[str, Callable[[], Likelihood]] = {
    "gaussian": Gaussian,
    "student_t": StudentT,
    "rounded_student_t": RoundedStudentT,
    "bounded_student_t": BoundedStudentT,
    "spiked_student_t": SpikedStudentT,
    "spiked_rounded_student_t": SpikedRoundedStudentT,
    "spiked_bounded_student_t": SpikedBoundedStudentT,
    "unit_gaussian": UnitGaussian,
    "continuous_bernoulli": ContinuousBernoulli,
    "bernoulli": Bernoulli,
    "binary": Binary,
    "categorical": Categorical,
    "constant": Constant,
    "ordinal": Ordinal,
    "poisson": Poisson,
    "discretized_logistic": DiscretizedLogistic,
}
"""What makes the default likelihood of each name that users may give."""

LIKELIHOOD_CLASSES: dict[str, type[Likelihood]] = {
    **{name: make for name, make in LIKELIHOODS.items() if isinstance(make, type)},
    "rounded": Rounded,
    "bounded": Bounded,
    "spiked": Spiked,
    "input_only": InputOnly,
    "output_only": OutputOnly,
}
"""All classes of likelihoods, by the names of model files."""


def resolve_likelihood(likelihood: str | Likelihood) -> Likelihood:
    """A likelihood by its name in `LIKELIHOODS`, or the instance itself.

    Raises
    ------
    SpecificationError
        If it is neither.

    Examples
    --------
    >>> resolve_likelihood("poisson")
    Poisson()
    >>> resolve_likelihood("rounded_student_t")
    Rounded(base=StudentT(df=4.0, floor=0.05))
    """
    return resolve(likelihood, Likelihood, LIKELIHOODS, "likelihood")


__all__ = [
    "DF",
    "FLAT_LOGIT",
    "LIKELIHOODS",
    "LIKELIHOOD_CLASSES",
    "LINEAR_RANGE",
    "MAX_ANGLE",
    "MAX_LOG_RATE",
    "MAX_LOG_SCALE",
    "MIN_MASS",
    "OUTERMOST",
    "PEAK",
    "STEPS_OF_MIN_SCALE",
    "STIRLING_FROM",
    "TOLERANCE",
    "Backward",
    "Bernoulli",
    "Binary",
    "Bounded",
    "BoundedStudentT",
    "Categorical",
    "CellDistribution",
    "ColumnFacts",
    "Constant",
    "Constants",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "Gaussian",
    "InputOnly",
    "Likelihood",
    "Ordinal",
    "OutputOnly",
    "Poisson",
    "Rounded",
    "RoundedDistribution",
    "RoundedStudentT",
    "Spiked",
    "SpikedBoundedStudentT",
    "SpikedRoundedStudentT",
    "SpikedStudentT",
    "StatesGradient",
    "StudentT",
    "UnitGaussian",
    "WrappableLikelihood",
    "resolve_likelihood",
    "single",
]
