"""Settings of the caller do not change results, and nothing of theirs is left changed."""

import contextlib
import contextvars
import copy
import inspect
import locale
import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from PIL import Image, ImageFile

import vae_anomaly.store
from vae_anomaly import (
    FeatureMapDetector,
    GroupedDetector,
    ImageFeatures,
    PatchDetector,
    VAEDetector,
    load,
    read_manifest,
    save,
)
from vae_anomaly.model import each_in_own_settings, exact_products, matmul_precision_of

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

RNG = np.random.default_rng(6)
ROWS = pd.DataFrame(RNG.normal(size=(160, 3)), columns=list("abc")).assign(kind=RNG.choice(["x", "y"], 160))
ROWS.iloc[::40, 0] = np.nan
IMAGES = RNG.integers(0, 256, (16, 16, 16)).astype(np.uint8)


class Network(torch.nn.Module):
    """Maps of images, with modes that differ by module."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.dropped = torch.nn.BatchNorm2d(1), torch.nn.Dropout(0.5)
        self.frozen.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(self.dropped(self.frozen(images)), 4)


def of_rows(**parameters: Any) -> VAEDetector:
    return VAEDetector(**({"n_estimators": 2, "max_iter": 6, "hidden_layer_sizes": (8,)} | parameters))


def of_patches() -> PatchDetector:
    return PatchDetector(n_windows=256, max_iter=2, window=8, hidden_layer_sizes=(8,))


NETWORK = Network()


def of_maps() -> FeatureMapDetector:
    return FeatureMapDetector(NETWORK)


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
        assert torch.get_default_device().type == device
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def precision(value: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(value)
    try:
        yield
        assert torch.get_float32_matmul_precision() == value
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    assert torch.set_flush_denormal(True)
    try:
        yield
        assert float(torch.tensor(1e-39) * 1) == 0
    finally:
        torch.set_flush_denormal(False)


@contextlib.contextmanager
def no_gradients() -> Iterator[None]:
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    try:
        yield
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(before)


@contextlib.contextmanager
def objects_for_text() -> Iterator[None]:
    with warnings.catch_warnings():
        # It will not be possible for ever.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        option = pd.option_context("future.infer_string", False)
        with option:
            yield


SETTINGS: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "device meta": lambda: default_device("meta"),
    "device meta, as a context": lambda: torch.device("meta"),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "set_grad_enabled": no_gradients,
    "deterministic algorithms": deterministic,
    "flushed denormals": flushed,
    "numpy raises": lambda: np.errstate(all="raise"),
    "numpy says nothing": lambda: np.errstate(all="ignore"),
    "objects of pandas": objects_for_text,
    "text of pandas": lambda: pd.option_context("mode.string_storage", "python"),
    "scikit-learn assumes": lambda: sklearn.config_context(assume_finite=True),
    "scikit-learn routes": lambda: sklearn.config_context(enable_metadata_routing=True),
    "scikit-learn's memory": lambda: sklearn.config_context(working_memory=1),
    "scikit-learn skips": lambda: sklearn.config_context(skip_parameter_validation=True),
}


def results(path: Path, rows: pd.DataFrame = ROWS) -> list[np.ndarray]:
    """What a user gets: a fit, a further batch, scores, reasons, draws, and the same from a file."""
    detector = of_rows().fit(rows)
    save(detector, path)
    loaded = load(path)
    assert isinstance(loaded, VAEDetector)
    streamed = of_rows().partial_fit(rows[:80]).partial_fit(rows[80:])
    return [
        detector.score_samples(rows),
        loaded.score_samples(rows),
        loaded.explain(rows[:3]).contributions.to_numpy(),
        loaded.sample(20, random_state=0)[["a", "b", "c"]].to_numpy(dtype=float),
        loaded.p_values(rows),
        loaded.impute(rows)[["a", "b", "c"]].to_numpy(dtype=float),
        loaded.transform(rows),
        np.array([loaded.set_threshold(contamination=0.1).threshold_.score]),
        streamed.score_samples(rows),
    ]


def results_of_images() -> list[np.ndarray]:
    patches, maps = of_patches().fit(IMAGES), of_maps().fit(IMAGES)
    return [
        patches.score_samples(IMAGES[:4]),
        patches.explain(IMAGES[:2]).excess,
        maps.score_samples(IMAGES[:4]),
        *maps.anomaly_maps(IMAGES[:2]),
        ImageFeatures(lambda images: images.flatten(1)[:, :3]).fit_transform(IMAGES[:4]),
    ]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    return results(tmp_path_factory.mktemp("expected") / "rows.vae")


@pytest.fixture(scope="module")
def expected_of_images() -> list[np.ndarray]:
    return results_of_images()


QUICK = ("autocast", "device meta", "float64", "numpy raises")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS]
)
def test_settings_of_the_caller_change_no_bit(name: str, expected: list[np.ndarray], tmp_path: Path) -> None:
    with SETTINGS[name]():
        found = results(tmp_path / "rows.vae")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["autocast", *(pytest.param(name, marks=pytest.mark.slow) for name in QUICK[1:])])
def test_settings_of_the_caller_change_no_bit_of_images(name: str, expected_of_images: list[np.ndarray]) -> None:
    with SETTINGS[name]():
        found = results_of_images()
    for one, other in zip(found, expected_of_images, strict=True):
        np.testing.assert_array_equal(one, other)


def test_pandas_output_is_a_frame_of_the_same_numbers(expected: list[np.ndarray]) -> None:
    with sklearn.config_context(transform_output="pandas"):
        frame = of_rows().fit(ROWS).transform(ROWS)
    assert isinstance(frame, pd.DataFrame)
    np.testing.assert_array_equal(frame.to_numpy(), expected[6])


def test_models_made_in_inference_mode_can_be_trained_on(tmp_path: Path) -> None:
    with torch.inference_mode():
        save(of_rows().fit(ROWS), tmp_path / "rows.vae")
        detector = load(tmp_path / "rows.vae")
    assert not detector.vae_.raw_noise.is_inference()
    detector.partial_fit(pd.concat([ROWS] * 4))
    assert np.isfinite(detector.score_samples(ROWS)).all()


def test_scores_do_not_depend_on_the_precision_of_the_process(shared: VAEDetector) -> None:
    expected = shared.score_samples(ROWS), shared.explain(ROWS[:3]).contributions
    with precision("medium"):
        np.testing.assert_array_equal(shared.score_samples(ROWS), expected[0])
        pd.testing.assert_frame_equal(shared.explain(ROWS[:3]).contributions, expected[1], check_exact=True)


def test_precision_of_the_process_is_that_of_fits_and_scores_have_the_highest() -> None:
    with precision("medium"):
        with exact_products():
            assert torch.get_float32_matmul_precision() == "highest"
            with matmul_precision_of("high"):
                assert torch.get_float32_matmul_precision() == "highest"
        with matmul_precision_of("unchanged"):
            assert torch.get_float32_matmul_precision() == "medium"
        with matmul_precision_of("high"):
            assert torch.get_float32_matmul_precision() == "high"


def test_steps_of_an_iterator_are_made_in_own_settings_and_taken_in_the_callers() -> None:
    def dtypes() -> Iterator[torch.dtype]:
        for _ in range(2):
            yield torch.ones(1).dtype

    with default_dtype(torch.float64):
        for found in each_in_own_settings(dtypes()):
            assert found == torch.float32
            assert torch.ones(1).dtype == torch.float64


def test_maps_leave_their_taker_without_inference_mode() -> None:
    for _ in of_maps().fit(IMAGES).anomaly_maps(IMAGES[:2]):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


def public_methods(owner: type) -> list[str]:
    """Methods of ours that anybody may call; not those that only tell what is there."""
    told = {"set_params", "get_feature_names_out", "anomaly_maps"}
    return sorted(
        name
        for name, value in inspect.getmembers(owner, inspect.isfunction)
        if not name.startswith("_") and value.__module__.startswith("vae_anomaly") and name not in told
    )


def in_own_settings(function: Any) -> bool:
    """Whether `own_settings` decorates a function."""
    while function is not None:
        if function.__code__.co_filename == contextlib.__file__:
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def test_every_public_method_computes_in_own_settings() -> None:
    owners = (VAEDetector, PatchDetector, FeatureMapDetector, GroupedDetector, ImageFeatures)
    methods = {getattr(owner, name) for owner in owners for name in public_methods(owner)}
    methods |= {vae_anomaly.store.save, vae_anomaly.store.load, vae_anomaly.store.read_manifest}
    methods |= {vae_anomaly.store.read_groups}
    assert len(methods) >= 39
    assert [method.__qualname__ for method in methods if not in_own_settings(method)] == []


class State:
    """What belongs to the process and the thread, and not to us."""

    def __init__(self) -> None:
        self.parts = {
            "torch threads": torch.get_num_threads(),
            "torch dtype": torch.get_default_dtype(),
            "torch device": torch.get_default_device(),
            "torch gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
            "torch autocast": torch.is_autocast_enabled("cpu"),
            "torch precision": torch.get_float32_matmul_precision(),
            "torch deterministic": torch.are_deterministic_algorithms_enabled(),
            "torch random": torch.get_rng_state().numpy().tobytes(),
            "numpy random": repr(np.random.get_state()),  # noqa: NPY002
            "numpy errors": np.geterr(),
            "numpy printing": repr(np.get_printoptions()),
            "python random": random.getstate(),
            "warnings": list(warnings.filters),
            "signals": [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
            "locale": locale.setlocale(locale.LC_ALL),
            "environment": dict(os.environ),
            "folder": Path.cwd(),
            "umask": _umask(),
            "logging": [list(logging.getLogger(name).handlers) for name in (None, "vae_anomaly", "PIL")],
            "scikit-learn": sklearn.get_config(),
            "pandas": {name: pd.get_option(name) for name in ("mode.string_storage", "display.max_rows")},
            "Pillow": (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES),
            "context": dict(contextvars.copy_context()).keys(),
            "threads": {thread.name for thread in threading.enumerate()},
        }

    def assert_is_there(self) -> None:
        now = State().parts
        for name, value in self.parts.items():
            assert now[name] == value, name


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


ON_ROWS: dict[str, tuple[Any, ...]] = {
    "alerts_moved": (np.arange(20.0),),
    "audit": (3,),
    "calibrate": (ROWS.assign(a=ROWS["a"] * 1.01),),
    "confirm": ([], []),
    "forget_answers": (),
    "forget_training_rows": (),
    "learn": (ROWS.iloc[:8], [1, 0] * 4),
    "sample": (5, 0),
    "sensitivity": (ROWS, 0.3),
    "set_threshold": (),
    "threshold_table": (),
    "use_answers": (False,),
}
LEFT_OUT = {"calibrate_with", "select", "selection"}


@pytest.mark.parametrize("name", [name for name in public_methods(VAEDetector) if name not in LEFT_OUT])
def test_no_method_leaves_anything_of_the_process_changed(name: str, shared: VAEDetector) -> None:
    arguments = ON_ROWS.get(name, (ROWS,))
    options = {"contamination": 0.1} if name == "set_threshold" else {}
    own = copy.deepcopy(shared)
    if name == "use_answers":
        own.learn(*ON_ROWS["learn"])
    state = State()
    getattr(own, name)(*arguments, **options)
    state.assert_is_there()
    with contextlib.suppress(Exception):
        getattr(own, name)(object(), *arguments[1:])
    state.assert_is_there()


@pytest.fixture(scope="module")
def shared() -> VAEDetector:
    return of_rows().fit(ROWS)


def test_files_and_images_leave_nothing_of_the_process_changed(shared: VAEDetector, tmp_path: Path) -> None:
    state = State()
    save(shared, tmp_path / "rows.vae")
    load(tmp_path / "rows.vae")
    read_manifest(tmp_path / "rows.vae")
    for number, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    state.assert_is_there()
    detector = of_patches().fit(tmp_path)
    detector.explain(sorted(tmp_path.glob("[0-9].png")))
    of_maps().fit(sorted(tmp_path.glob("*[0-9].png"))).score_samples(IMAGES)
    state.assert_is_there()


def test_networks_get_the_mode_of_each_module_back() -> None:
    network = Network()
    FeatureMapDetector(network).fit(IMAGES)
    assert (network.training, network.frozen.training, network.dropped.training) == (True, False, True)


@pytest.mark.parametrize("stay", ["score_samples", "explain", "decide"])
def test_warnings_point_to_the_line_that_called(stay: str, shared: VAEDetector) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(shared, stay)(ROWS.assign(more=1))
    assert [warning.filename for warning in caught] == [__file__] * len(caught)
    assert caught
