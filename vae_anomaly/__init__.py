"""Anomaly detection with variational autoencoders whose score is the negative ELBO, in nats."""

from vae_anomaly.backbones import MLP
from vae_anomaly.comparison import Comparison, NumericEncoder, Verdict, compare, simple_detectors
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
from vae_anomaly.explanation import Explanation, Reason
from vae_anomaly.likelihoods import (
    Bernoulli,
    Binary,
    BoundedStudentT,
    Categorical,
    Constant,
    ContinuousBernoulli,
    Gaussian,
    Ordinal,
    Poisson,
    RoundedStudentT,
    SpikedBoundedStudentT,
    SpikedRoundedStudentT,
    SpikedStudentT,
    StudentT,
    UnitGaussian,
)
from vae_anomaly.metrics import anomaly_average_precision, anomaly_labels, anomaly_roc_auc
from vae_anomaly.priors import Exemplar, StandardNormal
from vae_anomaly.scores import ELBO, KL, ELBOPerCell, ImportanceWeighted, PooledELBO, Reconstruction
from vae_anomaly.store import load, read_manifest, save
from vae_anomaly.version import __version__

__all__ = [
    "ELBO",
    "KL",
    "MLP",
    "Bernoulli",
    "Binary",
    "BoundedStudentT",
    "Categorical",
    "CellTypeError",
    "Comparison",
    "Constant",
    "ContinuousBernoulli",
    "DataError",
    "DataWarning",
    "ELBOPerCell",
    "Exemplar",
    "Explanation",
    "FitWarning",
    "Gaussian",
    "ImportanceWeighted",
    "ModelFileError",
    "NumericEncoder",
    "Ordinal",
    "Poisson",
    "PooledELBO",
    "Reason",
    "Reconstruction",
    "RoundedStudentT",
    "SpecificationError",
    "SpikedBoundedStudentT",
    "SpikedRoundedStudentT",
    "SpikedStudentT",
    "StandardNormal",
    "StudentT",
    "TrainingDiverged",
    "UnitGaussian",
    "VAEAnomalyError",
    "VAEDetector",
    "Verdict",
    "__version__",
    "anomaly_average_precision",
    "anomaly_labels",
    "anomaly_roc_auc",
    "compare",
    "load",
    "read_manifest",
    "save",
    "simple_detectors",
]
