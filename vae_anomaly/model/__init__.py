"""The variational autoencoders: weights, objective and training."""

from __future__ import annotations

from vae_anomaly.model.backbones import (
    ACTIVATIONS,
    BACKBONES,
    MLP,
    Backbone,
    Convolutional,
    MLPBody,
    resolve_backbone,
)
from vae_anomaly.model.convolutions import repeatable_convolutions
from vae_anomaly.model.device import resolve_device
from vae_anomaly.model.elbo import Terms, elbo_terms, expected_log_likelihood, marginal_terms, saturated_terms
from vae_anomaly.model.experts import KNOTS, Experts, missing_share, stretches
from vae_anomaly.model.kernel_bounds import LEVEL_SMOOTHING, fit_kernels, kernel_bound, kernel_terms, nearest_centres
from vae_anomaly.model.kernels import MAX_KERNELS, ArrangedKernels, Kernels
from vae_anomaly.model.learned_offset import LearnedOffset, OffsetFeatures
from vae_anomaly.model.matmul import (
    PRECISIONS,
    UNCHANGED,
    batch_invariant_gradients,
    exact_products,
    matmul_precision_of,
)
from vae_anomaly.model.member_blocks import BLOCK_MEMBERS, TrainingTask, train_members
from vae_anomaly.model.priors import (
    LOG_2PI,
    PRIORS,
    Exemplar,
    FittedExemplar,
    FittedMixture,
    FittedPrior,
    FittedStandardNormal,
    Mixture,
    Posterior,
    Prior,
    StandardNormal,
    precise,
    resolve_prior,
)
from vae_anomaly.model.ranks import data_parallel, in_one_process
from vae_anomaly.model.steps import TrainingConfig
from vae_anomaly.model.threads import one_thread, parallel_map, threads_for, usual_threads
from vae_anomaly.model.torch_settings import each_in_own_settings, own_settings
from vae_anomaly.model.training import History, OnCheck, StopTraining, TrainingCheck
from vae_anomaly.model.training_state import TrainingState, TrainingStates, packed_state
from vae_anomaly.model.vae import MAX_LOG_VARIANCE, NOISE_GAIN, VAE

__all__ = [
    "ACTIVATIONS",
    "BACKBONES",
    "BLOCK_MEMBERS",
    "KNOTS",
    "LEVEL_SMOOTHING",
    "LOG_2PI",
    "MAX_KERNELS",
    "MAX_LOG_VARIANCE",
    "MLP",
    "NOISE_GAIN",
    "PRECISIONS",
    "PRIORS",
    "UNCHANGED",
    "VAE",
    "ArrangedKernels",
    "Backbone",
    "Convolutional",
    "Exemplar",
    "Experts",
    "FittedExemplar",
    "FittedMixture",
    "FittedPrior",
    "FittedStandardNormal",
    "History",
    "Kernels",
    "LearnedOffset",
    "MLPBody",
    "Mixture",
    "OffsetFeatures",
    "OnCheck",
    "Posterior",
    "Prior",
    "StandardNormal",
    "StopTraining",
    "Terms",
    "TrainingCheck",
    "TrainingConfig",
    "TrainingState",
    "TrainingStates",
    "TrainingTask",
    "batch_invariant_gradients",
    "data_parallel",
    "each_in_own_settings",
    "elbo_terms",
    "exact_products",
    "expected_log_likelihood",
    "fit_kernels",
    "in_one_process",
    "kernel_bound",
    "kernel_terms",
    "marginal_terms",
    "matmul_precision_of",
    "missing_share",
    "nearest_centres",
    "one_thread",
    "own_settings",
    "packed_state",
    "parallel_map",
    "precise",
    "repeatable_convolutions",
    "resolve_backbone",
    "resolve_device",
    "resolve_prior",
    "saturated_terms",
    "stretches",
    "threads_for",
    "train_members",
    "usual_threads",
]
