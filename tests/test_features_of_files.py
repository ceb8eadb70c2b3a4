"""What networks see of an image, alone or beside others: levels, channels, sizes, and files that cannot be read."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from vae_anomaly import DataError, DataWarning, FeatureMapDetector, ImageFeatures, VAEDetector

FAST = VAEDetector(max_iter=40, n_estimators=1, early_stopping=False)


def flat(images):
    return images.flatten(1)


def maps_of(images):
    return torch.cat([nn.functional.avg_pool2d(images, 4), nn.functional.max_pool2d(images, 4)], 1)


def levels(seed=0, size=(16, 24), top=255):
    return np.random.default_rng(seed).integers(0, top + 1, size)


def saved(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)
    return path


def folder_of(folder, n=20, size=(16, 24)):
    return [saved(folder / f"{number}.png", levels(number, size).astype(np.uint8)) for number in range(n)]


def test_levels_of_16_bits_do_not_depend_on_the_brightest_of_the_batch(tmp_path):
    dark = saved(tmp_path / "dark.png", levels(top=200).astype(np.uint16))
    bright = saved(tmp_path / "bright.png", levels(1, top=65_535).astype(np.uint16))
    features = ImageFeatures(flat)
    alone, beside = features.transform([dark]), features.transform([dark, bright])
    np.testing.assert_array_equal(alone[0], beside[0])
    assert alone.max() == pytest.approx(200 / 65_535)
    np.testing.assert_array_equal(features.transform(levels(top=200)[None].astype(np.uint16)), alone)


def test_black_and_white_files_reach_the_network_as_0_and_1(tmp_path):
    two = saved(tmp_path / "two.png", (levels(top=1) * 255).astype(np.uint8), "1")
    grey = saved(tmp_path / "grey.png", levels().astype(np.uint8))
    alone, beside = ImageFeatures(flat).transform([two]), ImageFeatures(flat).transform([two, grey])
    np.testing.assert_array_equal(alone[0], beside[0])
    assert set(alone.ravel()) == {0.0, 1.0}


def test_bools_and_integers_are_scaled_by_their_dtype():
    features = ImageFeatures(flat)
    assert features.transform(np.ones((2, 8, 8), bool)).max() == 1
    np.testing.assert_allclose(features.transform(np.full((2, 8, 8), 51, np.int64)), 0.2, rtol=1e-6)
    with pytest.raises(
        DataError, match=r"int32 hold levels from 300 to 300; expected 0 to 255\. Give 16 bits as uint16"
    ):
        features.transform(np.full((2, 8, 8), 300, np.int32))
    with pytest.raises(DataError, match="levels from -1 to -1"):
        features.transform(np.full((2, 8, 8), -1, np.int16))


def test_grey_file_alone_has_the_channels_of_the_fit(tmp_path):
    files = folder_of(tmp_path)
    colour = [saved(tmp_path / f"c{n}.png", levels(50 + n, (16, 24, 3)).astype(np.uint8)) for n in range(5)]
    detector = FeatureMapDetector(maps_of).fit([*files, *colour])
    assert (detector.image_format_.channels, detector.image_format_.depth) == (3, 8)
    together = detector.score_samples([files[0], colour[0]])
    np.testing.assert_allclose(detector.score_samples([files[0]]), together[:1], rtol=1e-6)
    features = ImageFeatures(flat).fit([*files, *colour])
    assert features.transform(files[:1]).shape == features.transform(colour[:1]).shape == (1, 3 * 16 * 24)


def test_grey_fit_with_three_channels_takes_colour(tmp_path):
    colour = saved(tmp_path / "c.png", levels(9, (16, 24, 3)).astype(np.uint8))
    files = folder_of(tmp_path)
    detector = FeatureMapDetector(maps_of, channels=3).fit(files)
    assert np.isfinite(detector.score_samples([colour])).all()
    grey = FeatureMapDetector(maps_of).fit(files)
    with pytest.warns(DataWarning, match="colour image where the model takes grey ones"):
        assert np.isnan(grey.score_samples([colour])).all()


def test_fit_on_arrays_decides_the_channels_of_files(tmp_path):
    arrays = np.stack([levels(number, (16, 24, 3)) for number in range(20)]).astype(np.uint8)
    detector = FeatureMapDetector(maps_of).fit(arrays)
    assert np.isfinite(detector.score_samples(folder_of(tmp_path, 2))).all()


def test_files_of_several_sizes_are_resized_and_maps_have_their_sizes(tmp_path):
    files = [*folder_of(tmp_path / "a", 10), *folder_of(tmp_path / "b", 10, (20, 32))]
    with pytest.raises(DataError, match="image_shape="):
        FeatureMapDetector(maps_of).fit(files)
    detector = FeatureMapDetector(maps_of, image_shape=(16, 16)).fit(files)
    assert np.isfinite(detector.score_samples(files)).all()
    assert [found.shape for found in detector.anomaly_maps([files[0], files[-1]])] == [(16, 24), (20, 32)]
    assert ImageFeatures(flat, image_shape=(8, 8)).transform(files).shape == (20, 64)


def test_unreadable_file_has_no_score_and_no_part_in_the_fit(tmp_path, recwarn):
    files = folder_of(tmp_path)
    empty = tmp_path / "empty.png"
    empty.touch()
    detector = FeatureMapDetector(maps_of).fit([*files, empty])
    assert np.isfinite(detector.offset_)
    assert sum("empty.png" in str(warning.message) for warning in recwarn) == 1
    with pytest.warns(DataWarning, match=r"empty\.png: the file is empty"):
        scores = detector.score_samples([files[0], empty, tmp_path / "nope.png", files[0]])
    assert np.isnan(scores).tolist() == [False, True, True, False]
    with pytest.warns(DataWarning):
        assert np.isnan(detector.score_samples([empty])).all()
    with pytest.raises(DataError, match=r"empty\.png"):
        list(detector.anomaly_maps([files[0], empty]))
    for features in (ImageFeatures(flat), ImageFeatures(flat).fit(files)):
        with pytest.raises(DataError, match=r"empty\.png"):
            features.transform([files[0], empty])


def test_missing_pixels_are_not_blamed_on_the_network():
    images = np.random.default_rng(0).random((40, 8, 8))
    images[35, 2, 2] = np.nan
    with pytest.raises(DataError, match=r"pixels that are missing or infinite \(image 35\)") as raised:
        ImageFeatures(flat).transform(images)
    assert raised.value.row == 35


def test_no_images_are_refused():
    with pytest.raises(DataError, match="there are no images"):
        ImageFeatures(flat).transform(np.empty((0, 8, 8)))


def test_images_of_four_pixels_a_side_are_no_riddle():
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4)).astype(np.uint8)
    detector = FeatureMapDetector(nn.AvgPool2d(2)).fit(images)
    assert detector.score_samples(images).shape == (30,)
    assert next(detector.anomaly_maps(images)).shape == (4, 4)
