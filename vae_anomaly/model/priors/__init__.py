"""p(z): the distribution of the latent variables before a row is seen."""

from __future__ import annotations

from vae_anomaly.model.priors.base import LOG_2PI, FittedPrior, Posterior, Prior, precise
from vae_anomaly.model.priors.exemplar import Exemplar, FittedExemplar
from vae_anomaly.model.priors.mixture import FittedMixture, Mixture
from vae_anomaly.model.priors.standard_normal import FittedStandardNormal, StandardNormal
from vae_anomaly.registry import resolve

PRIORS: dict[str, type[Prior]] = {"standard_normal": StandardNormal, "exemplar": Exemplar, "mixture": Mixture}


def resolve_prior(prior: str | Prior) -> Prior:
    """A prior by its name in `PRIORS`, or the instance itself.

    Raises
    ------
    SpecificationError
        If it is neither.

    Examples
    --------
    >>> resolve_prior("standard_normal")
    StandardNormal()
    """
    return resolve(prior, Prior, PRIORS, "prior")


__all__ = [
    "LOG_2PI",
    "PRIORS",
    "Exemplar",
    "FittedExemplar",
    "FittedMixture",
    "FittedPrior",
    "FittedStandardNormal",
    "Mixture",
    "Posterior",
    "Prior",
    "StandardNormal",
    "precise",
    "resolve_prior",
]
