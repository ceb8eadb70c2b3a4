"""Models of whole images or of patches: which one the command fits."""

import json

import numpy as np
import pytest
from PIL import Image

from vae_anomaly import PatchDetector, VAEDetector, load

FAST = ("--max-iter", "8")


@pytest.fixture(scope="module", autouse=True)
def _few_windows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PatchDetector.__init__.__kwdefaults__, "n_windows", 1024)
        yield


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large") / "good"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(90, 160, (66, 70)).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def odd(large):
    folder = large.parent / "new"
    folder.mkdir()
    for number in range(3):
        image = np.asarray(Image.open(large / f"{number}.png")).copy()
        image[30:36, 40:46] = 255 * (number == 1) + image[30:36, 40:46] * (number != 1)
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def fit_in_patches(run, large):
    """How a fit without --method ended, and its model."""
    path = large.parent / "m.vae"
    outcome = run("fit", large, "-o", path, "--random-state", "2", *FAST)
    assert outcome.code == 0, outcome.err
    return outcome, path


def test_large_images_get_a_model_of_patches(run, fit_in_patches, odd, tmp_path):
    outcome, model = fit_in_patches
    assert "12 images as 66x70 pixels, grey with 8 bits, method patch of 8 and 16 pixels, " in outcome.err
    detector = load(model)
    assert isinstance(detector, PatchDetector)
    assert detector.random_state == 2
    scored = run("score", odd, "-m", model, "--heatmaps", tmp_path / "maps", "--sheet", tmp_path / "s.png")
    assert scored.code == 0, scored.err
    assert scored.frame["anomaly_score"].astype(float).idxmax() == 1
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["0.png", "1.png", "2.png"]
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width > 200
    shown = run("info", model)
    assert shown.code == 0, shown.err
    assert "8x8 and 16x16 pixels, hidden and predicted" in " ".join(shown.text.split())


def test_small_images_get_a_model_of_whole_images(run, good, tmp_path, fast_images):
    outcome = run("fit", good, "-o", tmp_path / "m.vae", *fast_images)
    assert ", method image, " in outcome.err
    assert isinstance(load(tmp_path / "m.vae"), VAEDetector)


def test_size_decides_after_resizing(run, large, tmp_path, fast_images):
    outcome = run("fit", large, "-o", tmp_path / "m.vae", "--image-shape", "16x16", *fast_images)
    assert ", method image, " in outcome.err


@pytest.mark.parametrize(
    ("whole", "patches"), [(("--method", "image"), ("--method", "patch")), (("--look", "whole"), ("--look", "patches"))]
)
def test_method_says_otherwise(run, large, good, tmp_path, whole, patches):
    outcome = run("fit", large, "-o", tmp_path / "w.vae", *whole, "--image-shape", "24x24", *FAST)
    assert ", method image, " in outcome.err
    assert ("warning: --look whole is now --method image" in outcome.err) is (whole[0] == "--look")
    outcome = run("fit", good, "-o", tmp_path / "p.vae", *patches, "--json", *FAST)
    assert json.loads(outcome.text)["fitted_images"] == 40
    assert ("warning: --look patches is now --method patch" in outcome.err) is (whole[0] == "--look")
    assert isinstance(load(tmp_path / "p.vae"), PatchDetector)


def test_max_samples_is_no_option_of_patches(run, large, tmp_path):
    outcome = run("fit", large, "-o", tmp_path / "m.vae", "--max-samples", "50")
    assert outcome.code == 2
    assert "--max-samples is for models of whole images" in outcome.err


@pytest.mark.parametrize("options", [("--method", "image"), ("--look", "whole")])
def test_method_is_no_option_of_tables(run, write, options):
    line = run("score", write("t.csv", "a,b\n1,2\n3,4\n"), *options).error()
    assert line.startswith("error: --method cannot go with tables")


def test_model_of_patches_refuses_a_table(run, fit_in_patches, write):
    outcome = run("score", write("t.csv", "a,b\n1,2\n3,4\n"), "-m", fit_in_patches[1])
    assert outcome.code == 2
    assert "was fitted on images, and the input is tables" in outcome.err


def test_images_of_a_few_pixels_width_are_scored(run, tmp_path):
    folder = tmp_path / "narrow"
    folder.mkdir()
    for number in range(12):
        levels = np.random.default_rng(number).integers(0, 256, (40, 3)).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{number}.png")
    outcome = run("score", folder, "--heatmaps", tmp_path / "maps", *FAST)
    assert outcome.code == 0, outcome.err
    assert len(outcome.frame) == 12
    assert len(list((tmp_path / "maps").iterdir())) == 12


def thin(folder, size):
    folder.mkdir()
    for number in range(12):
        levels = np.random.default_rng(number).integers(90, 160, size).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{number}.png")
    return folder


def test_long_thin_images_get_a_model_of_whole_images(run, tmp_path):
    outcome = run("fit", thin(tmp_path / "thin", (15, 100)), "-o", tmp_path / "m.vae", *FAST)
    assert outcome.code == 0, outcome.err
    assert ", method image, " in outcome.err


def test_patches_that_do_not_fit_name_the_way_out(run, tmp_path):
    outcome = run("fit", thin(tmp_path / "thin", (7, 700)), "-o", tmp_path / "m.vae", "--method", "patch", *FAST)
    assert outcome.code == 2
    assert "7x700 pixels, and patches have at least 8x8. Give --method image" in outcome.err
    assert run("fit", thin(tmp_path / "fits", (8, 70)), "-o", tmp_path / "m.vae", "--method", "patch", *FAST).code == 0


def test_patches_named_here_are_those_of_the_library():
    from vae_anomaly_cli.image_model import MAX_WINDOW, MIN_WINDOW

    images = np.random.default_rng(0).integers(90, 160, (8, 40, 40)).astype(np.uint8)
    detector = PatchDetector(n_windows=256, max_iter=2, hidden_layer_sizes=(4,), calibration=None).fit(images)
    assert [model.windows.target for model in detector.models_] == [MIN_WINDOW, MAX_WINDOW]
