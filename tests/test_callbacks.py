"""Who watches a fit: when callbacks are told, how they end a training, and what they cannot change."""

import copy
import logging
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from vae_anomaly import (
    Callback,
    PatchDetector,
    SpecificationError,
    StopTraining,
    TrainingCheck,
    VAEDetector,
    load,
    save,
)
from vae_anomaly.callbacks import add_to_every_fit, remove_from_every_fit

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")

ROWS = np.random.default_rng(0).normal(size=(200, 2))
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 16, 16)).astype(np.uint8)


def of_rows(**parameters: Any) -> VAEDetector:
    return VAEDetector(**({"n_estimators": 2, "max_iter": 20, "hidden_layer_sizes": (8,)} | parameters))


def of_patches(**parameters: Any) -> PatchDetector:
    return PatchDetector(n_windows=256, max_iter=4, window=(4, 8), hidden_layer_sizes=(8,), **parameters)


class Notes(Callback):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.checks: list[TrainingCheck] = []

    def on_fit_begin(self, detector: Any, X: Any) -> None:
        self.told.append(f"begin {len(X)}")

    def on_check(self, detector: Any, check: TrainingCheck) -> None:
        if not self.checks or self.told[-1] != "check":
            self.told.append("check")
        self.checks.append(check)

    def on_fit_end(self, detector: Any) -> None:
        self.told.append(f"end {len(detector.score_samples(ROWS[:3]))}")

    def close(self) -> None:
        self.told.append("close")


class Stops(Callback):
    def __init__(self, after: int, reason: str = "enough") -> None:
        self.after, self.reason = after, reason

    def on_check(self, detector: Any, check: TrainingCheck) -> None:
        if len(check.history.iteration) >= self.after:
            raise StopTraining(self.reason)


class Fails(Callback):
    """Raises in one of its methods."""

    def __init__(self, method: str) -> None:
        self.method, self.n_closed = method, 0

    def _raise(self, method: str) -> None:
        if method == self.method:
            raise LookupError(f"from {method}")

    def on_fit_begin(self, detector: Any, X: Any) -> None:
        self._raise("on_fit_begin")

    def on_check(self, detector: Any, check: TrainingCheck) -> None:
        self._raise("on_check")

    def on_fit_end(self, detector: Any) -> None:
        self._raise("on_fit_end")

    def close(self) -> None:
        self.n_closed += 1
        self._raise("close")


class Gambles(Callback):
    """Does what it can to disturb."""

    def on_check(self, detector: Any, check: TrainingCheck) -> None:
        torch.manual_seed(random.randrange(100))
        torch.rand(7)
        np.random.seed(3)  # noqa: NPY002
        np.random.rand(5)  # noqa: NPY002
        detector.max_iter = 1


def test_callback_is_told_in_order_of_what_the_history_has() -> None:
    notes = Notes()
    detector = of_rows(callbacks=[notes]).fit(ROWS)
    assert notes.told == ["begin 200", "check", "end 3", "close"]
    history = detector.history_
    assert [check.iteration for check in notes.checks] == history.iteration
    assert [check.elbo for check in notes.checks] == history.elbo
    assert [check.kl for check in notes.checks] == history.kl
    assert [check.validation_elbo for check in notes.checks] == history.validation_elbo
    assert [check.learning_rate for check in notes.checks] == history.learning_rate
    last = notes.checks[-1]
    assert last.history is history
    # Two members, each with mini-batches of 128 of its rows.
    assert last.rows_per_second == pytest.approx(last.iteration * 2 * 128 / last.seconds)
    assert last.seconds_left == pytest.approx(last.seconds * (20 - last.iteration) / last.iteration)
    assert history.stopped_by == ""


def test_without_held_out_rows_a_check_has_no_bound_of_theirs() -> None:
    notes = Notes()
    of_rows(callbacks=(notes,), early_stopping=False, max_iter=2).fit(ROWS)
    assert [check.validation_elbo for check in notes.checks] == [None, None]


def test_partial_fit_is_watched_batch_by_batch() -> None:
    notes = Notes()
    detector = of_rows(callbacks=[notes], max_iter=4)
    detector.partial_fit(ROWS[:120]).partial_fit(ROWS[120:])
    assert notes.told == ["begin 120", "check", "end 3", "close", "begin 80", "check", "end 3", "close"]


def test_patches_are_watched_training_by_training() -> None:
    class OfImages(Notes):
        def on_fit_end(self, detector: Any) -> None:
            self.told.append(f"end {len(detector.models_)}")

    notes = OfImages()
    of_patches(callbacks=[notes]).fit(IMAGES)
    assert notes.told == ["begin 20", "check", "end 2", "close"]
    assert {(check.training, check.n_trainings) for check in notes.checks} == {(0, 2), (1, 2)}


def test_stopped_training_keeps_its_best_weights_and_says_why() -> None:
    detector = of_rows(callbacks=[Stops(3, "three checks")], max_iter=40).fit(ROWS)
    history = detector.history_
    assert (history.iteration, history.stopped_by) == ([2, 4, 6], "three checks")
    assert (history.stopped_early, history.interrupted) == (False, False)
    assert len(history.elbo) == len(history.validation_elbo) == 3
    assert np.isfinite(detector.score_samples(ROWS)).all()


def test_reason_is_named_where_none_is_given() -> None:
    assert of_rows(callbacks=[Stops(1, "")]).fit(ROWS).history_.stopped_by == "a callback"


@pytest.mark.parametrize("method", ["on_fit_begin", "on_check", "on_fit_end", "close"])
def test_error_of_a_callback_is_passed_on_and_leaves_the_detector_as_it_was(method: str) -> None:
    before, after = Notes(), Notes()
    failing = Fails(method)
    detector = of_rows(callbacks=[before, failing, after])
    with pytest.raises(LookupError, match=f"from {method}"):
        detector.fit(ROWS)
    assert not hasattr(detector, "model_")
    assert not hasattr(detector, "n_features_in_")
    assert before.told[-1] == "close"
    assert failing.n_closed == 1
    assert after.told[-1:] == ([] if method == "on_fit_begin" else ["close"])
    fitted = of_rows().fit(ROWS)
    scores = fitted.score_samples(ROWS)
    with pytest.raises(LookupError):
        fitted.set_params(callbacks=[failing]).fit(ROWS[::-1])
    np.testing.assert_array_equal(fitted.score_samples(ROWS), scores)


def test_interrupt_in_a_callback_ends_the_training_as_ctrl_c_does() -> None:
    class Interrupts(Callback):
        def on_check(self, detector: Any, check: TrainingCheck) -> None:
            raise KeyboardInterrupt

    history = of_rows(callbacks=[Interrupts()]).fit(ROWS).history_
    assert history.interrupted
    # The check is made once, and not again of no steps.
    assert history.iteration == [1]


def test_callbacks_change_no_bit_of_a_fit() -> None:
    plain = of_rows().fit(ROWS)
    watched = of_rows(callbacks=[Gambles(), Notes()]).fit(ROWS)
    np.testing.assert_array_equal(watched.score_samples(ROWS), plain.score_samples(ROWS))
    assert watched.history_ == plain.history_
    np.testing.assert_array_equal(watched.p_values(ROWS), plain.p_values(ROWS))


def test_model_file_is_the_same_with_and_without(tmp_path: Path) -> None:
    save(of_rows().fit(ROWS), tmp_path / "plain.vae")
    save(of_rows(callbacks=[Notes()], verbose=False).fit(ROWS), tmp_path / "watched.vae")
    assert (tmp_path / "plain.vae").read_bytes() == (tmp_path / "watched.vae").read_bytes()
    assert b"callbacks" not in (tmp_path / "watched.vae").read_bytes()
    save(of_patches(callbacks=[Notes2()]).fit(IMAGES), tmp_path / "watched.vae")
    save(of_patches().fit(IMAGES), tmp_path / "plain.vae")
    assert (tmp_path / "plain.vae").read_bytes() == (tmp_path / "watched.vae").read_bytes()
    assert load(tmp_path / "watched.vae").callbacks is None


class Notes2(Callback):
    """Picklable, and of images."""


def test_model_file_says_what_stopped_its_training(tmp_path: Path) -> None:
    detector = of_rows(callbacks=[Stops(2, "on the file")]).fit(ROWS)
    save(detector, tmp_path / "rows.vae")
    assert load(tmp_path / "rows.vae").history_ == detector.history_


def test_clone_and_pickle_take_callbacks_along() -> None:
    detector = of_rows(callbacks=[Stops(2)])
    twin = clone(detector)
    (given,), (copied,) = detector.callbacks, twin.callbacks
    assert given is not copied
    assert copied.after == 2
    assert detector.get_params()["callbacks"] == [given]
    fitted = pickle.loads(pickle.dumps(detector.fit(ROWS)))
    assert fitted.history_.stopped_by == "enough"
    assert fitted.callbacks[0].after == 2
    assert copy.deepcopy(fitted).callbacks[0].after == 2


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_search_gives_each_fit_callbacks_of_its_own(n_jobs: int | None) -> None:
    stops = Stops(1)
    search = GridSearchCV(of_rows(callbacks=[stops]), {"latent_dim": [1, 2]}, cv=2, n_jobs=n_jobs).fit(ROWS)
    assert search.best_estimator_.n_iter_ == 1
    assert search.best_estimator_.callbacks[0] is not stops


def test_training_rows_are_judged_without_callbacks() -> None:
    notes = Notes()
    detector = of_rows(callbacks=[notes]).fit(ROWS)
    n_told = len(notes.told)
    assert np.isfinite(detector.training_scores_).all()
    assert len(notes.told) == n_told


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([Stops], r"callbacks\[0\] is the class Stops; expected an instance"),
        ([Notes2(), print], r"callbacks\[1\] is of type builtin_function_or_method"),
        (Notes2(), "'callbacks' parameter of .* must be an instance of 'list'"),
    ],
)
@pytest.mark.parametrize("make", [of_rows, of_patches])
def test_what_is_no_callback_is_refused_before_any_data_are_read(
    callbacks: Any, message: str, make: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make(callbacks=callbacks).fit(None)
    assert isinstance(callbacks, Callback) or isinstance(caught.value, SpecificationError)


def test_callback_of_every_fit_is_made_anew_for_each() -> None:
    made: list[Notes] = []

    def make() -> Notes:
        made.append(Notes())
        return made[-1]

    add_to_every_fit(make)
    add_to_every_fit(make)
    try:
        of_rows(max_iter=2).fit(ROWS)
        of_rows(max_iter=2).fit(ROWS)
    finally:
        remove_from_every_fit(make)
        remove_from_every_fit(make)
    of_rows(max_iter=2).fit(ROWS)
    assert [notes.told for notes in made] == [["begin 200", "check", "end 3", "close"]] * 2


@pytest.mark.filterwarnings("ignore::vae_anomaly.DataWarning")
def test_records_tell_a_fit_and_hold_no_cell(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": ROWS[:, 0], "secret": [f"cell-{n}" for n in range(200)], "same": "cell-const"})
    with caplog.at_level(logging.DEBUG, "vae_anomaly"):
        detector = of_rows(callbacks=[Stops(2, "seen enough")]).fit(frame)
        save(detector, tmp_path / "m.vae")
        load(tmp_path / "m.vae")
    text = caplog.text
    for words in (
        "fit of VAEDetector begins",
        "read 200 rows of 3 columns",
        "1 columns set aside: ['secret']",
        "step 1 of 20: ELBO",
        "training ended by a callback at step 2: seen enough",
        "fitted on ",
        "saved a VAEDetector to ",
        "loaded a VAEDetector from ",
    ):
        assert words in text
    assert "cell-" not in text
    assert {record.levelno for record in caplog.records} <= {logging.DEBUG, logging.INFO}
    assert all(record.name.startswith("vae_anomaly.") for record in caplog.records)


def test_records_are_shown_to_nobody_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    of_rows(max_iter=2).fit(ROWS)
    assert capfd.readouterr() == ("", "")
    handlers = logging.getLogger("vae_anomaly").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
