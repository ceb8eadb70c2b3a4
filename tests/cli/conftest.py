"""A small table of orders, a model of it, and the command in this process."""

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vae_anomaly_cli.app import main

FAST = ("--max-iter", "20", "--n-estimators", "2")


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
    """Sixty orders with text ids, holes and one order that is far from the rest."""
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
    outcome = _run("fit", orders_csv, "-o", path, "--id", "order", *FAST)
    assert outcome.code == 0, outcome.err
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file for one test."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file
