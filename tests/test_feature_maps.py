"""Detectors of feature maps: their density at each position, and what they say of images."""

import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import gumbel_r, multivariate_normal
from torch import nn

from vae_anomaly import (
    DataError,
    FeatureMapDetector,
    FitWarning,
    ImageExplanation,
    ModelFileError,
    SpecificationError,
    load,
    read_manifest,
    save,
)
from vae_anomaly.detectors import PositionDensity, Smoothness, TopTail
from vae_anomaly.detectors.feature_maps.map_group import MAX_EXEMPLARS, MAX_KEPT, GroupSample, joined
from vae_anomaly.detectors.feature_maps.position_density import FLOOR, RIDGE, FeatureSums, chosen_smoothness, fenced
from vae_anomaly.errors import NotAvailable
from vae_anomaly.networks import Group, PretrainedNetwork, Weights

POOLED = nn.AvgPool2d(4)


def images(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(90, 160, (n, 16, 24)).astype(np.uint8)


class Known(PretrainedNetwork):
    """Two maps of colours, the coarse one of which does not locate."""

    weights = Weights("known", "a test", "BSD-3-Clause", "0" * 64)
    mean, std, min_side = 0.5, 0.25, 8
    groups = (Group((0, 1)), Group((1,), locates=False))

    def forward(self, images):
        return [nn.functional.avg_pool2d(images, 4), nn.functional.avg_pool2d(images, 8)]


def sums_of(rows):
    sums = FeatureSums(rows.shape[1], rows.shape[2], torch.zeros(rows.shape[2]))
    sums.add(rows)
    return sums


def with_ridge(covariance, shared):
    floor = FLOOR * (float(shared.diagonal().mean()) + 1e-12)
    return covariance + (RIDGE * np.diagonal(covariance).mean() + floor) * np.eye(len(covariance))


@pytest.mark.parametrize("shared_share", [0.0, 0.3, 1.0])
def test_density_of_one_width_is_a_gaussian_at_each_position(shared_share):
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 2, 3)) * [1.0, 2.0, 0.5]).float()
    sums = sums_of(rows)
    shared = sums.covariances.mean(0)
    density = PositionDensity.of(sums, rows, Smoothness(shared_share, 1.0), shared)
    tested = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 2, 3))).float()
    for position in range(2):
        own = np.cov(rows[:, position].double().numpy(), rowvar=False, bias=True)
        covariance = with_ridge((1 - shared_share) * own + shared_share * shared.numpy(), shared)
        expected = -multivariate_normal(rows[:, position].double().numpy().mean(0), covariance).logpdf(
            tested[:, position]
        )
        np.testing.assert_allclose(density.nats(tested)[:, position], expected, rtol=1e-4)


def test_density_of_narrow_kernels_is_their_mixture_which_keeps_the_mean():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 1, 2))).float()
    sums, squared_width = sums_of(rows), 0.4
    shared = sums.covariances.mean(0)
    density = PositionDensity.of(sums, rows, Smoothness(1.0, squared_width), shared)
    mean, covariance = rows[:, 0].double().numpy().mean(0), with_ridge(shared.numpy(), shared)
    centres = mean + math.sqrt(1 - squared_width) * (rows[:, 0].double().numpy() - mean)
    tested = np.array([[0.3, -0.2], [4.0, 1.0]])
    likelihoods = np.mean([multivariate_normal(one, squared_width * covariance).pdf(tested) for one in centres], 0)
    np.testing.assert_allclose(
        density.nats(torch.from_numpy(tested).float()[:, None])[:, 0], -np.log(likelihoods), 1e-4
    )
    np.testing.assert_allclose(centres.mean(0), mean)


def test_smoothness_is_that_under_which_held_out_images_are_most_likely():
    rng = np.random.default_rng(0)
    shares = {}
    for name, spread in (("alike", 1.0), ("differ", np.array([0.05, 20.0])[None, :, None])):
        rows = torch.from_numpy(rng.normal(size=(400, 2, 2)) * spread).float()
        shares[name] = chosen_smoothness(sums_of(rows[:300]), rows[:300], rows[300:], 0)
    assert shares["alike"].squared_width == 1.0
    assert shares["differ"].shared < shares["alike"].shared
    clusters = torch.from_numpy(rng.choice([-5.0, 5.0], (400, 2, 2)) + 0.5 * rng.normal(size=(400, 2, 2))).float()
    assert chosen_smoothness(sums_of(clusters[:300]), clusters[:300], clusters[300:], 0).squared_width == 0.4
    clusters[399] = 300.0
    assert chosen_smoothness(sums_of(clusters[:300]), clusters[:300], clusters[300:], 0).squared_width == 0.4


def test_as_many_images_are_kept_as_there_is_room_for_whatever_cannot_be_read():
    ranks = torch.from_numpy(np.random.default_rng(0).permutation(1000)[:500])
    rows = ranks[:, None, None].float().expand(-1, 1, 2) + torch.tensor([0.0, 0.5])
    sample = GroupSample(Group((0,)), (1, 1), rows)
    for some in torch.arange(500).split(64):
        sample.add(rows[some], ranks[some])
    assert sample.sums.n == 500
    fitted = sample.fitted(1.0, 0)
    assert fitted.ranks.tolist() == sorted(ranks.tolist())[:MAX_KEPT]


@pytest.mark.parametrize(("n", "n_folds"), [(13, 13), (45, 20), (100, 5)])
def test_each_part_of_the_images_is_judged_by_a_density_of_the_others(n, n_folds):
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(n, 4, 2))).float()
    ranks = torch.from_numpy(np.random.default_rng(1).permutation(n))
    sample = GroupSample(Group((0,)), (2, 2), rows)
    sample.add(rows[:5], ranks[:5])
    sample.add(rows[5:], ranks[5:])
    fitted = sample.fitted(0.25, 0)
    assert fitted.n_first == n // 5
    assert fitted.ranks.tolist() == list(range(n))
    in_order = rows[np.argsort(ranks.numpy())]
    ends = [n * fold // n_folds for fold in range(n_folds + 1)]
    for begin, end in itertools.pairwise(ends):
        others = torch.cat([in_order[:begin], in_order[end:]])
        sums = sums_of(others)
        density = PositionDensity.of(sums, others, fitted.group.smoothness, sums.covariances.mean(0))
        nats = density.nats(in_order[begin:end]).view(-1, 2, 2) - fitted.group.expected
        np.testing.assert_allclose(fitted.excess[begin:end], nats, atol=1e-3)
    whole = sums_of(rows)
    density = PositionDensity.of(whole, rows, fitted.group.smoothness, whole.covariances.mean(0))
    np.testing.assert_allclose(fitted.group.density.nats(rows), density.nats(rows), atol=1e-3)


def test_an_anomalous_image_among_the_training_images_does_not_blind():
    normal = images(40)
    normal[11, 4:12, 8:16] = 255
    detector = FeatureMapDetector(POOLED).fit(normal)
    clean = FeatureMapDetector(POOLED).fit(images(40))
    assert detector.groups_[0].tail.scale < 3 * clean.groups_[0].tail.scale
    odd = images(4, seed=3)
    odd[2, 8:12, 16:20] = 240
    assert detector.predict(odd).tolist() == [1, 1, -1, 1]
    assert detector.calibration_.suspects.ids[0] == 11
    assert detector.predict(normal)[11] == -1


def test_values_far_above_the_quartiles_count_as_the_fence():
    values = np.array([[0.0, 1.0, 2.0, 3.0, 4.0, 100.0], [0.0] * 6]).T
    lowered = fenced(values)
    assert lowered[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 3.75 + 3 * 2.5]
    assert lowered[:, 1].tolist() == [0.0] * 6


def test_all_images_calibrate_and_train_where_they_are_few():
    detector = FeatureMapDetector(POOLED).fit(images(100))
    assert (detector.calibration_.kind, detector.calibration_.n_rows) == ("cross", 100)
    shares = (detector.p_values(images(400, seed=8))[:, None] <= [0.05, 0.1, 0.3]).mean(0)
    np.testing.assert_allclose(shares, [0.05, 0.1, 0.3], atol=0.06)
    with pytest.raises(DataError, match="trained on"):
        detector.calibrate(images(100))


@pytest.mark.parametrize(("n", "kind", "n_rows"), [(10, "cross", 10), (1279, "cross", 320), (1280, "split", 256)])
def test_images_calibrate_after_they_were_held_out_or_where_they_are_many_set_aside(n, kind, n_rows):
    detector = FeatureMapDetector(nn.AvgPool2d(8)).fit(images(n))
    assert (detector.calibration_.kind, detector.calibration_.n_rows) == (kind, n_rows)


@pytest.mark.parametrize("n", [3, 9])
def test_nine_images_are_too_few_for_p_values(n):
    with pytest.warns(FitWarning, match="too few to set any aside"):
        detector = FeatureMapDetector(POOLED).fit(images(n))
    assert detector.decisions_.calibration is None


def test_copies_among_held_out_images_are_counted():
    once = FeatureMapDetector(POOLED).fit(images(40)).decisions_.repeated_share
    with pytest.warns(FitWarning, match="are equal to rows that were trained on"):
        half = FeatureMapDetector(POOLED).fit(np.concatenate([images(30), images(10)])).decisions_.repeated_share
    assert once < 0.1
    assert half == pytest.approx(once + 20 / 43, abs=0.02)


def test_surprise_of_a_top_is_the_tail_of_a_gumbel_distribution():
    tops = np.array([1.0, 2.0, 4.0, 5.0])
    tail = TopTail.of(tops, spread=9.0, min_scale=0.1)
    scale = tops.std(ddof=1) * math.sqrt(6) / math.pi
    known = gumbel_r(tops.mean() - np.euler_gamma * scale, scale)
    tested = np.array([0.0, 3.0, 20.0, 400.0])
    np.testing.assert_allclose(tail.surprise(tested), -known.logsf(tested), rtol=1e-6)
    assert TopTail.of(np.array([3.0]), spread=2.0, min_scale=0.1).scale == pytest.approx(2 * math.sqrt(6) / math.pi)
    assert TopTail.of(tops * 0, spread=0.0, min_scale=0.1).scale == 0.1


def test_maps_of_a_group_are_joined_at_the_size_of_the_smallest():
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    rows, grid = joined([fine, torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])])
    assert grid == (2, 2)
    assert rows.tolist() == [[[2.5, 1.0], [4.5, 2.0], [10.5, 3.0], [12.5, 4.0]]]


def test_odd_position_is_found_and_where_it_is():
    detector = FeatureMapDetector(POOLED, smoothing=0.5).fit(images())
    odd = images(4, seed=3)
    odd[2, 8:12, 16:20] = 240
    scores = detector.anomaly_score(odd)
    assert scores.argmax() == 2
    np.testing.assert_array_equal(detector.score_samples(odd), -scores)
    assert detector.predict(odd).tolist() == [1, 1, -1, 1]
    explained = detector.explain(odd)
    np.testing.assert_array_equal(explained.score, scores)
    np.testing.assert_array_equal(explained.excess, np.stack(list(detector.anomaly_maps(odd))))
    ((line, column),) = explained.top_pixels(1)[2]
    assert 8 <= line < 12
    assert 16 <= column < 20


def test_what_is_normal_at_one_position_is_anomalous_at_another():
    normal = images(60)
    normal[:, :4, :4] = 255
    moved = images(2, seed=5)
    moved[0, :4, :4] = 255
    moved[1, :4, :4] = 255
    moved[1, 8:12, 8:12] = 255
    scores = FeatureMapDetector(POOLED).fit(normal).anomaly_score(moved)
    assert scores[1] > scores[0] + 5


def test_scores_do_not_depend_on_the_batch_and_repeat_with_the_seed():
    first, again = (FeatureMapDetector(POOLED, batch_size=size).fit(images()) for size in (5, 8))
    whole = first.anomaly_score(images(11, seed=4))
    assert first.anomaly_score(images(11, seed=4)[7:8])[0] == whole[7]
    np.testing.assert_allclose(again.anomaly_score(images(11, seed=4)), whole, rtol=1e-4)
    assert FeatureMapDetector(POOLED, batch_size=5).fit(images()).anomaly_score(images(2)).tolist() == (
        first.anomaly_score(images(2)).tolist()
    )


def test_more_images_take_no_more_memory():
    detector = FeatureMapDetector(nn.AvgPool2d(8), calibration=None).fit(images(MAX_EXEMPLARS + 200))
    assert all(group.density.exemplars.shape[1] <= MAX_EXEMPLARS for group in detector.groups_)
    assert detector.n_images_ == MAX_EXEMPLARS + 200


@pytest.mark.filterwarnings("ignore:.*are equal to rows that were trained on:vae_anomaly.FitWarning")
def test_images_of_constant_pixels_have_finite_scores():
    detector = FeatureMapDetector(POOLED).fit(np.full((30, 16, 16), 100, dtype=np.uint8))
    scores = detector.anomaly_score(np.stack([np.full((16, 16), level, dtype=np.uint8) for level in (100, 120)]))
    assert np.isfinite(scores).all()
    assert scores[1] > scores[0]


def test_network_that_says_how_it_wants_pixels_gets_them_so():
    detector = FeatureMapDetector(Known()).fit(images())
    assert [group.density.means.shape[1] for group in detector.groups_] == [6, 3]
    assert float(detector.groups_[1].density.means.mean()) == pytest.approx((images().mean() / 255 - 0.5) / 0.25, 0.1)
    assert detector.network_weights_ == Known.weights


@pytest.mark.parametrize(
    ("network", "given", "message"),
    [
        (lambda tensors: tensors.flatten(1), images(5), "expected maps"),
        (lambda tensors: POOLED(tensors) * torch.nan, images(5), "not finite"),
        (lambda _: [], images(5), "gives nothing"),
        (POOLED, images(1), "at least two"),
        (Known(), images(5)[:, :4], "at least 8 in each direction"),
    ],
)
def test_networks_and_images_that_make_no_model_are_refused(network, given, message):
    with pytest.raises(DataError, match=message):
        FeatureMapDetector(network, calibration=None).fit(given)


def test_maps_too_large_for_memory_are_refused_before_they_take_it():
    def many(tensors):
        return tensors[:, :1].expand(-1, 5000, -1, -1)

    with pytest.raises(SpecificationError, match=r"16x24 positions with 5000 features, whose densities take .* GiB"):
        FeatureMapDetector(many).fit(images(5))


def test_network_that_changed_since_the_fit_is_refused():
    detector = FeatureMapDetector(POOLED).fit(images())
    detector.network = nn.AvgPool2d(8)
    with pytest.raises(DataError, match="2x3 positions with 1 features; the model has 4x6 with 1"):
        detector.anomaly_score(images(2))
    detector.network = lambda tensors: [POOLED(tensors), POOLED(tensors)]
    with pytest.raises(DataError, match="gives 2 maps"):
        detector.anomaly_score(images(2))
    detector.network = Known()
    with pytest.raises(SpecificationError, match="fitted with a network without a name, and the network is Weights"):
        detector.anomaly_score(images(2))


def test_images_of_another_size_are_refused(tmp_path):
    detector = FeatureMapDetector(POOLED).fit(images())
    with pytest.raises(DataError, match=r"20x24 pixels, and the model takes 16x24.*image_shape"):
        detector.anomaly_score(np.zeros((2, 20, 24), dtype=np.uint8))
    Image.fromarray(np.zeros((20, 24), dtype=np.uint8)).save(tmp_path / "0.png")
    with pytest.raises(DataError, match=r"20x24 pixels .* where the model takes 16x24"):
        detector.anomaly_score(tmp_path)
    resized = FeatureMapDetector(POOLED, image_shape=(16, 24)).fit(images())
    assert resized.anomaly_score(tmp_path).shape == (1,)


def test_floats_in_other_units_than_the_network_takes_are_refused():
    with pytest.raises(DataError, match=r"floats of up to 159, and known takes them from 0 \(black\) to 1"):
        FeatureMapDetector(Known()).fit(images().astype(np.float64))
    scores = FeatureMapDetector(Known()).fit(images() / 255).anomaly_score(images(3) / 255)
    np.testing.assert_allclose(scores, FeatureMapDetector(Known()).fit(images()).anomaly_score(images(3)), rtol=1e-2)


def test_larger_images_that_the_network_would_see_at_the_same_size_are_refused():
    detector = FeatureMapDetector(Known(), max_pixels=16 * 24).fit(images())
    with pytest.raises(DataError, match="32x48 pixels, and the model takes 16x24"):
        detector.anomaly_score(np.zeros((2, 32, 48), dtype=np.uint8))


def test_file_gives_back_the_same_scores_and_records_the_weights(tmp_path):
    detector = FeatureMapDetector(Known()).fit(images())
    save(detector, tmp_path / "parts.vae")
    loaded = load(tmp_path / "parts.vae")
    assert read_manifest(tmp_path / "parts.vae")["format_version"] == 13
    assert loaded.network_weights_ == Known.weights
    with pytest.raises(SpecificationError, match=r"does not hold the network.*Set detector\.network"):
        loaded.anomaly_score(images(3))
    loaded.network = POOLED
    with pytest.raises(SpecificationError, match="fitted with Weights"):
        loaded.anomaly_score(images(3))
    loaded.network = Known()
    for name in ("anomaly_score", "p_values", "predict"):
        np.testing.assert_array_equal(getattr(loaded, name)(images(9)), getattr(detector, name)(images(9)))
    assert isinstance(loaded.explain(images(2)), ImageExplanation)
    assert loaded.map_scale_ == detector.map_scale_
    save(loaded, tmp_path / "again.vae")
    assert (tmp_path / "again.vae").read_bytes() == (tmp_path / "parts.vae").read_bytes()


def test_detector_without_calibration_takes_the_threshold_from_its_own_images():
    detector = FeatureMapDetector(POOLED, calibration=None, contamination=0.1).fit(images())
    assert (detector.predict(images()) == -1).sum() == 4
    with pytest.raises(NotAvailable):
        detector.p_values(images(2))


def test_parameters_that_change_after_the_fit_change_no_score():
    detector = FeatureMapDetector(POOLED).fit(images())
    before = detector.explain(images(3))
    after = detector.set_params(smoothing=5, top_fraction=1.0).explain(images(3))
    np.testing.assert_array_equal(after.score, before.score)
    np.testing.assert_array_equal(after.excess, before.excess)


def test_report_shows_maps():
    page = FeatureMapDetector(POOLED).fit(images()).report(images(5, seed=3)).to_html()
    assert page.count("data:image/") >= 5


def test_damaged_densities_are_refused(tmp_path):
    save(FeatureMapDetector(POOLED).fit(images()), tmp_path / "parts.vae")
    content = bytearray((tmp_path / "parts.vae").read_bytes())
    content[-5] ^= 1
    (tmp_path / "parts.vae").write_bytes(content)
    with pytest.raises(ModelFileError, match="damaged"):
        load(tmp_path / "parts.vae")
