"""The options that commands share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import EXTENSIONS, FORMATS


class Device(StrEnum):
    """Where the arithmetic runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Look(StrEnum):
    """How images are looked at."""

    AUTO = "auto"
    WHOLE = "whole"
    PATCHES = "patches"


def format_name(text: str) -> str:
    """Read the value of --format.

    Raises
    ------
    typer.BadParameter
        If there is no such format.
    """
    if text not in FORMATS:
        raise typer.BadParameter(f"'{text}' is not one of {', '.join(FORMATS)}.")
    return text


# Of a Sobol sequence in PyTorch, which is loaded only where it is needed.
MAX_LATENTS = 21_201

INPUT, FITTING, OUTPUT = "Input", "Fitting", "Output"

Data = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA",
        help=f"Table: {EXTENSIONS}. Several files, patterns like 'day=*/*.csv' and "
        "directories are one table in parts; '-' reads standard input.",
        show_default=False,
    ),
]
DataOrImages = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA",
        help=f"Table: {EXTENSIONS}; '-' reads standard input. Or images: .png, "
        ".jpg, .bmp, .tif, .webp, .gif, .pgm or .ppm. Several files, patterns like 'day=*/*.csv' and directories are "
        "one input in parts.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="FILE", help="Saved model; without one, fit on DATA itself."),
]
InputFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Format of DATA, where its name does not tell.",
        metavar="|".join(FORMATS),
        parser=format_name,
        rich_help_panel=INPUT,
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        help="What separates cells: one character, or 'tab'. Found in the header by default.",
        metavar="CHAR",
        rich_help_panel=INPUT,
    ),
]
Ids = Annotated[
    list[str] | None,
    typer.Option(
        "--id",
        metavar="COLUMN",
        help="Column that names the row: no feature, kept in the output. Repeat, or separate by commas.",
        rich_help_panel=INPUT,
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN", help="Columns that are no features. Repeat, or separate by commas.", rich_help_panel=INPUT
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Known anomalies: no feature, only reported as AUROC. 0/1 and false/true (1 = anomaly), 1/-1 "
        "(-1 = anomaly), or two values of which --anomalous names one.",
        rich_help_panel=INPUT,
    ),
]
Anomalous = Annotated[
    str | None,
    typer.Option(metavar="VALUE", help="The value of --label that says anomaly.", rich_help_panel=INPUT),
]
Contamination = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="Share of the training rows to flag, above 0 and up to 0.5; 'auto' (default) finds a threshold "
        "from the spread of their scores.",
        rich_help_panel=FITTING,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, max=2**31 - 1, help="Seed; the same seed gives the same model. Default 0.", rich_help_panel=FITTING
    ),
]
Members = Annotated[
    int | None,
    typer.Option(
        "--n-estimators", min=1, help="VAEs in the ensemble. Default 4; fewer for images.", rich_help_panel=FITTING
    ),
]
MaxSamples = Annotated[
    int | None,
    typer.Option(min=2, help="Rows that each VAE sees. Default 4096; more of images.", rich_help_panel=FITTING),
]
MaxIter = Annotated[int | None, typer.Option(min=1, help="Training steps at most.", rich_help_panel=FITTING)]
LatentDim = Annotated[
    int | None,
    typer.Option(
        min=1, max=MAX_LATENTS, help="Latent dimensions. Chosen from the columns by default.", rich_help_panel=FITTING
    ),
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="HEIGHTxWIDTH",
        help="Of images: resize all to so many pixels, like 128x128. Needed where their sizes differ.",
        rich_help_panel=FITTING,
    ),
]
ImageLook = Annotated[
    Look | None,
    typer.Option(
        "--look",
        help="At images as wholes, for odd ones, or through overlapping windows, for odd spots. Default auto: as "
        "wholes up to 4096 pixels, and where a side has fewer than 16.",
        rich_help_panel=FITTING,
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME=KIND",
        help="What a column is, where its values mislead: continuous, positive, bounded, integer, count, binary, "
        "boolean, categorical, ordinal, datetime, or identifier (set aside). Repeat for more columns.",
        rich_help_panel=FITTING,
    ),
]
ModelMissing = Annotated[
    bool,
    typer.Option("--model-missing", help="Missing cells are evidence, too.", rich_help_panel=FITTING),
]
DeviceName = Annotated[Device, typer.Option("--device", help="Where the arithmetic runs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No messages, warnings or progress; errors and AUROC stay.")]


SampleRows = Annotated[
    int | None,
    typer.Option(
        "--sample-rows",
        min=2,
        help="Fit on a random sample of so many rows where DATA has more; of fewer where they would take more than "
        "256 MiB. Default 1000000.",
        rich_help_panel=FITTING,
    ),
]
SAMPLE_ROWS = 1_000_000


@dataclass(frozen=True)
class InputOptions:
    """Which files are the input, how they are read, and which of their columns are no features."""

    data: list[str]
    input_format: str | None = None
    delimiter: str | None = None
    ids: list[str] | None = None
    label: str | None = None
    anomalous: str | None = None
    drop: list[str] | None = None

    @property
    def of_tables(self) -> list[str]:
        """The options that were given and that only tables have."""
        options = {
            "--format": self.input_format,
            "--delimiter": self.delimiter,
            "--id": self.ids,
            "--label": self.label,
            "--anomalous": self.anomalous,
            "--drop": self.drop,
        }
        return [name for name, value in options.items() if value]

    def separator(self) -> str | None:
        """Read the value of --delimiter.

        Raises
        ------
        InputError
            If it is not one character.
        """
        given = self.delimiter
        if given in ("tab", "\\t"):
            return "\t"
        if given is not None and (len(given) != 1 or not given.isascii() or given in '"\r\n'):
            raise InputError(f"--delimiter {given}: expected one ASCII character that is no quote, or 'tab'.")
        return given


@dataclass(frozen=True)
class FitOptions:
    """Options of the fit as given; None leaves the library's default."""

    contamination: str | None
    seed: int | None
    n_estimators: int | None
    max_samples: int | None
    max_iter: int | None
    latent_dim: int | None
    column: list[str] | None
    model_missing: bool
    sample_rows: int | None = None
    size: str | None = None
    look: Look | None = None

    @property
    def of_tables(self) -> list[str]:
        """The options that were given and that only tables have."""
        options = {
            "--column": self.column,
            "--model-missing": self.model_missing,
            "--sample-rows": self.sample_rows,
        }
        return [name for name, value in options.items() if value]

    def parameters(self) -> dict[str, str | int | float | tuple[int, int]]:
        """Return the detector's parameters that were given, but for its columns: they need the table.

        Raises
        ------
        InputError
            If the contamination is not a share, or the size is none.
        """
        given: dict[str, str | int | float | tuple[int, int] | None] = {
            "contamination": _share(self.contamination),
            "random_state": self.seed,
            "n_estimators": self.n_estimators,
            "max_samples": self.max_samples,
            "max_iter": self.max_iter,
            "latent_dim": self.latent_dim,
            "model_missing": self.model_missing or None,
            "image_shape": _height_and_width(self.size),
        }
        return {name: value for name, value in given.items() if value is not None}

    def check(self, model: str | None) -> None:
        """Refuse, before anything is read, what cannot be used.

        Raises
        ------
        InputError
            If an option has no usable value, the model is no file, or an option of the fit stands beside a model.
        """
        self.parameters()
        if model is None:
            return
        given = [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value not in (None, False, [])]
        if given:
            raise InputError(
                f"{', '.join(given)} cannot go with --model: a saved model keeps what it was fitted with. Fit "
                "again (vae-anomaly fit), or leave --model out."
            )
        check_model_path(model)


def refuse_empty(given: Mapping[str, str | None], data: Sequence[str] = ()) -> None:
    """Refuse names of files without a letter, which would stand for the current directory.

    Parameters
    ----------
    given : mapping of str to str or None
        Options with their values.
    data : sequence of str
        The arguments.

    Raises
    ------
    InputError
        If there is one.
    """
    empty = [*(["DATA"] if "" in data else []), *(name for name, value in given.items() if value == "")]
    if empty:
        raise InputError(f"{', '.join(empty)}: the name is empty, as that of an unset variable is; expected a path.")


def check_model_path(model: str) -> None:
    """Refuse a path that cannot be a model file before the library is loaded."""
    path = Path(model)
    if path.is_dir():
        raise InputError(f"{model} is a directory; expected a model file, as vae-anomaly fit writes it.")
    if not path.exists():
        raise InputError(f"{model} does not exist; expected a model file. Make one with vae-anomaly fit -o {model}.")


def _height_and_width(given: str | None) -> tuple[int, int] | None:
    if given is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})[x×]([1-9][0-9]{0,4})", given.strip().lower())
    if found is None:
        raise InputError(f"--size {given}: expected height and width in pixels, like 128x128.")
    return int(found[1]), int(found[2])


def _share(given: str | None) -> str | float | None:
    if given is None or given == "auto":
        return given
    try:
        share = float(given)
    except ValueError:
        share = 0.0
    if not 0 < share <= 0.5:
        raise InputError(f"--contamination {given}: expected 'auto' or a share above 0 and up to 0.5, like 0.02.")
    return share
