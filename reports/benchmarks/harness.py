"""What the benchmark scripts share: where the data is, which part to run, and what a page says of its making."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.foundation_page import git
from rich.console import Console

import vae_anomaly
from vae_anomaly import FitWarning

Array = npt.NDArray[np.float64]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SEEDS = (0, 1, 2, 3, 4)

console = Console()


def options(
    doc: str | None, tables: Iterable[str], methods: Iterable[str], default: Iterable[str] | None = None
) -> argparse.Namespace:
    """Seeds, tables, methods and folder of a run; without `default`, all tables."""
    names = list(tables)
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--tables", nargs="+", choices=names, default=names if default is None else list(default))
    add_methods(parser, methods)
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    return parser.parse_args()


def add_methods(parser: argparse.ArgumentParser, methods: Iterable[str]) -> None:
    """An option for what is measured; the page has the rows of the others from earlier runs."""
    names = list(methods)
    parser.add_argument(
        "--methods", nargs="*", choices=names, default=names, metavar="METHOD", help="none: only write the page"
    )


def there(files: dict[str, Path | None], chosen: Iterable[str]) -> list[str]:
    """The chosen tables whose file is on this machine; None is a table that ships."""
    kept = []
    for name in chosen:
        path = files[name]
        if path is None or path.exists():
            kept.append(name)
        else:
            console.log(f"{name} is left out: {path} is not on this machine (large data are not in the repository)")
    if not kept:
        raise SystemExit(f"no table to measure: the large data are expected in {DATA}")
    return kept


def surroundings(packages: Iterable[str]) -> str:
    """Date, commit, versions and machine."""
    folder = Path(vae_anomaly.__file__).parent
    commit = git("rev-parse", "--short", "HEAD", folder=folder) or "unknown"
    changed = " with local changes to the library" if git("status", "--porcelain", ".", folder=folder) else ""
    return f"{dt.datetime.now(tz=dt.UTC).date()}, commit {commit}{changed}. {machine(packages)}"


def machine(packages: Iterable[str]) -> str:
    """Versions and machine."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"Python {platform.python_version()}, {versions}. {platform.system()}, {os.cpu_count()} cores, no GPU used, "
        f"torch with {torch.get_num_threads()} threads, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}. "
        "The machine was shared with other work: seconds are rough."
    )


@contextmanager
def fit_warnings() -> Iterator[list[str]]:
    """Swallow warnings; the list holds VAEDetector's about its fits once the block has ended."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += [str(warning.message) for warning in caught if issubclass(warning.category, FitWarning)]
