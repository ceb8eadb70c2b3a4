"""A training that several processes share: the model of one process up to rounding, the same bits in all of them."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from vae_anomaly import (
    Callback,
    Checkpoint,
    SpecificationError,
    StopTraining,
    TrainingPlan,
    VAEDetector,
    data_parallel,
    load,
)
from vae_anomaly.errors import WorkerError

pytestmark = [
    pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.skipif(not distributed.is_available(), reason="PyTorch without torch.distributed"),
]

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "training_on_clusters.md"
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 6, 6)).astype(np.uint8)
ROWS = np.random.default_rng(0).normal(size=(100, 3))
OF_IMAGES = {"max_iter": 20, "hidden_layer_sizes": (8,), "latent_dim": 2, "batch_size": 15}
NATS = 2e-2
MAX_SECONDS = 20


def of_images(**parameters: Any) -> VAEDetector:
    return VAEDetector(**(OF_IMAGES | parameters))


def of_rows(**parameters: Any) -> VAEDetector:
    plan = TrainingPlan(trim_fraction=0.1)
    return VAEDetector(n_estimators=2, max_iter=20, hidden_layer_sizes=(8,), training=plan, **parameters)


def weighted(n_rows: int) -> Any:
    return np.linspace(0.5, 1.5, n_rows)


def fails_in_one(image: Any) -> Any:
    if distributed.get_rank() == 1:
        raise OSError("no such image")
    return image


class StopInOne(Callback):
    def on_check(self, detector: Any, check: Any) -> None:
        if distributed.get_rank() == 1 and check.iteration >= 5:
            raise StopTraining("one is enough")


class KillAll(Callback):
    def on_check(self, detector: Any, check: Any) -> None:
        if check.iteration >= 10:
            raise ValueError("killed")


def shared_fit(detector: VAEDetector, X: Any, **given: Any) -> VAEDetector:
    with data_parallel():
        return detector.fit(X, **given)


def refused(fit: Callable[[], object]) -> Any:
    """What a fit says of why it does not go."""
    try:
        fit()
    except (OSError, ValueError, WorkerError) as error:
        return np.array([f"{type(error).__name__}: {error}"])
    return np.array([""])


def worker(rank: int, folder: str, port: int) -> None:
    """Everything that two processes are asked, in one start of them."""
    torch.set_num_threads(1)
    store = distributed.TCPStore("127.0.0.1", port)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    found: dict[str, Any] = {}
    shared = shared_fit(of_images(), IMAGES)
    found["images"] = shared.score_samples(IMAGES)
    found["weights"] = np.concatenate([part.flatten().numpy() for part in shared.vae_.state_dict().values()])
    found["rows"] = shared_fit(of_rows(), ROWS, sample_weight=weighted(len(ROWS))).score_samples(ROWS)
    found["stopped"] = np.array([shared_fit(of_images(callbacks=[StopInOne()]), IMAGES).n_iter_])
    kept = Checkpoint(Path(folder) / f"states_of_{rank}")
    found["killed"] = refused(lambda: shared_fit(of_images(callbacks=[kept, KillAll()]), IMAGES))
    left = list(Path(kept.folder).iterdir())
    found["left"] = np.array([len(left)])
    whole = [path.read_bytes() for path in left]
    for path, content in zip(left, whole, strict=True):
        path.write_bytes(content[:-1])
    found["damaged"] = refused(lambda: shared_fit(of_images(callbacks=[kept]), IMAGES))
    for path, content in zip(left, whole, strict=True):
        path.write_bytes(content)
    found["resumed"] = shared_fit(of_images(callbacks=[kept]), IMAGES).score_samples(IMAGES)
    for name, detector, images in (
        ("other rows", of_images(), IMAGES + np.uint8(rank)),
        ("no seed", of_images(random_state=None), IMAGES),
        ("small batches", of_images(batch_size=1), IMAGES),
    ):
        found[name] = refused(lambda detector=detector, images=images: shared_fit(detector, images))
    begin = time.perf_counter()
    found["failed"] = refused(lambda: shared_fit(of_images(augment=fails_in_one), IMAGES))
    found["seconds"] = np.array([time.perf_counter() - begin])
    with data_parallel(timeout=timedelta(seconds=MAX_SECONDS)):
        found["after"] = of_images().fit(IMAGES).score_samples(IMAGES)
    with data_parallel(distributed.new_group([0, 1])):
        found["in a group"] = of_images().fit(IMAGES).score_samples(IMAGES)
    found["ordinary"] = of_images().fit(IMAGES).score_samples(IMAGES)
    np.savez(Path(folder) / f"{rank}.npz", **found)
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("ranks")
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    # Forked, they need not import anything.
    multiprocessing.start_processes(worker, (str(folder), store.port), nprocs=2, start_method="fork")
    return [np.load(folder / f"{rank}.npz") for rank in range(2)]


def test_all_processes_have_the_same_bits(of_ranks: list[Any]) -> None:
    for name in ("images", "weights", "rows", "stopped", "resumed", "after", "in a group", "ordinary"):
        assert np.array_equal(of_ranks[0][name], of_ranks[1][name]), name


def test_scores_are_those_of_one_process_up_to_rounding(of_ranks: list[Any]) -> None:
    alone = of_images().fit(IMAGES).score_samples(IMAGES)
    assert np.abs(of_ranks[0]["images"] - alone).max() < NATS
    of_table = of_rows().fit(ROWS, sample_weight=weighted(len(ROWS))).score_samples(ROWS)
    assert np.abs(of_ranks[0]["rows"] - of_table).max() < NATS
    assert not np.array_equal(of_ranks[0]["images"], alone)


def test_fit_beside_a_process_group_is_shared_only_where_it_is_asked_for(of_ranks: list[Any]) -> None:
    assert np.array_equal(of_ranks[0]["ordinary"], of_images().fit(IMAGES).score_samples(IMAGES))


def test_callback_in_one_process_stops_all(of_ranks: list[Any]) -> None:
    assert of_ranks[0]["stopped"].tolist() == of_ranks[1]["stopped"].tolist() == [5]


def test_killed_training_goes_on_to_the_bits_of_one_that_was_not(of_ranks: list[Any]) -> None:
    assert [found["left"].tolist() for found in of_ranks] == [[1], [0]]
    assert of_ranks[0]["killed"] == "ValueError: killed"
    assert np.array_equal(of_ranks[0]["resumed"], of_ranks[0]["images"])


def test_damaged_checkpoint_is_named_by_the_process_that_has_it(of_ranks: list[Any]) -> None:
    said = r"ModelFileError: %s: the checkpoint of the training is damaged.*Remove it"
    assert re.match(said % r".*states_of_0.[0-9a-f]+\.training", of_ranks[0]["damaged"][0])
    assert re.match(said % "rank 0", of_ranks[1]["damaged"][0])


def test_others_fail_soon_where_one_failed_and_can_share_the_next_fit(of_ranks: list[Any]) -> None:
    first, failed = (found["failed"][0] for found in of_ranks)
    assert failed == "OSError: no such image"
    assert first.startswith(
        "WorkerError: a worker that shares this fit failed, ended or does not answer. Its own message"
    )
    assert of_ranks[0]["seconds"] < MAX_SECONDS
    for name in ("after", "in a group"):
        assert np.array_equal(of_ranks[0][name], of_ranks[0]["images"])


def test_processes_with_different_rows_or_seeds_are_refused_in_all(of_ranks: list[Any]) -> None:
    for found in of_ranks:
        assert "of rank 1 differ from those of rank 0" in found["other rows"][0]
        assert "random_state" in found["no seed"][0]
        assert "1 rows, for 2 processes" in found["small batches"][0]


def test_process_group_has_to_be_there() -> None:
    with pytest.raises(SpecificationError, match="init_process_group"), data_parallel():
        pass


def test_one_process_has_the_bits_of_an_ordinary_fit(tmp_path: Path) -> None:
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    try:
        with data_parallel():
            found = of_images().fit(IMAGES).score_samples(IMAGES)
        with pytest.raises(SpecificationError, match="timeout is for all processes with the backend 'gloo'"):
            data_parallel(distributed.new_group([0]), timeout=timedelta(seconds=1)).__enter__()
    finally:
        distributed.destroy_process_group()
    assert np.array_equal(found, of_images().fit(IMAGES).score_samples(IMAGES))


KILL_ONE = """
import os, signal
from vae_anomaly import Callback

class Kill(Callback):
    def on_check(self, detector, check):
        rank, restarts = (int(os.environ[name]) for name in ("RANK", "TORCHELASTIC_RESTART_COUNT"))
        with open(f"steps_{rank}", "a") as file:
            file.write(f"{check.iteration} ")
        if check.iteration == 5 and (rank, restarts) == (1, 0):
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_program_of_the_page_goes_on_where_torchrun_starts_it_anew(of_ranks: list[Any], tmp_path: Path) -> None:
    if not PAGE.exists():
        pytest.skip("the documentation is no part of a source distribution")
    page = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- not run: torchrun [^>]*-->\n```python\n(.*?)```", page, re.DOTALL)
    ((variable, value, command),) = re.findall(r"^    export (\w+)=(\w+)\n    torchrun (.*)$", page, re.MULTILINE)
    shown, given = "VAEDetector(callbacks=[", ", ".join(f"{name}={value!r}" for name, value in OF_IMAGES.items())
    assert shown in code
    code = code.replace(shown, f"VAEDetector({given}, callbacks=[Kill(), ")
    (tmp_path / "train.py").write_text(KILL_ONE + code, encoding="utf-8")
    np.save(tmp_path / "images.npy", IMAGES)
    started = [sys.executable, "-m", "torch.distributed.run", "--monitor-interval", "0.1", *command.split()]
    environment = os.environ | {variable: value, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(started, cwd=tmp_path, env=environment, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    assert [int(step) for step in (tmp_path / "steps_1").read_text().split()] == [*range(1, 6), *range(5, 21)]
    assert np.array_equal(load(tmp_path / "images.vae").score_samples(IMAGES), of_ranks[0]["images"])
    assert b"WorkerError: a worker that shares this fit failed" in run.stderr
