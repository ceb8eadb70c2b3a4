"""A training that several processes share: the model of one process up to rounding, the same bits in all of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from vae_anomaly import Callback, Checkpoint, SpecificationError, StopTraining, TrainingPlan, VAEDetector, data_parallel

pytestmark = [
    pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning"),
    pytest.mark.skipif(not distributed.is_available(), reason="PyTorch without torch.distributed"),
]

IMAGES = np.random.default_rng(0).integers(0, 256, (90, 6, 6)).astype(np.uint8)
ROWS = np.random.default_rng(0).normal(size=(200, 3))
NATS = 2e-2


def of_images(**parameters: Any) -> VAEDetector:
    given = {"max_iter": 40, "hidden_layer_sizes": (8,), "latent_dim": 2, "batch_size": 15}
    return VAEDetector(**(given | parameters))


def of_rows(**parameters: Any) -> VAEDetector:
    plan = TrainingPlan(trim_fraction=0.1)
    return VAEDetector(n_estimators=2, max_iter=40, hidden_layer_sizes=(8,), training=plan, **parameters)


def weighted(n_rows: int) -> Any:
    return np.linspace(0.5, 1.5, n_rows)


class StopInOne(Callback):
    def on_check(self, detector: Any, check: Any) -> None:
        if distributed.get_rank() == 1 and check.iteration >= 10:
            raise StopTraining("one is enough")


class KillAll(Callback):
    def on_check(self, detector: Any, check: Any) -> None:
        if check.iteration >= 20:
            raise ValueError("killed")


def worker(rank: int, folder: str) -> None:
    """Everything that two processes are asked, in one start of them."""
    torch.set_num_threads(1)
    store = distributed.FileStore(str(Path(folder) / "store"), 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    found: dict[str, Any] = {}
    with data_parallel():
        shared = of_images().fit(IMAGES)
        found["images"] = shared.score_samples(IMAGES)
        found["weights"] = np.concatenate([part.flatten().numpy() for part in shared.vae_.state_dict().values()])
        found["rows"] = of_rows().fit(ROWS, sample_weight=weighted(len(ROWS))).score_samples(ROWS)
        stopped = of_images(callbacks=[StopInOne()]).fit(IMAGES)
        found["stopped"] = np.array([stopped.n_iter_])
        kept = Checkpoint(Path(folder) / "states")
        try:
            of_images(callbacks=[kept, KillAll()]).fit(IMAGES)
        except ValueError:
            found["left"] = np.array([len(list(Path(kept.folder).iterdir()))])
        distributed.barrier()
        found["resumed"] = of_images(callbacks=[kept]).fit(IMAGES).score_samples(IMAGES)
        for name, make, images in (
            ("other rows", of_images, IMAGES + np.uint8(rank)),
            ("no seed", lambda: of_images(random_state=None), IMAGES),
            ("small batches", lambda: of_images(batch_size=1), IMAGES),
        ):
            try:
                make().fit(images)
            except SpecificationError as error:
                found[name] = np.array([str(error)])
    found["ordinary"] = of_images().fit(IMAGES).score_samples(IMAGES)
    np.savez(Path(folder) / f"{rank}.npz", **found)
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(worker, (str(folder),), nprocs=2)
    return [np.load(folder / f"{rank}.npz") for rank in range(2)]


def test_all_processes_have_the_same_bits(of_ranks: list[Any]) -> None:
    for name in ("images", "weights", "rows", "stopped", "resumed", "ordinary"):
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
    assert of_ranks[0]["stopped"].tolist() == of_ranks[1]["stopped"].tolist() == [10]


def test_killed_training_goes_on_to_the_bits_of_one_that_was_not(of_ranks: list[Any]) -> None:
    assert of_ranks[0]["left"].tolist() == [1]
    assert np.array_equal(of_ranks[0]["resumed"], of_ranks[0]["images"])


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
    finally:
        distributed.destroy_process_group()
    assert np.array_equal(found, of_images().fit(IMAGES).score_samples(IMAGES))
