"""Detectors as models of MLflow, and their fits as its runs; in a store on this disk."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

# Before it is imported: it would ask who uses it.
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}
mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")

import vae_anomaly.mlflow as flavour  # noqa: E402
from vae_anomaly import (  # noqa: E402
    Callback,
    FitWarning,
    ModelFileError,
    NotInstalled,
    PatchDetector,
    SpecificationError,
    StopTraining,
    TrainingCheck,
    VAEDetector,
    load,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning"),
    # Of MLflow, of its own lines.
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
]

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(RNG.normal(size=(150, 2)), columns=["a", "b"]).assign(kind=RNG.choice(["x", "y"], 150))
KEY = b"sixteen bytes or more"


def of_rows(**parameters: Any) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=6, hidden_layer_sizes=(8,), **parameters)


@pytest.fixture(scope="module")
def detector() -> VAEDetector:
    return of_rows().fit(ROWS)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    """What was logged, in a store of this test."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    mlflow.set_registry_uri((tmp_path / "runs").as_uri())
    mlflow.set_experiment("tests")
    yield mlflow.MlflowClient()
    while mlflow.active_run() is not None:
        mlflow.end_run()
    mlflow.set_tracking_uri(before)


def runs_of(client: Any) -> list[Any]:
    experiment = client.get_experiment_by_name("tests")
    found = client.search_runs([experiment.experiment_id])
    return sorted(found, key=lambda run: run.info.start_time)


def test_kept_model_scores_as_before_and_holds_no_pickle(detector: VAEDetector, tmp_path: Path) -> None:
    flavour.save_model(detector, tmp_path / "kept", input_example=ROWS.head(2), metadata={"team": "quality"})
    loaded = flavour.load_model(str(tmp_path / "kept"))
    np.testing.assert_array_equal(loaded.score_samples(ROWS), detector.score_samples(ROWS))
    served = mlflow.pyfunc.load_model(str(tmp_path / "kept"))
    answer = served.predict(ROWS.head(20))
    assert list(answer) == ["anomaly_score", "p_value", "is_anomaly"]
    pd.testing.assert_frame_equal(answer, detector.decide(ROWS.head(20))[list(answer)])
    names = {path.name for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    assert "model.vae" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle"))]
    assert served.metadata.signature.inputs.input_names() == ["a", "b", "kind"]
    assert served.metadata.metadata == {"team": "quality"}
    wanted = f"mlflow=={mlflow.__version__}\nvae-anomaly==0.1.0\n"
    assert (tmp_path / "kept" / "requirements.txt").read_text() == wanted


def test_kept_model_of_images_scores_arrays(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (12, 8, 8)).astype(np.uint8)
    detector = PatchDetector(n_windows=256, max_iter=2, window=4, hidden_layer_sizes=(8,)).fit(images)
    flavour.save_model(detector, tmp_path / "kept")
    answer = mlflow.pyfunc.load_model(str(tmp_path / "kept")).predict(images)
    np.testing.assert_array_equal(answer["anomaly_score"], detector.anomaly_score(images))


def test_signed_model_asks_for_its_key(detector: VAEDetector, tmp_path: Path) -> None:
    flavour.save_model(detector, tmp_path / "kept", key=KEY)
    assert isinstance(flavour.load_model(str(tmp_path / "kept"), key=KEY), VAEDetector)
    with pytest.raises(ModelFileError, match="not signed with this key"):
        flavour.load_model(str(tmp_path / "kept"), key=KEY[::-1])


def test_folder_that_is_not_empty_stays_as_it_is(detector: VAEDetector, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SpecificationError, match="there already and not empty"):
        flavour.save_model(detector, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_model_of_another_flavour_is_refused(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: json\n")
    with pytest.raises(SpecificationError, match=r"python_function.*expected one that vae_anomaly\.mlflow kept"):
        flavour.load_model(str(tmp_path))


@pytest.mark.parametrize("data", ["data: ../kept/model.vae", "data: /etc/passwd", "data: [1]", "code: null"])
def test_folder_that_names_no_file_of_its_own_is_refused(detector: VAEDetector, tmp_path: Path, data: str) -> None:
    flavour.save_model(detector, tmp_path / "kept")
    described = tmp_path / "kept" / "MLmodel"
    before = described.read_text()
    described.write_text(before.replace("  vae_anomaly:\n    data: model.vae", f"  vae_anomaly:\n    {data}"))
    assert described.read_text() != before
    with pytest.raises(ModelFileError, match="expected the name of a file in the same folder"):
        flavour.load_model(str(tmp_path / "kept"))


def test_logged_model_is_loaded_by_its_address(detector: VAEDetector, client: Any) -> None:
    with mlflow.start_run():
        info = flavour.log_model(detector, "detector")
    loaded = flavour.load_model(info.model_uri)
    np.testing.assert_array_equal(loaded.score_samples(ROWS), detector.score_samples(ROWS))


def test_logged_fit_has_the_numbers_of_its_history(client: Any) -> None:
    detector = of_rows(callbacks=[flavour.MLflowLogger()], missing_values={"a": -999}).fit(ROWS)
    (run,) = runs_of(client)
    assert mlflow.active_run() is None
    assert run.info.status == "FINISHED"
    logged = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    history = detector.history_
    for name, values in {
        "elbo/training": history.elbo,
        "elbo/held_out": history.validation_elbo,
        "kl": history.kl,
        "learning_rate": history.learning_rate,
    }.items():
        assert [(one.step, one.value) for one in logged[name]] == list(zip(history.iteration, values, strict=True))
    assert run.data.metrics["outcome/threshold"] == detector.threshold_.score
    assert run.data.params["n_estimators"] == "2"
    assert run.data.params["estimator"] == "VAEDetector"
    assert not {"missing_values", "callbacks"} & run.data.params.keys()
    (kept,) = mlflow.search_logged_models(experiment_ids=[run.info.experiment_id], output_format="list")
    loaded = flavour.load_model(kept.model_uri)
    np.testing.assert_array_equal(loaded.score_samples(ROWS), detector.score_samples(ROWS))


def test_fits_in_an_active_run_take_it_once_and_nest_from_then_on(client: Any) -> None:
    logger = flavour.MLflowLogger(log_model=False)
    with mlflow.start_run() as outer:
        of_rows(callbacks=[logger]).fit(ROWS)
        of_rows(callbacks=[logger], random_state=1).fit(ROWS)
        assert mlflow.active_run().info.run_id == outer.info.run_id
    first, second = runs_of(client)
    assert first.info.run_id == outer.info.run_id
    assert second.data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert (first.data.params["random_state"], second.data.params["random_state"]) == ("0", "1")


class Stops(Callback):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def on_check(self, detector: Any, check: TrainingCheck) -> None:
        raise self.error


def test_failed_fit_is_a_failed_run_and_a_stopped_one_says_so(client: Any) -> None:
    logger = flavour.MLflowLogger(log_model=False)
    with pytest.raises(LookupError):
        of_rows(callbacks=[logger, Stops(LookupError("no"))]).fit(ROWS)
    of_rows(callbacks=[logger, Stops(StopTraining("tired"))]).fit(ROWS)
    failed, stopped = runs_of(client)
    assert (failed.info.status, stopped.info.status) == ("FAILED", "FINISHED")
    assert stopped.data.tags["vae_anomaly.stopped_by"] == "tired"


def test_autolog_logs_every_fit_until_it_is_turned_off(client: Any) -> None:
    flavour.autolog(log_models=True)
    flavour.autolog(log_models=False)
    try:
        of_rows().fit(ROWS)
        of_rows().fit(ROWS)
    finally:
        flavour.autolog(disable=True)
    of_rows().fit(ROWS)
    assert len(runs_of(client)) == 2
    experiment = client.get_experiment_by_name("tests").experiment_id
    assert mlflow.search_logged_models(experiment_ids=[experiment], output_format="list") == []


def test_autolog_that_cannot_log_warns_and_lets_the_fit_go_on(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise mlflow.exceptions.MlflowException("the server is away")

    monkeypatch.setattr(mlflow, "log_metrics", refuse)
    flavour.autolog(log_models=False)
    try:
        with pytest.warns(FitWarning, match="MLflow does not log this fit: the server is away") as caught:
            detector = of_rows().fit(ROWS)
    finally:
        flavour.autolog(disable=True)
    assert len([one for one in caught if "MLflow" in str(one.message)]) == 1
    assert np.isfinite(detector.score_samples(ROWS)).all()
    with pytest.raises(mlflow.exceptions.MlflowException):
        of_rows(callbacks=[flavour.MLflowLogger()]).fit(ROWS)


@pytest.mark.skipif(not hasattr(VAEDetector, "report"), reason="detectors have no report")
def test_report_of_a_logged_fit_holds_no_raw_value(client: Any) -> None:
    rows = ROWS.assign(kind=RNG.choice(["secret-one", "secret-two"], 150))
    of_rows(callbacks=[flavour.MLflowLogger(log_model=False, log_report=True)]).fit(rows)
    (run,) = runs_of(client)
    page = Path(client.download_artifacts(run.info.run_id, "report.html")).read_text()
    assert "<html" in page
    assert "secret-" not in page


def test_missing_mlflow_is_named_with_its_extra(detector: VAEDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.setitem(sys.modules, name, None)
    for call in (
        flavour.autolog,
        lambda: flavour.load_model("models:/a/1"),
        lambda: flavour.log_model(detector),
        lambda: of_rows(callbacks=[flavour.MLflowLogger()]).fit(ROWS),
    ):
        with pytest.raises(NotInstalled, match=r"mlflow is not installed.*vae-anomaly\[mlflow\]"):
            call()


def test_kept_model_is_our_own_file(detector: VAEDetector, tmp_path: Path) -> None:
    flavour.save_model(detector, tmp_path / "kept")
    np.testing.assert_array_equal(
        load(tmp_path / "kept" / flavour.MODEL_FILE).score_samples(ROWS), detector.score_samples(ROWS)
    )
