"""The detector on images: layouts, scores, explanations, missing values, streams, and scikit-learn's tools."""

import math
import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vae_anomaly import DataError, SpecificationError, TrainingPlan, VAEDetector
from vae_anomaly.detectors.parameters import FOR_IMAGES
from vae_anomaly.likelihoods import LIKELIHOODS
from vae_anomaly.model.backbones import MLP, Convolutional
from vae_anomaly.scores import ELBO, SCORES

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")

SIZE = 12
SPOT = slice(3, 6)


PIXEL_LIKELIHOODS = pytest.mark.parametrize(
    "likelihood", [name for name, make in LIKELIHOODS.items() if make().traits.for_pixels]
)


def bars(n_images, seed=0):
    """Blurred bars, upright or level, on a dim noisy ground."""
    rng = np.random.default_rng(seed)
    index, width = rng.uniform(2, 9, (n_images, 1, 1)), rng.uniform(0.8, 1.6, (n_images, 1, 1))
    line = np.exp(-(((np.arange(SIZE) - index) / width) ** 2)).repeat(SIZE, 1)
    upright = rng.random((n_images, 1, 1)) < 0.5
    shades = 20 + 180 * np.where(upright, line, line.transpose(0, 2, 1)) + 5 * rng.normal(size=line.shape)
    return shades.round().clip(0, 255).astype(np.uint8)


TRAIN, NEW = bars(300), bars(40, seed=1)
SPOTTED = NEW.copy()
SPOTTED[:, SPOT, SPOT] = 255
CHECKERBOARD = (np.indices((SIZE, SIZE)).sum(0) % 2 * 255).astype(np.uint8)
PARTIAL = NEW.astype(np.float32)
PARTIAL[:, 8:, :3] = np.nan


def small(**parameters):
    fast = {
        "backbone": "convolutional",
        "n_estimators": 1,
        "hidden_layer_sizes": (8,),
        "latent_dim": 3,
        "batch_size": 32,
        "max_iter": 30,
    }
    return VAEDetector(**(fast | {"row_score": "elbo", "random_state": 0} | parameters))


def dense(**parameters):
    return small(**({"backbone": "mlp", "hidden_layer_sizes": (32,), "max_iter": 200} | parameters))


@pytest.fixture(scope="module", params=["mlp", "convolutional"])
def fitted(request):
    if request.param == "mlp":
        return dense(n_estimators=2).fit(TRAIN)
    return small(n_estimators=2, max_iter=60).fit(TRAIN)


def test_automatic_parameters_are_those_of_images():
    detector = VAEDetector(max_iter=1).fit(TRAIN[:60])
    assert detector.vae_.n_members == FOR_IMAGES.n_estimators
    assert detector.vae_.latent_dim == FOR_IMAGES.max_latent_dim
    assert detector.vae_.hidden_layer_sizes == detector.vae_.backbone.layer_sizes((SIZE, SIZE))
    assert detector.vae_.grid == (SIZE, SIZE)
    assert not detector.vae_.mask_input
    assert detector.row_score_ == FOR_IMAGES.score
    assert detector.n_features_in_ == SIZE * SIZE
    assert dense(row_score="elbo", max_iter=1).fit(TRAIN[:60]).row_score_ == ELBO()


@pytest.mark.parametrize("row_score", SCORES)
def test_every_score_ranks_images_and_repeats(row_score):
    detector = dense(row_score=row_score, max_iter=5).fit(TRAIN[:100])
    scores = detector.score_samples(NEW)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(detector.score_samples(NEW[::-1])[::-1], scores)
    np.testing.assert_array_equal(detector.explain(NEW[:3]).score, -scores[:3])


def test_anomalous_images_score_lower(fitted):
    normal = fitted.score_samples(NEW)
    assert np.median(fitted.score_samples(SPOTTED)) < np.median(normal) - 10
    assert fitted.score_samples(CHECKERBOARD[None])[0] < normal.min() - 100
    assert fitted.predict(CHECKERBOARD[None]) == -1


def test_score_of_an_image_does_not_depend_on_its_company(fitted):
    expected = fitted.score_samples(NEW)
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_array_equal(fitted.score_samples(NEW[order]), expected[order])
    np.testing.assert_array_equal([fitted.score_samples(NEW[[row]])[0] for row in range(0, 40, 7)], expected[::7])
    beside = np.concatenate([SPOTTED, NEW[:7], TRAIN])
    np.testing.assert_array_equal(fitted.score_samples(beside)[40:47], expected[:7])


@PIXEL_LIKELIHOODS
@pytest.mark.parametrize("make", [dense, small])
def test_position_in_a_small_chunk_does_not_change_scores(likelihood, make, monkeypatch):
    monkeypatch.setattr("vae_anomaly.fitting.chunks.MAX_CHUNK_ROWS", 4)
    train, odd = TRAIN[:30, 1:, 3:], NEW[:18, 1:, 3:]
    detector = make(likelihood=likelihood, hidden_layer_sizes=(5,), max_iter=2, row_score=ELBO(n_draws=1)).fit(train)
    order = np.random.default_rng(0).permutation(18)
    np.testing.assert_array_equal(detector.score_samples(odd[order]), detector.score_samples(odd)[order])
    np.testing.assert_array_equal(detector.explain(odd[order]).excess, detector.explain(odd).excess[order])


def test_thread_count_does_not_change_scores(fitted):
    expected, before = fitted.score_samples(TRAIN), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        np.testing.assert_array_equal(fitted.score_samples(TRAIN), expected)
    finally:
        torch.set_num_threads(before)


LAYOUTS = {
    "channel first": lambda images: images[:, None],
    "channel last": lambda images: images[..., None],
    "tensor": torch.from_numpy,
    "uint16": lambda images: images.astype(np.uint16),
    "float32": lambda images: images.astype(np.float32),
    "masked": np.ma.masked_array,
    "strided": lambda images: images.transpose(0, 2, 1).copy().transpose(0, 2, 1),
}


@pytest.fixture(scope="module")
def expected():
    """Scores of a model of grey images of bytes."""
    return dense(max_iter=10).fit(TRAIN[:100]).score_samples(NEW)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_trains_and_scores_the_same(layout, expected):
    given = LAYOUTS[layout]
    detector = dense(max_iter=10).fit(given(TRAIN[:100]))
    np.testing.assert_array_equal(detector.score_samples(given(NEW)), expected)
    np.testing.assert_array_equal(detector.score_samples(NEW), expected)


def test_flattened_images_train_and_score_the_same(expected):
    flat, held = TRAIN[:100].reshape(100, -1), NEW.reshape(40, -1)
    detector = dense(max_iter=10, image_shape=(SIZE, SIZE)).fit(flat)
    np.testing.assert_array_equal(detector.score_samples(held), expected)
    np.testing.assert_array_equal(detector.score_samples(NEW), expected)
    assert detector.reconstruct(held).shape == held.shape
    with pytest.raises(ValueError, match="features"):
        detector.score_samples(held[:, :100])


def colourful(images):
    return np.stack([images, 255 - images, images // 2], 3)


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_colours_come_back_in_the_layout_of_training(axes):
    train, new = colourful(TRAIN[:60]).transpose(axes), colourful(NEW).transpose(axes)
    detector = small(max_iter=2).fit(train)
    assert [column.name for column in detector.columns_] == ["red", "green", "blue"]
    for other in (colourful(NEW), colourful(NEW).transpose(0, 3, 1, 2)):
        np.testing.assert_array_equal(detector.score_samples(other), detector.score_samples(new))
        assert detector.reconstruct(other).shape == new.shape
    assert detector.sample(3).shape == new[:3].shape
    explanation = detector.explain(new[:2])
    assert explanation.excess.shape == (2, SIZE, SIZE)
    assert explanation.contributions.shape == (2, 3, SIZE, SIZE)


@pytest.mark.parametrize("shape", [(300, SIZE, SIZE), (300, 1, SIZE, SIZE), (300, SIZE, SIZE, 1)])
def test_grey_images_come_back_in_the_layout_of_training(shape):
    detector = dense(max_iter=5).fit(TRAIN.reshape(shape))
    assert detector.reconstruct(NEW).shape == (40, *shape[1:])
    assert detector.sample(3, random_state=0).shape == (3, *shape[1:])
    assert detector.explain(NEW[:2]).reconstruction.shape == (2, *shape[1:])


def test_contributions_and_kl_add_up_to_the_score(fitted):
    explanation = fitted.explain(SPOTTED)
    total = explanation.contributions.sum((1, 2, 3)) + explanation.kl
    np.testing.assert_allclose(total, fitted.anomaly_score(SPOTTED), rtol=1e-9)
    np.testing.assert_array_equal(explanation.score, fitted.anomaly_score(SPOTTED))
    assert explanation.threshold == -fitted.offset_
    assert len(explanation) == 40


def test_excess_is_never_negative_and_is_where_the_spot_is(fitted):
    excess = fitted.explain(SPOTTED).excess
    assert (excess >= 0).all()
    inside = np.zeros((SIZE, SIZE), dtype=bool)
    inside[SPOT, SPOT] = True
    assert np.median(excess[:, inside].mean(1) / excess[:, ~inside].mean(1)) > 5
    top = fitted.explain(SPOTTED).top_pixels(1)
    assert np.mean([3 <= y < 6 and 3 <= x < 6 for ((y, x),) in top]) > 0.8


def test_missing_pixels_have_no_influence_no_excess_and_no_contribution(fitted):
    other = PARTIAL.copy()
    explanation, missing = fitted.explain(PARTIAL), np.isnan(PARTIAL)
    assert (np.isnan(explanation.excess) == missing).all()
    assert (explanation.contributions[:, 0][missing] == 0).all()
    assert np.isfinite(fitted.score_samples(PARTIAL)).all()
    mask = missing.copy()
    other[missing] = 255
    np.testing.assert_array_equal(fitted.score_samples(np.ma.masked_array(other, mask)), fitted.score_samples(PARTIAL))


def test_impute_fills_missing_pixels_only_and_keeps_the_layout(fitted):
    for given in (PARTIAL, PARTIAL[:, None], PARTIAL[..., None], PARTIAL.astype(np.float64)):
        filled = fitted.impute(given)
        assert filled.dtype == given.dtype
        assert filled.shape == given.shape
        np.testing.assert_array_equal(filled[~np.isnan(given)], given[~np.isnan(given)])
        assert np.isfinite(filled).all()
    np.testing.assert_array_equal(fitted.impute(NEW), NEW)
    assert fitted.impute(NEW).dtype == np.uint8


def test_imputed_pixels_are_nearer_than_the_mean_where_training_had_missing_ones():
    rng = np.random.default_rng(0)
    train = TRAIN.astype(np.float32)
    train[rng.random(train.shape) < 0.1] = np.nan
    detector = dense(training=TrainingPlan(hidden_fraction=0.5), n_estimators=2).fit(train)
    assert detector.vae_.mask_input
    missing = np.isnan(PARTIAL)
    error = (detector.impute(PARTIAL) - NEW)[missing]
    assert np.square(error).mean() < np.square(np.nanmean(train) - NEW[missing]).mean()


def test_samples_and_positions_repeat_and_have_their_shapes(fitted):
    drawn = fitted.sample(5, random_state=0)
    np.testing.assert_array_equal(drawn, fitted.sample(5, random_state=0))
    assert drawn.shape == (5, SIZE, SIZE)
    assert drawn.min() >= 0
    assert drawn.max() <= 255
    assert fitted.transform(NEW).shape == (40, 2 * 3)
    assert fitted.elbo_terms(NEW).log_likelihood.shape == (2, 40, SIZE * SIZE)
    np.testing.assert_allclose(fitted.elbo_terms(NEW).elbo.mean(0), fitted.score_samples(NEW), rtol=1e-9)


def test_reconstruction_is_nearer_than_the_mean_image():
    error = np.square(dense().fit(TRAIN).reconstruct(NEW) - NEW.astype(float)).mean()
    assert error < 0.8 * np.square(TRAIN.mean(0) - NEW).mean()


@pytest.mark.parametrize("likelihood", ["auto", "gaussian", "student_t"])
def test_density_is_in_the_units_given(likelihood):
    shares = TRAIN / 512
    once = dense(likelihood=likelihood, max_iter=20).fit(shares)
    twice = dense(likelihood=likelihood, max_iter=20).fit(2 * shares)
    difference = once.score_samples(NEW / 512) - twice.score_samples(NEW / 256)
    np.testing.assert_allclose(difference, SIZE * SIZE * math.log(2), rtol=1e-6)


def test_flags_have_probabilities_whatever_their_two_values():
    flags = TRAIN > 100
    once = dense(max_iter=20).fit(flags)
    again = dense(max_iter=20).fit(np.where(flags, 90.0, 10.0))
    np.testing.assert_allclose(once.score_samples(NEW > 100), again.score_samples(np.where(NEW > 100, 90.0, 10.0)))
    assert once.score_samples(flags).max() <= 0
    assert set(np.unique(again.sample(5, random_state=0))) == {10.0, 90.0}


@PIXEL_LIKELIHOODS
def test_every_pixel_likelihood_fits_scores_and_explains(likelihood):
    detector = dense(likelihood=likelihood, n_estimators=2, learning_rate_init=0.01, max_iter=60).fit(TRAIN)
    normal = detector.score_samples(NEW)
    assert np.isfinite(normal).all()
    assert detector.score_samples(CHECKERBOARD[None])[0] < normal.min()
    explanation = detector.explain(SPOTTED[:4])
    assert (explanation.excess >= 0).all()
    np.testing.assert_allclose(explanation.contributions.sum((1, 2, 3)) + explanation.kl, explanation.score, rtol=1e-9)
    drawn = detector.sample(4, random_state=0)
    assert np.isfinite(drawn).all()
    if likelihood in ("discretized_logistic", "rounded_student_t"):
        assert (drawn == np.rint(drawn)).all()
        assert normal.max() <= 0


def test_weights_of_zero_leave_images_out():
    weights = np.r_[np.ones(200), np.zeros(100)]
    weighted = dense(max_iter=10).fit(TRAIN, sample_weight=weights)
    np.testing.assert_array_equal(weighted.score_samples(NEW), dense(max_iter=10).fit(TRAIN[:200]).score_samples(NEW))


@pytest.mark.parametrize("make", [dense, small])
def test_streams_and_warm_starts_go_on(make):
    detector = make(max_iter=10).partial_fit(TRAIN[:150])
    before = detector.score(NEW)
    detector.partial_fit(TRAIN[150:])
    assert detector.score(NEW) > before
    warm = make(max_iter=10, warm_start=True).fit(TRAIN)
    before = warm.score(NEW)
    assert warm.fit(TRAIN).score(NEW) > before
    with pytest.raises(DataError, match="images have 10x12 pixels"):
        detector.partial_fit(TRAIN[:, 1:11])


def test_two_fits_agree_bit_for_bit_and_another_seed_does_not():
    first = small(max_iter=5).fit(TRAIN[:60]).score_samples(NEW)
    np.testing.assert_array_equal(small(max_iter=5).fit(TRAIN[:60]).score_samples(NEW), first)
    assert not np.array_equal(small(max_iter=5, random_state=1).fit(TRAIN[:60]).score_samples(NEW), first)


def test_pickles_and_joblib_files_score_alike(fitted, tmp_path):
    expected = fitted.score_samples(NEW)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).score_samples(NEW), expected)
    joblib.dump(fitted, tmp_path / "m.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "m.joblib").score_samples(NEW), expected)


def test_search_over_latents_needs_no_labels():
    search = GridSearchCV(dense(max_iter=20), {"latent_dim": [1, 4]}, cv=2).fit(TRAIN)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.vae_.latent_dim in (1, 4)


def test_flattened_images_go_through_a_pipeline():
    flat = TRAIN.reshape(300, -1).astype(float)
    pipeline = make_pipeline(StandardScaler(), dense(image_shape=(SIZE, SIZE), max_iter=20)).fit(flat)
    assert pipeline[-1].encoder_.grid == (SIZE, SIZE)
    assert np.isfinite(pipeline.score_samples(NEW.reshape(40, -1).astype(float))).all()


def test_each_kind_of_model_refuses_the_other_kind_of_rows(fitted):
    table = NEW.reshape(40, -1)
    with pytest.raises(DataError, match=r"the model takes images; expected .*image_shape=\(height, width\)"):
        fitted.score_samples(table)
    with pytest.raises(DataError, match="takes rows of a table, and images or files are given"):
        VAEDetector(max_iter=2, n_estimators=1).fit(table[:, :5]).score_samples(NEW)
    with pytest.raises(SpecificationError, match="takes images, and the rows are of a table"):
        small(backbone="convolutional").fit(table)
    with pytest.raises(SpecificationError, match="takes images"):
        fitted.repair(NEW)
    with pytest.raises(DataError, match="5x12 pixels"):
        fitted.score_samples(NEW[:, :5])
    with pytest.raises(DataError, match="Multiply the images by 255"):
        fitted.score_samples(NEW / 255)


@pytest.mark.parametrize(
    ("X", "image_shape", "message"),
    [
        (TRAIN[:1], None, "there are 1 images; expected at least 2"),
        (TRAIN.reshape(300, -1), (10, 10), "a row has 144 values"),
        (np.zeros((30, 6, 7, 8)), None, "no axis of 1 to 4 channels"),
        (np.zeros((30, 5, 0)), None, "no pixels"),
        (np.full((30, 5, 5), np.nan), None, "no finite pixel"),
        (TRAIN.astype(object), None, "object"),
    ],
)
def test_unusable_images_are_refused(X, image_shape, message):
    with pytest.raises(ValueError, match=message):
        small(image_shape=image_shape).fit(X)


def test_instances_of_backbones_are_taken_as_they_are():
    for backbone in (MLP(skip_connection=False), Convolutional()):
        detector = small(backbone=backbone, hidden_layer_sizes=None, max_iter=2).fit(TRAIN[:60])
        assert detector.vae_.backbone == backbone
        assert detector.vae_.hidden_layer_sizes == backbone.layer_sizes((SIZE, SIZE))
