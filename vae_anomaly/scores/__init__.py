"""From terms to nats per row."""

from __future__ import annotations

from vae_anomaly.registry import resolve
from vae_anomaly.scores.base import AdditiveScore, MemberScore, RelativeScore, Score, Shares
from vae_anomaly.scores.bounds import (
    ELBO,
    KL,
    ELBOPerCell,
    ImportanceWeighted,
    Reconstruction,
)
from vae_anomaly.scores.learned import additive_of, likelihood_score_of, with_learned
from vae_anomaly.scores.local_ratio import LocalRatio, pool_of
from vae_anomaly.scores.ood import (
    DebiasedELBO,
    InputComplexity,
    LikelihoodPath,
    LikelihoodRatio,
    LikelihoodRegret,
)
from vae_anomaly.scores.pool import PooledELBO
from vae_anomaly.scores.surprise import Surprise

SCORES: dict[str, type[Score]] = {
    "pooled_elbo": PooledELBO,
    "local_ratio": LocalRatio,
    "elbo": ELBO,
    "elbo_per_cell": ELBOPerCell,
    "importance_weighted": ImportanceWeighted,
    "reconstruction": Reconstruction,
    "kl": KL,
    "debiased_elbo": DebiasedELBO,
    "input_complexity": InputComplexity,
    "likelihood_ratio": LikelihoodRatio,
    "likelihood_regret": LikelihoodRegret,
    "likelihood_path": LikelihoodPath,
    "surprise": Surprise,
}


def resolve_score(score: str | Score) -> Score:
    """A score by its name in `SCORES`, or the instance itself.

    Raises
    ------
    SpecificationError
        If it is neither.

    Examples
    --------
    >>> resolve_score("elbo")
    ELBO(n_draws=4)
    """
    return resolve(score, Score, SCORES, "row_score")


__all__ = [
    "ELBO",
    "KL",
    "SCORES",
    "AdditiveScore",
    "DebiasedELBO",
    "ELBOPerCell",
    "ImportanceWeighted",
    "InputComplexity",
    "LikelihoodPath",
    "LikelihoodRatio",
    "LikelihoodRegret",
    "LocalRatio",
    "MemberScore",
    "PooledELBO",
    "Reconstruction",
    "RelativeScore",
    "Score",
    "Shares",
    "Surprise",
    "additive_of",
    "likelihood_score_of",
    "pool_of",
    "resolve_score",
    "with_learned",
]
