"""VAEDetector and baselines compared on a table with known anomalies, and which of them to take."""

from vae_anomaly.comparison.classifier import AnomalyClassifier
from vae_anomaly.comparison.encoding import NumericEncoder
from vae_anomaly.comparison.measurement import Setting, compare
from vae_anomaly.comparison.metrics import anomaly_average_precision, anomaly_labels, anomaly_roc_auc
from vae_anomaly.comparison.results import Comparison
from vae_anomaly.comparison.simple import simple_detectors
from vae_anomaly.comparison.verdicts import Verdict

__all__ = [
    "AnomalyClassifier",
    "Comparison",
    "NumericEncoder",
    "Setting",
    "Verdict",
    "anomaly_average_precision",
    "anomaly_labels",
    "anomaly_roc_auc",
    "compare",
    "simple_detectors",
]
