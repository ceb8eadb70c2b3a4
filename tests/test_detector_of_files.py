"""Detectors that are given folders and files of images."""

import numpy as np
import pytest
from PIL import ExifTags, Image
from sklearn.base import clone

from vae_anomaly import DataError, DataWarning, FileLeftOutWarning, PatchDetector, VAEDetector, load, save
from vae_anomaly.data.image_folders import open_images

pytestmark = pytest.mark.filterwarnings(r"ignore:\d+ rows are too few to set any aside:vae_anomaly.FitWarning")

SMALL = {"max_iter": 5, "n_estimators": 1}
PATCHES = {"window": 4, "n_windows": 256, "max_iter": 5, "hidden_layer_sizes": (8,)}
BOTH = pytest.mark.parametrize(
    "untrained", [VAEDetector(**SMALL), PatchDetector(**PATCHES)], ids=lambda detector: type(detector).__name__
)


def write(folder, n, seed=0, size=(12, 10)):
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    for number in range(n):
        Image.fromarray(rng.integers(0, 256, size).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("top", [200, 40_000])
def test_dark_and_two_valued_files_keep_their_depth(tmp_path, top):
    rng = np.random.default_rng(0)
    for number in range(20):
        levels = rng.integers(0, 2, (9, 9)) * top if top > 255 else rng.integers(0, top, (9, 9))
        Image.fromarray(levels.astype(np.uint16)).save(tmp_path / f"{number}.png")
    detector = VAEDetector(max_iter=5, n_estimators=1).fit(tmp_path)
    assert detector.image_format_.depth == 16
    save(detector, tmp_path / "model.vae")
    assert load(tmp_path / "model.vae").image_format_ == detector.image_format_
    assert (detector.score_samples(tmp_path) == load(tmp_path / "model.vae").score_samples(tmp_path)).all()


def test_folder_paths_and_arrays_give_the_same_model_and_scores(tmp_path):
    folder = write(tmp_path / "good", 20)
    paths = sorted(folder.glob("*.png"), key=lambda path: int(path.stem))
    arrays = np.stack([np.asarray(Image.open(path)) for path in paths])
    by_folder, by_paths, by_arrays = (VAEDetector(**SMALL).fit(X) for X in (folder, paths, arrays))
    expected = by_arrays.score_samples(arrays).tolist()
    assert by_folder.score_samples(folder).tolist() == expected
    assert by_paths.score_samples(paths).tolist() == expected
    assert by_folder.score_samples(str(folder / "*.png")).tolist() == expected


@pytest.mark.parametrize("detector", [VAEDetector(**SMALL), PatchDetector(**PATCHES)])
def test_broken_file_is_left_out_of_the_fit_and_has_no_score(tmp_path, detector):
    folder = write(tmp_path / "good", 12)
    content = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(content[: len(content) // 2])
    with pytest.warns(DataWarning, match=r"3\.png"):
        detector.fit(folder)
    with pytest.warns(DataWarning, match=r"3\.png"):
        scores = detector.score_samples(folder)
    assert np.isnan(scores).tolist() == [number == 3 for number in range(12)]
    with pytest.raises(DataError, match=r"3\.png"):
        detector.explain(folder)


@BOTH
def test_files_of_another_size_are_refused(tmp_path, untrained):
    detector = clone(untrained).fit(write(tmp_path / "good", 12))
    other = write(tmp_path / "other", 3, seed=1, size=(24, 20))
    said = r"0\.png: 24x20 pixels \(height x width\) where the model takes 12x10; .*image_shape=\(12, 10\)"
    asked = (detector.score_samples, detector.anomaly_score, detector.predict, detector.decide, detector.explain)
    for ask in asked:
        with pytest.raises(DataError, match=rf"none of 3 images has the size that the model takes.*{said}"):
            ask(other)
        with pytest.raises(DataError, match=said) as raised:
            ask([other / "0.png"])
        assert "none of" not in str(raised.value)
    with pytest.raises(DataError, match=r"cannot be used \(image 0\); 24x20 pixels"):
        detector.score_samples([Image.new("L", (20, 24))])


@BOTH
def test_one_file_of_another_size_among_others_is_left_out_with_a_warning(tmp_path, untrained):
    folder = write(tmp_path / "good", 12)
    detector = clone(untrained).fit(folder)
    expected = detector.score_samples(folder)
    Image.new("L", (20, 24)).save(folder / "3.png")
    with pytest.warns(FileLeftOutWarning, match=r"3\.png.*24x20 pixels") as said:
        scores = detector.score_samples(folder)
    assert len(said) == 1
    assert np.isnan(scores).tolist() == [number == 3 for number in range(12)]
    np.testing.assert_array_equal(np.delete(scores, 3), np.delete(expected, 3))
    with pytest.raises(DataError, match=r"3\.png: 24x20 pixels"):
        detector.explain(folder)


@BOTH
def test_files_are_brought_to_the_size_of_the_model_where_it_was_given(tmp_path, untrained):
    both = write(write(tmp_path / "both", 12, size=(24, 20)), 6)
    with pytest.raises(DataError, match="2 sizes"):
        clone(untrained).fit(both)
    sized = clone(untrained).set_params(image_shape=(12, 10)).fit(both)
    assert (sized.image_format_.height, sized.image_format_.width, sized.image_format_.resizes) == (12, 10, True)
    save(sized, tmp_path / "model.vae")
    large = write(tmp_path / "large", 3, seed=1, size=(40, 30))
    scores = load(tmp_path / "model.vae").score_samples(large)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, sized.score_samples(large))
    strict = clone(untrained).fit(write(tmp_path / "good", 12))
    assert not strict.image_format_.resizes
    assert np.isfinite(strict.set_params(image_shape=(12, 10)).score_samples(large)).all()


def test_damaged_files_alone_are_no_images_of_another_size(tmp_path):
    detector = VAEDetector(**SMALL).fit(write(tmp_path / "good", 12))
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"none")
    with pytest.warns(FileLeftOutWarning, match="no image by its first bytes"):
        assert np.isnan(detector.score_samples([tmp_path / "a.png", tmp_path / "b.png"])).all()
    Image.new("L", (20, 24)).save(tmp_path / "c.png")
    with pytest.raises(DataError, match=r"^[^ ]*c\.png: 24x20 pixels"):
        detector.score_samples([tmp_path / "a.png", tmp_path / "c.png"])


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_turned_files_have_the_size_that_they_are_shown_with(tmp_path, suffix):
    detector = VAEDetector(**SMALL).fit(write(tmp_path / "good", 12))
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.new("L", (12, 10), 100).save(tmp_path / f"turned.{suffix}", exif=turned)
    assert np.isfinite(detector.score_samples([tmp_path / f"turned.{suffix}"])).all()


def test_a_sample_is_read_where_memory_is_short(tmp_path):
    files, _ = open_images(write(tmp_path / "good", 30))
    images, problems = files.load(max_bytes=10 * 120, seed=1)
    again, _ = files.load(max_bytes=10 * 120, seed=1)
    assert images.n_rows == 10
    assert not problems
    assert np.array_equal(images.pixels, again.pixels)


def test_model_of_floats_reads_no_files(tmp_path):
    detector = VAEDetector(**SMALL).fit(np.random.default_rng(0).random((20, 12, 10)))
    with pytest.raises(ValueError, match="fitted on floats"):
        detector.score_samples(write(tmp_path / "good", 3))


def test_two_images_at_least(tmp_path):
    with pytest.raises(DataError, match="1 images can be read"):
        VAEDetector(**SMALL).fit(write(tmp_path / "good", 1))


def test_images_that_are_all_refused_end_with_the_first_reason(tmp_path):
    for number in range(3):
        levels = np.full((8, 8), 200.0 + number, np.float32)
        Image.fromarray(levels).save(tmp_path / f"{number}.tif")
    with pytest.raises(DataError, match=r"0 of 3 images can be read; .* at least 2\. .*0\.tif: .*expected 0 to 1"):
        VAEDetector(max_iter=5).fit(tmp_path)


def test_files_without_a_readable_header_are_counted_and_the_first_says_why(tmp_path):
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "good.png")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"garbage")
    with (
        pytest.warns(DataWarning),
        pytest.raises(DataError, match=r"1 of 3 images can be read; .*a\.png: no image by its first bytes"),
    ):
        VAEDetector(max_iter=1).fit(str(tmp_path))
