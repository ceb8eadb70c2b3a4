"""What TensorBoard finds of a fit is what the history has."""

import builtins
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse
from sklearn.model_selection import GridSearchCV
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vae_anomaly import Callback, NotInstalled, PatchDetector, TensorBoard, TrainingCheck, VAEDetector

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(RNG.normal(size=(150, 2)), columns=["a", "b"]).assign(kind=RNG.choice(["<x>", "y|z"], 150))
IMAGES = RNG.integers(0, 256, (20, 16, 16)).astype(np.uint8)


def of_rows(log: TensorBoard, **parameters: Any) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=6, hidden_layer_sizes=(8,), callbacks=[log], **parameters)


def read(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run)).Reload()


def text_of(events: EventAccumulator) -> str:
    (event,) = events.Tensors("reconstructions/text_summary")
    return str(event.tensor_proto.string_val[0].decode())


def test_scalars_are_those_of_the_history(tmp_path: Path) -> None:
    detector = of_rows(TensorBoard(tmp_path)).fit(ROWS)
    events, history = read(tmp_path / "fit-1"), detector.history_
    for name, values in {
        "elbo/training": history.elbo,
        "elbo/held_out": history.validation_elbo,
        "kl": history.kl,
        "learning_rate": history.learning_rate,
    }.items():
        scalars = events.Scalars(name)
        assert [one.step for one in scalars] == history.iteration
        np.testing.assert_allclose([one.value for one in scalars], values, rtol=1e-6)
    assert all(one.value > 0 for one in events.Scalars("rows_per_second"))
    (elbo,) = events.Scalars("outcome/elbo")
    assert elbo.value == pytest.approx(detector.fit_report_.elbo, rel=1e-6)


def test_hyperparameters_are_those_of_the_detector_without_cells(tmp_path: Path) -> None:
    of_rows(TensorBoard(tmp_path), missing_values={"a": -31337.0}, latent_dim=2).fit(ROWS)
    content = b"".join(path.read_bytes() for path in (tmp_path / "fit-1").glob("events*"))
    assert b"latent_dim" in content
    assert b"31337" not in content


def test_rows_stand_beside_their_reconstructions(tmp_path: Path) -> None:
    detector = of_rows(TensorBoard(tmp_path, n_reconstructions=2)).fit(ROWS)
    text = text_of(read(tmp_path / "fit-1"))
    assert "| column | row 0 | row 1 |\n| --- | --- | --- |" in text
    expected = detector.reconstruct(ROWS.head(2))
    scores = detector.anomaly_score(ROWS.head(2))
    assert f"| anomaly score | {scores[0]:.2f} nats | {scores[1]:.2f} nats |" in text
    cells = [f"{ROWS.loc[row, 'a']:.4g} ({expected.loc[row, 'a']:.4g})" for row in (0, 1)]
    assert f"| a | {cells[0]} | {cells[1]} |" in text
    assert text.count("\n| ") == 6
    assert "<x>" not in text
    assert "y|z" not in text


def test_latents_are_those_of_transform_with_their_scores(tmp_path: Path) -> None:
    detector = of_rows(TensorBoard(tmp_path, n_latents=10)).fit(ROWS)
    (vectors,) = (tmp_path / "fit-1").rglob("tensors.tsv")
    np.testing.assert_allclose(np.loadtxt(vectors), detector.transform(ROWS.head(10)), rtol=1e-6)
    (labels,) = (tmp_path / "fit-1").rglob("metadata.tsv")
    assert labels.read_text().split("\n")[0] == f"{detector.anomaly_score(ROWS.head(1))[0]:.2f} nats"


def test_cells_and_latents_stay_out_where_nobody_wants_them(tmp_path: Path) -> None:
    of_rows(TensorBoard(tmp_path, n_reconstructions=0, n_latents=0)).fit(ROWS)
    assert read(tmp_path / "fit-1").Tags()["tensors"] == []
    assert [path.name[:6] for path in (tmp_path / "fit-1").iterdir()] == ["events"]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[["a", "b"]].to_numpy(),
        ROWS.to_dict("records"),
        sparse.coo_array(ROWS[["a", "b"]].to_numpy()),
        ROWS[["a", "b"]].to_numpy().tolist(),
    ],
    ids=["array", "records", "sparse", "lists"],
)
def test_rows_may_come_in_any_container(rows: Any, tmp_path: Path) -> None:
    of_rows(TensorBoard(tmp_path, n_reconstructions=1, n_latents=3)).fit(rows)
    assert "| x0 | " in text_of(read(tmp_path / "fit-1")).replace("| a | ", "| x0 | ")


def test_wide_rows_are_cut_and_say_so(tmp_path: Path) -> None:
    rows = RNG.normal(size=(60, 210))
    of_rows(TensorBoard(tmp_path, n_reconstructions=1, n_latents=0)).fit(rows)
    text = text_of(read(tmp_path / "fit-1"))
    assert "10 more columns are not shown" in text
    assert "| x199 | " in text
    assert "| x200 | " not in text


def picture_of(events: EventAccumulator) -> np.ndarray:
    (event,) = events.Images("reconstructions")
    return np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))


def test_images_stand_beside_what_was_expected_and_their_maps(tmp_path: Path) -> None:
    detector = VAEDetector(max_iter=4, hidden_layer_sizes=(8,), callbacks=[TensorBoard(tmp_path, n_reconstructions=3)])
    detector.fit(IMAGES)
    events = read(tmp_path / "fit-1")
    picture = picture_of(events)
    assert picture.shape == (3 * 16, 3 * 16, 3)
    low, high = IMAGES[:3].min(), IMAGES[:3].max()
    given = (IMAGES[1].astype(float) - low) / (high - low) * 255
    np.testing.assert_array_equal(picture[16:32, :16, 0], given.astype(np.uint8))
    assert list((tmp_path / "fit-1").rglob("tensors.tsv"))


def test_trainings_of_patches_have_scalars_of_their_own(tmp_path: Path) -> None:
    detector = PatchDetector(
        n_windows=256, max_iter=2, window=(4, 8), hidden_layer_sizes=(8,), callbacks=[TensorBoard(tmp_path)]
    ).fit(IMAGES)
    events = read(tmp_path / "fit-1")
    for number, model in enumerate(detector.models_, start=1):
        values = [one.value for one in events.Scalars(f"training{number}/elbo/training")]
        np.testing.assert_allclose(values, model.model.history.elbo, rtol=1e-6)
    assert picture_of(events).shape == (8 * 16, 3 * 16, 3)


@pytest.mark.parametrize("as_list", [True, False])
def test_image_files_are_shown(as_list: bool, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number:02}.png")
    files = sorted((tmp_path / "images").iterdir()) if as_list else tmp_path / "images"
    log = TensorBoard(tmp_path / "runs", n_reconstructions=2)
    VAEDetector(max_iter=2, hidden_layer_sizes=(8,), callbacks=[log]).fit(files)
    assert picture_of(read(tmp_path / "runs" / "fit-1")).shape == (2 * 16, 3 * 16, 3)


def test_each_fit_has_a_run_of_its_own(tmp_path: Path) -> None:
    GridSearchCV(of_rows(TensorBoard(tmp_path / "new" / "runs")), {"latent_dim": [1, 2]}, cv=2, refit=False).fit(ROWS)
    assert sorted(run.name for run in (tmp_path / "new" / "runs").iterdir()) == ["fit-1", "fit-2", "fit-3", "fit-4"]


def test_scores_are_the_same_bit_for_bit_and_nothing_is_held_afterwards(tmp_path: Path) -> None:
    log = TensorBoard(tmp_path)
    watched = of_rows(log).fit(ROWS)
    plain = watched.set_params(callbacks=None).score_samples(ROWS)
    np.testing.assert_array_equal(plain, of_rows(log).set_params(callbacks=None).fit(ROWS).score_samples(ROWS))
    assert (log._writer, log._X) == (None, None)


def test_run_of_a_fit_that_fails_is_written_to_its_end(tmp_path: Path) -> None:
    class Fails(Callback):
        def on_check(self, detector: Any, check: TrainingCheck) -> None:
            raise LookupError

    log = TensorBoard(tmp_path)
    with pytest.raises(LookupError):
        of_rows(log).set_params(callbacks=[log, Fails()]).fit(ROWS)
    assert len(read(tmp_path / "fit-1").Scalars("kl")) == 1
    assert log._writer is None


def test_missing_tensorboard_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith(("torch.utils.tensorboard", "tensorboard")):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return original(name, *rest)

    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(NotInstalled, match=r'python -m pip install "vae-anomaly\[tensorboard\]"'):
        of_rows(TensorBoard(tmp_path / "runs")).fit(ROWS)
    assert not (tmp_path / "runs").exists()
