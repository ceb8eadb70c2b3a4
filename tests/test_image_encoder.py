"""Images to rows and back: what channels are, units, supports, and densities in the units given."""

import math

import numpy as np
import pytest

from vae_anomaly.columns import learn_channels
from vae_anomaly.data.images import read_arrays
from vae_anomaly.errors import DataError, SpecificationError
from vae_anomaly.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Gaussian,
    RoundedStudentT,
    UnitGaussian,
)

RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 256, (20, 5, 6), dtype=np.uint8)
SHARES = LEVELS / 255


def encoder_of(arrays, likelihood=None, image_shape=None):
    return learn_channels(read_arrays(arrays, image_shape), likelihood)


def encoded(encoder, arrays, image_shape=None):
    return encoder.encode(read_arrays(arrays, image_shape))


def with_missing_pixel(arrays):
    images = arrays.astype(np.float32)
    images[3, 2, 1] = np.nan
    return images


IMAGES = {
    "uint8": LEVELS,
    "uint16": LEVELS.astype(np.uint16) * 257,
    "int64": LEVELS.astype(np.int64) - 1000,
    "bool": LEVELS > 100,
    "float64": SHARES,
    "float32": RNG.normal(size=(20, 5, 6)).astype(np.float32),
    "float16": SHARES.astype(np.float16),
    "two values": np.where(LEVELS > 100, 7.0, -3.0),
    "far from 0": 1e7 + LEVELS,
    "channel axis": LEVELS[:, None],
    "channels first": np.stack([LEVELS, 255 - LEVELS, LEVELS // 2], 1),
    "channels last": np.stack([LEVELS, 255 - LEVELS, LEVELS // 2], 3),
    "a constant channel": np.stack([LEVELS, np.full_like(LEVELS, 255)], 3),
    "missing pixels": with_missing_pixel(LEVELS),
    "missing pixels of floats": with_missing_pixel(SHARES),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_come_back_in_their_units_and_layout(name):
    arrays = IMAGES[name]
    encoder = encoder_of(arrays)
    batch = encoded(encoder, arrays)
    assert batch.values.shape == (20, arrays[0].size)
    assert batch.values.isfinite().all()
    back = encoder.decode(batch.values.numpy())
    assert back.shape == arrays.shape
    present = ~np.isnan(arrays.astype(float))
    np.testing.assert_allclose(back[present], arrays[present], rtol=1e-5, atol=1e-5 * np.nanmax(np.abs(arrays)))
    assert int(batch.observed.sum()) == present.sum()


def test_rows_go_channel_after_channel_and_line_by_line():
    arrays = IMAGES["channels last"]
    encoder = encoder_of(arrays, UnitGaussian())
    np.testing.assert_array_equal(encoded(encoder, arrays).values[0], arrays[0].transpose(2, 0, 1).ravel())
    assert encoder.grid == (5, 6)
    assert encoder.n_model_columns == encoder.n_varying == 90
    assert [column.n_cells for column in encoder.columns] == [30] * 3


@pytest.mark.parametrize(
    "arrays",
    [
        LEVELS[..., None],
        LEVELS[:, None],
        LEVELS.astype(np.uint16),
        LEVELS.astype(np.float32),
        LEVELS.astype(np.float64),
        LEVELS.tolist(),
    ],
)
def test_same_levels_in_another_layout_or_dtype_are_learned_and_encoded_the_same(arrays):
    expected, found = encoder_of(LEVELS), encoder_of(arrays)
    assert found.columns == expected.columns
    np.testing.assert_array_equal(encoded(expected, arrays).values, encoded(expected, LEVELS).values)


def test_two_values_become_flags_whatever_they_are():
    for arrays in (
        LEVELS > 100,
        IMAGES["two values"],
        (LEVELS > 200) * np.uint8(255),
        (LEVELS > 200).astype(np.uint8),
    ):
        encoder = encoder_of(arrays)
        (column,) = encoder.columns
        assert column.likelihood == Bernoulli()
        assert column.reason == "its pixels have two values"
        assert column.log_jacobian == 0
        assert set(encoded(encoder, arrays).values.unique().tolist()) == {0.0, 1.0}
        given = encoder_of(arrays, Bernoulli()).columns[0]
        assert (given.location, given.scale) == (column.location, column.scale)


def test_two_values_are_seen_where_one_of_them_is_rare():
    arrays = np.zeros((300, 20, 20), dtype=np.float32)
    arrays[299, 19, 18] = 0.5
    (column,) = encoder_of(arrays).columns
    assert column.likelihood == Bernoulli()
    assert (column.location, column.scale) == (0.0, 0.5)


def test_grey_levels_have_one_noise_for_all_pixels():
    encoder = encoder_of(IMAGES["channels first"])
    assert [column.name for column in encoder.columns] == ["red", "green", "blue"]
    for column in encoder.columns:
        assert column.likelihood == Gaussian("shared", 0.01)
        assert (column.low, column.high, column.step) == (0, 255, 1)
        assert column.log_jacobian == pytest.approx(-math.log(column.scale))


def test_channels_of_unlike_values_share_the_likelihood_of_many_values():
    arrays = np.stack([SHARES, SHARES > 0.5], 3)
    arrays[0, 0, 0] = np.nan
    encoder = encoder_of(arrays)
    assert {column.likelihood for column in encoder.columns} == {Gaussian("shared", 0.01)}
    assert {(column.low, column.high) for column in encoder.columns} == {(0.0, 1.0)}
    assert {column.reason for column in encoder.columns} == {"its pixels have many values"}


def test_constant_channel_keeps_a_usable_scale():
    column = encoder_of(IMAGES["a constant channel"]).columns[1]
    assert (column.location, column.scale) == (255, 1)
    column = encoder_of(np.full((4, 5, 6), 0.25)).columns[0]
    assert (column.location, column.scale) == (0.25, 1)


def test_range_is_that_of_all_images_and_not_of_the_sample(monkeypatch):
    monkeypatch.setattr("vae_anomaly.data.images.SAMPLE_PIXELS", 2 * 30)
    arrays = np.minimum(LEVELS, 200).astype(np.uint16)
    arrays[7, 0, 0] = 4000
    assert encoder_of(arrays).columns[0].high == 65_535


@pytest.mark.parametrize("likelihood", [RoundedStudentT(), DiscretizedLogistic()])
@pytest.mark.parametrize("seed", range(5))
def test_lowest_and_highest_levels_meet_the_bounds_of_their_column(likelihood, seed):
    levels = np.random.default_rng(seed).integers(0, 256, (30, 5, 6), dtype=np.uint8)
    encoder = encoder_of(levels, likelihood)
    (column,) = encoder.columns
    values = encoded(encoder, levels).values.numpy().reshape(levels.shape)
    low, high = (np.float32(column.model_units(np.array(end))) for end in (0.0, 255.0))
    assert (values[levels == 0] == low).all()
    assert (values[levels == 255] == high).all()


@pytest.mark.parametrize("arrays", [LEVELS, with_missing_pixel(LEVELS), LEVELS.astype(np.int64) - 1000])
def test_rounded_levels_decode_to_whole_numbers(arrays):
    encoder = encoder_of(arrays, DiscretizedLogistic())
    decoded = encoder.decode(encoded(encoder, arrays).values.numpy() + 0.003)
    assert (decoded == np.rint(decoded)).all()
    assert encoder.columns[0].log_jacobian == 0


def test_decoded_levels_stay_between_the_possible_ones():
    encoder = encoder_of(LEVELS)
    decoded = encoder.decode(np.array([[-50.0] * 30, [50.0] * 30]))
    assert decoded.min() == 0
    assert decoded.max() == 255
    assert encoder_of(IMAGES["float32"]).decode(np.full((1, 30), 50.0)).min() > 10


@pytest.mark.parametrize(
    ("train", "given", "message"),
    [
        (LEVELS, LEVELS[:, :4], r"4x6 pixels \(height x width\) and 1 channel; the model takes 5x6"),
        (LEVELS, np.stack([LEVELS] * 3, 1), "5x6 pixels .* and 3 channels; the model takes .* and 1 channel"),
        (
            LEVELS,
            SHARES,
            r"no pixel of an image is above 1 \(image 0\); .* grey levels up to 255. Multiply the images by 255",
        ),
        (LEVELS, LEVELS > 100, "no pixel of an image is above 1"),
        (SHARES, LEVELS, r"pixels of an image go up to 248 \(image \d\); training had none above 1. Divide the images"),
        (SHARES, LEVELS.astype(float), "pixels of an image go up to 248 .* training had none above 1"),
        (LEVELS > 100, LEVELS, "pixels of an image go up to 248 .* training had none above 1"),
        (SHARES, np.where(SHARES > 0.9, np.inf, SHARES), r"infinite pixels \(image 0\); expected finite"),
        (
            np.where(LEVELS > 9, np.uint8(200), np.uint8(100)),
            LEVELS,
            "channel 'grey' is .*; Bernoulli takes .* 100 to 200",
        ),
    ],
)
def test_other_images_than_in_training_are_refused(train, given, message):
    encoder = encoder_of(train)
    with pytest.raises(DataError, match=message) as caught:
        encoded(encoder, given)
    assert "\n" not in str(caught.value)


def test_huge_pixel_is_as_far_out_as_cells_can_be():
    values = encoded(encoder_of(SHARES), np.where(SHARES > 0.9, -1e300, SHARES)).values
    assert values.isfinite().all()
    assert float(values.min()) == -1e6


def test_value_outside_the_support_is_named_with_its_image():
    encoder = encoder_of(np.stack([SHARES, SHARES], 1), ContinuousBernoulli())
    wrong = np.stack([SHARES, SHARES], 1)
    wrong[4, 1, 2, 3] = 1.25
    with pytest.raises(DataError, match=r"channel 'channel 1' is 1\.25 \(image 4\); .* pixels from 0 to 1") as caught:
        encoded(encoder, wrong)
    assert caught.value.row == 4


def test_missing_pixels_are_inside_every_support():
    for likelihood in (Bernoulli(), ContinuousBernoulli()):
        batch = encoded(encoder_of(SHARES, likelihood), with_missing_pixel(SHARES))
        assert (~batch.observed).sum() == 1
        assert batch.values[~batch.observed] == 0


@pytest.mark.parametrize(
    ("arrays", "likelihood", "message"),
    [
        (SHARES, DiscretizedLogistic(), "channel 'grey' holds fractions; DiscretizedLogistic takes whole grey levels"),
        (SHARES, RoundedStudentT(), "channel 'grey' holds fractions"),
        (IMAGES["float32"], ContinuousBernoulli(), "holds pixels from .* takes 0 to 1. Rescale"),
        (IMAGES["int64"], Bernoulli(), "holds pixels from -1000 to"),
        (np.full((4, 5, 6), np.nan), None, "channel 'grey' holds no finite pixel"),
        (np.full((4, 5, 6), np.inf), None, "channel 'grey' holds no finite pixel"),
    ],
)
def test_channels_that_cannot_be_learned_are_refused(arrays, likelihood, message):
    with pytest.raises(DataError, match=message):
        encoder_of(arrays, likelihood)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_of_tables_are_refused_for_pixels(name):
    likelihood = LIKELIHOODS[name]()
    if likelihood.traits.for_pixels:
        (column,) = encoder_of(LEVELS, likelihood).columns
        assert column.likelihood == likelihood
        assert column.reason == "given"
        return
    with pytest.raises(SpecificationError, match=f"likelihood={likelihood.title} is not one for pixels"):
        encoder_of(LEVELS, likelihood)


def test_huge_pixels_stop_where_single_precision_still_works():
    arrays = IMAGES["float32"].copy()
    encoder = encoder_of(arrays)
    arrays[0, 0, 0] = 1e30
    assert float(encoded(encoder, arrays).values.max()) == 1e6
