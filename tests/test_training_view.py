"""What a detector says of the rows of its fit: the scores of the robust preset, made when they are asked for."""

import copy
import inspect
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vae_anomaly import TrainingPlan, VAEDetector, load, save
from vae_anomaly.deprecation import OldNameWarning
from vae_anomaly.detectors import vae_detector
from vae_anomaly.errors import NotAvailable
from vae_anomaly.model.steps import Stepper

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

RNG = np.random.default_rng(3)
X = RNG.normal(size=(240, 3))
FRAME = pd.DataFrame(
    {
        "speed": X[:, 0],
        "kind": np.where(X[:, 1] > 0, "up", "down"),
        "load": np.where(X[:, 2] > 1, np.nan, X[:, 2]),
        "price": [f"${abs(value):,.2f}" for value in X[:, 0] + X[:, 1]],
    },
    index=[f"row {number}" for number in range(240)],
)


def small(**parameters: Any) -> VAEDetector:
    return VAEDetector(**({"n_estimators": 2, "max_iter": 12, "hidden_layer_sizes": (8,)} | parameters))


@pytest.mark.parametrize(
    "rows",
    [X, X.astype(np.float32), X.tolist(), FRAME, FRAME[["speed", "load"]]],
    ids=["array", "single", "list", "frame", "numbers"],
)
@pytest.mark.parametrize("parameters", [{}, {"preset": "accurate", "contamination": 0.1, "random_state": 5}], ids=str)
def test_rows_of_the_fit_have_the_scores_and_decisions_of_the_robust_preset(
    rows: Any, parameters: dict[str, Any]
) -> None:
    detector = small(**parameters).fit(rows)
    robust = small(**parameters | {"preset": "robust"}).fit(rows)
    np.testing.assert_array_equal(detector.training_scores_, robust.score_samples(rows))
    pd.testing.assert_frame_equal(detector.training_decisions_, robust.decide(rows), check_exact=True)
    np.testing.assert_array_equal(robust.training_scores_, robust.score_samples(rows))
    pd.testing.assert_frame_equal(robust.training_decisions_, robust.decide(rows), check_exact=True)
    assert not np.array_equal(detector.training_scores_, detector.score_samples(rows))


def test_the_view_has_the_trimming_and_the_steps_of_its_preset_unless_they_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configs = []

    def noted(*arguments: Any) -> Any:
        configs.append(arguments[2].training)
        return fit_model(*arguments)

    fit_model = vae_detector.fit_model
    monkeypatch.setattr(vae_detector, "fit_model", noted)
    plan = TrainingPlan(trim_fraction=0.3)
    for parameters in ({"max_iter": 12}, {"max_iter": 12, "training": plan}):
        detector = VAEDetector(n_estimators=2, **parameters).fit(X)
        plan.trim_fraction = 0.0
        detector.set_params(max_iter=1)
        _ = detector.training_scores_
        _ = detector.training_scores_
    assert [(config.max_iter, config.trim_fraction) for config in configs] == [
        (12, 0.0),
        (12, 0.15),
        (12, 0.0),
        (12, 0.0),
    ]


def test_a_fit_trains_once_and_who_asks_later_trains_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    n_fits = 0

    def counted(*arguments: Any) -> Any:
        nonlocal n_fits
        n_fits += 1
        return fit_model(*arguments)

    fit_model = vae_detector.fit_model
    monkeypatch.setattr(vae_detector, "fit_model", counted)
    detector = small().fit(X)
    twin = copy.deepcopy(detector)
    # What lists attributes, as a notebook does to show a detector, does not start a training.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OldNameWarning)
        inspect.getmembers(detector)
    detector._repr_html_()
    assert n_fits == 1
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: detector.training_scores_, range(4)))
    assert n_fits == 2
    np.testing.assert_array_equal(found[0], found[3])
    np.testing.assert_array_equal(twin.training_scores_, found[0])
    _ = detector.training_decisions_
    assert n_fits == 2
    assert "training_scores_" in dir(detector)
    found[0][:] = 0
    assert (detector.training_scores_ != 0).all()


@pytest.mark.parametrize("rows", [X, FRAME, FRAME[["speed", "load"]]], ids=["array", "frame", "numbers in a frame"])
def test_rows_that_are_changed_after_the_fit_do_not_change_the_view(rows: Any) -> None:
    expected = small().fit(rows).training_scores_
    own = rows.copy()
    weights = np.ones(len(rows))
    detector = small().fit(own, sample_weight=None)
    if isinstance(own, np.ndarray):
        own[:] = 7.0
    else:
        own.iloc[:, 0] = 7.0
        own.loc["row 3", "load"] = 1e6
        own.index = range(len(own))
    np.testing.assert_array_equal(detector.training_scores_, expected)
    weighted = small().fit(rows, sample_weight=weights)
    weights[:] = 0
    assert np.isfinite(weighted.training_scores_).all()


def test_rows_without_weight_have_no_score_and_keep_their_place() -> None:
    weights = np.ones(240)
    weights[[0, 17]] = 0
    used = weights > 0
    for preset in ("default", "robust"):
        detector = small(preset=preset).fit(FRAME, sample_weight=weights)
        decisions = detector.training_decisions_
        assert list(decisions.index) == list(FRAME.index)
        np.testing.assert_array_equal(np.isnan(detector.training_scores_), ~used)
        np.testing.assert_array_equal(decisions["anomaly_score"], -detector.training_scores_)
        assert not decisions["is_anomaly"][~used].any()
        assert decisions.dtypes.astype(str).tolist() == ["float64", "float64", "bool"]
    robust = small(preset="robust").fit(FRAME[used], sample_weight=weights[used])
    np.testing.assert_array_equal(detector.training_scores_[used], robust.score_samples(FRAME[used]))


def test_pickles_and_model_files_have_what_was_made_and_no_rows(tmp_path: Any) -> None:
    detector = small().fit(X)
    before = pickle.loads(pickle.dumps(detector))
    save(detector, tmp_path / "model.vae")
    for other in (before, load(tmp_path / "model.vae"), clone(detector).partial_fit(X)):
        assert not hasattr(other, "training_scores_")
        with pytest.raises(NotAvailable, match=r"fit VAEDetector\(preset='robust'\) on the rows"):
            _ = other.training_decisions_
    scores = detector.training_scores_
    after = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(after.training_scores_, scores)
    pd.testing.assert_frame_equal(after.training_decisions_, detector.training_decisions_)
    assert X.tobytes()[:64] not in pickle.dumps(small().fit(X)._training_view)
    with pytest.raises(NotAvailable, match="forget_training_rows"):
        _ = detector.forget_training_rows().training_scores_
    with pytest.raises(NotAvailable, match="partial_fit"):
        _ = small().fit(X).partial_fit(X).training_scores_
    with pytest.raises(NotFittedError):
        _ = small().training_scores_


def test_images_have_no_view() -> None:
    detector = small(max_iter=2).fit(RNG.normal(size=(12, 4, 4)))
    with pytest.raises(NotAvailable, match="the model takes images"):
        _ = detector.training_scores_


@pytest.mark.parametrize("preset", ["default", "robust"])
def test_a_threshold_that_is_moved_is_that_of_new_rows(preset: str) -> None:
    detector = small(preset=preset, contamination=0.2).fit(X)
    expected = copy.deepcopy(detector).training_decisions_
    detector.set_threshold(score=1e6).calibrate(RNG.normal(size=(50, 3)))
    pd.testing.assert_frame_equal(detector.training_decisions_, expected)
    assert 10 < expected["is_anomaly"].sum() < 100


def test_a_view_of_random_entropy_is_made_with_the_seed_of_the_fit() -> None:
    detector = small(random_state=np.random.default_rng(0)).fit(X)
    twin = copy.deepcopy(detector)
    # The view takes nothing out of the caller's generator.
    assert detector.random_state.bit_generator.state == twin.random_state.bit_generator.state
    scores = detector.training_scores_
    np.testing.assert_array_equal(scores, twin.training_scores_)
    assert detector.random_state.bit_generator.state == twin.random_state.bit_generator.state


def test_the_second_training_may_fail_and_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = small().fit(X)
    with monkeypatch.context() as patched:
        patched.setattr(vae_detector, "fit_model", lambda *_: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            _ = detector.training_scores_
    step, n_steps = Stepper.step, 0

    def interrupted(*arguments: Any) -> None:
        nonlocal n_steps
        n_steps += 1
        if n_steps > 5:
            raise KeyboardInterrupt
        step(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _ = detector.training_scores_
    scores = detector.training_scores_
    np.testing.assert_array_equal(scores, small(preset="robust").fit(X).score_samples(X))
    with pytest.raises(ValueError, match="infinity"):
        detector.fit(np.full((9, 3), np.inf))
    np.testing.assert_array_equal(detector.training_scores_, scores)


def test_a_warm_start_judges_its_own_rows_with_the_columns_as_they_were() -> None:
    detector = small(warm_start=True).fit(X)
    first = detector.training_scores_
    detector.fit(3 * X[:100])
    assert detector.training_scores_.shape == (100,)
    assert not np.array_equal(detector.training_scores_, first[:100])


def test_the_view_of_grouped_rows_has_p_values_by_group_and_odd_cells_do_not_stop_it() -> None:
    frame = FRAME.assign(amount=[*map(str, np.arange(239) % 17), "unknown?"])
    detector = small(calibration_groups="kind").fit(frame)
    decisions = detector.training_decisions_
    assert decisions["p_value"].between(0, 1).all()
    assert np.isfinite(detector.training_scores_).all()


def test_a_pipeline_passes_the_view_on() -> None:
    pipeline = make_pipeline(StandardScaler(), small()).fit(X)
    expected = small(preset="robust").fit(StandardScaler().fit_transform(X))
    np.testing.assert_array_equal(pipeline[-1].training_scores_, expected.training_scores_)


def test_anomalies_that_were_trained_on_stand_out_in_the_view() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(570, 2)), rng.normal(5.0, 0.05, size=(30, 2))])
    scores = VAEDetector(max_iter=150).fit(rows).training_scores_
    assert scores[570:].max() < np.quantile(scores[:570], 0.01)
