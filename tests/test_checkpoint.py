"""A fit that was killed goes on from its checkpoint, to the bits of one that was not."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vae_anomaly import (
    Callback,
    Checkpoint,
    ModelFileError,
    PatchDetector,
    SpecificationError,
    TrainingPlan,
    VAEDetector,
)

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

ROWS = np.random.default_rng(0).normal(size=(200, 3))
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 6)).astype(np.uint8)


class Killed(Exception):
    """Stands for a signal that nothing catches."""


class Kill(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_check(self, detector: Any, check: Any) -> None:
        if check.iteration >= self.step:
            raise Killed


def noisy(image: Any) -> Any:
    return (image.int() + torch.randint(-9, 10, image.shape)).clamp(0, 255).to(image.dtype)


def of_rows(**parameters: Any) -> VAEDetector:
    return VAEDetector(
        **({"n_estimators": 2, "max_iter": 40, "hidden_layer_sizes": (8,), "batch_size": 32} | parameters)
    )


def of_images(**parameters: Any) -> VAEDetector:
    return of_rows(
        **({"n_estimators": 1, "latent_dim": 2, "activation": "relu", "batch_size": 8, "augment": noisy} | parameters)
    )


@pytest.mark.parametrize(
    ("make", "data", "step"),
    [(of_rows, ROWS, 2), (of_rows, ROWS, 21), (of_images, IMAGES, 20)],
    ids=["at the first check", "amid prepared mini-batches", "changed images, by autograd"],
)
def test_killed_fit_goes_on_to_the_bits_of_one_that_was_not(make: Any, data: Any, step: int, tmp_path: Path) -> None:
    whole = make().fit(data)
    with pytest.raises(Killed):
        make(callbacks=[Checkpoint(tmp_path), Kill(step)]).fit(data)
    assert len(list(tmp_path.iterdir())) == 1

    class Notes(Callback):
        steps: list[int] = []  # noqa: RUF012

        def on_check(self, detector: Any, check: Any) -> None:
            self.steps.append(check.iteration)

    notes = Notes()
    resumed = make(callbacks=[Checkpoint(tmp_path), notes]).fit(data)
    assert notes.steps[0] == -(-step // 2) * 2
    assert resumed.history_ == whole.history_
    assert np.array_equal(resumed.score_samples(data), whole.score_samples(data))
    assert not list(tmp_path.iterdir())


def test_training_with_patience_stops_where_it_would_have(tmp_path: Path) -> None:
    plan = TrainingPlan(n_iter_no_change=1, kl_warmup=0.0)
    whole = of_rows(training=plan, learning_rate_init=0.3).fit(ROWS)
    assert whole.history_.stopped_early
    with pytest.raises(Killed):
        of_rows(training=plan, learning_rate_init=0.3, callbacks=[Checkpoint(tmp_path), Kill(whole.n_iter_)]).fit(ROWS)
    resumed = of_rows(training=plan, learning_rate_init=0.3, callbacks=[Checkpoint(tmp_path)]).fit(ROWS)
    assert resumed.history_ == whole.history_


def test_other_rows_or_parameters_begin_anew_and_leave_it_alone(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        of_rows(callbacks=[Checkpoint(tmp_path), Kill(20)]).fit(ROWS)
    for parameters, rows in (({}, ROWS[::-1].copy()), ({"random_state": 1}, ROWS), ({"max_iter": 21}, ROWS)):
        expected = of_rows(**parameters).fit(rows)
        found = of_rows(**parameters, callbacks=[Checkpoint(tmp_path)]).fit(rows)
        assert np.array_equal(found.score_samples(ROWS), expected.score_samples(ROWS))
    assert len(list(tmp_path.iterdir())) == 1


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        of_rows(callbacks=[Checkpoint(tmp_path), Kill(20)]).fit(ROWS)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=rf"{re.escape(str(path))}: .*damaged.*Remove it"):
        of_rows(callbacks=[Checkpoint(tmp_path)]).fit(ROWS)


@pytest.mark.parametrize("n_checks", [0, -1, 1.5, True, "2"])
def test_number_of_checks_is_a_whole_number(n_checks: Any, tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match=rf"n_checks={n_checks!r}; expected a whole number, 1 or more"):
        of_rows(callbacks=[Checkpoint(tmp_path / "states", n_checks=n_checks)]).fit(ROWS)
    assert not list(tmp_path.iterdir())


def test_state_is_written_at_every_so_many_checks(tmp_path: Path) -> None:
    written = []

    class Notes(Callback):
        def on_check(self, detector: Any, check: Any) -> None:
            written.append({path.stat().st_mtime_ns for path in tmp_path.iterdir()})

    of_rows(max_iter=6, callbacks=[Checkpoint(tmp_path, n_checks=3), Notes()]).fit(ROWS)
    assert [len(found) for found in written] == [0, 0, 1, 1, 1, 1]
    assert written[2] == written[4] != written[5]


def test_patches_have_a_checkpoint_for_each_training(tmp_path: Path) -> None:
    def of_patches(*callbacks: Callback) -> PatchDetector:
        return PatchDetector(
            n_windows=256, max_iter=4, window=(4, 6), hidden_layer_sizes=(8,), callbacks=list(callbacks)
        )

    images = np.repeat(np.repeat(IMAGES[:12], 2, 1), 2, 2)
    whole = of_patches().fit(images)
    with pytest.raises(Killed):
        of_patches(Checkpoint(tmp_path), Kill(4)).fit(images)
    resumed = of_patches(Checkpoint(tmp_path)).fit(images)
    assert np.array_equal(resumed.score_samples(images), whole.score_samples(images))
    assert not list(tmp_path.iterdir())
