"""Bars on a terminal and in a notebook, and none where nobody sees them."""

import builtins
import sys
import types
from typing import Any

import numpy as np
import pytest

from vae_anomaly import PatchDetector, ProgressBar, StopTraining, TrainingCheck, VAEDetector, compare
from vae_anomaly.callbacks import Callback
from vae_anomaly.callbacks.progress_bar import described, outcome
from vae_anomaly.model import History

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")

ROWS = np.random.default_rng(0).normal(size=(120, 2))
HISTORY = History([350], [-5.5], [2.0], [], [0.01])


def of_rows(**parameters: Any) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=20, hidden_layer_sizes=(8,), **parameters)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, str]]]:
    """What a notebook without ipywidgets shows: each element, and what it was replaced by."""
    shown: list[list[dict[str, str]]] = []

    class Handle:
        def __init__(self, first: dict[str, str]) -> None:
            self.states = [first]
            shown.append(self.states)

        def update(self, state: dict[str, str], *, raw: bool) -> None:
            assert raw
            self.states.append(state)

    def display(first: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        assert raw
        assert display_id
        return Handle(first)

    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setattr(builtins, "get_ipython", lambda: shell, raising=False)
    module = types.ModuleType("IPython.display")
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    return shown


def test_line_beside_the_bar_has_bounds_pace_and_time_left() -> None:
    check = TrainingCheck.last(HISTORY, 700, rows_per_step=512, seconds=3725.0)
    assert described(check) == "350/700 steps, ELBO -5.50, KL 2.00, 48 rows/s, 1:02:05 left"
    assert outcome(check) == "350 steps, ELBO -5.50, KL 2.00, in 1:02:05"


@pytest.mark.usefixtures("terminal")
def test_terminal_has_a_bar_that_fits_in_80_columns(capfd: pytest.CaptureFixture[str]) -> None:
    of_rows(verbose=True).fit(ROWS)
    drawn = capfd.readouterr()
    assert drawn.out == ""
    for words in ("20/20 steps", "ELBO", "held out", "KL", "rows/s", "left"):
        assert words in drawn.err
    assert "…" not in drawn.err


@pytest.mark.usefixtures("terminal")
def test_callback_draws_what_verbose_draws(capfd: pytest.CaptureFixture[str]) -> None:
    of_rows(callbacks=[ProgressBar()]).fit(ROWS)
    assert "20/20 steps" in capfd.readouterr().err


@pytest.mark.usefixtures("terminal")
def test_dumb_terminal_has_no_bar(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    of_rows(verbose=True).fit(ROWS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [True, False])
def test_nothing_is_drawn_where_there_is_no_terminal(verbose: bool, capfd: pytest.CaptureFixture[str]) -> None:
    of_rows(verbose=verbose).fit(ROWS)
    assert capfd.readouterr() == ("", "")


def test_notebook_has_one_element_that_is_replaced(
    cells: list[list[dict[str, str]]], capfd: pytest.CaptureFixture[str]
) -> None:
    detector = of_rows(verbose=True).fit(ROWS)
    (states,) = cells
    assert states[0]["text/html"].startswith("fitting <progress></progress>")
    assert len(states) == len(detector.history_.iteration) + 2
    assert '<progress value="20" max="20"></progress> 20/20 steps, ELBO' in states[-2]["text/html"]
    assert states[-1]["text/plain"].startswith("trained 20 steps, ELBO")
    assert capfd.readouterr() == ("", "")


def test_notebook_shows_nothing_by_default(cells: list[list[dict[str, str]]]) -> None:
    of_rows().fit(ROWS)
    assert cells == []


def test_trainings_of_a_fit_are_numbered(cells: list[list[dict[str, str]]]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16)).astype(np.uint8)
    PatchDetector(n_windows=256, max_iter=2, window=(4, 8), hidden_layer_sizes=(8,), verbose=True).fit(images)
    (states,) = cells
    assert [state["text/plain"].partition(" 2/2 steps")[0] for state in states[2:5:2]] == [
        "training 1/2",
        "training 2/2",
    ]


def test_bar_of_a_stopped_fit_says_where_it_stopped(cells: list[list[dict[str, str]]]) -> None:
    class Stops(Callback):
        def on_check(self, detector: Any, check: TrainingCheck) -> None:
            raise StopTraining("enough")

    of_rows(verbose=True, callbacks=[Stops()]).fit(ROWS)
    assert cells[0][-1]["text/plain"].startswith("trained 1 steps, ELBO")


def test_comparison_in_a_notebook_says_which_fit_it_is_at(cells: list[list[dict[str, str]]]) -> None:
    labels = np.arange(120) >= 110
    compare(ROWS, labels, detectors={"<ours>": of_rows()}, settings=["all"], n_splits=2, verbose=True)
    (states,) = cells
    assert '<progress value="1" max="2"></progress> 1/2 all, split 2 of 2, &lt;ours&gt;' in states[-2]["text/html"]
    assert states[-1]["text/plain"].startswith("compared 2/2")
