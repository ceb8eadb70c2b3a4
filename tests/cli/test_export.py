"""`vae-anomaly export`: a model of tables as an ONNX file."""

import sys

import numpy as np
import pytest

from vae_anomaly import ExportError, OnnxModel, load

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def plain(run, orders_csv, fast, tmp_path_factory):
    """A model whose prior and score have a graph."""
    path = tmp_path_factory.mktemp("plain") / "orders.vae"
    assert run("fit", orders_csv, "-o", path, "--drop", "order", *fast).code == 0
    return path


def test_exported_model_scores_as_the_model(run, plain, orders, tmp_path):
    path = tmp_path / "orders.onnx"
    outcome = run("export", plain, path)
    assert outcome.code == 0, outcome.err
    assert f"exported {plain} with 4 columns to {path}" in outcome.err
    rows = orders.drop(columns="order")
    np.testing.assert_allclose(OnnxModel(path).score_samples(rows), load(plain).score_samples(rows), atol=2e-5)


def test_columns_that_were_no_features_are_no_surprise(run, plain, orders, tmp_path):
    path = tmp_path / "orders.onnx"
    assert run("export", plain, path, "--quiet").err == ""
    assert len(OnnxModel(path).score_samples(orders)) == len(orders)


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_library_that_is_missing_is_named_with_the_command(run, plain, tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    outcome = run("export", plain, tmp_path / "orders.onnx")
    assert outcome.code == 2
    assert f"{library} is not installed" in outcome.err
    assert 'python -m pip install "vae-anomaly[onnx]"' in outcome.err


def test_model_that_is_not_there_is_named(run, tmp_path):
    outcome = run("export", tmp_path / "none.vae", tmp_path / "none.onnx")
    assert outcome.code == 2
    assert "none.vae does not exist" in outcome.err


def test_model_itself_is_not_replaced(run, plain):
    before = plain.read_bytes()
    outcome = run("export", plain, plain)
    assert outcome.code == 2
    assert "is the model itself" in outcome.err
    assert plain.read_bytes() == before


def test_place_that_is_named_like_data_is_refused(run, plain, tmp_path):
    outcome = run("export", plain, tmp_path / "orders.csv")
    assert outcome.code == 2
    assert "named like a table" in outcome.err


def test_model_of_images_is_refused(run, image_model, tmp_path):
    outcome = run("export", image_model, tmp_path / "parts.onnx")
    assert outcome.code == 2
    assert "was fitted on images" in outcome.err
    assert not (tmp_path / "parts.onnx").exists()


def test_graph_with_other_scores_is_a_failure(run, plain, tmp_path, monkeypatch):
    def export(detector, path):
        raise ExportError(0.5, -3.0, 2e-5)

    monkeypatch.setattr("vae_anomaly.export_onnx", export, raising=False)
    outcome = run("export", plain, tmp_path / "orders.onnx")
    assert outcome.code == 1
    assert "0.5 nats from that of the detector" in outcome.err
