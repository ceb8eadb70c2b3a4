"""Files that are named twice, are not there, or are not what a model takes."""

import numpy as np
import pytest
from PIL import Image

from vae_anomaly import DataError, DataWarning, PatchDetector, SpecificationError, VAEDetector
from vae_anomaly.data.image_folders import ImageFiles, list_images, open_images
from vae_anomaly.data.image_formats import ImageFormat

pytestmark = pytest.mark.filterwarnings(r"ignore:\d+ rows are too few to set any aside:vae_anomaly.FitWarning")

SMALL = {"max_iter": 5, "n_estimators": 1}
PATCHES = {"window": 4, "n_windows": 256, "max_iter": 5, "hidden_layer_sizes": (8,)}
DETECTORS = [VAEDetector(**SMALL), PatchDetector(**PATCHES)]


def write(folder, n, seed=0, size=(12, 10)):
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    for number in range(n):
        Image.fromarray(rng.integers(0, 256, size).astype(np.uint8)).save(folder / f"{number}.png")
    return [folder / f"{number}.png" for number in range(n)]


@pytest.mark.parametrize("detector", DETECTORS)
def test_file_that_is_named_twice_has_two_scores(tmp_path, detector):
    files = write(tmp_path / "good", 12)
    first, second = detector.fit(files).score_samples(files[:2])
    assert detector.score_samples([files[0], files[1], files[0]]).tolist() == [first, second, first]


def test_weights_stand_beside_files_that_are_named_twice(tmp_path):
    files = write(tmp_path / "good", 12)
    detector = VAEDetector(**SMALL).fit([*files, *files], sample_weight=np.ones(24))
    assert detector.fit_report_.n_rows == 24


@pytest.mark.parametrize("detector", DETECTORS)
def test_file_of_a_list_that_is_not_there_is_left_out_and_has_no_score(tmp_path, detector):
    files = write(tmp_path / "good", 12)
    link = tmp_path / "good" / "link.png"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.warns(DataWarning, match=r"nope\.png: cannot be read: No such file"):
        detector.fit([*files, tmp_path / "nope.png"])
    with pytest.warns(DataWarning, match=r"(nope|link)\.png: cannot be read: No such file"):
        scores = detector.score_samples([files[0], tmp_path / "nope.png", link, files[0]])
    assert np.isnan(scores).tolist() == [False, True, True, False]
    assert scores[0] == scores[3]
    with pytest.warns(DataWarning, match=r"link\.png"):
        assert np.isnan(detector.score_samples(tmp_path / "good")).sum() == 1


def test_name_that_no_file_can_have_is_a_problem_of_that_file(tmp_path):
    files = write(tmp_path / "good", 12)
    detector = VAEDetector(**SMALL).fit(files)
    with pytest.warns(DataWarning, match="File name too long"):
        scores = detector.score_samples([files[0], tmp_path / f"{'x' * 300}.png"])
    assert np.isnan(scores).tolist() == [False, True]


def test_folder_or_pattern_of_a_list_that_is_not_there_is_an_error(tmp_path):
    files = write(tmp_path / "good", 2)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        list_images([*files, tmp_path / "nowhere"])
    with pytest.raises(DataError, match="matches no file"):
        list_images([*files, tmp_path / "no*.png"])
    with pytest.raises(FileNotFoundError, match=r"nope\.png does not exist"):
        list_images(tmp_path / "nope.png")
    assert list_images([tmp_path / "good", tmp_path / "nope.png"]) == [*files, tmp_path / "nope.png"]


@pytest.mark.parametrize("n_channels", [2, 4])
def test_files_have_one_or_three_channels(tmp_path, n_channels):
    files = write(tmp_path / "good", 2, size=(16, 16))
    arrays = np.random.default_rng(0).integers(0, 256, (12, 16, 16, n_channels)).astype(np.uint8)
    detector = VAEDetector(**SMALL).fit(arrays)
    with pytest.raises(SpecificationError, match=f"fitted on images of {n_channels} channels.*Give it arrays"):
        detector.score_samples(files)


def test_size_that_memory_does_not_hold_is_refused_before_reading(tmp_path):
    files = write(tmp_path / "good", 2)
    with pytest.raises(DataError, match=r"an image of 99999x99999 pixels takes 9,536 MiB; expected at most 1,024"):
        open_images(files, (99_999, 99_999))
    ImageFiles(tuple(files), ImageFormat(32_768, 32_768, 1, 8))


def test_sizes_that_differ_name_parameters_that_exist(tmp_path):
    files = [*write(tmp_path / "a", 1), *write(tmp_path / "b", 1, size=(8, 8))]
    with pytest.raises(DataError, match=r"image_shape=\(height, width\)") as raised:
        open_images(files)
    assert " size=" not in str(raised.value)


def test_weights_of_files_that_cannot_be_read_are_asked_to_go(tmp_path):
    files = write(tmp_path / "good", 12)
    files[3].write_bytes(b"no image")
    with pytest.warns(DataWarning), pytest.raises(DataError, match="12 weights for 11 images"):
        VAEDetector(**SMALL).fit(files, sample_weight=np.ones(12))


def test_images_of_floats_without_numbers_say_so(tmp_path):
    files = write(tmp_path / "good", 12)
    incomplete = np.full((12, 10), 0.5, dtype=np.float32)
    incomplete[0, 0] = np.nan
    Image.fromarray(incomplete).save(tmp_path / "incomplete.tif")
    with pytest.warns(DataWarning, match="holds levels that are not numbers; expected 0 to 1"):
        VAEDetector(**SMALL).fit(files).score_samples([tmp_path / "incomplete.tif"])
