"""Arrays of images: every layout becomes one, and what is ambiguous is refused."""

import numpy as np
import pytest
import torch

from vae_anomaly.data.images import Images, arranged, is_images, read_arrays
from vae_anomaly.errors import DataError

GREY = np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7)
COLOUR = np.arange(5 * 3 * 6 * 7, dtype=np.uint16).reshape(5, 3, 6, 7)

LAYOUTS = {
    "(n, height, width)": (GREY, None, GREY[:, None]),
    "(n, height, width, 1)": (GREY[..., None], None, GREY[:, None]),
    "(n, 1, height, width)": (GREY[:, None], None, GREY[:, None]),
    "(n, height, width, channels)": (COLOUR.transpose(0, 2, 3, 1), None, COLOUR),
    "(n, channels, height, width)": (COLOUR, None, COLOUR),
    "flattened": (GREY.reshape(5, -1), (6, 7), GREY[:, None]),
    "flattened, channels last": (COLOUR.transpose(0, 2, 3, 1).reshape(5, -1), (6, 7, 3), COLOUR),
    "flattened, channels first": (COLOUR.reshape(5, -1), (3, 6, 7), COLOUR),
    "flattened, one channel": (GREY.reshape(5, -1), (6, 7, 1), GREY[:, None]),
    "bools": (GREY > 100, None, GREY[:, None] > 100),
    "tensor": (torch.from_numpy(GREY), None, GREY[:, None]),
    "tensor with gradient": (torch.from_numpy(GREY).float().requires_grad_(), None, GREY[:, None].astype(np.float32)),
    "lists": (GREY.tolist(), None, GREY[:, None].astype(np.int64)),
    "transposed": (GREY.transpose(0, 2, 1), None, GREY[:, None].transpose(0, 1, 3, 2)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_same_pixels(layout):
    given, image_shape, expected = LAYOUTS[layout]
    images = read_arrays(given, image_shape)
    np.testing.assert_array_equal(images.pixels, expected)
    assert images.pixels.dtype == expected.dtype
    assert images.shape == expected.shape[1:]
    assert images.n_rows == 5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrangement_gives_the_axes_back(layout):
    given, image_shape, _ = LAYOUTS[layout]
    images = read_arrays(given, image_shape)
    back = arranged(images.pixels, channels_last=images.channels_last, channel_axis=images.channel_axis)
    given = given.detach().numpy() if isinstance(given, torch.Tensor) else np.asarray(given)
    np.testing.assert_array_equal(back, given.reshape(len(given), *(image_shape or given.shape[1:])))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64, np.int64])
def test_masked_pixels_are_missing(dtype):
    pixels = GREY.astype(dtype)
    mask = np.zeros(pixels.shape, dtype=bool)
    mask[1, 2, 3] = True
    images = read_arrays(np.ma.masked_array(pixels, mask), None)
    assert images.pixels.dtype.kind == "f"
    assert np.argwhere(np.isnan(images.pixels)).tolist() == [[1, 0, 2, 3]]
    np.testing.assert_array_equal(images.pixels[~mask[:, None]], pixels[~mask])


@pytest.mark.parametrize(
    ("given", "image_shape", "message"),
    [
        (np.zeros((5, 3, 6, 4)), None, "both the second and the last have 1 to 4"),
        (np.zeros((5, 6, 7, 8)), None, "no axis of 1 to 4 channels"),
        (np.zeros((5, 6, 7, 8, 3)), None, r"shape \(5, 6, 7, 8, 3\); expected \(n, height, width\)"),
        (np.zeros((5, 42)), None, r"For flattened images give image_shape=\(height, width\)"),
        (np.zeros((5, 42)), (6, 8), r"a row has 42 values, and image_shape=\(6, 8\) asks for 48"),
        (np.zeros((5, 42)), (42,), r"shape \(5, 42\)"),
        (np.zeros((0, 42)), (6, 8), "a row has 42 values"),
        (np.zeros((5, 0, 7)), None, "the images have no pixels"),
        (np.zeros((5, 0)), (0, 7), "the images have no pixels"),
        (np.array(3.0), None, r"shape \(\)"),
        (np.array([["a"]]), None, "values; expected booleans, integers or floats"),
        (np.zeros((5, 6, 7), dtype=object), None, "images hold object values"),
        (np.zeros((5, 6, 7), dtype=complex), None, "images hold complex128 values"),
        (np.zeros((5, 6, 7), dtype="datetime64[s]"), None, "images hold datetime64"),
    ],
)
def test_what_is_ambiguous_is_refused_with_what_to_give(given, image_shape, message):
    with pytest.raises(DataError, match=message) as caught:
        read_arrays(given, image_shape)
    assert "\n" not in str(caught.value)


def test_images_are_arrays_and_tensors_of_three_or_four_axes():
    assert [is_images(np.zeros((2,) * n)) for n in range(6)] == [False, False, False, True, True, False]
    assert is_images(torch.zeros(2, 3, 4))
    assert not is_images([[[1.0]]])


@pytest.mark.parametrize(
    ("n_channels", "names"),
    [
        (1, ("grey",)),
        (2, ("channel 0", "channel 1")),
        (3, ("red", "green", "blue")),
        (4, ("red", "green", "blue", "alpha")),
    ],
)
def test_channels_have_names(n_channels, names):
    assert Images(np.zeros((2, n_channels, 5, 5))).channel_names == names


def test_taken_images_keep_their_layout():
    images = read_arrays(COLOUR.transpose(0, 2, 3, 1), None)
    taken = images.take(np.array([3, 1]))
    assert taken.channels_last
    np.testing.assert_array_equal(taken.pixels, COLOUR[[3, 1]])
    assert read_arrays(GREY[:, None], None).take(slice(0, 2)).channel_axis


def test_sample_is_spread_evenly_over_what_fits(monkeypatch):
    monkeypatch.setattr("vae_anomaly.data.images.SAMPLE_PIXELS", 3 * 42)
    pixels = np.arange(9, dtype=np.uint8)[:, None, None, None].repeat(6, 2).repeat(7, 3)
    assert Images(pixels).sample()[:, 0, 0, 0].tolist() == [0, 4, 8]
    assert len(Images(pixels[:2]).sample()) == 2
