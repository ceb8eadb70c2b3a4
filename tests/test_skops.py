"""What skops takes of a detector, and what takes its place for a fitted one."""

import io

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vae_anomaly import TrainingPlan, VAEDetector, load, save

pytest.importorskip("skops", reason="skops is not installed")

from skops import io as skops_io

ROWS = np.random.default_rng(0).normal(size=(100, 2))


def of_rows() -> VAEDetector:
    return VAEDetector(max_iter=2, early_stopping=False, training=TrainingPlan(kl_warmup=0.5))


def test_skops_takes_parameters_of_a_detector_that_is_not_fitted() -> None:
    content = skops_io.dumps(make_pipeline(StandardScaler(), of_rows()))
    names = skops_io.get_untrusted_types(data=content)
    assert {name.rpartition(".")[2] for name in names} == {"VAEDetector", "TrainingPlan"}
    detector = skops_io.loads(content, trusted=names)[-1]
    assert detector.get_params() == of_rows().get_params()


def test_skops_refuses_a_fitted_detector_and_our_file_takes_it() -> None:
    """It knows no tensors of PyTorch, and says so before it writes anything: docs/guide/watching.md."""
    detector = of_rows().fit(ROWS)
    with pytest.raises(RuntimeError, match="Cannot directly construct"):
        skops_io.dumps(detector)
    buffer = io.BytesIO()
    save(detector, buffer)
    np.testing.assert_array_equal(load(buffer.getvalue()).score_samples(ROWS), detector.score_samples(ROWS))
