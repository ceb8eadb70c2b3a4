"""Which likelihood has which graph."""

from __future__ import annotations

from typing import Any

from vae_anomaly.errors import SpecificationError
from vae_anomaly.export.level_graphs import (
    BernoulliGraph,
    BinaryGraph,
    CategoricalGraph,
    ConstantGraph,
    ContinuousBernoulliGraph,
    LogisticGraph,
    OrdinalGraph,
    OutputOnlyGraph,
    PoissonGraph,
)
from vae_anomaly.export.likelihood_graph import Constants, LikelihoodGraph
from vae_anomaly.export.number_graphs import (
    BoundedGraph,
    GaussianGraph,
    InputOnlyGraph,
    LearnedStudentTGraph,
    RoundedGraph,
    SpikedGraph,
    UnitGaussianGraph,
)
from vae_anomaly.likelihoods import (
    Bernoulli,
    Binary,
    Bounded,
    Categorical,
    Constant,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Gaussian,
    InputOnly,
    Likelihood,
    Ordinal,
    OutputOnly,
    Poisson,
    Rounded,
    Spiked,
    StudentT,
    UnitGaussian,
)

LIKELIHOOD_GRAPHS: dict[type[Likelihood], type[LikelihoodGraph[Any]]] = {
    Bernoulli: BernoulliGraph,
    Binary: BinaryGraph,
    Bounded: BoundedGraph,
    Categorical: CategoricalGraph,
    Constant: ConstantGraph,
    ContinuousBernoulli: ContinuousBernoulliGraph,
    DiscretizedLogistic: LogisticGraph,
    Gaussian: GaussianGraph,
    InputOnly: InputOnlyGraph,
    Ordinal: OrdinalGraph,
    OutputOnly: OutputOnlyGraph,
    Poisson: PoissonGraph,
    Rounded: RoundedGraph,
    Spiked: SpikedGraph,
    StudentT: LearnedStudentTGraph,
    UnitGaussian: UnitGaussianGraph,
}


def graph_of(likelihood: Likelihood, width: int, constants: Constants) -> LikelihoodGraph[Any]:
    """The graph of a likelihood for a group of columns.

    Raises
    ------
    SpecificationError
        If it has none.
    """
    if type(likelihood) not in LIKELIHOOD_GRAPHS:
        raise SpecificationError(
            f"{likelihood.title} has no ONNX graph; expected one of "
            f"{', '.join(sorted(known.__name__ for known in LIKELIHOOD_GRAPHS))}. Give its columns another likelihood, "
            "or score with the model file."
        )
    wrapped = getattr(likelihood, "base", None)
    base = None if wrapped is None else graph_of(wrapped, width, constants)
    return LIKELIHOOD_GRAPHS[type(likelihood)](likelihood, width, constants, base)
