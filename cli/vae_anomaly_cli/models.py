"""What commands ask of a model, be it of tables or of images, and how models are saved and loaded."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.batches import Numbers, RowScores
from vae_anomaly_cli.console import MAX_SHOWN_FILES, Messages, counted
from vae_anomaly_cli.errors import CommandError, InputError, Interrupted
from vae_anomaly_cli.options import ACCURATE, ROBUST, Device, check_model_path
from vae_anomaly_cli.signing import signing_key
from vae_anomaly_cli.sources import Batch, Location, Source, scheme_of
from vae_anomaly_cli.stores import OF_ARROW, Address, Place, is_there, read_object, write_object

if TYPE_CHECKING:
    from typing import TypeAlias

    from vae_anomaly import ColumnRoles, FeatureMapDetector, GroupedDetector, PatchDetector, VAEDetector

    Single: TypeAlias = VAEDetector | PatchDetector | FeatureMapDetector
    from vae_anomaly.decisions import Calibration

# What presets take the rows of a fit for; the default assumes nothing, and nothing is said of it.
EXPECTATIONS = {
    ACCURATE: "all rows taken to be normal (preset accurate)",
    ROBUST: "anomalies expected among the rows (preset robust)",
}


class CellBatch(Batch, Protocol):
    """Consecutive rows of an input, with their cells."""

    @property
    def cells(self) -> pa.RecordBatch:
        """A column for each that was read."""


class Features(Protocol):
    """What a detector sees of a batch."""

    @property
    def problems(self) -> Mapping[int, str]:
        """Why rows, from 0, cannot be scored."""

    @property
    def rows(self) -> "Sequence[int] | npt.NDArray[np.intp]":
        """The other rows, in their order."""

    @property
    def usable(self) -> Any:
        """What it takes of these."""


@dataclass
class Unusable:
    """Rows or files of the input that cannot be used: the first few, and how many there are.

    Attributes
    ----------
    noun : str
        ``row``, or ``image``, which is a file.
    count : int
        How many there are.
    first : list of str
        The first few, with where they are and what is wrong with them.
    """

    noun: str = "image"
    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, locate: Callable[[], Location], reason: str) -> None:
        """Note one of them.

        Parameters
        ----------
        locate : callable
            Says where it is; only of the first few, because it may take reading the file up to there.
        reason : str
            What is wrong with it.
        """
        self.count += 1
        if len(self.first) < MAX_SHOWN_FILES:
            location = locate()
            where = f", {location.where}" if location.where else ""
            self.first.append(f"{location.file}{where}: {reason}")

    def add_file(self, file: str, reason: str) -> None:
        """Note a file."""
        self.add(lambda: Location(file, ""), reason)

    def merge(self, following: "Unusable") -> None:
        """Take others that follow."""
        self.first += following.first[: MAX_SHOWN_FILES - len(self.first)]
        self.count += following.count

    def warn(self, messages: Messages, n_rows: int | None = None) -> None:
        """Warn of those that were noted: of rows in a line.

        Parameters
        ----------
        messages : Messages
            Shows it.
        n_rows : int, optional
            How many rows there are in all.
        """
        if self.noun == "row":
            # Where it is all of them, that is an error of its own.
            if self.count and self.count != n_rows:
                messages.warning(self._of_rows(n_rows))
            return
        for text in self.first:
            messages.warning(f"left out: {text}")
        if self.count > len(self.first):
            messages.warning(f"left out: {self.count - len(self.first):,} more files that cannot be used.")

    def none_of(self, name: str, n_rows: int) -> str:
        """Say that nothing of an input could be scored."""
        nouns = "file" if self.noun == "image" else self.noun
        remedy = "" if self.noun == "image" else ". Write the cells as in the training, or fit a model on such rows."
        return f"none of {counted(n_rows, nouns)} of {name} could be scored; {self.first[0]}{remedy}"

    def _of_rows(self, n_rows: int | None) -> str:
        many = n_rows is not None and self.count > n_rows / 2
        of = "" if n_rows is None else f" of {n_rows:,}"
        loud = ": MORE THAN HALF, is this what the model was fitted on?" if many else ""
        first = f"{'the first is ' if self.count > 1 else ''}{self.first[0]}"
        return f"{self.count:,}{of} row{'' if self.count == 1 and not of else 's'} without a score{loud}; {first}."


class Model(Protocol):
    """A fitted detector and the source that it scores.

    Attributes
    ----------
    noun : str
        What a row is: ``row`` or ``image``.
    source : Source
        What it scores.
    n_rows : int or None
        Rows of the source, where they are counted before they are scored.
    threshold : float
        Scores above it are flagged, nats.
    fit_seconds : float or None
        What the fit took; None if the model was loaded.
    report : str
        How it was fitted or loaded, in a line.
    left_out : Unusable
        Files that the fit left out.
    """

    @property
    def noun(self) -> str: ...

    @property
    def source(self) -> Source: ...

    @property
    def detector(self) -> "Single": ...

    @property
    def n_rows(self) -> int | None: ...

    @property
    def fit_seconds(self) -> float | None: ...

    @property
    def report(self) -> str: ...

    @property
    def left_out(self) -> Unusable: ...

    @property
    def threshold(self) -> float: ...

    def batches(self, names: list[str]) -> Iterator[CellBatch]:
        """Read some columns of the source."""

    def features(self, batch: Any) -> Features:
        """Return what the detector sees of a batch."""

    def features_again(self, cells: pa.Table, rows: npt.NDArray[np.int64]) -> Features:
        """Return what it sees of rows of several batches, given their cells and which rows (from 0) they are."""

    def score(self, batch: Any, features: Any, start: int) -> RowScores:
        """Score the rows of a batch from one of them on; NaN where a row cannot be scored."""

    def rank_among_fitted(self, messages: Messages) -> None:
        """Compare rows with those that the model was fitted on, in the place of others that calibrate it."""

    def values(self, cells: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the cells of a column with their types."""

    def summary(self, n_rows: int, n_unusable: int) -> dict[str, Any]:
        """Describe source and detector for --json."""

    def fit_summary(self) -> dict[str, Any]:
        """Describe source, detector and fit for --json."""


@contextmanager
def library_errors(name: str, locate: Callable[[int], Location] | None = None) -> Iterator[None]:
    """Turn errors of the library into one line for people.

    Parameters
    ----------
    name : str
        How messages call the input.
    locate : callable, optional
        Says where a person finds a row that the library was given.
    """
    from vae_anomaly import DataError, NonFiniteScoreError, SpecificationError, TrainingDiverged

    try:
        yield
    except TrainingDiverged as error:
        raise CommandError(error) from error
    except NonFiniteScoreError as error:
        if locate is None:
            raise CommandError(f"{name}: {error}") from error
        location = locate(error.row)
        raise CommandError(f"{location.file}: {error.text(row=location.where)}") from error
    except DataError as error:
        if error.row is None or locate is None:
            raise InputError(f"{name}: {error}") from error
        location = locate(error.row)
        raise InputError(f"{location.file}: {error.text(row=location.where)}") from error
    except SpecificationError as error:
        raise InputError(error) from error


def likelihood_scores(model: Model, features: Features, n_rows: int) -> Numbers:
    """Return the scores of a batch without what the model has learned from answers; NaN where there is none."""
    scores = np.full(n_rows, np.nan)
    rows = np.asarray(features.rows, dtype=np.intp)
    if len(rows):
        with library_errors(model.source.name):
            scores[rows] = model.detector.likelihood_score(features.usable)
    return scores


def save_model(detector: "Single", path: Place) -> None:
    """Write a model; one whose training was interrupted only where no file is.

    Raises
    ------
    Interrupted
        If there is one.
    CommandError
        If it cannot be written.
    """
    if _is_interrupted(detector) and is_there(path):
        raise Interrupted(
            f"interrupted: {path}, where the best model so far would have gone, stays as it was. Name a new file to "
            "keep what an interrupted fit has learned."
        )
    write_model(detector, path)


def write_model(detector: "Single | GroupedDetector", path: Place) -> None:
    """Write a model, in the place of what is there.

    Raises
    ------
    InputError
        If its threshold is none that a file can hold.
    CommandError
        If it cannot be written.
    """
    from vae_anomaly import SpecificationError, save

    try:
        if isinstance(path, Path):
            save(detector, path, key=signing_key())
        else:
            content = io.BytesIO()
            save(detector, content, key=signing_key())
            content.seek(0)
            write_object(path, content)
    except SpecificationError as error:
        raise InputError(error) from error
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error


def end_if_interrupted(detector: "Single", path: Place) -> None:
    """End a fit that was interrupted as such, when all is said.

    Raises
    ------
    Interrupted
        If it was.
    """
    if _is_interrupted(detector):
        raise Interrupted(f"interrupted: {path} holds the best model so far.")


def _is_interrupted(detector: "Single") -> bool:
    """Say whether a training ended early; densities of features are not trained step by step."""
    from vae_anomaly import FeatureMapDetector

    return not isinstance(detector, FeatureMapDetector) and detector.fit_report_.interrupted


def rank_among(detector: "Single", scores: Numbers) -> None:
    """Compare rows by their ranks among rows that the detector was fitted on; the threshold keeps its rule."""
    from vae_anomaly.decisions import Calibration

    calibration = Calibration.of("training", [scores[~np.isnan(scores)]])
    detector.decisions_ = detector.decisions_.recalibrated(calibration)


def calibration_of(detector: "Single", model: str) -> "Calibration":
    """Return the calibration of a saved model.

    Raises
    ------
    InputError
        If it has none.
    """
    calibration = detector.decisions_.calibration
    if calibration is None:
        raise InputError(
            f"{model} has no calibration: it was fitted without one, on too few rows, or by an earlier version. Give "
            f"it normal rows that it has not seen: vae-anomaly calibrate normal.csv -m {model} -o {model}."
        )
    return calibration


@contextmanager
def decision_errors(holder: str, remedy: str) -> Iterator[None]:
    """Turn the library's refusals of a threshold into one line for people.

    Parameters
    ----------
    holder : str
        Whose calibration rows may be too few.
    remedy : str
        How to get more.
    """
    from vae_anomaly import DataError, SpecificationError
    from vae_anomaly.decisions import CalibrationTooSmall

    try:
        yield
    except CalibrationTooSmall as error:
        raise InputError(
            f"{error.wish} needs at least {error.n_needed:,} calibration rows, and {holder} has "
            f"{error.n_calibration:,}; {error.possible}, or {remedy}."
        ) from error
    except (DataError, SpecificationError) as error:
        raise InputError(f"{holder}: {error}") from error


def load_detector(model: str, device: Device, *, of_images: bool) -> "Single":
    """Load a saved model of tables, or of images.

    Raises
    ------
    InputError
        If it is no model, or one of the other kind.
    """
    detector = open_model(model, device)
    fitted_on_images = detector.encoder_.takes_images
    if fitted_on_images is not of_images:
        fitted, given = ("images", "tables") if fitted_on_images else ("tables", "images")
        raise InputError(
            f"{model} was fitted on {fitted}, and the input is {given}. Name a model of {given}, or fit one: "
            "vae-anomaly fit."
        )
    return detector


def remembered_roles(model: str) -> "ColumnRoles":
    """Read from a model file which columns were no features at its fit.

    Raises
    ------
    InputError
        If it is no model.
    """
    check_model_path(model)
    from vae_anomaly import ColumnRoles, read_manifest
    from vae_anomaly.store import read_groups

    with model_errors(model):
        found = located(model)
        manifest = read_groups(found, key=signing_key())
        if manifest is None:
            if isinstance(found, ObjectBytes):
                found.seek(0)
            manifest = read_manifest(found, key=signing_key())
    try:
        return ColumnRoles.of(manifest["column_roles"])
    except (LookupError, TypeError) as error:
        raise InputError(f"{model}: the manifest is damaged ({error}). Fit or copy it again.") from error


def open_model(model: str, device: Device) -> "Single":
    """Load a saved model, be it of tables or of images.

    Raises
    ------
    InputError
        If it is no model, or has one for each group.
    """
    check_model_path(model)
    from vae_anomaly import GroupedDetector, load

    with model_errors(model):
        detector = load(located(model), device=str(device), key=signing_key())
    if isinstance(detector, GroupedDetector):
        raise InputError(
            f"{model} holds a model for each group of {detector.by_!r}, and this command takes one model; score "
            "and info take many. To take one out, in Python: save(load(FILE).models_[GROUP], NEW_FILE), or pooled_."
        )
    return detector


def is_grouped(model: str | None) -> bool:
    """Whether a file holds a model for each group of rows."""
    if model is None:
        return False
    check_model_path(model)
    from vae_anomaly.store import read_groups

    with model_errors(model):
        return read_groups(located(model), key=signing_key()) is not None


def open_groups(model: str, device: Device) -> "GroupedDetector":
    """Load a file with a model for each group of rows.

    Raises
    ------
    InputError
        If it is none.
    """
    check_model_path(model)
    from vae_anomaly import GroupedDetector, load

    with model_errors(model):
        detector = load(located(model), device=str(device), key=signing_key())
    if not isinstance(detector, GroupedDetector):
        raise InputError(f"{model} holds one model, and none for each group of rows. Fit with --by COLUMN.")
    return detector


class ObjectBytes(io.BytesIO):
    """A model in an object of a store.

    Parameters
    ----------
    content : bytes
        All of it.
    name : str
        How messages call it.
    """

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def located(model: str) -> str | ObjectBytes:
    """What the library reads: a path, the address of a store that fsspec opens, or the bytes where pyarrow opens it.

    Raises
    ------
    InputError
        If a store cannot give them.
    """
    if scheme_of(model) not in OF_ARROW:
        return model
    address = Address.of(model)
    try:
        return ObjectBytes(read_object(address), str(address))
    except FileNotFoundError as error:
        raise InputError(
            f"{address} does not exist; expected a model file. Make one with vae-anomaly fit -o {address}."
        ) from error
    except OSError as error:
        raise InputError(f"{address} cannot be read: {error}.") from error


@contextmanager
def model_errors(model: str) -> Iterator[None]:
    """Turn the library's refusals of a model file into one line for people."""
    from vae_anomaly import ModelFileError, SpecificationError

    try:
        yield
    except (ModelFileError, SpecificationError) as error:
        raise InputError(error) from error
    except OSError as error:
        # Without an error number it is the library's own sentence, which names the file.
        raise InputError(f"{model} cannot be read: {error.strerror}." if error.strerror else error) from error
