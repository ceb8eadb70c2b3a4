"""The model file: complete, safe, and never half-written."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from sklearn.exceptions import NotFittedError

import vae_anomaly
from vae_anomaly import (
    ELBO,
    MLP,
    Exemplar,
    Gaussian,
    ImportanceWeighted,
    ModelFileError,
    PooledELBO,
    SpecificationError,
    TrainingPlan,
    VAEDetector,
    load,
    read_manifest,
    save,
)
from vae_anomaly.store import FORMAT_VERSION
from vae_anomaly.store.container import CHECKSUM_KEY, METADATA_KEY, packed, unpacked
from vae_anomaly_datasets import load_thyroid_sick

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    return load_thyroid_sick()[0].iloc[:400]


@pytest.fixture(scope="module")
def detector(mixed: pd.DataFrame) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=40).fit(mixed)


@pytest.fixture(scope="module")
def saved(detector: VAEDetector, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "model.vae"
    save(detector, path, min_level_count=1)
    return path.read_bytes()


@pytest.fixture
def file(saved: bytes, tmp_path: Path) -> Path:
    (tmp_path / "model.vae").write_bytes(saved)
    return tmp_path / "model.vae"


def test_loaded_detector_is_the_saved_one(file: Path, detector: VAEDetector, mixed: pd.DataFrame) -> None:
    loaded = load(file)
    np.testing.assert_array_equal(loaded.score_samples(mixed), detector.score_samples(mixed))
    np.testing.assert_array_equal(loaded.predict(mixed), detector.predict(mixed))
    np.testing.assert_array_equal(loaded.transform(mixed), detector.transform(mixed))
    pd.testing.assert_frame_equal(loaded.sample(20, random_state=0), detector.sample(20, random_state=0))
    assert loaded.columns_ == detector.columns_
    assert loaded.fit_report_ == detector.fit_report_
    assert loaded.history_ == detector.history_
    assert loaded.get_params() == detector.get_params()
    assert list(loaded.feature_names_in_) == list(mixed.columns)


@pytest.mark.parametrize(
    "parameters",
    [
        {"prior": "standard_normal", "row_score": ImportanceWeighted(n_draws=8)},
        {"prior": Exemplar(kernel_width=1.5), "likelihood": Gaussian(noise="shared", floor=0.1)},
        {"row_score": PooledELBO(n_draws=6, independence=0.2)},
        {
            "backbone": MLP(skip_connection=False),
            "hidden_layer_sizes": [16],
            "training": TrainingPlan(hidden_fraction=0.0),
        },
        {"likelihood": "student_t", "row_score": ELBO(n_draws=3), "random_state": np.random.default_rng(1)},
        {"likelihood": "unit_gaussian", "random_state": None, "latent_dim": np.int64(2)},
    ],
)
def test_every_kind_of_detector_survives_the_file(parameters: dict[str, object], tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(80, 3))
    X[::7, 1] = np.nan
    detector = VAEDetector(n_estimators=2, max_iter=20).set_params(**parameters).fit(X)
    save(detector, tmp_path / "m.vae")
    loaded = load(tmp_path / "m.vae")
    assert loaded.row_score_ == detector.row_score_
    assert loaded.vae_.min_log_variance == detector.vae_.min_log_variance == -6.0
    np.testing.assert_array_equal(loaded.score_samples(X), detector.score_samples(X))


def test_manifest_is_read_without_the_tensors(file: Path, detector: VAEDetector, mixed: pd.DataFrame) -> None:
    manifest = read_manifest(file)
    assert manifest["format_version"] == FORMAT_VERSION == 11
    assert manifest["library_version"] == vae_anomaly.__version__
    assert manifest["n_features"] == mixed.shape[1]
    assert manifest["n_training_rows"] == 400
    assert manifest["offset"] == detector.offset_
    assert manifest["images"] is None
    # What automatic parameters stood for in the fit.
    assert manifest["parameters"]["hidden_layer_sizes"] is None
    assert manifest["hidden_layer_sizes"] == [64, 64]
    assert manifest["n_members"] == 2
    assert manifest["backbone"]["name"] == "mlp"
    assert manifest["score"]["name"] == "pooled_elbo"
    assert [column["name"] for column in manifest["columns"]] == list(mixed.columns)
    assert json.loads(json.dumps(manifest, allow_nan=False)) == manifest


def test_file_holds_tensors_and_text_only(file: Path) -> None:
    content = file.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert set(header["__metadata__"]) == {METADATA_KEY, CHECKSUM_KEY}
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} <= {"F32", "F64", "I64"}
    assert b"pickle" not in content
    assert b"torch._utils" not in content


def rewrite(file: Path, change: object) -> None:
    """Change what a file holds, as somebody would who can compute a checksum."""
    content = unpacked(file, tensors=True)
    manifest = json.loads(content.manifest)
    change(manifest, content.tensors)  # type: ignore[operator]
    file.write_bytes(packed(json.dumps(manifest), content.tensors))


def categorical(manifest: dict[str, Any]) -> dict[str, Any]:
    return next(c for c in manifest["columns"] if c["likelihood"] and c["likelihood"]["name"] == "categorical")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, _: m.update(format_version=99), "Upgrade"),
        (lambda m, _: m.pop("columns"), "inconsistent"),
        (lambda m, _: m["columns"][0]["likelihood"].update(name="os.system"), "inconsistent"),
        (lambda m, _: m["columns"][0]["likelihood"]["fields"].update(evil=1), "inconsistent"),
        (lambda m, _: m.update(n_members=3), "inconsistent"),
        (lambda m, _: m.update(n_members=0), "inconsistent"),
        (lambda m, _: m.update(hidden_layer_sizes=[8]), "inconsistent"),
        (lambda m, _: m.update(hidden_layer_sizes=[64, -64]), "inconsistent"),
        (lambda m, _: m["parameters"].update(n_estimators=0), "inconsistent"),
        (lambda m, _: m["score"]["fields"].update(n_draws=3), "inconsistent"),
        (lambda m, _: m["score"].update(name="surprise", fields={"n_draws": 1}), "reference statistics"),
        (lambda _, t: t.update(reference_statistics=torch.zeros(3, 1, dtype=torch.float64)), "reference statistics"),
        (lambda _, t: t.pop("noise"), "inconsistent"),
        (lambda m, _: m.update(hidden_layer_sizes=[200_000, 200_000]), "the file holds"),
        (lambda m, _: m.update(hidden_layer_sizes=[100_000, 1]), "the file holds"),
        (
            lambda m, _: categorical(m).update(
                levels=[str(level) for level in range(10**5)], frequencies=[1e-5] * 10**5
            ),
            "decoder outputs",
        ),
        (lambda m, _: m["columns"][0].update(n_cells=10**12), "n_cells is 1000000000000"),
        (lambda m, _: m["columns"][0].update(n_cells=10**9), "number of columns"),
        (lambda m, _: m.update(images={"height": 2, "width": 3}), "inconsistent"),
        (lambda m, _: m.update(n_components=10**9), "the file holds"),
        (lambda m, _: m["columns"][0].update(scale=0.0), "inconsistent"),
        (lambda m, _: m["backbone"].update(name="foo"), "inconsistent"),
        (lambda m, _: m["backbone"].update(name="convolutional", fields={}), "inconsistent"),
        (lambda m, _: m["parameters"].update(contamination="foo"), "inconsistent"),
        (lambda m, _: m["decisions"]["threshold"].update(score=float("nan")), "NaN is no number"),
        (lambda m, _: m.update(n_features=9), "inconsistent"),
        (lambda _, t: t.update(noise=t["noise"].double()), "inconsistent"),
        (lambda m, _: m.pop("format_version"), "manifest is damaged"),
        (lambda m, _: m.update(format_version=-5), "manifest is damaged"),
    ],
)
def test_manipulated_file_is_refused(change: object, message: str, file: Path) -> None:
    rewrite(file, change)
    with pytest.raises(ModelFileError, match=message) as caught:
        load(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04\x95.", b"PK\x03\x04" + bytes(100)])
def test_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.vae").write_bytes(content)
    with pytest.raises(ModelFileError, match="not a model file, or damaged"):
        load(tmp_path / "x.vae")


def test_truncated_file_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="damaged"):
        load(file)


def test_other_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelFileError, match="not a model of vae-anomaly"):
        load(tmp_path / "a.safetensors")


def test_deeply_nested_manifest_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.vae", metadata={METADATA_KEY: "[" * 100_000})
    with pytest.raises(ModelFileError, match="manifest is damaged"):
        read_manifest(tmp_path / "a.vae")


def test_loaded_detector_does_not_need_its_file_any_more(file: Path, mixed: pd.DataFrame) -> None:
    loaded = load(file)
    expected = loaded.score_samples(mixed)
    file.write_bytes(b"")
    np.testing.assert_array_equal(loaded.score_samples(mixed), expected)


def test_parameters_changed_since_the_fit_do_not_reach_the_file_or_the_score(
    mixed: pd.DataFrame, tmp_path: Path
) -> None:
    detector = VAEDetector(n_estimators=2, max_iter=20, contamination=np.float64(0.1)).fit(mixed)
    expected = detector.score_samples(mixed)
    detector.set_params(prior="standard_normal", n_estimators=3, row_score=ImportanceWeighted(), latent_dim=1)
    np.testing.assert_array_equal(detector.score_samples(mixed), expected)
    save(detector, tmp_path / "m.vae")
    np.testing.assert_array_equal(load(tmp_path / "m.vae").score_samples(mixed), expected)


def test_plan_changed_after_loading_does_not_reach_the_file(tmp_path: Path) -> None:
    plan = TrainingPlan(kl_warmup=0.1)
    save(VAEDetector(max_iter=2, training=plan).fit(np.eye(4)), tmp_path / "first.vae")
    detector = load(tmp_path / "first.vae").set_params(training__kl_warmup=0.9)
    save(detector, tmp_path / "second.vae")
    assert load(tmp_path / "second.vae").get_params()["training"] == plan


@pytest.mark.parametrize("offset", [float("inf"), float("-inf")])
def test_offset_that_is_not_finite_cannot_be_saved(offset: float, detector: VAEDetector, tmp_path: Path) -> None:
    changed = copy.copy(detector)
    changed.offset_ = offset
    with pytest.raises(SpecificationError, match=f"offset_ is {offset}"):
        save(changed, tmp_path / "model.vae")
    assert not list(tmp_path.iterdir())


def test_permissions_and_links_of_the_target_are_kept(detector: VAEDetector, tmp_path: Path) -> None:
    target, link = tmp_path / "private.vae", tmp_path / "link.vae"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to(target)
    save(detector, link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    assert load(target).offset_ == detector.offset_


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.vae"):
        load(tmp_path / "absent.vae")
    with pytest.raises(ModelFileError, match="folder"):
        load(tmp_path)


def test_unfitted_detector_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        save(VAEDetector(), tmp_path / "m.vae")
    assert list(tmp_path.iterdir()) == []


def test_failed_save_leaves_the_old_file_and_nothing_else(
    file: Path, detector: VAEDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(detector, file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_detector_with_a_foreign_likelihood_cannot_be_saved(tmp_path: Path) -> None:
    class Private(Gaussian):
        pass

    X = np.random.default_rng(0).normal(size=(40, 2))
    detector = VAEDetector(n_estimators=1, max_iter=5, likelihood=Private()).fit(X)
    with pytest.raises(SpecificationError, match="Private is not one of the library's own"):
        save(detector, tmp_path / "m.vae")
    assert list(tmp_path.iterdir()) == []


def test_model_of_constant_columns_can_be_saved(tmp_path):
    frame = pd.DataFrame({"a": np.ones(60), "b": np.full(60, 2.0)})
    detector = VAEDetector(max_iter=5, n_estimators=1, random_state=0).fit(frame)
    save(detector, tmp_path / "m.vae")
    assert np.array_equal(load(tmp_path / "m.vae").anomaly_score(frame), detector.anomaly_score(frame))
