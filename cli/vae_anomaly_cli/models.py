"""The detector in the middle of a command: fitted here or loaded, and what is said about it."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import CommandError, InputError, Interrupted
from vae_anomaly_cli.options import Device, FitOptions, check_model_path
from vae_anomaly_cli.sources import Location
from vae_anomaly_cli.tables import Table

SHOWN_KINDS = 5

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly import PatchDetector, VAEDetector
    from vae_anomaly.columns import Column
    from vae_anomaly.errors import DataError


def fit_detector(
    table: Table,
    frame: "pd.DataFrame",
    options: FitOptions,
    declared: Mapping[str, str],
    device: Device,
    messages: Messages,
    *,
    in_passes: bool,
) -> "tuple[VAEDetector, float]":
    """Fit on rows, with columns of the kinds that the user declared; return the detector and the seconds.

    Where further passes follow, these rows are the first batch of a stream.
    """
    detector = new_detector(options, declared, device, verbose=messages.progress)
    start = time.perf_counter()
    with refusals(table.name, table.locate), messages.library_warnings():
        learn = detector.partial_fit if in_passes else detector.fit
        learn(frame)
    return detector, time.perf_counter() - start


def new_detector(
    options: FitOptions, declared: Mapping[str, str], device: Device, *, verbose: bool = False
) -> "VAEDetector":
    """Return a detector, not yet fitted, with the parameters that the user gave."""
    from vae_anomaly import VAEDetector

    detector = VAEDetector(device=str(device), verbose=verbose)
    detector.set_params(**options.parameters(), columns=dict(declared) or None)
    return detector


Locate = Callable[[int], Location]


@contextmanager
def refusals(name: str, locate: Locate) -> Iterator[None]:
    """Turn what the library refuses into one line for people.

    Parameters
    ----------
    name : str
        How messages call the input.
    locate : callable
        Says of a row that the library was given where a person finds it.
    """
    from vae_anomaly import DataError, SpecificationError, TrainingDiverged

    try:
        yield
    except TrainingDiverged as error:
        raise CommandError(error) from error
    except DataError as error:
        raise _unusable(error, name, locate) from error
    except SpecificationError as error:
        raise InputError(error) from error


def save_model(detector: "VAEDetector | PatchDetector", path: Path) -> None:
    """Write a model; one whose training was interrupted only where no file is.

    Raises
    ------
    Interrupted
        If there is one.
    CommandError
        If it cannot be written.
    """
    if detector.fit_report_.interrupted and path.exists():
        raise Interrupted(
            f"interrupted: {path}, where the best model so far would have gone, stays as it was. Name a new file to "
            "keep what an interrupted fit has learned."
        )
    from vae_anomaly import save

    try:
        save(detector, path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error


def end_if_interrupted(detector: "VAEDetector | PatchDetector", path: Path) -> None:
    """End a fit that was interrupted as such, when all is said.

    Raises
    ------
    Interrupted
        If it was.
    """
    if detector.fit_report_.interrupted:
        raise Interrupted(f"interrupted: {path} holds the best model so far.")


def load_detector(model: str, device: Device) -> "VAEDetector":
    """Load a saved model of tables."""
    from vae_anomaly import VAEDetector

    detector = _load(model, device)
    if not isinstance(detector, VAEDetector) or not _takes_tables(detector):
        raise _other_kind(model, "images", "tables")
    return detector


def load_image_detector(model: str, device: Device) -> "VAEDetector | PatchDetector":
    """Load a saved model of images that reads files."""
    from vae_anomaly import SpecificationError, VAEDetector

    detector = _load(model, device)
    if isinstance(detector, VAEDetector) and _takes_tables(detector):
        raise _other_kind(model, "tables", "images")
    try:
        detector.image_format_  # noqa: B018 - models of floats have none
    except SpecificationError as error:
        raise InputError(f"{model}: {error}") from error
    return detector


def _load(model: str, device: Device) -> "VAEDetector | PatchDetector":
    check_model_path(model)
    from vae_anomaly import ModelFileError, SpecificationError, load

    try:
        return load(model, device=str(device))
    except (ModelFileError, SpecificationError) as error:
        raise InputError(error) from error
    except OSError as error:
        raise InputError(f"{model} cannot be read: {error.strerror or error}.") from error


def _takes_tables(detector: "VAEDetector") -> bool:
    return detector.encoder_.grid is None


def _other_kind(model: str, fitted: str, given: str) -> InputError:
    return InputError(
        f"{model} was fitted on {fitted}, and the input is {given}. Name a model of {given}, or fit one: "
        "vae-anomaly fit."
    )


def _unusable(error: "DataError", name: str, locate: Locate) -> InputError:
    """Pass on what the library says of a cell, with the location where a person finds it."""
    if error.row is None:
        return InputError(f"{name}: {error}")
    location = locate(error.row)
    return InputError(f"{location.file}: {error.text(row=location.where)}")


def kinds_of(columns: "tuple[Column, ...]") -> dict[str, int]:
    """Count the columns in use by kind, the most frequent kind first."""
    return dict(Counter(column.kind for column in columns if column.likelihood is not None).most_common())


def set_aside(columns: "tuple[Column, ...]") -> dict[str, str]:
    """Columns that are not in use, with the reason."""
    return {column.name: column.reason for column in columns if column.likelihood is None}


def fit_line(table: Table, columns: "tuple[Column, ...]", seconds: float) -> str:
    """Say in short what a fit did."""
    kinds = kinds_of(columns)
    shown = list(kinds.items())[: SHOWN_KINDS if len(kinds) <= SHOWN_KINDS else SHOWN_KINDS - 1]
    others = sum(kinds.values()) - sum(count for _, count in shown)
    counts = ", ".join([f"{count} {kind}" for kind, count in shown] + ([f"{others} of other kinds"] if others else []))
    aside = len(set_aside(columns))
    rest = f", {aside} set aside" if aside else ""
    rows = counted(table.n_rows, "row")
    if table.drawn is not None:
        rows = f"a sample of {table.n_rows:,} of {counted(table.n_input_rows, 'row')}"
    return f"fitted on {table.name}: {rows}, {counted(sum(kinds.values()), 'column')} ({counts}){rest}, {seconds:.1f} s"


def summary_of(name: str, n_rows: int, detector: "VAEDetector", seconds: float | None) -> dict[str, Any]:
    """Describe input and detector for --json."""
    return {
        "input": name,
        "rows": n_rows,
        "columns": kinds_of(detector.columns_),
        "set_aside": set_aside(detector.columns_),
        "threshold": -float(detector.offset_),
        "fit_seconds": None if seconds is None else round(seconds, 3),
    }
