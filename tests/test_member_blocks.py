"""Ensembles of many members, which train in blocks: side by side here, or in several workers, with the same bits."""

from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from vae_anomaly import Checkpoint, FitWarning, VAEDetector, load, save
from vae_anomaly.callbacks import Callback, StopTraining, TrainingCheck
from vae_anomaly.model import member_blocks
from vae_anomaly.model.backbones import Convolutional
from vae_anomaly.model.member_blocks import BLOCK_MEMBERS, TrainingTask
from vae_anomaly.model.training import History, Progress, joined

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

N_MEMBERS = BLOCK_MEMBERS + 1
QUICK = {"n_estimators": N_MEMBERS, "max_iter": 40, "hidden_layer_sizes": (8,), "max_samples": 60, "batch_size": 16}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3))


@pytest.fixture(scope="module")
def fitted(rows: np.ndarray) -> VAEDetector:
    return VAEDetector(**QUICK).fit(rows)


def bits(detector: VAEDetector) -> list[torch.Tensor]:
    return [*detector.vae_.state_dict().values()]


def assert_same(one: VAEDetector, other: VAEDetector, rows: np.ndarray) -> None:
    assert all(torch.equal(*pair) for pair in zip(bits(one), bits(other), strict=True))
    assert one.history_ == other.history_
    assert np.array_equal(one.score_samples(rows), other.score_samples(rows))


def test_where_blocks_train_changes_no_bit(rows: np.ndarray, fitted: VAEDetector) -> None:
    with joblib.parallel_config("threading", n_jobs=2):
        assert_same(VAEDetector(**QUICK).fit(rows), fitted, rows)
    with joblib.parallel_config("threading"):
        assert_same(VAEDetector(**QUICK, n_jobs=3).fit(rows), fitted, rows)


@pytest.mark.slow
def test_processes_train_blocks_with_the_same_bits(rows: np.ndarray, fitted: VAEDetector) -> None:
    assert_same(VAEDetector(**QUICK, n_jobs=2).fit(rows), fitted, rows)


def test_workers_are_told_what_the_caller_set_of_pytorch(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    train_block = member_blocks._trained

    def noted(task: TrainingTask) -> object:
        told.append(task.matmul_precision)
        return train_block(task)

    monkeypatch.setattr(member_blocks, "_trained", noted)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with joblib.parallel_config("threading", n_jobs=2):
            VAEDetector(**QUICK).fit(rows)
    finally:
        torch.set_float32_matmul_precision(before)
    assert told == ["medium", "medium"]


def test_members_are_cut_into_blocks_of_like_sizes_with_random_numbers_of_their_own(
    rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[TrainingTask]] = []
    cut = TrainingTask.blocks

    def kept(task: TrainingTask) -> list[TrainingTask]:
        found.append(cut(task))
        return found[-1]

    monkeypatch.setattr(TrainingTask, "blocks", kept)
    for n_members in (BLOCK_MEMBERS, 2 * BLOCK_MEMBERS + 1):
        VAEDetector(**QUICK | {"n_estimators": n_members, "max_iter": 1, "early_stopping": False}).fit(rows)
    (whole,), blocks = found
    assert whole.vae.n_members == BLOCK_MEMBERS
    assert [block.vae.n_members for block in blocks] == [5, 6, 6]
    assert len({whole.seed, *(block.seed for block in blocks)}) == 4
    assert all(block.batch.values[block.subsamples].shape == (block.vae.n_members, 60, 3) for block in blocks)


def test_callbacks_watch_all_blocks_at_once_and_end_them_together(rows: np.ndarray) -> None:
    checks: list[TrainingCheck] = []

    class ThirdCheck(Callback):
        def on_check(self, detector: VAEDetector, check: TrainingCheck) -> None:
            checks.append(check)
            if len(checks) == 3:
                raise StopTraining("enough")

    detector = VAEDetector(**QUICK, callbacks=[ThirdCheck()]).fit(rows)
    assert [check.iteration for check in checks] == [2, 4, 6]
    assert detector.history_.stopped_by == "enough"
    assert detector.history_.iteration == [2, 4, 6]
    assert all(check.history is checks[0].history for check in checks)
    assert checks[0].rows_per_second == pytest.approx(2 * N_MEMBERS * 16 / checks[0].seconds)


def test_a_watched_training_takes_one_process_and_says_so(rows: np.ndarray, fitted: VAEDetector) -> None:
    watched = VAEDetector(**QUICK, callbacks=[Callback()], n_jobs=2)
    with pytest.warns(FitWarning, match="takes one process: n_jobs has no effect"):
        watched.fit(rows)
    assert_same(watched, fitted, rows)


def test_an_interruption_keeps_what_every_block_has_learned(rows: np.ndarray) -> None:
    class Interrupt(Callback):
        def on_check(self, detector: VAEDetector, check: TrainingCheck) -> None:
            if check.iteration == 4:
                raise KeyboardInterrupt

    detector = VAEDetector(**QUICK, callbacks=[Interrupt()])
    with pytest.warns(FitWarning, match="interrupted"):
        detector.fit(rows)
    assert detector.history_.interrupted
    assert detector.history_.iteration == [2, 4]
    assert np.isfinite(detector.score_samples(rows)).all()


def test_a_killed_fit_goes_on_in_all_its_blocks(rows: np.ndarray, fitted: VAEDetector, tmp_path: Path) -> None:
    class Killed(Callback):
        def on_check(self, detector: VAEDetector, check: TrainingCheck) -> None:
            if check.iteration == 20:
                raise MemoryError

    with pytest.raises(MemoryError):
        VAEDetector(**QUICK, callbacks=[Checkpoint(tmp_path, n_checks=2), Killed()]).fit(rows)
    assert len(list(tmp_path.iterdir())) == 2
    seen: list[int] = []

    class Steps(Callback):
        def on_check(self, detector: VAEDetector, check: TrainingCheck) -> None:
            seen.append(check.iteration)

    detector = VAEDetector(**QUICK, callbacks=[Checkpoint(tmp_path), Steps()]).fit(rows)
    assert seen[0] == 20
    assert_same(detector, fitted, rows)
    assert not list(tmp_path.iterdir())


def test_a_model_file_does_not_say_where_it_was_computed(rows: np.ndarray, tmp_path: Path) -> None:
    save(VAEDetector(max_iter=4, early_stopping=False, n_jobs=2).fit(rows), tmp_path / "model.vae")
    assert load(tmp_path / "model.vae").n_jobs is None


def test_no_jobs_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="'n_jobs' parameter of VAEDetector must be"):
        VAEDetector(n_jobs=0).fit(rows)


def test_histories_are_joined_with_members_weighed_alike() -> None:
    long = History([2, 4, 6], [-1.0, -2.0, -3.0], [1.0, 1.0, 1.0], [-4.0, -5.0, -6.0], [0.1, 0.2, 0.1])
    short = History([2, 4], [-4.0, -8.0], [4.0, 4.0], [-1.0, -2.0], [0.1, 0.2], stopped_early=True, rolled_back=True)
    whole = joined([Progress(long, 80, 1.0), Progress(short, 40, 1.0)])
    assert whole.iteration == [2, 4, 6]
    assert whole.elbo == pytest.approx([-2.0, -4.0, -14 / 3])
    assert whole.kl == pytest.approx([2.0, 2.0, 2.0])
    assert whole.validation_elbo == pytest.approx([-3.0, -4.0, -14 / 3])
    assert whole.learning_rate == pytest.approx([0.1, 0.2, 0.4 / 3])
    assert (whole.stopped_early, whole.rolled_back, whole.interrupted) == (False, True, False)


def test_some_members_of_a_convolutional_ensemble_compute_what_they_do_in_it() -> None:
    images = np.random.default_rng(0).integers(0, 255, (40, 16, 16), dtype=np.uint8)
    settings = {"n_estimators": 3, "max_iter": 2, "early_stopping": False, "backbone": Convolutional()}
    detector = VAEDetector(**settings, hidden_layer_sizes=(16, 16)).fit(images)
    inputs = torch.rand(3, 5, len(detector.vae_.feature_columns))
    some = detector.vae_.of_members(slice(1, 3)).eval()
    with torch.no_grad():
        whole = detector.vae_.encoder(inputs)[1:]
        assert torch.allclose(some.encoder(inputs[1:]), whole, atol=1e-5)
