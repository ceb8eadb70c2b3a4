"""The page about training on clusters, on Ray: a fit that two workers share goes on where one of them was killed."""

import re
from pathlib import Path

import numpy as np
import pytest

from vae_anomaly import VAEDetector, load

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "training_on_clusters.md"
if not PAGE.exists():
    pytest.skip("the documentation is no part of a source distribution", allow_module_level=True)

RECIPE = re.compile(r"<!-- not run: needs a Ray cluster[^>]*-->\n```python\n(.*?)```", re.DOTALL)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 6)).astype(np.uint8)
OF_IMAGES = {"max_iter": 6, "hidden_layer_sizes": (8,), "latent_dim": 2, "batch_size": 16}
NATS = 2e-2
# Part of the recipe's code, since workers cannot import what is in a module of tests.
KILL = """
import os, pathlib, signal

class Kill(Callback):
    def on_check(self, detector, check):
        rank = ray.train.get_context().get_world_rank()
        with pathlib.Path(NOTES, str(rank)).open("a") as notes:
            notes.write(f"{check.iteration} ")
        if rank == 1 and check.iteration == KILLED_AT and ray.train.get_checkpoint() is None:
            os.kill(os.getpid(), signal.SIGKILL)

def train_and_compare(config):
    train(config)
    with data_parallel():
        whole = VAEDetector(**OF_IMAGES).fit(np.load(config["images"]))
    if ray.train.get_context().get_world_rank() == 0:
        save(whole, config["model"] + ".whole")
"""


@pytest.mark.usefixtures("ray_cluster")
def test_training_whose_worker_is_killed_has_the_bits_of_one_whose_is_not(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    (code,) = RECIPE.findall(PAGE.read_text(encoding="utf-8"))
    for shown, run in (
        ("/shared/", f"{tmp_path}/"),
        ("VAEDetector(callbacks", "VAEDetector(**OF_IMAGES, callbacks"),
        ("Report(folder)]", "Report(folder), Kill()]"),
        ("TorchTrainer(\n    train,", f"{KILL}\nTorchTrainer(\n    train_and_compare,"),
    ):
        assert shown in code
        code = code.replace(shown, run)
    given = {"NOTES": str(tmp_path), "KILLED_AT": 4, "OF_IMAGES": OF_IMAGES}
    exec(compile(code, str(PAGE), "exec"), {"__name__": "recipe", **given})

    steps = [int(step) for step in (tmp_path / "0").read_text().split()]
    assert steps[:4] == [1, 2, 3, 4]
    # A state that was reported in the moment of the kill may not have arrived.
    assert 1 < steps[4] <= 4
    assert steps[4:] == [*range(steps[4], 7)]
    scores, whole = (load(tmp_path / name).score_samples(IMAGES) for name in ("images.vae", "images.vae.whole"))
    assert np.array_equal(scores, whole)
    alone = VAEDetector(**OF_IMAGES).fit(IMAGES).score_samples(IMAGES)
    assert np.abs(scores - alone).max() < NATS
