"""Anomaly detection with variational autoencoders whose score is the negative ELBO, in nats."""

from vae_anomaly.backbones import MLP
from vae_anomaly.detector import VAEDetector
from vae_anomaly.errors import (
    CellTypeError,
    DataError,
    DataWarning,
    FitWarning,
    ModelFileError,
    SpecificationError,
    TrainingDiverged,
    VAEAnomalyError,
)
from vae_anomaly.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Poisson,
    StudentT,
    UnitGaussian,
)
from vae_anomaly.metrics import anomaly_average_precision, anomaly_labels, anomaly_roc_auc
from vae_anomaly.priors import Exemplar, StandardNormal
from vae_anomaly.scores import ELBO, KL, ELBOPerCell, ImportanceWeighted, Reconstruction
from vae_anomaly.store import load, read_manifest, save
from vae_anomaly.version import __version__

__all__ = [
    "ELBO",
    "KL",
    "MLP",
    "Bernoulli",
    "Categorical",
    "CellTypeError",
    "ContinuousBernoulli",
    "DataError",
    "DataWarning",
    "ELBOPerCell",
    "Exemplar",
    "FitWarning",
    "Gaussian",
    "ImportanceWeighted",
    "ModelFileError",
    "Poisson",
    "Reconstruction",
    "SpecificationError",
    "StandardNormal",
    "StudentT",
    "TrainingDiverged",
    "UnitGaussian",
    "VAEAnomalyError",
    "VAEDetector",
    "__version__",
    "anomaly_average_precision",
    "anomaly_labels",
    "anomaly_roc_auc",
    "load",
    "read_manifest",
    "save",
]
