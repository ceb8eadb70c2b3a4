"""Forked processes end, with the bits of their parent."""

import contextlib
import copy
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from vae_anomaly import (
    PatchDetector,
    SpecificationError,
    VAEDetector,
    load,
    save,
)
from vae_anomaly.caching import cached_property
from vae_anomaly.detectors import base
from vae_anomaly.errors import ForkedProcessError
from vae_anomaly.forks import is_forked
from vae_anomaly.model import (
    convolutions,
    device,
    matmul,
    one_thread,
    own_settings,
    resolve_device,
    shared_setting,
    threads,
    threads_for,
    torch_settings,
    usual_threads,
)

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning"),
]

RNG = np.random.default_rng(5)
NUMBERS = RNG.normal(size=(700, 3)) @ RNG.normal(size=(3, 4)) + 0.1 * RNG.normal(size=(700, 4))
ROWS = pd.DataFrame(NUMBERS, columns=list("abcd")).assign(kind=RNG.choice(["x", "y"], 700))
IMAGES = RNG.integers(0, 256, (20, 24, 24)).astype(np.uint8)

InFork = Callable[[Callable[[], Any]], Any]


def of_rows(**parameters: Any) -> VAEDetector:
    return VAEDetector(**({"n_estimators": 2, "max_iter": 8, "hidden_layer_sizes": (16,)} | parameters))


def of_patches(**parameters: Any) -> PatchDetector:
    small = {"n_windows": 256, "max_iter": 4, "window": 8, "hidden_layer_sizes": (16,), "calibration": None}
    return PatchDetector(**(small | parameters))


@pytest.fixture(scope="module")
def fitted() -> VAEDetector:
    return of_rows().fit(ROWS)


@pytest.fixture(scope="module")
def model_file(fitted: VAEDetector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "rows.vae"
    save(fitted, path)
    return path


@pytest.fixture
def two_threads() -> Iterator[None]:
    """PyTorch has two threads, and has used them."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    (torch.ones(1 << 18) * 2).sqrt()
    yield
    torch.set_num_threads(before)


def weights(detector: Any) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in detector.model_.vae.state_dict().values()]


def after_partial_fit() -> np.ndarray:
    return of_rows().partial_fit(ROWS[:300]).partial_fit(ROWS[300:]).score_samples(ROWS[:50])


ACTIONS: dict[str, Callable[[VAEDetector, Path], Any]] = {
    "load": lambda _, path: weights(load(path)),
    "fit": lambda *_: weights(of_rows().fit(ROWS)),
    "partial_fit": lambda *_: after_partial_fit(),
    "score_samples": lambda detector, _: detector.score_samples(ROWS),
    "predict": lambda detector, _: detector.predict(ROWS),
    "explain": lambda detector, _: detector.explain(ROWS[:5]).contributions.to_numpy(),
    "sample": lambda detector, _: detector.sample(300, random_state=0).drop(columns="kind").to_numpy(dtype=float),
    "patches": lambda *_: of_patches().fit(IMAGES).score_samples(IMAGES[:3]),
}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("name", ACTIONS)
def test_forked_processes_end_with_the_bits_of_their_parent(
    name: str, fitted: VAEDetector, model_file: Path, in_fork: InFork
) -> None:
    action = ACTIONS[name]
    with usual_threads():
        # As a fit with large products does.
        (torch.ones(1 << 18) * 2).sqrt()
    found = in_fork(lambda: action(fitted, model_file))
    np.testing.assert_equal(found, action(fitted, model_file))


@pytest.mark.usefixtures("two_threads")
def test_forks_of_forks_end_too(fitted: VAEDetector, in_fork: InFork) -> None:
    found = in_fork(lambda: in_fork(lambda: (is_forked(), of_rows().fit(ROWS).score_samples(ROWS))))
    assert found[0]
    np.testing.assert_array_equal(found[1], fitted.score_samples(ROWS))
    assert not is_forked()


@pytest.mark.usefixtures("two_threads")
def test_forks_amid_the_calls_of_other_threads_end_too(fitted: VAEDetector, in_fork: InFork) -> None:
    expected, stop = fitted.score_samples(ROWS), threading.Event()

    def busy() -> None:
        while not stop.is_set():
            fitted.explain(ROWS[:2])
            fitted.set_threshold(score=5.0)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(busy)
        try:
            for _ in range(4):
                found = in_fork(lambda: (fitted.score_samples(ROWS), fitted.set_threshold(score=6.0).threshold_.score))
                np.testing.assert_array_equal(found[0], expected)
                assert found[1] == 6.0
        finally:
            stop.set()


@pytest.mark.usefixtures("two_threads")
def test_no_lock_of_ours_stays_locked_in_a_forked_process(in_fork: InFork) -> None:
    locks = [
        threads._THREAD_LIMIT.lock,
        torch_settings._DTYPE.lock,
        matmul._PRECISION.lock,
        convolutions._DETERMINISTIC.lock,
        base.CHANGES._lock,
    ]
    ready, stop = threading.Event(), threading.Event()

    def holds() -> None:
        with contextlib.ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            ready.set()
            stop.wait()

    thread = threading.Thread(target=holds)
    thread.start()
    ready.wait()
    try:
        score = in_fork(lambda: of_rows(max_iter=2).fit(NUMBERS).set_threshold(score=1.0).threshold_.score)
    finally:
        stop.set()
        thread.join()
    assert score == 1.0


def test_a_value_that_another_thread_computes_keeps_nobody_waiting(in_fork: InFork) -> None:
    entered, stop = threading.Event(), threading.Event()

    class Holder:
        def __init__(self, waits: bool) -> None:
            self.waits = waits

        @cached_property
        def value(self) -> int:
            if self.waits:
                entered.set()
                stop.wait()
            return 3

    thread = threading.Thread(target=lambda: Holder(True).value)
    thread.start()
    entered.wait()
    try:
        assert in_fork(lambda: Holder(False).value) == 3
        assert Holder(False).value == 3
    finally:
        stop.set()
        thread.join()


@pytest.mark.usefixtures("two_threads")
def test_a_fork_keeps_to_one_thread_where_products_are_large(in_fork: InFork) -> None:
    def numbers() -> tuple[int, int, int]:
        with one_thread():
            inside = torch.get_num_threads()
            with threads_for(threads.LARGE_PRODUCT):
                return inside, torch.get_num_threads(), threads._THREAD_LIMIT.available()

    assert numbers() == (1, 2, 2)
    assert in_fork(numbers) == (1, 1, 1)
    # The pool is there because of us: operations of the caller's must end, too.
    assert in_fork(lambda: (torch.get_num_threads(), float((torch.ones(1 << 18) * 2).sum()))) == (1, 2.0 * (1 << 18))
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_detectors_are_copied_in_a_forked_process(in_fork: InFork) -> None:
    detector = of_rows(hidden_layer_sizes=(200, 200), max_iter=1).fit(NUMBERS)
    assert max(weight.numel() for weight in detector.vae_.parameters()) > 1 << 15
    found = in_fork(lambda: copy.deepcopy(detector).score_samples(NUMBERS))
    np.testing.assert_array_equal(found, detector.score_samples(NUMBERS))


@pytest.mark.usefixtures("two_threads")
def test_holds_nest_and_threads_keep_their_own_numbers() -> None:
    with one_thread():
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
        with usual_threads():
            assert torch.get_num_threads() == 2
            with one_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(threads._THREAD_LIMIT.available).result() == 2
    assert torch.get_num_threads() == 2

    def other() -> tuple[int, int]:
        torch.set_num_threads(3)
        with one_thread():
            inside = torch.get_num_threads()
        return inside, torch.get_num_threads()

    with one_thread(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(other).result() == (1, 3)
    assert torch.get_num_threads() == 2


def test_a_shared_setting_is_given_back_after_the_last_holder() -> None:
    process = {"setting": "medium"}
    setting = shared_setting.SharedSetting(
        lambda: process["setting"], lambda value: process.update(setting=value), lambda wanted: min(wanted, key=len)
    )
    first, second = setting.hold("highest"), setting.hold("high")
    with first:
        assert process["setting"] == "highest"
        second.__enter__()
        assert process["setting"] == "high"
    assert process["setting"] == "high"
    second.__exit__(None, None, None)
    assert process["setting"] == "medium"


def test_a_child_of_a_process_that_uses_cuda_is_refused_in_our_words(
    monkeypatch: pytest.MonkeyPatch, in_fork: InFork
) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)

    def refused() -> list[str]:
        said = []
        for name in ("auto", "cuda"):
            try:
                resolve_device(name)
            except ForkedProcessError as error:
                said.append(str(error))
            except SpecificationError:
                assert name == "cuda"
        assert resolve_device("cpu").type == "cpu"
        return said

    found = in_fork(refused)
    assert len(found) == 2
    assert "Start processes with 'spawn' or 'forkserver'" in found[0]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert not device._CUDA.is_lost
    assert in_fork(refused) == []


def test_what_torch_refuses_in_a_child_beside_a_gpu_is_said_in_our_words(
    monkeypatch: pytest.MonkeyPatch, in_fork: InFork
) -> None:
    @own_settings()
    def fails() -> None:
        raise RuntimeError("Unable to handle autograd's threading in combination with fork-based multiprocessing.")

    def said() -> str:
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
        with pytest.raises(ForkedProcessError) as caught:
            fails()
        assert isinstance(pickle.loads(pickle.dumps(caught.value)), ForkedProcessError)
        return str(caught.value)

    with pytest.raises(RuntimeError, match="Unable to handle") as caught:
        fails()
    assert not isinstance(caught.value, ForkedProcessError)
    assert "multiprocessing.get_context('spawn')" in in_fork(said)


@pytest.mark.slow
def test_forked_processes_of_the_suite_end_with_the_bits_of_their_parents() -> None:
    from benchmarks.trust.processes import findings

    # After a fit of rows, one of patches, and operations of the user's; the others by the command of the suite.
    assert [row for row in islice(findings(quick=True, seed=11), 3) if row["held"] < row["tried"]] == []
