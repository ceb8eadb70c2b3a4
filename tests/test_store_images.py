"""Model files of images: the same scores, maps and layout, and no trust in what the manifest says of sizes."""

import json

import numpy as np
import pytest
import torch

from vae_anomaly import ModelFileError, TrainingPlan, VAEDetector, load, read_manifest, save
from vae_anomaly.likelihoods import DiscretizedLogistic
from vae_anomaly.model.backbones import MLP, Convolutional
from vae_anomaly.model.vae import VAE
from vae_anomaly.scores import SCORES, RelativeScore
from vae_anomaly.store.container import packed, unpacked

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")

GREY = np.random.default_rng(0).integers(0, 256, (40, 9, 7), dtype=np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], 3)


def small(**parameters):
    fast = {"backbone": "convolutional", "n_estimators": 2, "hidden_layer_sizes": (8,), "latent_dim": 3}
    return VAEDetector(**(fast | {"max_iter": 2} | parameters))


@pytest.fixture(scope="module")
def detector():
    return small().fit(GREY)


@pytest.fixture
def file(detector, tmp_path):
    save(detector, tmp_path / "model.vae")
    return tmp_path / "model.vae"


CASES = [
    ({}, GREY),
    ({}, GREY > 100),
    ({}, GREY[:, None]),
    ({}, COLOUR),
    ({}, COLOUR.transpose(0, 3, 1, 2).astype(np.float32) / 255),
    ({"backbone": "mlp", "hidden_layer_sizes": None}, GREY),
    ({"backbone": MLP(skip_connection=False), "prior": "standard_normal"}, COLOUR),
    ({"backbone": Convolutional(), "hidden_layer_sizes": (8, 12), "activation": "gelu"}, GREY),
    ({"likelihood": DiscretizedLogistic(n_components=2)}, GREY),
    ({"likelihood": "student_t", "training": TrainingPlan(hidden_fraction=0.5)}, np.where(GREY > 250, np.nan, GREY)),
    ({"image_shape": (9, 7), "n_estimators": None}, GREY.reshape(40, -1)),
    *(({"row_score": name, "backbone": "mlp"}, GREY) for name in SCORES),
]


@pytest.mark.parametrize(("parameters", "X"), CASES)
def test_loaded_detector_is_the_saved_one(parameters, X, tmp_path):
    detector = small(**parameters).fit(X)
    save(detector, tmp_path / "m.vae")
    loaded = load(tmp_path / "m.vae")
    np.testing.assert_array_equal(loaded.score_samples(X), detector.score_samples(X))
    np.testing.assert_array_equal(loaded.predict(X), detector.predict(X))
    np.testing.assert_array_equal(loaded.reconstruct(X), detector.reconstruct(X))
    np.testing.assert_array_equal(loaded.sample(4, random_state=0), detector.sample(4, random_state=0))
    np.testing.assert_array_equal(loaded.explain(X[:3]).excess, detector.explain(X[:3]).excess)
    assert loaded.encoder_ == detector.encoder_
    assert loaded.columns_ == detector.columns_
    assert loaded.map_scale_ == detector.map_scale_
    assert loaded.row_score_ == detector.row_score_
    assert loaded.get_params() == detector.get_params()
    assert loaded.n_features_in_ == detector.n_features_in_
    assert torch.equal(loaded.vae_.reference_statistics, detector.vae_.reference_statistics)
    assert bool(loaded.vae_.reference_statistics.numel()) == isinstance(loaded.row_score_, RelativeScore)


def test_loaded_detector_goes_on_learning(file):
    loaded = load(file)
    loaded.partial_fit(GREY)
    loaded.set_params(warm_start=True).fit(GREY)
    assert np.isfinite(loaded.score_samples(GREY)).all()


def test_manifest_speaks_of_images(file, detector):
    manifest = read_manifest(file)
    images = manifest["images"]
    assert (images["height"], images["width"]) == (9, 7)
    assert not images["channels_last"]
    assert not images["channel_axis"]
    assert tuple(images["map_scale"]) == detector.map_scale_
    assert [(column["kind"], column["n_cells"]) for column in manifest["columns"]] == [("pixel", 63)]
    assert manifest["n_features"] == 63
    assert manifest["backbone"] == {"concept": "backbone", "name": "convolutional", "fields": {}}
    assert manifest["hidden_layer_sizes"] == [8]


CHANGES = {
    "a taller image": lambda m: m["images"].update(height=10),
    "one line": lambda m: m["images"].update(height=1, width=63),
    "negative sides": lambda m: m["images"].update(height=-9, width=-7),
    "a side that is no integer": lambda m: m["images"].update(height=9.0),
    "a side of text": lambda m: m["images"].update(height="9"),
    "no side": lambda m: m["images"].pop("height"),
    "no layout": lambda m: m["images"].pop("channels_last"),
    "no scale of maps": lambda m: m["images"].pop("map_scale"),
    "a table": lambda m: m.update(images=None),
    "a table of many cells": lambda m: m.update(images=None, n_features=1),
    "huge images": lambda m: (
        m["images"].update(height=10**6, width=10**6),
        m["columns"][0].update(n_cells=10**12),
        m.update(n_features=10**12),
    ),
    "fewer cells": lambda m: m["columns"][0].update(n_cells=62),
    "another channel": lambda m: m["columns"].append(m["columns"][0]),
    "wide layers": lambda m: m.update(hidden_layer_sizes=[3000]),
    "more layers": lambda m: m.update(hidden_layer_sizes=[8] * 5),
    "no layers": lambda m: m.update(hidden_layer_sizes=[]),
    "dense layers": lambda m: m["backbone"].update(name="mlp", fields={"skip_connection": True}),
    "wide dense layers": lambda m: (
        m["backbone"].update(name="mlp", fields={"skip_connection": True}),
        m.update(hidden_layer_sizes=[2000]),
    ),
    "many components": lambda m: m["columns"][0].update(
        likelihood={"concept": "likelihood", "name": "discretized_logistic", "fields": {"n_components": 10**9}}
    ),
    "a scale of 0": lambda m: m["columns"][0].update(scale=0.0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_manipulated_sizes_are_refused(change, file):
    content = unpacked(file, tensors=True)
    manifest = json.loads(content.manifest)
    CHANGES[change](manifest)
    file.write_bytes(packed(json.dumps(manifest), content.tensors))
    with pytest.raises(ModelFileError, match="inconsistent") as caught:
        load(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["huge images", "wide layers", "wide dense layers", "many components"])
def test_sizes_are_refused_before_a_model_of_them_is_made(change, file, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the model was made")

    monkeypatch.setattr(VAE, "__init__", refuse)
    test_manipulated_sizes_are_refused(change, file)


@pytest.mark.parametrize(
    "reference_statistics",
    [None, torch.zeros(0, 2, dtype=torch.float64), torch.zeros(5, dtype=torch.float64), torch.zeros(5, 2)],
)
def test_score_that_compares_needs_its_reference_statistics(reference_statistics, tmp_path):
    file = tmp_path / "m.vae"
    save(small(row_score="surprise").fit(GREY), file)
    content = unpacked(file, tensors=True)
    del content.tensors["reference_statistics"]
    if reference_statistics is not None:
        content.tensors["reference_statistics"] = reference_statistics
    file.write_bytes(packed(content.manifest, content.tensors))
    with pytest.raises(ModelFileError, match=r"reference.statistics"):
        load(file)
