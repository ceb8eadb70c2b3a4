"""Windows, maps and the detector of small odd spots."""

import numpy as np
import pytest
import torch

from vae_anomaly import DataError, PatchDetector
from vae_anomaly.columns import learn_channels
from vae_anomaly.data.images import Images
from vae_anomaly.detectors.patch.maps import MapSums, PositionLevels, position_helps, smoothed, top_mean
from vae_anomaly.detectors.patch.window_encoder import learn_windows, level_free, window_levels
from vae_anomaly.detectors.patch.windows import PaddedImage, Windows
from vae_anomaly.likelihoods import Gaussian

pytestmark = pytest.mark.filterwarnings(r"ignore:\d+ rows are too few to set any aside:vae_anomaly.FitWarning")

FAST = {"n_windows": 1024, "max_iter": 60, "hidden_layer_sizes": (64,), "batch_size": 128}


def stripes(n, seed=0, height=40, width=56):
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    image = 120 + 60 * np.sin(np.arange(width) / 3 + phase) + rng.normal(0, 4, (n, height, width))
    return np.clip(image, 0, 255).astype(np.uint8)


def scratched(images):
    marked = images.copy()
    marked[:, 20:24, 25:37] = 255 - marked[:, 20:24, 25:37]
    return marked


@pytest.fixture(scope="module")
def masked():
    return PatchDetector(**FAST, random_state=1).fit(stripes(24))


@pytest.fixture(scope="module")
def whole():
    return PatchDetector(model="whole", window=8, **FAST, random_state=1).fit(stripes(24))


def test_ring_and_cells_are_around_the_target():
    windows = Windows(2, 4, 8, 2)
    assert windows.inside.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert sorted(map(tuple, windows.ring)) == [
        (line, column) for line in range(-1, 3) for column in range(-1, 3) if not (0 <= line < 2 and 0 <= column < 2)
    ]
    assert (windows.cells.min(), windows.cells.max(), windows.margin) == (-3, 3, 3)
    # 16 cells of 2 x 2, without those whose corners are in the ring's square from -1 to 2.
    assert len(windows.cells) == 16 - 4
    assert windows.n_given == 12 + 12


def test_a_window_without_surroundings_has_neither_ring_nor_cells():
    windows = Windows(8, 8, 8)
    assert (windows.n_given, windows.margin, windows.n_target) == (0, 0, 64)


@pytest.mark.parametrize(("height", "width", "stride"), [(8, 8, 4), (40, 56, 4), (41, 57, 3), (9, 100, 7)])
def test_windows_cover_every_pixel_and_stay_inside(height, width, stride):
    windows = Windows(8, 8, 8)
    corners = windows.corners(height, width, stride)
    assert corners.min() == 0
    assert (corners.max(0) == (height - 8, width - 8)).all()
    covered = np.zeros((height, width), dtype=bool)
    for line, column in corners:
        covered[line : line + 8, column : column + 8] = True
    assert covered.all()


def test_windows_hold_the_pixels_around_their_corner():
    image = torch.arange(60.0).view(1, 6, 10)
    surface = PaddedImage.of(image, Windows(2, 4, 4))
    target, seen, given, given_seen = surface.cut(np.array([[2, 3], [0, 0]]))
    assert target[0, 0].tolist() == [23, 24, 33, 34]
    assert seen.all()
    assert given[0, 0].tolist() == [12, 13, 14, 15, 22, 25, 32, 35, 42, 43, 44, 45]
    # Beyond the image nothing is seen.
    assert given[1, 0].tolist() == [0, 0, 0, 0, 0, 2, 0, 12, 0, 20, 21, 22]
    assert given_seen[1, 0].tolist() == [0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1, 1]


def test_cells_hold_the_mean_of_their_observed_pixels():
    image = torch.arange(64.0).view(1, 8, 8)
    image[0, 0, 0] = torch.nan
    surface = PaddedImage.of(image, Windows(4, 4, 8, 2))
    _, _, given, given_seen = surface.cut(np.array([[2, 2]]))
    first = given[0, 0, 0], given_seen[0, 0, 0]
    assert (first[0].item(), first[1].item()) == (pytest.approx((1 + 8 + 9) / 3), 1)
    assert given[0, 0, 1].item() == pytest.approx((2 + 3 + 10 + 11) / 4)


def test_missing_pixels_are_neither_targets_nor_given():
    image = torch.ones(1, 6, 6)
    image[0, 2, 2] = torch.nan
    _, seen, _, given_seen = PaddedImage.of(image, Windows(2, 4, 4)).cut(np.array([[2, 2], [3, 3]]))
    assert seen[0, 0].tolist() == [0, 1, 1, 1]
    assert given_seen[1, 0, 0] == 0


def test_level_of_the_ring_is_taken_off_and_no_more():
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(2, 12, 12, generator=rng)
    brighter = image + torch.tensor([3.0, -1.0]).view(2, 1, 1)
    corners = np.array([[4, 4], [0, 6]])
    plain, bright = (level_free(PaddedImage.of(one, Windows(4, 8, 8)), corners) for one in (image, brighter))
    torch.testing.assert_close(plain[0], bright[0])
    seen = plain[3] > 0
    torch.testing.assert_close(plain[2][seen], bright[2][seen])
    levels = window_levels(PaddedImage.of(brighter, Windows(4, 8, 8)), corners) - window_levels(
        PaddedImage.of(image, Windows(4, 8, 8)), corners
    )
    torch.testing.assert_close(levels[..., 0], torch.tensor([[3.0, -1.0]] * 2))


def test_encoder_scales_targets_and_surroundings_and_marks_what_is_missing():
    surface = PaddedImage.of(torch.from_numpy(stripes(1)[0, None] / 255.0).float(), Windows(4, 8, 8))
    corners = np.random.default_rng(0).integers(0, 36, (200, 2))
    encoder = learn_windows([(surface, corners)], ("grey",), Windows(4, 8, 8))
    batch = encoder.encode((surface, corners))
    assert (encoder.n_targets, encoder.n_model_columns, encoder.n_channels) == (16, 16 + 48, 1)
    assert batch.values[:, :16].std().item() == pytest.approx(1, abs=0.02)
    assert batch.values[:, :16].mean().item() == pytest.approx(0, abs=0.02)
    assert not batch.observed[:, 16:].all()
    assert (batch.values[~batch.observed] == 0).all()


def test_map_is_the_mean_of_the_windows_that_cover_a_pixel():
    windows = Windows(2, 2, 2)
    nats = np.array([[1.0, 2, 3, 4], [10, 20, 30, 40]])
    at_once, one_by_one = MapSums(windows, (2, 3), 1), MapSums(windows, (2, 3), 2)
    corners = np.array([[0, 0], [0, 1]])
    at_once.add([nats], corners)
    for window in range(2):
        one_by_one.add([nats[[window]], nats[[window]]], corners[[window]])
    assert at_once.means().tolist() == [[[1, 6, 20], [3, 17, 40]]]
    assert one_by_one.means().tolist() == 2 * at_once.means().tolist()


def test_smoothing_leaves_missing_pixels_missing_and_out_of_the_mean():
    flat = np.full((9, 9), 3.0)
    flat[4, 4] = np.nan
    smooth = smoothed(flat, 2.0)
    assert np.isnan(smooth[4, 4])
    np.testing.assert_allclose(smooth[~np.isnan(flat)], 3)


def test_top_mean_is_over_the_largest_pixels_that_there_are():
    image = np.arange(1000.0).reshape(25, 40)
    image[0, 0] = np.nan
    assert top_mean(image, 5) == 997
    assert top_mean(image, 10_000) == 500
    assert np.isnan(top_mean(np.full((2, 2), np.nan), 5))


def test_maps_that_are_weighted_by_position_vary_alike_everywhere():
    rng = np.random.default_rng(0)
    where = 1 + np.linspace(0, 2, 64)
    maps = where * rng.exponential(size=(400, 64, 64))
    levels = PositionLevels.of(maps)
    found = np.stack([levels.applied(one) for one in maps]).std((0, 1))
    assert found[12:-12].max() / found[12:-12].min() < 1.1
    assert levels.factor.mean() == pytest.approx(1)


def test_position_helps_where_positions_differ_and_not_where_images_do():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(40, 32, 32)) ** 2
    indices = np.where(np.arange(32) < 3, 30.0, 1.0)
    assert position_helps(noise * indices)
    anywhere = np.stack([np.roll(indices, rng.integers(32)) for _ in range(40)])
    assert not position_helps(noise * anywhere[:, None, :])
    assert not position_helps(noise[:5] * indices)


@pytest.mark.parametrize("name", ["masked", "whole"])
def test_scratch_is_found_and_where_it_is(name, request):
    detector = request.getfixturevalue(name)
    normal = stripes(10, seed=7)
    scores = detector.anomaly_score(np.concatenate([normal, scratched(normal)]))
    assert scores[10:].min() > np.quantile(scores[:10], 0.9)
    explanation = detector.explain(scratched(normal[:2]))
    assert explanation.excess.shape == (2, 40, 56)
    for line, column in (indices[0] for indices in explanation.top_pixels(1)):
        assert 16 <= line <= 27
        assert 21 <= column <= 40
    np.testing.assert_allclose(explanation.score, scores[10:12])
    assert explanation.threshold == -detector.offset_


def test_reconstruction_predicts_the_stripes_and_not_the_scratch(masked):
    plain = stripes(1, seed=8)
    expected = masked.explain(scratched(plain)).reconstruction[0]
    assert expected.shape == plain[0].shape
    inside = (slice(20, 24), slice(25, 37))
    off = np.abs(expected[inside] - plain[0][inside].astype(float)).mean()
    assert off < np.abs(scratched(plain)[0][inside] - plain[0][inside].astype(float)).mean() / 2
    assert np.abs(expected[:16] - plain[0, :16].astype(float)).mean() < 20


def test_scores_do_not_depend_on_company_or_order(masked):
    images = scratched(stripes(6, seed=3))
    together = masked.score_samples(images)
    assert masked.score_samples(images[::-1]).tolist() == together[::-1].tolist()
    assert masked.score_samples(images[2:3])[0] == together[2]


def test_brightness_of_a_whole_image_matters_little_to_the_masked_model(masked):
    plain = stripes(10, seed=4)
    brighter = np.clip(plain.astype(int) + 20, 0, 255).astype(np.uint8)
    scores = masked.anomaly_score(np.concatenate([plain, brighter]))
    assert scores[10:].mean() < scores[:10].mean() * 1.3


def test_missing_pixels_are_missing_in_the_map(masked):
    images = stripes(2, seed=5).astype(float)
    images[0, 5, 5] = np.nan
    explanation = masked.explain(images)
    assert np.isnan(explanation.excess[0, 5, 5])
    assert np.isfinite(explanation.excess[1]).all()
    assert np.isfinite(masked.score_samples(images)).all()


def test_fits_repeat_with_the_seed():
    images = stripes(6, height=20, width=24)
    first, again = (
        PatchDetector(**FAST | {"n_windows": 256, "max_iter": 5}).fit(images).score_samples(images) for _ in range(2)
    )
    other = PatchDetector(**FAST | {"n_windows": 256, "max_iter": 5}, random_state=5).fit(images).score_samples(images)
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_colour_images_and_few_images_are_taken():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (4, 24, 24, 3)).astype(np.uint8)
    detector = PatchDetector(**FAST | {"n_windows": 256, "max_iter": 5}, window=4).fit(images)
    assert detector.score_samples(images).shape == (4,)
    assert detector.explain(images[:1]).reconstruction.shape == (1, 24, 24, 3)


def test_share_of_training_images_is_flagged_where_asked_for():
    images = stripes(20, height=20, width=24)
    detector = PatchDetector(**FAST | {"n_windows": 256, "max_iter": 5}, contamination=0.25).fit(images)
    assert (detector.predict(images) == -1).sum() == 5


def test_images_smaller_than_a_window_are_refused():
    with pytest.raises(DataError, match="windows have 8x8"):
        PatchDetector(**FAST).fit(stripes(5, height=6, width=30))


@pytest.mark.parametrize("window", [0, (8, 0), (), (8.5,)])
def test_windows_that_are_no_squares_are_refused(window):
    with pytest.raises(ValueError, match="window"):
        PatchDetector(**FAST, window=window).fit(stripes(5))


def test_several_windows_have_a_model_each_and_the_mean_of_their_nats():
    images = stripes(12)
    fast = FAST | {"max_iter": 10, "position": "ignore"}
    both = PatchDetector(**fast, window=(4, 8)).fit(images)
    assert [model.windows.target for model in both.models_] == [4, 8]
    nats = both.explain(images[:1]).contributions[0, 0]
    image = both._tensor(both.encoder_.encode(Images(images[:1, None])))
    each = [model.maps(PaddedImage.of(image, model.windows))[0] for model in both.models_]
    np.testing.assert_allclose(nats, (each[0] + each[1]) / 2)


@pytest.mark.parametrize("side", [1, 3, 5, 8])
def test_windows_of_any_side_reach_no_further_than_their_margin(side):
    windows = Windows(side, side + 16, 64, 4)
    surface = PaddedImage.of(torch.rand(1, 20, 30), windows)
    for part in surface.cut(windows.corners(20, 30, 4)):
        assert torch.isfinite(part).all()
    assert windows.ring.min() >= -windows.margin
    assert windows.cells.min() >= -windows.margin
    assert windows.cells.max() + windows.cell <= side + windows.margin + windows.cell


def test_images_of_another_size_are_refused(masked):
    with pytest.raises(DataError, match="the model takes 40x56"):
        masked.score_samples(stripes(2, height=30))


def test_images_are_scaled_as_the_channels_were_learned(masked):
    learned_from = np.delete(stripes(24), masked.calibration_.suspects.ids, axis=0)
    again = learn_channels(Images(learned_from[:, None]), Gaussian("shared", 0.01))
    assert masked.encoder_.columns[0].scale == again.columns[0].scale
