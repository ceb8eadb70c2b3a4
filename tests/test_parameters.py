"""What the parameters of detectors may be, and when wrong ones are refused."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from vae_anomaly import FeatureMapDetector, PatchDetector, SpecificationError, TrainingPlan, VAEDetector

NUMBERS = np.random.default_rng(0).normal(size=(60, 2))
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8)).astype(np.uint8)


def small(**parameters: Any) -> VAEDetector:
    return VAEDetector(max_iter=5, early_stopping=False, **parameters)


class Unread:
    """Data that nobody may read."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the data were asked for {name}")


NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
NAMED_WRONGLY = [
    {"row_score": "none"},
    {"backbone": "none"},
    {"likelihood": "none"},
    {"prior": "none"},
    {"hidden_layer_sizes": (8, 0)},
    {"hidden_layer_sizes": (1.5,)},
    {"hidden_layer_sizes": [[8]]},
    {"training": TrainingPlan(weight_decay=-1)},
    {"training": TrainingPlan(kl_warmup="long")},  # type: ignore[arg-type]
    pytest.param({"device": "cuda"}, marks=NO_CUDA),
]


@pytest.mark.parametrize("parameters", NAMED_WRONGLY)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_wrong_parameter_is_refused_before_any_data_are_read(parameters: dict[str, Any], method: str) -> None:
    (name,) = parameters
    with pytest.raises(ValueError, match=rf"{name}|TrainingPlan"):
        getattr(small(**parameters), method)(Unread())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"row_score": "surprise"}, "row_score=Surprise compares pixels"),
        ({"backbone": "convolutional"}, "takes images, and the rows are of a table"),
        ({"backbone": "convolutional", "hidden_layer_sizes": (8,)}, "takes images, and the rows are of a table"),
        ({"augment": torch.neg}, "augment changes images"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_is_for_images_is_refused_before_columns_are_inferred(
    parameters: dict[str, Any], message: str, method: str
) -> None:
    frame = pd.DataFrame({"x": NUMBERS[:, 0], "empty": np.nan})
    with warnings.catch_warnings():
        # A column that is set aside would be announced.
        warnings.simplefilter("error")
        with pytest.raises(SpecificationError, match=message):
            getattr(small(**parameters), method)(frame)


@pytest.mark.parametrize("sizes", [(0,), (2.5,), [[8]]])
def test_patch_detector_refuses_layers_without_units_before_any_data_are_read(sizes: Any) -> None:
    with pytest.raises(SpecificationError, match="positive integers"):
        PatchDetector(hidden_layer_sizes=sizes).fit(Unread())


@NO_CUDA
@pytest.mark.parametrize("detector", [PatchDetector(device="cuda"), FeatureMapDetector(torch.neg, device="cuda")])
def test_absent_device_is_refused_before_images_are_read(detector: Any) -> None:
    with pytest.raises(SpecificationError, match="no CUDA device"):
        detector.fit(Unread())


def test_training_parameters_are_searched_without_a_plan() -> None:
    search = GridSearchCV(small(), {"training__kl_warmup": [0.0, 0.5]}, cv=2).fit(NUMBERS)
    assert search.best_params_["training__kl_warmup"] == search.best_estimator_.training.kl_warmup


def test_set_params_changes_the_plan_that_is_there() -> None:
    detector = small(training=TrainingPlan(trim_fraction=0.1)).set_params(training__kl_warmup=0.5)
    assert detector.training == TrainingPlan(trim_fraction=0.1, kl_warmup=0.5)
    assert clone(detector).training == detector.training
    with pytest.raises(ValueError, match="Invalid parameter 'none' for estimator TrainingPlan"):
        detector.set_params(training__none=1)


def test_parameters_of_the_fit_stay_when_what_they_hold_is_changed() -> None:
    detector = small(columns={"x0": "continuous"}, hidden_layer_sizes=[8], training=TrainingPlan()).fit(NUMBERS)
    detector.columns["x0"] = "identifier"  # type: ignore[index]
    detector.hidden_layer_sizes.append(4)  # type: ignore[union-attr]
    detector.training.kl_warmup = 0.9  # type: ignore[union-attr]
    kept = detector.fitted_parameters_
    assert (kept["columns"], kept["hidden_layer_sizes"], kept["training"]) == (
        {"x0": "continuous"},
        [8],
        TrainingPlan(),
    )


def test_fit_goes_on_from_weights_whose_layer_sizes_are_an_array() -> None:
    detector = small(hidden_layer_sizes=np.array([8, 8]), warm_start=True).fit(NUMBERS)
    first = detector.score_samples(NUMBERS)
    assert not np.array_equal(detector.fit(NUMBERS).score_samples(NUMBERS), first)
    with pytest.raises(SpecificationError, match="hidden_layer_sizes is"):
        detector.set_params(hidden_layer_sizes=np.array([8, 4])).fit(NUMBERS)
