"""p(x_j | z): how a column's cells are distributed once the latent variables are known."""

from __future__ import annotations

from vae_anomaly.likelihoods.base import ColumnConstants, Likelihood, OrderedLikelihood, mixed
from vae_anomaly.likelihoods.categorical import Binary, Categorical, Constant, OpenCategorical
from vae_anomaly.likelihoods.conditional import Given, Predicted
from vae_anomaly.likelihoods.continuous import ContinuousBernoulli, Gaussian, StudentT, UnitGaussian
from vae_anomaly.likelihoods.discrete import Bernoulli, Poisson
from vae_anomaly.likelihoods.interval import FAR, BoundedStudentT, Ordinal, RoundedStudentT
from vae_anomaly.likelihoods.logistic import DiscretizedLogistic
from vae_anomaly.likelihoods.spiked import SpikedBoundedStudentT, SpikedRoundedStudentT, SpikedStudentT
from vae_anomaly.likelihoods.student_t4 import DF
from vae_anomaly.registry import resolve

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": Gaussian,
    "unit_gaussian": UnitGaussian,
    "student_t": StudentT,
    "rounded_student_t": RoundedStudentT,
    "bounded_student_t": BoundedStudentT,
    "spiked_student_t": SpikedStudentT,
    "spiked_rounded_student_t": SpikedRoundedStudentT,
    "spiked_bounded_student_t": SpikedBoundedStudentT,
    "continuous_bernoulli": ContinuousBernoulli,
    "bernoulli": Bernoulli,
    "binary": Binary,
    "categorical": Categorical,
    "constant": Constant,
    "ordinal": Ordinal,
    "poisson": Poisson,
    "discretized_logistic": DiscretizedLogistic,
}


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
    """
    return resolve(likelihood, Likelihood, LIKELIHOODS, "likelihood")


__all__ = [
    "DF",
    "FAR",
    "LIKELIHOODS",
    "Bernoulli",
    "Binary",
    "BoundedStudentT",
    "Categorical",
    "ColumnConstants",
    "Constant",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "Gaussian",
    "Given",
    "Likelihood",
    "OpenCategorical",
    "OrderedLikelihood",
    "Ordinal",
    "Poisson",
    "Predicted",
    "RoundedStudentT",
    "SpikedBoundedStudentT",
    "SpikedRoundedStudentT",
    "SpikedStudentT",
    "StudentT",
    "UnitGaussian",
    "mixed",
    "resolve_likelihood",
]
