"""A small table of orders, small images, a model of each, and the command in this process."""

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vae_anomaly import PatchDetector
from vae_anomaly_cli.main import main

FAST = ("--max-iter", "10", "--n-estimators", "2")


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it wrote."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode("utf-8")

    @property
    def frame(self) -> pd.DataFrame:
        return pd.read_csv(io.BytesIO(self.out), dtype=str, keep_default_na=False)

    def error(self, code: int = 2) -> str:
        """The last line, where a command ended with an error and said so in one."""
        assert self.code == code, self.err
        assert "Traceback" not in self.err
        line = self.err.splitlines()[-1]
        assert line.startswith("error: ")
        return line


Run = Callable[..., Outcome]


def _run(*arguments: str | Path, stdin: bytes = b"") -> Outcome:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.StringIO()
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(argument) for argument in arguments])
    finally:
        sys.stdin = before
    out.flush()
    return Outcome(code, out.buffer.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def run() -> Run:
    """Run the command's entry point; returns code, standard output and standard error."""
    return _run


@pytest.fixture(scope="session")
def fast() -> tuple[str, ...]:
    """Options that make a fit take a fraction of a second."""
    return FAST


@pytest.fixture(scope="session")
def orders() -> pd.DataFrame:
    """Sixty orders with text ids, missing values and one order that is far from the rest."""
    rng = np.random.default_rng(0)
    n = 60
    frame = pd.DataFrame(
        {
            "order": [f"{number:04d}" for number in range(n)],
            "amount": rng.normal(50, 5, n).round(2),
            "items": rng.integers(1, 40, n),
            "shop": rng.choice(["north", "south"], n),
            "paid": rng.choice(["true", "false"], n),
        }
    ).astype({"items": "Int64"})
    frame.loc[[3, 8], "amount"] = np.nan
    frame.loc[5, "items"] = pd.NA
    frame.loc[7, "shop"] = None
    frame.loc[40, ["amount", "items"]] = [400.0, 900]
    return frame


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("orders")


@pytest.fixture(scope="session")
def orders_csv(orders: pd.DataFrame, folder: Path) -> Path:
    path = folder / "orders.csv"
    orders.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def model(orders_csv: Path, folder: Path) -> Path:
    """A model of the orders, fitted through the command."""
    path = folder / "orders.vae"
    outcome = _run("fit", orders_csv, "-o", path, "--drop", "order", *FAST)
    assert outcome.code == 0, outcome.err
    return path


@pytest.fixture(scope="session")
def later_orders() -> pd.DataFrame:
    """Orders that no model has seen; every twentieth is far from the rest, and labelled fraud."""
    rng = np.random.default_rng(1)
    n = 240
    frame = pd.DataFrame(
        {
            "order": [f"n{number:04d}" for number in range(n)],
            "amount": rng.normal(50, 5, n).round(2),
            "items": rng.integers(1, 40, n),
            "shop": rng.choice(["north", "south"], n),
            "paid": rng.choice(["true", "false"], n),
            "fraud": np.arange(n) % 20 == 19,
        }
    )
    frame.loc[frame["fraud"], "amount"] = np.linspace(300, 400, 12).round(2)
    return frame


@pytest.fixture(scope="session")
def later_csv(later_orders: pd.DataFrame, folder: Path) -> Path:
    path = folder / "later.csv"
    later_orders.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def normal_csv(later_orders: pd.DataFrame, folder: Path) -> Path:
    """Those of them that are no fraud, without the label: 228 normal orders."""
    path = folder / "normal.csv"
    later_orders[~later_orders["fraud"]].drop(columns="fraud").to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def calibrated(model: Path, normal_csv: Path, folder: Path) -> Path:
    """The model of the orders, calibrated with the normal ones."""
    path = folder / "calibrated.vae"
    outcome = _run("calibrate", normal_csv, "-m", model, "-o", path)
    assert outcome.code == 0, outcome.err
    return path


@pytest.fixture(scope="session")
def many(folder: Path) -> tuple[Path, Path]:
    """A table of 1,500 rows with a label, and a model of it."""
    path, model = folder / "many.csv", folder / "many.vae"
    rng = np.random.default_rng(2)
    rows = {"speed": rng.normal(size=1500), "load": rng.normal(size=1500), "fraud": np.arange(1500) % 100 == 0}
    pd.DataFrame(rows).to_csv(path, index=False)
    outcome = _run("fit", path, "-o", model, "--label", "fraud", *FAST)
    assert outcome.code == 0, outcome.err
    return path, model


@pytest.fixture(scope="session")
def uncalibrated(folder: Path) -> Path:
    """A model of an earlier version, which has no calibration."""
    return Path(__file__).parents[1] / "data" / "version_5" / "mixed.vae"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file for one test."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def _levels(number: int, size: int = 16, anomalous: bool = False) -> np.ndarray:
    rng = np.random.default_rng(number)
    columns = np.arange(size)
    levels = 120 + 60 * np.sin((columns + 2 * rng.normal()) / 3) + rng.normal(0, 4, (size, size))
    if anomalous:
        levels[4:9, 4:9] = 255
    return levels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def levels_of() -> Callable[..., np.ndarray]:
    """Soft stripes, which lie elsewhere in each image; an anomalous one has a bright square."""
    return _levels


def _draw(path: Path, number: int = 0, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_levels(number, **options)).save(path)
    return path


@pytest.fixture(scope="session")
def draw() -> Callable[..., Path]:
    """Write an image of that kind."""
    return _draw


@pytest.fixture(scope="session")
def fast_images() -> tuple[str, ...]:
    """Options that make a fit on images take a fraction of a second."""
    return ("--max-iter", "10", "--n-estimators", "1")


@pytest.fixture
def few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors of patches learn from a few, which makes a fit take a second."""
    monkeypatch.setitem(PatchDetector.__init__.__kwdefaults__, "n_windows", 256)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty normal images."""
    folder = tmp_path_factory.mktemp("parts") / "good"
    for number in range(40):
        _draw(folder / f"{number}.png", number)
    return folder


@pytest.fixture(scope="session")
def image_model(good: Path, fast_images: tuple[str, ...]) -> Path:
    """A model of them, fitted through the command."""
    path = good.parent / "parts.vae"
    outcome = _run("fit", good, "-o", path, *fast_images)
    assert outcome.code == 0, outcome.err
    return path


@pytest.fixture
def inspected(tmp_path: Path) -> Path:
    """Six normal images and three anomalous ones, in sub-folders."""
    folder = tmp_path / "test"
    for number in range(6):
        _draw(folder / "good" / f"{number}.png", 100 + number)
    for number in range(3):
        _draw(folder / "scratch" / "deep" / f"{number}.png", 200 + number, anomalous=True)
    return folder
