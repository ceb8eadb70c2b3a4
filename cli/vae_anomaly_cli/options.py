"""The options that commands share; see `command` for how a field becomes an option."""

import os
import re
import stat
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, TypeAlias

from vae_anomaly_cli.command import FITTING, FLAGGING, IN_PARTS, INPUT, OUTPUT, WITH_MODEL, Deprecated, Option
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.signing import KEY_VARIABLE, use_key
from vae_anomaly_cli.sources import EXTENSIONS, FORMATS, NO_HEADER, GivenLayout, Kind, kind_of_special, scheme_of


class Device(StrEnum):
    """Where the arithmetic runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Method(StrEnum):
    """Whether a model is of whole images or of their patches."""

    AUTO = "auto"
    IMAGE = "image"
    PATCH = "patch"


class Augmentation(StrEnum):
    """What training images are changed by."""

    FLIPS = "flips"
    ROTATIONS = "rotations"
    SHIFTS = "shifts"
    BRIGHTNESS = "brightness"


CALIBRATIONS = ("auto", "split", "cross", "none")
DEFAULT, ACCURATE, ROBUST = "default", "accurate", "robust"
PRESETS = (DEFAULT, ACCURATE, ROBUST)
FEATURES = ("auto", "efficientnet-lite0", "none")
BASELINE_UNITS = ("data", "group")
# Of a Sobol sequence in PyTorch, which is loaded only where it is needed.
MAX_LATENTS = 21_201
STANDARD_OUTPUT = "-"

ParameterValue: TypeAlias = str | int | float | tuple[int, int] | tuple[str, ...] | None


# How files are read, whichever they are.
FORMAT = Option("Format of the files, where their names do not tell.", choices=tuple(FORMATS), panel=INPUT)
DELIMITER = Option(
    "What separates cells: one character, or 'tab'. Found in the first lines by default.", metavar="CHAR", panel=INPUT
)
ENCODING = Option(
    "Encoding of text, like cp1252. By default UTF-8, or what the bytes tell, with a message.",
    metavar="NAME",
    panel=INPUT,
)
SKIP_ROWS = Option("Lines above the table. Found by their shape by default.", metavar="N", min=0, panel=INPUT)
HEADER_ROW = Option(
    "Line of the column names, from 1; 'none' if there is none: columns are x0, x1, ...", metavar="N", panel=INPUT
)
SHEET_NAME = Option("Sheet of an Excel workbook. Default: the first.", metavar="NAME", panel=INPUT)
TABLE = Option("Table of a data base, where DATA is an address like sqlite:///file.db.", metavar="NAME", panel=INPUT)
QUERY = Option("Query of a data base, like 'SELECT * FROM orders'; it must only read.", metavar="SQL", panel=INPUT)


@dataclass(frozen=True)
class InputOptions:
    """Which files are the input, how they are read, and which of their columns are no features."""

    data: Annotated[
        tuple[str, ...],
        Option(
            f"Table: {EXTENSIONS}; '-' reads standard input. Several files, patterns like 'day=*/*.csv' and "
            "directories are one input in parts. Or an address: https://, s3://, or sqlite:///file.db?table=NAME.",
            common="Table (.csv, .jsonl, .parquet, .xlsx, ...), or a folder of them; '-' is standard input.",
            metavar="DATA",
            images="Or images: .png, .jpg, .bmp, .tif, .webp, .gif, .pgm or .ppm.",
            is_argument=True,
            is_path=True,
        ),
    ]
    format: Annotated[str | None, replace(FORMAT, only=Kind.TABLES)] = None
    delimiter: Annotated[str | None, replace(DELIMITER, only=Kind.TABLES)] = None
    encoding: Annotated[str | None, replace(ENCODING, only=Kind.TABLES)] = None
    skip_rows: Annotated[int, replace(SKIP_ROWS, only=Kind.TABLES)] = 0
    header_row: Annotated[str | None, replace(HEADER_ROW, only=Kind.TABLES)] = None
    sheet_name: Annotated[str | None, replace(SHEET_NAME, only=Kind.TABLES)] = None
    table: Annotated[str | None, replace(TABLE, only=Kind.TABLES)] = None
    query: Annotated[str | None, replace(QUERY, only=Kind.TABLES)] = None
    id: Annotated[
        tuple[str, ...],
        Option(
            "Columns that name the row: not features, and the only input columns in the output. Repeat, or separate by "
            "commas. A model remembers them.",
            common="Columns that name the row: no features.",
            metavar="COLUMN",
            images="Images have the columns path and folder.",
            panel=INPUT,
        ),
    ] = ()
    drop: Annotated[
        tuple[str, ...],
        Option(
            "Columns that are not features. Repeat, or separate by commas. A model remembers them.",
            common="Columns that are no features.",
            metavar="COLUMN",
            panel=INPUT,
            only=Kind.TABLES,
        ),
    ] = ()
    label: Annotated[
        str | None,
        Option(
            "Column of known anomalies, to measure by and never a feature. 0/1 and false/true (1 = anomaly), 1/-1 (-1 "
            "= anomaly), or values of which --anomalous or --normal names one. A model remembers all three.",
            common="Column of known anomalies, to measure by.",
            metavar="COLUMN",
            images="Of images: folder.",
            panel=INPUT,
        ),
    ] = None
    anomalous: Annotated[
        str | None, Option("The one of two values of --label that is anomalous.", metavar="VALUE", panel=INPUT)
    ] = None
    normal: Annotated[
        tuple[str, ...],
        Option(
            "The value of --label that is normal; all others are anomalous. Repeat for more.",
            common="The value of --label that is normal.",
            metavar="VALUE",
            images="A folder includes those below it; '.' is DATA itself.",
            panel=INPUT,
            deprecated=Deprecated("--good", sets={"label": "folder"}),
        ),
    ] = ()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.anomalous is not None and self.normal:
            raise InputError("--anomalous and --normal both say what a label means; give one of them.")
        given = f"--anomalous {self.anomalous}" if self.anomalous is not None else " ".join(("--normal", *self.normal))
        if self.label is None and (self.anomalous is not None or self.normal):
            raise InputError(f"{given} says what a label means; name the column with --label, too.")

    def layout(self) -> GivenLayout:
        """Read what is said of how files are laid out.

        Raises
        ------
        InputError
            If a value is none of its option.
        """
        return GivenLayout(
            _separator(self.delimiter),
            self.encoding,
            self.skip_rows,
            _header_line(self.header_row, self.skip_rows),
            self.sheet_name,
            self.table,
            self.query,
        )


@dataclass(frozen=True)
class ModelOptions:
    """A model that was fitted before."""

    model: Annotated[
        str | None,
        Option(
            "Saved model; without one, fit on DATA itself.",
            common="Saved model; without one, fit on DATA.",
            flags=("--model", "-m"),
            metavar="FILE",
            is_path=True,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse early what is no file."""
        if self.model:
            check_model_path(self.model)


@dataclass(frozen=True)
class GroupOptions:
    """A model for each group of rows; None fits one for all."""

    by: Annotated[
        str | None,
        Option(
            "Fit a model for each value of this column, and a pooled one for all other rows, into one file.",
            common=True,
            metavar="COLUMN",
            panel=FITTING,
            only=Kind.TABLES,
        ),
    ] = None
    min_rows: Annotated[
        int | None,
        Option(
            "With --by: rows of a group, at least, for a model of its own; rows of smaller groups are judged by the "
            "pooled one (default 100).",
            metavar="ROWS",
            min=2,
            panel=FITTING,
            only=Kind.TABLES,
        ),
    ] = None
    n_jobs: Annotated[
        int | None,
        Option(
            "With --by: fits at a time; -1 (default) takes all processors. The models are the same.",
            metavar="N",
            min=-1,
            panel=FITTING,
            only=Kind.TABLES,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse what says nothing without groups."""
        for given, option in ((self.min_rows, "--min-rows"), (self.n_jobs, "--n-jobs")):
            if given is not None and self.by is None:
                raise InputError(f"{option} belongs to --by, which is not given. Leave it out, or name a column.")
        if self.n_jobs == 0:
            raise InputError("--n-jobs 0: expected a number of fits at a time, or -1 for all processors.")


@dataclass(frozen=True)
class FitOptions:
    """How to fit; None leaves the library's default."""

    preset: Annotated[
        str | None,
        Option(
            "What the rows fitted are taken for: nothing is assumed (default), all are normal (accurate; their density "
            "is followed more closely, at more time a row), or anomalies are among them (robust; the most anomalous "
            "are left out of the training). By default robust where the rows fitted are the rows judged, as in score "
            "without --model, else default.",
            common="Whether anomalies are among the rows fitted (robust), or none (accurate).",
            choices=PRESETS,
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
        ),
    ] = None
    contamination: Annotated[
        str | None,
        Option(
            "Share of the training rows to flag, above 0 and up to 0.5; 'auto' (default) finds a threshold from the "
            "spread of their scores.",
            common="Share of the training rows to flag.",
            metavar="SHARE",
            panel=FITTING,
            with_model=False,
        ),
    ] = None
    random_state: Annotated[
        int | None,
        Option(
            "Seed; the same seed gives the same model. Default 0.",
            min=0,
            max=2**31 - 1,
            panel=FITTING,
            with_model=False,
            deprecated=Deprecated("--seed"),
        ),
    ] = None
    n_estimators: Annotated[
        int | None,
        Option("VAEs in the ensemble. Default 4.", images="Fewer for images.", min=1, panel=FITTING, with_model=False),
    ] = None
    max_samples: Annotated[
        int | None,
        Option(
            "Rows that each VAE sees. Default 4096; at most half of them with --preset robust.",
            images="More of images.",
            min=2,
            panel=FITTING,
            with_model=False,
        ),
    ] = None
    max_iter: Annotated[int | None, Option("Training steps at most.", min=1, panel=FITTING, with_model=False)] = None
    latent_dim: Annotated[
        int | None,
        Option(
            "Latent dimensions. Chosen from the columns by default.",
            min=1,
            max=MAX_LATENTS,
            panel=FITTING,
            with_model=False,
        ),
    ] = None
    column: Annotated[
        tuple[str, ...],
        Option(
            "What a column is, where its values mislead: continuous, positive, bounded, integer, count, binary, "
            "boolean, categorical, ordinal, datetime (hours, weekdays, days of the month, months), datetime+trend (the "
            "place in time as well), or identifier (set aside). Repeat for more columns.",
            common="What a column is, like zip=categorical.",
            metavar="NAME=KIND",
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
        ),
    ] = ()
    missing_values: Annotated[
        tuple[str, ...],
        Option(
            "Value that stands for a missing one, in all columns or in one (VALUE or NAME=VALUE); none keeps all. By "
            "default codes that repeat far from all other values are recognised, like -999. Repeat for more values.",
            metavar="VALUE",
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
            deprecated=Deprecated("--missing"),
        ),
    ] = ()
    decimal: Annotated[
        str | None,
        Option(
            "Decimal mark of numbers: '.' or ','. By default the cells of the column tell, then those of the table.",
            metavar="MARK",
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
        ),
    ] = None
    thousands: Annotated[
        str | None,
        Option(
            "Mark between thousands: ',', '.', a space or an apostrophe. By default the cells tell.",
            metavar="MARK",
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
        ),
    ] = None
    date_format: Annotated[
        str | None,
        Option(
            "How dates are written, like '%d/%m/%Y %H:%M'. By default one format is found for each column.",
            metavar="FORMAT",
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
        ),
    ] = None
    no_fold_case: Annotated[
        bool,
        Option(
            "Take 'Yes' and 'yes' as different values.",
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
            deprecated=Deprecated("--no-fold"),
        ),
    ] = False
    model_missing: Annotated[
        bool,
        Option("Model which values are missing, too.", panel=FITTING, only=Kind.TABLES, with_model=False),
    ] = False
    sample_rows: Annotated[
        int | None,
        Option(
            "Fit on a random sample of so many rows where DATA has more; of fewer where they would take more than 256 "
            "MiB. Default 1000000.",
            min=2,
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
        ),
    ] = None
    image_shape: Annotated[
        str | None,
        Option(
            "Resize all to so many pixels, like 128x128. Needed where sizes differ, or are not that of the model.",
            common="Resize all to so many pixels, like 128x128.",
            metavar="HEIGHTxWIDTH",
            panel=FITTING,
            only=Kind.IMAGES,
            deprecated=Deprecated("--size"),
        ),
    ] = None
    method: Annotated[
        Method | None,
        Option(
            "Fit a model of whole images (image), to find anomalous ones, or of overlapping patches (patch), to find "
            "anomalous spots. Default auto: image up to 4096 pixels, or where a side has fewer than 16; else patch.",
            panel=FITTING,
            only=Kind.IMAGES,
            with_model=False,
            deprecated=Deprecated("--look", values={"whole": "image", "patches": "patch"}),
        ),
    ] = None
    features: Annotated[
        str | None,
        Option(
            "Judge images by what a network with weights of others sees of them: efficientnet-lite0, which the extra "
            "features installs, or none. Default auto: where it is installed, images of more than 4096 pixels.",
            choices=FEATURES,
            panel=FITTING,
            only=Kind.IMAGES,
            with_model=False,
        ),
    ] = None
    augment: Annotated[
        tuple[Augmentation, ...],
        Option(
            "Change training images at random, where images changed so are normal, too: flips (left-right and "
            "up-down), rotations (by 90 degrees, of square images), shifts (by up to a 16th of a side), brightness "
            "(by up to a tenth). Helps where good images are few. Repeat for more.",
            metavar="CHANGE",
            panel=FITTING,
            only=Kind.IMAGES,
            with_model=False,
        ),
    ] = ()
    calibration: Annotated[
        str | None,
        Option(
            "Rows that the threshold and p-values come from: those that no VAE sees (split), those that each leaves "
            "out (cross), or none. Default auto: cross where rows are few, else split; none where score fits on the "
            "rows that it scores.",
            images="Of images, cross only where a network gives features: see --features.",
            choices=CALIBRATIONS,
            panel=FITTING,
            with_model=False,
        ),
    ] = None
    calibration_groups: Annotated[
        str | None,
        Option(
            "Column whose values are calibrated one by one: a p-value compares a row with those of its own value. It "
            "is read as categories.",
            metavar="COLUMN",
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
            deprecated=Deprecated("--calibration-group"),
        ),
    ] = None

    baseline_by: Annotated[
        tuple[str, ...],
        Option(
            "Columns that say what the numbers of a row are compared with: those of its own group. From the largest "
            "groups to the smallest, like store,product; groups of few rows, and new ones, lean on the group around "
            "theirs. Repeat, or separate by commas.",
            metavar="COLUMN",
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
        ),
    ] = ()
    baseline_time: Annotated[
        str | None,
        Option(
            "Column of dates, by whose hours, weekdays, months and trend numbers are compared, too.",
            metavar="COLUMN",
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
        ),
    ] = None

    baseline_units: Annotated[
        str | None,
        Option(
            "Where numbers are compared: scores in the units of the data (data, the default), or in units of the "
            "spread of the row's group, so that groups of all sizes are ranked alike (group).",
            choices=BASELINE_UNITS,
            panel=FITTING,
            only=Kind.TABLES,
            with_model=False,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse values that cannot be used before anything is read."""
        self.parameters()
        if self.decimal is not None and self.decimal == self.thousands:
            raise InputError(f"--decimal and --thousands are both {self.decimal!r}; expected different marks.")
        if self.baseline_units is not None and not self.baseline_by and self.baseline_time is None:
            raise InputError(
                "--baseline-units says in which units compared numbers are scored, and none are compared; give "
                "--baseline-by or --baseline-time, too."
            )
        if self.calibration_groups is not None and self.calibration == "none":
            raise InputError(
                "--calibration-groups says how calibration rows are compared, and --calibration none has none; leave "
                "one of them out."
            )

    def parameters(self) -> dict[str, ParameterValue]:
        """Return the detector's parameters that were given, but for its columns: they need the table.

        Raises
        ------
        InputError
            If the contamination is not a share, or the size is none.
        """
        given: dict[str, ParameterValue] = {
            "preset": self.preset,
            "contamination": _share(self.contamination),
            "random_state": self.random_state,
            "n_estimators": self.n_estimators,
            "max_samples": self.max_samples,
            "max_iter": self.max_iter,
            "latent_dim": self.latent_dim,
            "reading__decimal": _mark("--decimal", self.decimal, ".,"),
            "reading__thousands": _mark("--thousands", self.thousands, ",. '"),
            "reading__date_format": _date_format(self.date_format),
            "reading__fold_case": False if self.no_fold_case else None,
            "model_missing": self.model_missing or None,
            "image_shape": self.size,
            "augment": tuple(map(str, self.augment)) or None,
            "calibration_groups": self.calibration_groups,
            "baseline_units": self.baseline_units,
        }
        found: dict[str, ParameterValue] = {name: value for name, value in given.items() if value is not None}
        if self.calibration is not None:
            # None is a value of this parameter.
            found["calibration"] = None if self.calibration == "none" else self.calibration
        return found

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that images are resized to.

        Raises
        ------
        InputError
            If they are none.
        """
        return _height_and_width(self.image_shape)

    @property
    def reads_text(self) -> bool:
        """Whether they say how numbers or dates are written."""
        return any(given is not None for given in (self.decimal, self.thousands, self.date_format))

    def for_own_rows(self, preset: str | None = None) -> "FitOptions":
        """Options of a fit whose own rows are ranked among themselves: all of them train, if nothing else is said.

        Parameters
        ----------
        preset : str, optional
            The preset, if nothing else is said.

        Raises
        ------
        InputError
            If they are to be ranked by groups.
        """
        if self.calibration_groups is not None:
            raise InputError(
                "--calibration-groups belongs to models of other rows than those scored; without --model these are "
                "ranked all together. Fit first (vae-anomaly fit), and score other rows with --model."
            )
        return replace(self, calibration=self.calibration or "none", preset=self.preset or preset)


@dataclass(frozen=True)
class FlagOptions:
    """Which rows to flag in this run; without any, those above the threshold of the model."""

    false_alarm_rate: Annotated[
        float | None,
        Option(
            "Flag at most this share of normal rows, above 0 and below 1.",
            common="Flag at most this share of normal rows, like 0.01.",
            metavar="RATE",
            panel=FLAGGING,
        ),
    ] = None
    confidence: Annotated[
        float | None,
        Option(
            "With --false-alarm-rate: how sure it is that this very model keeps to it, like 0.95. By default the rate "
            "is kept on average over fits.",
            metavar="SHARE",
            panel=FLAGGING,
        ),
    ] = None
    alerts: Annotated[
        float | None,
        Option(
            "Flag so many of --per normal rows, on average.",
            common="Flag so many rows, on average, if all are normal.",
            metavar="N",
            panel=FLAGGING,
        ),
    ] = None
    per: Annotated[
        int | None,
        Option("Rows that --alerts is for. Default: all of DATA.", metavar="ROWS", panel=FLAGGING),
    ] = None
    fdr: Annotated[
        float | None,
        Option(
            "Flag as many rows of DATA as can be with at most this share of false alarms among them, on average; above "
            "0 and below 1.",
            metavar="SHARE",
            panel=FLAGGING,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, and numbers out of their range."""
        if len(self.rules) > 1:
            raise InputError(f"{' and '.join(self.rules)} each say which rows are flagged; give one of them.")
        for flag, value, owner in (
            ("--confidence", self.confidence, "--false-alarm-rate"),
            ("--per", self.per, "--alerts"),
        ):
            if value is not None and owner not in self.rules:
                raise InputError(f"{flag} belongs to {owner}, which is not given. Leave it out, or give both.")
        for flag, share in (
            ("--false-alarm-rate", self.false_alarm_rate),
            ("--confidence", self.confidence),
            ("--fdr", self.fdr),
        ):
            # NaN is in no range.
            if share is not None and not 0 < share < 1:
                raise InputError(f"{flag} {share:g}: expected a share above 0 and below 1, like 0.01.")
        for flag, number in (("--alerts", self.alerts), ("--per", self.per)):
            if number is not None and not 0 < number < float("inf"):
                raise InputError(f"{flag} {number:g}: expected a number above 0.")
        if self.per is not None:
            self.check_alerts(self.per)

    def check_alerts(self, n_rows: int) -> None:
        """Refuse as many alerts as there are rows, or more."""
        if self.alerts is not None and self.alerts >= n_rows:
            of = f"--per {n_rows} rows" if self.per is not None else f"the {n_rows:,} rows of DATA"
            raise InputError(f"--alerts {self.alerts:g} is not fewer than {of}; expected fewer.")

    @property
    def rules(self) -> list[str]:
        """The rules that were given."""
        given = {"--false-alarm-rate": self.false_alarm_rate, "--alerts": self.alerts, "--fdr": self.fdr}
        return [flag for flag, value in given.items() if value is not None]

    def rows_of(self, n_rows: int | None) -> int | None:
        """Return how many rows --alerts is for: those of the input, where nothing else is said."""
        return self.per or n_rows

    @property
    def promises(self) -> str | None:
        """The rule that promises something of rows that a model has not seen, if it is one."""
        return next((rule for rule in self.rules if rule != "--alerts"), None)


Json = Annotated[bool, Option("One JSON object on standard output.", flags=("--json",), panel=OUTPUT, common=True)]


def check_one_on_standard_output(output: str | None, *, as_json: bool) -> None:
    """Refuse a file and an object that would both be written to standard output, by whatever name.

    Raises
    ------
    InputError
        If they would.
    """
    if not as_json or output is None:
        return
    # Not at the head of the file: the help does without the library.
    from vae_anomaly.files import descriptor_of

    if output == STANDARD_OUTPUT or descriptor_of(output) == 1:
        raise InputError(f"--json and --output {output} both write to standard output; choose one.")


@dataclass(frozen=True)
class OutputOptions:
    """Where results go."""

    output: Annotated[
        str | None,
        Option(
            "Where the table goes, in the format of its extension; '-' is standard output.",
            flags=("--output", "-o"),
            common="Where the table goes, like scored.csv or scored.parquet.",
            metavar="FILE",
            panel=OUTPUT,
            is_path=True,
        ),
    ] = None
    as_json: Json = False

    def __post_init__(self) -> None:
        """Refuse two things in one place."""
        check_one_on_standard_output(self.output, as_json=self.as_json)


KeyFile = Annotated[
    str | None,
    Option(
        "File with the key that models are signed with: those read have to be, those written are. Or the environment "
        f"variable {KEY_VARIABLE}.",
        metavar="FILE",
        panel=WITH_MODEL,
        is_path=True,
    ),
]


@dataclass(frozen=True)
class RunOptions:
    """What has no influence on results."""

    device: Annotated[Device, Option("Where the arithmetic runs.")] = Device.AUTO
    quiet: Annotated[
        bool,
        Option("No messages, warnings or progress; errors and AUROC stay.", flags=("--quiet", "-q")),
    ] = False
    key_file: KeyFile = None

    def __post_init__(self) -> None:
        """Read the key early."""
        use_key(self.key_file)


# See `distributed.engines`, which is loaded only where one is named.
ENGINE_NAMES = ("ray",)
ENGINE = Option(
    "Read, or score, the parts of DATA on the workers of an engine: ray, with vae-anomaly[ray] installed. GPUs of "
    "the cluster are used where it has some.",
    choices=ENGINE_NAMES,
    panel=IN_PARTS,
    only=Kind.TABLES,
)
ADDRESS = Option(
    "With --engine: the cluster, like auto for the one of this machine, or ray://host:10001. Default: one of this "
    "machine alone, for as long as the command lasts.",
    metavar="ADDRESS",
    panel=IN_PARTS,
    only=Kind.TABLES,
)


@dataclass(frozen=True)
class EngineOptions:
    """Who reads the parts of a large input."""

    engine: Annotated[str | None, ENGINE] = None
    address: Annotated[str | None, ADDRESS] = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.address is not None and self.engine is None:
            raise InputError(f"--address {self.address} is that of an engine; name it with --engine ray, too.")


@dataclass(frozen=True)
class PartsOptions(EngineOptions):
    """Where the parts of a large input are scored."""

    shard: Annotated[
        str | None,
        Option(
            "Score one share of the parts of DATA, like 2/4 for the second of four, on each machine another one. Their "
            "results are those of one run.",
            metavar="I/N",
            panel=IN_PARTS,
            only=Kind.TABLES,
        ),
    ] = None
    part_rows: Annotated[
        int | None,
        Option(
            "About how many rows make a part of a larger Parquet file (default 1,048,576). Files are parts otherwise.",
            min=1,
            panel=IN_PARTS,
            only=Kind.TABLES,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        super().__post_init__()
        if self.engine is not None and self.shard is not None:
            raise InputError("--engine and --shard both say who scores which parts; give one of them.")

    @property
    def is_used(self) -> bool:
        """Whether the input is scored in parts."""
        return self.engine is not None or self.shard is not None

    @property
    def named(self) -> str:
        """The option that says so."""
        return f"--engine {self.engine}" if self.engine is not None else f"--shard {self.shard}"


@dataclass(frozen=True)
class SavedModelOptions:
    """The model that a command cannot do without."""

    model: Annotated[str, Option("Saved model.", flags=("--model", "-m"), metavar="FILE", is_path=True)]
    image_shape: Annotated[
        str | None,
        Option(
            "Resize images of other sizes to that of the model, like 128x128, which are left out otherwise.",
            metavar="HEIGHTxWIDTH",
            panel=INPUT,
            only=Kind.IMAGES,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse early what is no file, and what is no size."""
        check_model_path(self.model)
        self.size  # noqa: B018 - it is read early

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that images are resized to.

        Raises
        ------
        InputError
            If they are none.
        """
        return _height_and_width(self.image_shape)


@dataclass(frozen=True)
class NewModelOptions:
    """Where a model goes that is another one's, with a change."""

    output: Annotated[
        str | None,
        Option(
            "Where the changed model goes. It may be the model itself, which stays as it is unless it is named.",
            flags=("--output", "-o"),
            common="Where the changed model goes.",
            metavar="FILE",
            panel=OUTPUT,
            is_path=True,
        ),
    ] = None
    as_json: Json = False

    def __post_init__(self) -> None:
        """Refuse standard output, which is no place for a model."""
        if self.output == STANDARD_OUTPUT:
            raise InputError(f"--output {self.output}: a model goes to a file; expected a name like orders.vae.")
        check_one_on_standard_output(self.output, as_json=self.as_json)


@dataclass(frozen=True)
class ReportOptions:
    """How a command says what it found."""

    as_json: Json = False


@dataclass(frozen=True)
class ReadOptions:
    """How a table is read that is not the main input of a command."""

    format: Annotated[str | None, FORMAT] = None
    delimiter: Annotated[str | None, DELIMITER] = None
    encoding: Annotated[str | None, ENCODING] = None
    skip_rows: Annotated[int, SKIP_ROWS] = 0
    header_row: Annotated[str | None, HEADER_ROW] = None
    sheet_name: Annotated[str | None, SHEET_NAME] = None
    table: Annotated[str | None, TABLE] = None
    query: Annotated[str | None, QUERY] = None

    def of(self, data: tuple[str, ...]) -> InputOptions:
        """Return the options of an input that is read so."""
        return InputOptions(
            data,
            format=self.format,
            delimiter=self.delimiter,
            encoding=self.encoding,
            skip_rows=self.skip_rows,
            header_row=self.header_row,
            sheet_name=self.sheet_name,
            table=self.table,
            query=self.query,
        )


def check_model_path(model: str) -> None:
    """Refuse a path that cannot be a model file before the library is loaded.

    Raises
    ------
    InputError
        If it leads to no file, or to one that cannot be read; a pipe is not waited for. An address of a store, like
        s3://bucket/orders.vae, is asked when the model is loaded.
    """
    if scheme_of(model) is not None:
        return
    try:
        mode = os.stat(model).st_mode  # noqa: PTH116 - a name that ends in a slash is another one
        if stat.S_ISREG(mode):
            os.close(os.open(model, os.O_RDONLY))
            return
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"{model} does not exist; expected a model file. Make one with vae-anomaly fit -o {model}."
        ) from error
    except OSError as error:
        raise InputError(f"{model} cannot be read: {error.strerror or error}; expected a model file.") from error
    raise InputError(f"{model} is {kind_of_special(mode)}; expected a model file, as vae-anomaly fit writes it.")


def _separator(given: str | None) -> str | None:
    if given in ("tab", "\\t"):
        return "\t"
    if given is not None and (len(given) != 1 or not given.isascii() or given in '"\r\n'):
        raise InputError(f"--delimiter {given}: expected one ASCII character that is no quote, or 'tab'.")
    return given


def _header_line(given: str | None, skip_rows: int) -> int | None:
    if given is None:
        return None
    if given.strip().lower() == "none":
        return NO_HEADER
    if not re.fullmatch("[1-9][0-9]{0,6}", given):
        raise InputError(f"--header-row {given}: expected the number of a line, from 1, or 'none'.")
    if int(given) <= skip_rows:
        raise InputError(f"--header-row {given} lies in the lines that --skip-rows {skip_rows} leaves out.")
    return int(given)


def _height_and_width(given: str | None) -> tuple[int, int] | None:
    if given is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})[x×]([1-9][0-9]{0,4})", given.strip().lower())
    if found is None:
        raise InputError(f"--image-shape {given}: expected height and width in pixels, like 128x128.")
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


def _mark(option: str, given: str | None, marks: str) -> str | None:
    """Read the value of --decimal or --thousands."""
    if given is not None and (len(given) != 1 or given not in marks):
        raise InputError(f"{option} {given!r}: expected one of {', '.join(repr(mark) for mark in marks)}.")
    return given


def _date_format(given: str | None) -> str | None:
    """Read the value of --date-format."""
    if given is None or given == "ISO8601":
        return given
    if not (any(part in given for part in ("%Y", "%y")) and any(part in given for part in ("%m", "%b", "%B", "%j"))):
        raise InputError(
            f"--date-format {given!r}: expected a year and a month, as in '%d/%m/%Y' or '%Y-%m-%d %H:%M:%S'."
        )
    return given
