"""The variational autoencoders: weights, objective and training."""

from __future__ import annotations

from vae_anomaly.model.backbones import (
    ACTIVATIONS,
    BACKBONES,
    MLP,
    Backbone,
    Body,
    Convolutional,
    MemberLinear,
    MLPBody,
    resolve_backbone,
)
from vae_anomaly.model.device import resolve_device
from vae_anomaly.model.elbo import Terms, elbo_terms, expected_log_likelihood, marginal_terms, saturated_terms
from vae_anomaly.model.matmul import LANES, PRECISIONS, batch_invariant_gradients, matmul_precision_of
from vae_anomaly.model.priors import (
    LOG_2PI,
    PRIORS,
    Exemplar,
    FittedExemplar,
    FittedPrior,
    FittedStandardNormal,
    Posterior,
    Prior,
    StandardNormal,
    precise,
    resolve_prior,
)
from vae_anomaly.model.steps import FlatWeights, MiniBatch, MiniBatches, Plan, Redraw, Stepper
from vae_anomaly.model.threads import map_in_threads, one_thread, threads_for
from vae_anomaly.model.training import History, train
from vae_anomaly.model.vae import MAX_LOG_VARIANCE, VAE

__all__ = [
    "ACTIVATIONS",
    "BACKBONES",
    "LANES",
    "LOG_2PI",
    "MAX_LOG_VARIANCE",
    "MLP",
    "PRECISIONS",
    "PRIORS",
    "VAE",
    "Backbone",
    "Body",
    "Convolutional",
    "Exemplar",
    "FittedExemplar",
    "FittedPrior",
    "FittedStandardNormal",
    "FlatWeights",
    "History",
    "MLPBody",
    "MemberLinear",
    "MiniBatch",
    "MiniBatches",
    "Plan",
    "Posterior",
    "Prior",
    "Redraw",
    "StandardNormal",
    "Stepper",
    "Terms",
    "batch_invariant_gradients",
    "elbo_terms",
    "expected_log_likelihood",
    "map_in_threads",
    "marginal_terms",
    "matmul_precision_of",
    "one_thread",
    "precise",
    "resolve_backbone",
    "resolve_device",
    "resolve_prior",
    "saturated_terms",
    "threads_for",
    "train",
]
