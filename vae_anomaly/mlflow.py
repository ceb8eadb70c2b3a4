"""Detectors in MLflow: kept as models, loaded again, and their fits logged.

A model is kept in the library's own file, which holds no code and no pickle. As a ``python_function`` it answers with
the anomaly score in nats, the p-value and whether the row is flagged.

Examples
--------
>>> import vae_anomaly.mlflow  # doctest: +SKIP
>>> vae_anomaly.mlflow.autolog()  # doctest: +SKIP
>>> info = vae_anomaly.mlflow.log_model(detector, "detector", input_example=X.head())  # doctest: +SKIP
>>> detector = vae_anomaly.mlflow.load_model(info.model_uri)  # doctest: +SKIP
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from vae_anomaly.callbacks import (
    Callback,
    TrainingCheck,
    add_to_every_fit,
    remove_from_every_fit,
    scalars_of,
    shown_parameters,
)
from vae_anomaly.detectors import PatchDetector, VAEDetector
from vae_anomaly.errors import FitWarning, ModelFileError, NotInstalled, SpecificationError, callers_level
from vae_anomaly.store import load, save
from vae_anomaly.version import __version__

FLAVOR_NAME = "vae_anomaly"
MODEL_FILE = "model.vae"
ANSWER = ["anomaly_score", "p_value", "is_anomaly"]
# What every version of MLflow takes.
MAX_PARAMETER_LENGTH = 500


def save_model(
    detector: VAEDetector | PatchDetector,
    path: str | os.PathLike[str],
    *,
    key: bytes | None = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    mlflow_model: Any = None,
) -> None:
    """Keep a fitted detector as a folder that MLflow loads and serves.

    Parameters
    ----------
    detector : VAEDetector or PatchDetector
        A fitted one.
    path : path-like
        The folder, which must be new or empty.
    key : bytes, optional
        Signs the model file: see `vae_anomaly.save`.
    signature : ModelSignature, optional
        Which columns the model takes; by default that of `input_example`.
    input_example : DataFrame or ndarray, optional
        A few rows that the model takes. They are kept with it, so that whoever may read it may read them.
    pip_requirements : sequence of str, optional
        What to install where the model is served; by default this version of the library.
    metadata : dict, optional
        Kept with the model.
    mlflow_model : mlflow.models.Model, optional
        What MLflow adds the flavour to.

    Raises
    ------
    NotInstalled
        If mlflow is not installed.
    SpecificationError
        If the folder is not empty, or `vae_anomaly.save` does not take the detector.
    """
    with _installed():
        from mlflow.models import Model, infer_signature
        from mlflow.pyfunc import add_to_model
    folder = Path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SpecificationError(f"{folder} is there already and not empty; expected a new folder for the model.")
    folder.mkdir(parents=True, exist_ok=True)
    save(detector, folder / MODEL_FILE, key=key)
    model = Model() if mlflow_model is None else mlflow_model
    if signature is None and input_example is not None:
        signature = infer_signature(input_example, _Scorer(detector).predict(input_example))
    if input_example is not None:
        _keep_example(model, input_example, folder)
    if signature is not None:
        model.signature = signature
    if metadata is not None:
        model.metadata = dict(metadata)
    environment = _write_environment(folder, pip_requirements)
    add_to_model(model, loader_module=__name__, data=MODEL_FILE, **environment)
    model.add_flavor(FLAVOR_NAME, data=MODEL_FILE, vae_anomaly_version=__version__, kind=type(detector).__name__)
    model.save(str(folder / "MLmodel"))


def log_model(
    detector: VAEDetector | PatchDetector,
    name: str = "model",
    *,
    key: bytes | None = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    registered_model_name: str | None = None,
) -> Any:
    """Keep a fitted detector as a model of the present run, or of a new one.

    Parameters
    ----------
    detector, key, signature, input_example, pip_requirements, metadata
        See `save_model`.
    name : str, default="model"
        Of the model in the run.
    registered_model_name : str, optional
        Under which it becomes a version in the registry.

    Returns
    -------
    mlflow.models.model.ModelInfo
        Its ``model_uri`` is what `load_model` takes.

    Raises
    ------
    NotInstalled
        If mlflow is not installed.
    """
    with _installed():
        from mlflow.models import Model
    return Model.log(
        artifact_path=None,
        name=name,
        flavor=sys.modules[__name__],
        registered_model_name=registered_model_name,
        detector=detector,
        key=key,
        signature=signature,
        input_example=input_example,
        pip_requirements=pip_requirements,
        metadata=metadata,
    )


def load_model(model_uri: str, *, device: str = "auto", key: bytes | None = None) -> VAEDetector | PatchDetector:
    """A detector that `save_model` or `log_model` kept, with all its methods.

    Parameters
    ----------
    model_uri : str
        Such as ``models:/detector/1``, ``runs:/<run>/model``, or the path of a folder.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where to put the weights.
    key : bytes, optional
        What the model file has to be signed with.

    Raises
    ------
    NotInstalled
        If mlflow is not installed.
    SpecificationError
        If it is a model of another flavour.
    ModelFileError
        If its file is damaged, or not signed with the key.
    """
    with _installed():
        from mlflow.artifacts import download_artifacts
        from mlflow.models import Model
    folder = Path(download_artifacts(artifact_uri=str(model_uri)))
    flavors = Model.load(str(folder)).flavors
    if FLAVOR_NAME not in flavors:
        raise SpecificationError(
            f"{model_uri} is a model of the flavours {sorted(flavors)}; expected one that vae_anomaly.mlflow kept. "
            "Load it with mlflow.pyfunc.load_model."
        )
    name = flavors[FLAVOR_NAME].get("data")
    if not isinstance(name, str) or Path(name).name != name:
        raise ModelFileError(
            f"{model_uri}: its MLmodel names {str(name)[:60]!r} as the model file; expected the name of a file in the "
            "same folder. Log the model again."
        )
    return load(folder / name, device, key=key)


def autolog(*, log_models: bool = True, log_reports: bool = False, disable: bool = False) -> None:
    """Log every fit of this process to come, as `MLflowLogger` does.

    Where MLflow cannot be reached, a warning says so and the fit goes on. Fits in other processes (``n_jobs``) are not
    logged: give the detector an `MLflowLogger` for these.

    Parameters
    ----------
    log_models, log_reports
        See `MLflowLogger`.
    disable : bool, default=False
        Whether to log no more.

    Raises
    ------
    NotInstalled
        If mlflow is not installed.
    """
    for make in (_LOGGING.pop() for _ in list(_LOGGING)):
        remove_from_every_fit(make)
    if disable:
        return
    with _installed():
        import mlflow  # noqa: F401

    make = _AutologgerMaker(log_models=log_models, log_reports=log_reports)
    _LOGGING.append(make)
    add_to_every_fit(make)


class MLflowLogger(Callback):
    """Logs a fit as a run: parameters, metrics by step, what came of it, and the model.

    It takes the run that is active, or starts one for the time of the fit; a second fit within the same active run
    gets a run of its own, nested in it. Metrics have the names that `TensorBoard` gives its scalars. Parameters that
    hold values of the data (`missing_values`) are left out.

    Parameters
    ----------
    log_model : bool, default=True
        Whether the fitted detector is kept as the model ``model``.
    log_report : bool, default=False
        Whether ``report.html`` is kept: the report on the rows of the fit, without raw values.
    """

    def __init__(self, *, log_model: bool = True, log_report: bool = False) -> None:
        self.log_model = log_model
        self.log_report = log_report
        self._X: Any = None
        self._starts_run = self._is_open = self._is_whole = False

    def __repr__(self) -> str:
        return f"MLflowLogger(log_model={self.log_model}, log_report={self.log_report})"

    def on_fit_begin(self, detector: Any, X: Any) -> None:
        """Take or start a run."""
        with _installed():
            import mlflow

        active = mlflow.active_run()
        self._starts_run = active is None or active.info.run_id in _USED_RUNS
        self._is_whole = False
        if self._starts_run:
            mlflow.start_run(nested=active is not None)
        self._is_open = True
        _USED_RUNS.add(mlflow.active_run().info.run_id)
        self._X = X if self.log_report else None
        shown = {name: repr(value)[:MAX_PARAMETER_LENGTH] for name, value in shown_parameters(detector).items()}
        mlflow.log_params({"estimator": type(detector).__name__} | shown)

    def on_check(self, detector: Any, check: TrainingCheck) -> None:
        """Log the metrics of a check."""
        import mlflow

        mlflow.log_metrics(scalars_of(check), step=check.iteration)

    def on_fit_end(self, detector: Any) -> None:
        """Log what came of the fit."""
        import mlflow

        report = detector.fit_report_
        outcome = {
            "outcome/elbo": report.elbo,
            "outcome/kl": report.kl,
            "outcome/n_iter": report.n_iter,
            "outcome/n_rows": report.n_rows,
            "outcome/threshold": detector.threshold_.score,
        }
        mlflow.log_metrics({name: float(value) for name, value in outcome.items()})
        if detector.history_.stopped_by:
            mlflow.set_tag("vae_anomaly.stopped_by", detector.history_.stopped_by)
        if self.log_model:
            log_model(detector)
        if self.log_report:
            mlflow.log_text(detector.report(self._X, redact=True).to_html(), "report.html")
        self._is_whole = True

    def close(self) -> None:
        """End the run, if it was started for this fit."""
        if self._is_open and self._starts_run:
            import mlflow

            mlflow.end_run("FINISHED" if self._is_whole else "FAILED")
        self._X = None
        self._is_open = False


class _Scorer:
    """What a ``python_function`` of a detector is asked."""

    def __init__(self, detector: VAEDetector | PatchDetector) -> None:
        self.detector = detector

    def predict(self, X: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Anomaly score in nats, p-value and flag of each row."""
        return self.detector.decide(X)[ANSWER]


def _load_pyfunc(path: str) -> _Scorer:
    """What MLflow calls to load a ``python_function``."""
    return _Scorer(load(path))


class _AutologgerMaker:
    """Makes the callback of each fit."""

    def __init__(self, *, log_models: bool, log_reports: bool) -> None:
        self.log_models, self.log_reports = log_models, log_reports

    def __call__(self) -> Callback:
        return _Autologger(MLflowLogger(log_model=self.log_models, log_report=self.log_reports))


class _Autologger(Callback):
    """Logs as long as it can, and warns once where it cannot: nobody asked for it in this very fit."""

    def __init__(self, logger: MLflowLogger) -> None:
        self.logger = logger
        self.works = True

    def on_fit_begin(self, detector: Any, X: Any) -> None:
        with self._trying():
            self.logger.on_fit_begin(detector, X)

    def on_check(self, detector: Any, check: TrainingCheck) -> None:
        with self._trying():
            self.logger.on_check(detector, check)

    def on_fit_end(self, detector: Any) -> None:
        with self._trying():
            self.logger.on_fit_end(detector)

    def close(self) -> None:
        self.works = True
        with self._trying():
            self.logger.close()

    @contextmanager
    def _trying(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            if self.works:
                line = " ".join(str(error).split())[:200]
                warnings.warn(
                    FitWarning(f"MLflow does not log this fit: {line}", "autolog"), stacklevel=callers_level()
                )
            self.works = False


_LOGGING: list[_AutologgerMaker] = []
# Runs of this process that have the parameters of a fit.
_USED_RUNS: set[str] = set()


@contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mlflow":
            raise
        raise NotInstalled("mlflow", "mlflow") from error


def _keep_example(model: Any, example: Any, folder: Path) -> None:
    from mlflow.models.utils import _save_example

    _save_example(model, example, str(folder))


def _write_environment(folder: Path, requirements: Sequence[str] | None) -> dict[str, Any]:
    """Say what a server has to install."""
    from mlflow.utils.environment import _mlflow_conda_env, _PythonEnv
    from mlflow.version import VERSION

    wanted = [f"vae-anomaly=={__version__}"] if requirements is None else list(requirements)
    _mlflow_conda_env(path=str(folder / "conda.yaml"), additional_pip_deps=wanted)
    _PythonEnv.current().to_yaml(str(folder / "python_env.yaml"))
    if not any(requirement.startswith("mlflow") for requirement in wanted):
        wanted = [f"mlflow=={VERSION}", *wanted]
    (folder / "requirements.txt").write_text("\n".join(wanted) + "\n", encoding="utf-8")
    return {"conda_env": "conda.yaml", "python_env": "python_env.yaml"}
