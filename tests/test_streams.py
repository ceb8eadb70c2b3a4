"""Fits that go on: batches of a stream, and a warm start."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vae_anomaly import SpecificationError, TrainingDiverged, VAEDetector, load, save
from vae_anomaly.columns.batch import Batch
from vae_anomaly.fitting.row_sample import MIN_ROWS, RowSample

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")


def small(**parameters: object) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=60).set_params(**parameters)


def rows_of(n_rows: int, seed: int = 0, center: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(center, 1, size=(n_rows, 3))


def sample_of(n_rows: int, first: int = 0, seed: int = 0) -> RowSample:
    values = torch.arange(float(first), float(first + n_rows)).unsqueeze(1)
    return RowSample.drawn(Batch(values, values >= 0), None, 0.1, np.random.default_rng(seed))


def test_every_row_of_a_stream_has_the_same_chance_to_stay() -> None:
    counts = np.zeros(100)
    for seed in range(1000):
        sample = sample_of(40, seed=2 * seed).reduced(10).joined(sample_of(60, 40, 2 * seed + 1)).reduced(10)
        assert sample.n_seen == 100
        counts[sample.batch.values.flatten().long()] += 1
    assert counts.sum() == 10_000
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100)
    assert abs(counts[:40].mean() - counts[40:].mean()) < 5


def test_rows_that_stand_for_more_leave_newcomers_their_share() -> None:
    kept = [
        sample_of(50, seed=2 * seed).standing_for(1000).joined(sample_of(1000, 50, 2 * seed + 1)).reduced(10_000)
        for seed in range(40)
    ]
    n_new = np.mean([(sample.batch.values >= 50).sum() for sample in kept])
    n_old = np.mean([(sample.batch.values < 50).sum() for sample in kept])
    assert n_old == 50
    assert n_new == pytest.approx(50, abs=4)


def test_kept_rows_keep_what_belongs_to_them() -> None:
    sample = sample_of(30)
    reduced = sample.reduced(7)
    indices = reduced.batch.values.flatten().long().numpy()
    assert indices.tolist() == sorted(indices)
    np.testing.assert_array_equal(reduced.keys, sample.keys[indices])
    np.testing.assert_array_equal(reduced.held_out, sample.held_out[indices])
    assert reduced.keys.max() <= np.sort(sample.keys)[6]


def test_first_batch_is_learned_like_a_table_and_later_ones_in_less_steps() -> None:
    detector = small(max_samples=100, early_stopping=False)
    steps = [detector.partial_fit(rows_of(200, seed)).n_iter_ for seed in range(4)]
    assert steps[0] == 60
    assert steps[1] == pytest.approx(30, abs=8)
    assert steps[3] == pytest.approx(15, abs=8)
    assert detector._sample is not None
    assert detector._sample.n_seen == 800
    assert len(detector._sample.keys) == 200


def test_steps_of_small_batches_are_those_of_all_rows_so_far() -> None:
    detector = VAEDetector(n_estimators=1, hidden_layer_sizes=(2,), early_stopping=False)
    steps = [detector.partial_fit(rows_of(60, seed)).n_iter_ for seed in range(2)]
    assert steps == [100, pytest.approx(350, abs=60)]


def test_stream_is_learned_as_well_as_the_whole_table() -> None:
    X = np.random.default_rng(0).multivariate_normal([0, 0, 0], [[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]], size=2000)
    anomalous = np.array([[2.0, -2.0, 0.0]])
    whole = small(max_iter=150, row_score="elbo", calibration=None).fit(X)
    detector = small(max_iter=150, row_score="elbo", calibration=None)
    for part in np.split(X, 8):
        detector.partial_fit(part)
    assert detector.score(X) == pytest.approx(whole.score(X), abs=0.15)
    assert detector.anomaly_score(anomalous)[0] > detector.anomaly_score(X).max()
    assert 0 < (detector.predict(X) < 0).mean() < 0.02


def test_rows_that_come_later_are_no_longer_anomalous() -> None:
    detector = small(max_iter=200).partial_fit(rows_of(600))
    moved = rows_of(600, seed=1, center=6.0)
    before = detector.predict(moved).mean()
    after = detector.partial_fit(moved).predict(moved).mean()
    assert before < -0.9
    assert after > 0.9


def test_streams_with_one_seed_agree() -> None:
    found = []
    for _ in range(2):
        detector = small()
        for seed in range(3):
            detector.partial_fit(rows_of(100, seed))
        found.append(detector.score_samples(rows_of(50, 9)))
    np.testing.assert_array_equal(found[0], found[1])


def test_weights_of_a_batch_count() -> None:
    X = np.concatenate([rows_of(200), rows_of(200, 1, center=8.0)])
    weights = np.repeat([1.0, 0.0], 200)
    detector = small(max_iter=200).partial_fit(X, sample_weight=weights).partial_fit(X, sample_weight=weights)
    assert detector._sample is not None
    assert detector._sample.n_seen == 400
    assert detector.predict(X[200:]).mean() < -0.9


def test_after_a_fit_its_rows_count_as_many_as_they_were() -> None:
    X = rows_of(3000)
    detector = small(max_iter=100).fit(X)
    before = detector.score(X)
    detector.partial_fit(rows_of(60, 1, center=5.0))
    assert detector.n_iter_ <= 10
    assert detector.score(X) > before - 1
    assert detector._sample is not None
    assert detector._sample.n_seen == 3060


def test_loaded_detector_waits_for_enough_rows(tmp_path: Path) -> None:
    X = rows_of(400)
    save(small(early_stopping=False).fit(X), tmp_path / "model.vae")
    detector = load(tmp_path / "model.vae")
    before = detector.score_samples(X)
    detector.partial_fit(rows_of(MIN_ROWS - 1, 1))
    np.testing.assert_array_equal(detector.score_samples(X), before)
    detector.partial_fit(rows_of(1, 2))
    assert not np.array_equal(detector.score_samples(X), before)
    assert detector.n_iter_ == 60


def test_batch_of_other_columns_is_refused() -> None:
    detector = small().partial_fit(rows_of(50))
    with pytest.raises(ValueError, match="features"):
        detector.partial_fit(np.zeros((5, 4)))
    with pytest.raises(ValueError, match="non-zero"):
        detector.partial_fit(rows_of(5), sample_weight=np.zeros(5))


def test_warm_start_goes_on_from_the_weights() -> None:
    X = rows_of(500)
    cold = small(max_iter=20).fit(X)
    first = cold.history_.validation_elbo[-1]
    warm = small(max_iter=20, warm_start=True).fit(X)
    np.testing.assert_array_equal(warm.score_samples(X), cold.score_samples(X))
    locations = [column.location for column in warm.columns_]
    warm.fit(X)
    assert warm.history_.validation_elbo[-1] > first
    warm.fit(rows_of(500, 1, center=0.5))
    assert [column.location for column in warm.columns_] == locations


def test_failed_warm_start_leaves_the_fitted_weights_alone() -> None:
    X = rows_of(300)
    detector = small(warm_start=True).fit(X)
    before = detector.score_samples(X)
    with pytest.raises(TrainingDiverged):
        detector.set_params(learning_rate_init=1e30, max_iter=1).fit(X)
    np.testing.assert_array_equal(detector.score_samples(X), before)


@pytest.mark.parametrize(
    ("name", "value"), [("n_estimators", 3), ("latent_dim", 2), ("hidden_layer_sizes", (8,)), ("activation", "relu")]
)
def test_going_on_with_another_shape_is_refused(name: str, value: object) -> None:
    X = rows_of(60)
    detector = small(warm_start=True).fit(X).set_params(**{name: value})
    with pytest.raises(SpecificationError, match=f"{name} is .* and was .* in the fit before"):
        detector.fit(X)
    with pytest.raises(SpecificationError, match=name):
        detector.partial_fit(X)


def test_sizes_given_as_a_list_are_the_same_shape() -> None:
    detector = small(warm_start=True, hidden_layer_sizes=[8, 4]).fit(rows_of(60))
    detector.set_params(hidden_layer_sizes=(8, 4)).fit(rows_of(60))
