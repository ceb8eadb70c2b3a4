"""After a fit that failed, wherever it did, all is as before; and many threads may use one detector."""

import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from vae_anomaly import DataError, FeatureMapDetector, ImageFeatures, PatchDetector, VAEDetector
from vae_anomaly.columns import TableEncoder
from vae_anomaly.data import ColumnRoles
from vae_anomaly.detectors import image_features, vae_detector
from vae_anomaly.detectors.feature_maps import feature_map_detector
from vae_anomaly.detectors.patch import patch_detector
from vae_anomaly.fitting import fit as fitting

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

RNG = np.random.default_rng(7)
ROWS = pd.DataFrame(RNG.normal(size=(150, 3)), columns=["temp", "press", "flow"])
OTHERS = ROWS[["press", "flow", "temp"]] * 3 + 1
IMAGES = RNG.integers(0, 256, (16, 16, 16)).astype(np.uint8)
OTHER_IMAGES = RNG.integers(0, 256, (12, 12, 20)).astype(np.uint8)


class Stopped(BaseException):
    """Something that nobody expects."""


class Network(torch.nn.Module):
    """Maps of images."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images, 4)


def of_rows(**parameters: Any) -> VAEDetector:
    return VAEDetector(**({"n_estimators": 2, "max_iter": 4, "hidden_layer_sizes": (8,)} | parameters))


def of_patches() -> PatchDetector:
    return PatchDetector(n_windows=256, max_iter=2, window=8, hidden_layer_sizes=(8,))


def of_maps() -> FeatureMapDetector:
    return FeatureMapDetector(Network())


def known(detector: Any) -> dict[str, Any]:
    """All that a detector knows, as it is now."""
    return dict(vars(detector))


def assert_same(detector: Any, before: dict[str, Any]) -> None:
    now = vars(detector)
    assert now.keys() == before.keys()
    for name, value in before.items():
        assert now[name] is value, name


# Where a fit is stopped: a module, and a function that is called there.
POINTS_OF_ROWS: dict[str, tuple[Any, str]] = {
    "checking parameters": (vae_detector, "check_parameters"),
    "reading": (vae_detector, "read_training_rows"),
    "learning columns": (vae_detector, "learn_encoder"),
    "encoding": (TableEncoder, "encode"),
    "training": (fitting, "train_members"),
    "fitting the prior": (fitting, "fit_report"),
    "calibrating": (fitting, "_decisions"),
    "keeping columns": (vae_detector, "column_samples"),
    "at the end": (vae_detector, "warn_if_repeated"),
}


@pytest.fixture(scope="module")
def fitted() -> VAEDetector:
    detector = of_rows().fit(ROWS)
    detector.column_roles_ = ColumnRoles(ids=("order",))
    return detector


@pytest.mark.parametrize(
    ("point", "error"), list(zip(POINTS_OF_ROWS, 3 * [Stopped, KeyboardInterrupt, MemoryError], strict=True))
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_fit_that_is_stopped_anywhere_changes_nothing(
    method: str, point: str, error: type[BaseException], fitted: VAEDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = copy.deepcopy(fitted)
    before, scores = known(detector), detector.score_samples(ROWS[:9])
    unfitted = of_rows()
    parameters = known(unfitted)

    def stopped(*_: object, **__: object) -> None:
        raise error

    owner, name = POINTS_OF_ROWS[point]
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, stopped)
        rows = OTHERS if method == "fit" else pd.concat([ROWS] * 4)
        # A further batch takes columns as they are.
        if not (method == "partial_fit" and point in ("learning columns", "keeping columns")):
            with pytest.raises(error):
                getattr(detector, method)(rows)
            assert_same(detector, before)
        with pytest.raises(error):
            getattr(unfitted, method)(OTHERS)
    assert_same(unfitted, parameters)
    with pytest.raises(NotFittedError):
        check_is_fitted(unfitted)
    np.testing.assert_array_equal(detector.score_samples(ROWS[:9]), scores)


def test_a_refused_refit_leaves_names_and_scores(fitted: VAEDetector) -> None:
    detector = copy.deepcopy(fitted)
    scores, before = detector.score_samples(ROWS), known(detector)
    bad = ROWS[["press", "flow", "temp"]].copy()
    bad.iloc[7, 0] = np.inf
    with pytest.raises(DataError):
        detector.fit(bad)
    assert_same(detector, before)
    assert list(detector.feature_names_in_) == ["temp", "press", "flow"]
    np.testing.assert_array_equal(detector.score_samples(ROWS[["press", "flow", "temp"]]), scores)
    for wrong in (bad, ROWS[["press"]].to_numpy()[:0], 3.5, None, ROWS[:1]):
        with pytest.raises((ValueError, TypeError)):
            detector.fit(wrong)
        assert_same(detector, before)


def test_an_interrupt_before_the_first_check_of_the_training_changes_nothing(fitted: VAEDetector) -> None:
    detector = copy.deepcopy(fitted).set_params(max_iter=40)
    before = known(detector)
    taken = 0

    class Interrupts(np.random.RandomState):
        def randint(self, *arguments: Any, **options: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken > 1:
                raise KeyboardInterrupt
            return super().randint(*arguments, **options)

    detector.random_state = Interrupts(0)
    before = known(detector)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(OTHERS)
    assert taken == 2
    assert_same(detector, before)


def failing_after(function: Callable[..., Any], n: int) -> Callable[..., Any]:
    """A function that works so often, and stops everything then."""
    calls = 0

    def called(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > n:
            raise Stopped
        return function(*arguments, **options)

    return called


@pytest.mark.parametrize(
    ("owner", "name", "n"),
    [
        (patch_detector, "read_images", 0),
        (patch_detector, "geometries_of", 0),
        (patch_detector, "_learned_channels", 0),
        (patch_detector, "learn_windows", 0),
        (patch_detector, "fit_model", 0),
        (patch_detector, "position_helps", 0),
        (patch_detector, "decisions_of", 0),
        (patch_detector, "image_fingerprints", 0),
    ],
)
def test_a_fit_of_windows_that_is_stopped_anywhere_changes_nothing(
    owner: Any, name: str, n: int, patches: PatchDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, unfitted = copy.deepcopy(patches), of_patches()
    before, parameters = known(detector), known(unfitted)
    scores = detector.score_samples(IMAGES[:2])
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, failing_after(getattr(owner, name), n))
        for one in (detector, unfitted):
            with pytest.raises(Stopped):
                one.fit(OTHER_IMAGES)
    assert_same(detector, before)
    assert_same(unfitted, parameters)
    np.testing.assert_array_equal(detector.score_samples(IMAGES[:2]), scores)


@pytest.mark.parametrize(
    "name", ["open_given", "network_outputs", "decisions_of", "image_fingerprints", "learn_channels"]
)
def test_a_fit_of_maps_that_is_stopped_anywhere_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, unfitted = of_maps().fit(IMAGES), of_maps()
    before, parameters = known(detector), known(unfitted)
    scores = detector.score_samples(IMAGES[:2])
    with monkeypatch.context() as patched:
        patched.setattr(feature_map_detector, name, failing_after(getattr(feature_map_detector, name), 0))
        for one in (detector, unfitted):
            with pytest.raises(Stopped):
                one.fit(OTHER_IMAGES)
    assert_same(detector, before)
    assert_same(unfitted, parameters)
    np.testing.assert_array_equal(detector.score_samples(IMAGES[:2]), scores)


@pytest.fixture(scope="module")
def patches() -> PatchDetector:
    return of_patches().fit(IMAGES)


CHANGES: dict[str, Callable[[VAEDetector], Any]] = {
    "set_threshold": lambda one: one.set_threshold(false_alarm_rate=1e-9),
    "set_threshold, two rules": lambda one: one.set_threshold(score=1.0, contamination=0.1),
    "set_threshold, labels": lambda one: one.set_threshold(labels=(ROWS, [2] * 150)),
    "offset_": lambda one: setattr(one, "offset_", "text"),
    "calibrate": lambda one: one.calibrate(ROWS[:40]),
    "calibrate, nothing": lambda one: one.calibrate(ROWS[:0]),
    "audit": lambda one: one.audit(0),
    "audit, other rows": lambda one: one.audit(3, OTHERS),
    "confirm": lambda one: one.confirm([10**9], [True]),
    "check_drift": lambda one: one.check_drift(ROWS[["temp"]]),
    "score_samples": lambda one: one.score_samples(ROWS[["temp"]]),
    "explain": lambda one: one.explain(ROWS[["temp"]]),
    "partial_fit": lambda one: one.partial_fit(ROWS[["temp"]]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_fails_changes_nothing(name: str, fitted: VAEDetector) -> None:
    detector = copy.deepcopy(fitted)
    before = known(detector)
    with pytest.raises((ValueError, TypeError)):
        CHANGES[name](detector)
    assert_same(detector, before)


def test_threads_that_score_during_a_fit_find_the_old_model_or_the_new(fitted: VAEDetector) -> None:
    detector = copy.deepcopy(fitted)
    old = detector.score_samples(ROWS[:20])
    new = of_rows(max_iter=30).fit(OTHERS).score_samples(ROWS[:20])
    found: list[np.ndarray] = []
    stop = threading.Event()

    def score() -> None:
        while not stop.is_set():
            found.append(detector.score_samples(ROWS[:20]))

    thread = threading.Thread(target=score)
    thread.start()
    try:
        detector.set_params(max_iter=30).fit(OTHERS)
    finally:
        stop.set()
        thread.join()
    assert found
    kinds = {one.tobytes() for one in found}
    assert kinds <= {old.tobytes(), new.tobytes()}
    assert old.tobytes() in kinds
    np.testing.assert_array_equal(detector.score_samples(ROWS[:20]), new)


def test_many_threads_on_one_detector_find_what_one_finds(fitted: VAEDetector) -> None:
    detector = copy.deepcopy(fitted)
    calls: dict[str, Callable[[], np.ndarray]] = {
        "score": lambda: detector.score_samples(ROWS),
        "explain": lambda: detector.explain(ROWS[:3]).contributions.to_numpy(dtype=float),
        "sample": lambda: detector.sample(50, random_state=0).to_numpy(),
        "transform": lambda: detector.transform(ROWS),
        "p-values": lambda: detector.p_values(ROWS),
    }
    expected = {name: call() for name, call in calls.items()}
    detector = copy.deepcopy(fitted)
    names = list(calls) * 4

    def step(number: int) -> np.ndarray:
        if number % 3 == 0:
            detector.set_threshold(score=3.0 + number)
        return calls[names[number]]()

    with ThreadPoolExecutor(5) as pool:
        for number, found in enumerate(pool.map(step, range(len(names)))):
            np.testing.assert_array_equal(found, expected[names[number]])


def test_an_explanation_keeps_a_threshold_that_was_moved_meanwhile(
    fitted: VAEDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = copy.deepcopy(fitted)
    assert detector.model_.reference is None
    with_reference = vae_detector.with_reference

    def slow(model: Any) -> Any:
        found = with_reference(model)
        detector.set_threshold(score=4.5)
        return found

    monkeypatch.setattr(vae_detector, "with_reference", slow)
    detector.explain(ROWS[:2])
    assert detector.threshold_.score == 4.5
    assert detector.model_.reference is not None


def test_checks_of_drift_from_several_threads_all_count(fitted: VAEDetector) -> None:
    detector = copy.deepcopy(fitted)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: detector.check_drift(ROWS[:10]), range(6)))
    stream = detector.decisions_.stream
    assert stream is not None
    assert stream.n_seen == 60


def test_networks_that_several_threads_use_stay_in_evaluation_mode() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(1), torch.nn.Flatten())
    features = ImageFeatures(network, batch_size=2)
    expected = features.fit_transform(IMAGES)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: features.transform(IMAGES), range(12)):
            np.testing.assert_array_equal(found, expected)
    assert network.training
    assert int(network[0].num_batches_tracked) == 0
    assert not image_features._EVALUATION.users


def test_fitted_detectors_can_be_pickled_and_copied(fitted: VAEDetector, patches: PatchDetector) -> None:
    for detector, given in ((fitted, ROWS), (patches, IMAGES[:2])):
        for twin in (pickle.loads(pickle.dumps(detector)), copy.copy(detector)):
            np.testing.assert_array_equal(twin.score_samples(given), detector.score_samples(given))
