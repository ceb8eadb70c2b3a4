"""Model files of PatchDetector."""

import json

import numpy as np
import pytest

from vae_anomaly import ModelFileError, PatchDetector, load, read_manifest, save
from vae_anomaly.store.container import packed, unpacked

pytestmark = pytest.mark.filterwarnings(r"ignore:\d+ rows are too few to set any aside:vae_anomaly.FitWarning")

FAST = {"n_windows": 256, "max_iter": 3, "hidden_layer_sizes": (16,), "batch_size": 64}


def images(n=16, channels=()):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 24, 20, *channels)).astype(np.uint8)


@pytest.mark.parametrize(
    ("parameters", "channels"),
    [({}, ()), ({"model": "whole", "window": 8}, ()), ({"window": 4, "position": "use", "n_estimators": 2}, (3,))],
)
def test_loaded_detector_has_the_same_scores_and_maps(tmp_path, parameters, channels):
    X = images(channels=channels)
    detector = PatchDetector(**FAST | parameters).fit(X)
    save(detector, tmp_path / "model.vae")
    loaded = load(tmp_path / "model.vae")
    assert isinstance(loaded, PatchDetector)
    assert loaded.get_params() == detector.get_params()
    assert loaded.score_samples(X).tolist() == detector.score_samples(X).tolist()
    mine, theirs = loaded.explain(X[:2]), detector.explain(X[:2])
    assert np.array_equal(mine.excess, theirs.excess)
    assert np.array_equal(mine.reconstruction, theirs.reconstruction)
    assert (loaded.offset_, loaded.map_scale_) == (detector.offset_, detector.map_scale_)
    assert loaded.image_format_ == detector.image_format_
    assert loaded.fit_report_.n_iter == detector.fit_report_.n_iter


def test_model_changed_since_the_fit_does_not_reach_the_file(tmp_path):
    images = np.random.default_rng(0).normal(size=(12, 8, 8))
    detector = PatchDetector(window=4, n_windows=256, max_iter=5, hidden_layer_sizes=(8,)).fit(images)
    scores = detector.score_samples(images)
    save(detector.set_params(model="whole"), tmp_path / "model.vae")
    loaded = load(tmp_path / "model.vae")
    assert loaded.model == "masked"
    np.testing.assert_array_equal(loaded.score_samples(images), scores)


def test_manifest_says_what_the_model_is(tmp_path):
    save(PatchDetector(**FAST, window=8).fit(images()), tmp_path / "model.vae")
    manifest = read_manifest(tmp_path / "model.vae")
    assert (manifest["kind"], manifest["n_training_images"], manifest["format_version"]) == ("patches", 16, 11)
    assert manifest["images"]["height"] == 24
    assert [windows["target"] for windows in manifest["windows"]] == [8]


@pytest.fixture(scope="module")
def whole():
    return PatchDetector(**FAST, window=8, position="ignore").fit(images())


def changed(path, change):
    content = unpacked(path, tensors=True)
    manifest = json.loads(content.manifest)
    change(manifest)
    path.write_bytes(packed(json.dumps(manifest), content.tensors))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["windows"][0].update(target=10**6, near=10**6, far=10**6),
        lambda m: m["windows"][0].update(latent_dim=10**9),
        lambda m: m["windows"][0].update(hidden_layer_sizes=[10**9]),
        lambda m: m["windows"][0].update(stride=0),
        lambda m: m["windows"][0].update(cell=0),
        lambda m: m["windows"][0]["columns"][0].update(n_cells=10**9),
        lambda m: m["windows"].pop(),
        lambda m: m["images"].update(height=10**9),
        lambda m: m["images"].update(map_scale=[None, 1]),
        lambda m: m["decisions"]["threshold"].update(score=float("1e999")),
        lambda m: m.update(by_position=True),
        lambda m: m["parameters"].update(window=-1),
    ],
)
def test_manipulated_file_is_refused(tmp_path, whole, change):
    save(whole, tmp_path / "model.vae")
    changed(tmp_path / "model.vae", change)
    with pytest.raises(ModelFileError, match=r"inconsistent|damaged"):
        load(tmp_path / "model.vae")
