"""The options that commands share."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import Format


class Device(StrEnum):
    """Where the arithmetic runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


INPUT, FITTING, OUTPUT = "Input", "Fitting", "Output"

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Table: .csv, .tsv, .jsonl (each also .gz) or .parquet; '-' reads standard input.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="FILE", help="Saved model; without one, fit on DATA itself."),
]
InputFormat = Annotated[
    Format | None,
    typer.Option("--format", help="Format of DATA, where its name does not tell.", rich_help_panel=INPUT),
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
    int | None, typer.Option("--n-estimators", min=1, help="VAEs in the ensemble. Default 4.", rich_help_panel=FITTING)
]
MaxSamples = Annotated[
    int | None, typer.Option(min=2, help="Rows that each VAE sees. Default 4096.", rich_help_panel=FITTING)
]
MaxIter = Annotated[int | None, typer.Option(min=1, help="Training steps at most.", rich_help_panel=FITTING)]
LatentDim = Annotated[
    int | None,
    typer.Option(min=1, help="Latent dimensions. Chosen from the columns by default.", rich_help_panel=FITTING),
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

    def parameters(self) -> dict[str, str | int | float]:
        """Return the detector's parameters that were given, but for its columns: they need the table.

        Raises
        ------
        InputError
            If the contamination is not a share.
        """
        given = {
            "contamination": _share(self.contamination),
            "random_state": self.seed,
            "n_estimators": self.n_estimators,
            "max_samples": self.max_samples,
            "max_iter": self.max_iter,
            "latent_dim": self.latent_dim,
            "model_missing": self.model_missing or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def refuse_with_model(self) -> None:
        """Refuse what only a fit can use when a fitted model is given."""
        given = [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value not in (None, False, [])]
        if given:
            raise InputError(
                f"{', '.join(given)} cannot go with --model: a saved model keeps what it was fitted with. Fit "
                "again (vae-anomaly fit), or leave --model out."
            )


def separator(given: str | None) -> str | None:
    """Read the value of --delimiter.

    Raises
    ------
    InputError
        If it is not one character.
    """
    if given in ("tab", "\\t"):
        return "\t"
    if given is not None and (len(given) != 1 or not given.isascii() or given in '"\r\n'):
        raise InputError(f"--delimiter {given}: expected one ASCII character that is no quote, or 'tab'.")
    return given


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
