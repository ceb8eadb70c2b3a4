"""`vae-anomaly fit`: fit on a table or a folder of images once, score with the model later."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

from vae_anomaly_cli.command import FITTING, Option, command
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.options import (
    ACCURATE,
    EngineOptions,
    FitOptions,
    GroupOptions,
    InputOptions,
    Json,
    RunOptions,
    check_one_on_standard_output,
)
from vae_anomaly_cli.sources import Kind, format_of_name, is_image
from vae_anomaly_cli.stores import Place, place_of

if TYPE_CHECKING:
    from vae_anomaly_cli.data import Data
    from vae_anomaly_cli.known_anomalies import KnownAnomalies
    from vae_anomaly_cli.tables import Sampler

HELP = """Fit on the rows, or the images, of DATA and save the model.

\b
[bold]Examples[/bold]
  vae-anomaly fit orders.parquet -o orders.vae --id order_id
  vae-anomaly fit data.csv -o data.vae --column zip=categorical
  vae-anomaly fit good.csv -o data.vae --preset accurate      all are normal
  vae-anomaly fit all.csv -o data.vae --preset robust         some are not
  vae-anomaly fit sales.csv -o sales.vae --baseline-by store
  vae-anomaly fit sales.csv -o stores.vae --by store  a model for each store
  vae-anomaly fit good/ -o parts.vae                  images of one size
  vae-anomaly fit good/ -o parts.vae --image-shape 128x128   of any size
  vae-anomaly fit data.csv -o data.vae --contamination 0.02 --random-state 1
  vae-anomaly fit sales.csv -o sales.vae --baseline-by store,product --baseline-time date
  vae-anomaly fit all.csv -o data.vae --reviewed todo.csv     without them
  vae-anomaly fit parts/ -o orders.vae --passes 3
  vae-anomaly fit lake/ -o orders.vae --engine ray
  vae-anomaly fit logos/ -o logos.vae --method image  anomalous as a whole
  vae-anomaly fit good/ -o parts.vae --augment flips --augment shifts

Where DATA has more than --sample-rows rows, one pass draws a uniform sample of them, the same for the same \
--random-state, and each further pass another one. With --engine the workers of a cluster read the parts of DATA, and \
the sample is the same; the training itself is here.

The threshold and p-values come from calibration rows, which the VAEs that score them do not see: a fifth of the rows \
(--calibration split), or a part that each VAE leaves out (cross). Images of which a network gives features are held \
out in turn (cross), up to 1,279 of them. What is promised of new rows holds where these are normal and new rows are \
like them. With --calibration none, or too few rows, nothing is promised.

Images should be normal ones; a few anomalous ones do little harm. They are colour if any is, and have 8 bits unless \
all have more or are black and white. Files that cannot be used are warned of and left out.

With --by COLUMN the file holds a model for each value of that column, fitted to its rows alone, --n-jobs at a time, \
and a pooled one, fitted to a sample of all rows: for groups with fewer than --min-rows rows, groups whose fit failed, \
groups that are new in scoring, and rows without a value. The column itself is not modelled; the file has its values. \
Where some groups failed, the exit code is 0, and warnings and --json say which; it is 1 where none could be fitted. \
One model that compares rows within their groups takes one fit, and learns from all rows: --baseline-by.

The model file holds numbers and a description, no code. Of DATA it holds names of columns; texts that at least 10 \
rows have and of at most 64 characters, and keyed hashes of the others, by which it knows them again; of numbers their \
scale and limits, and up to 2,048 sorted cells per column, to compare new rows with; rows as latent variables and as \
fingerprints, with --preset accurate up to 4,096 rows with all their numbers, and with --baseline-by the median and \
spread of each group. A hash cannot be read, but somebody \
who has the file can try texts that he thinks of. See vae-anomaly info, and --no-raw-values.

After Ctrl-C it holds the best model so far, and the exit code is 130; a file that was there before is not replaced \
then. Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class SaveOptions:
    """What to do with the model."""

    output: Annotated[
        str,
        Option("Where the model goes, like orders.vae.", flags=("--output", "-o"), metavar="FILE", is_path=True),
    ]
    as_json: Json = False
    no_raw_values: Annotated[
        bool,
        Option(
            "Write no text of DATA into the model, only keyed hashes, and no sample of numbers, without which their "
            "drift is not found.",
            only=Kind.TABLES,
        ),
    ] = False
    reviewed: Annotated[
        tuple[str, ...],
        Option(
            "A review that was filled in, see vae-anomaly review: rows of DATA that are equal to an anomaly of it are "
            "left out. Repeat for more.",
            common="A review that was filled in: its anomalies are left out.",
            metavar="FILE",
            panel=FITTING,
            only=Kind.TABLES,
            is_path=True,
        ),
    ] = ()
    passes: Annotated[
        int,
        Option(
            "Go through DATA so often; after the first time the fit continues on another sample.",
            min=1,
            panel=FITTING,
            only=Kind.TABLES,
        ),
    ] = 1

    def __post_init__(self) -> None:
        """Refuse two things in one place."""
        check_one_on_standard_output(self.output, as_json=self.as_json)

    @property
    def path(self) -> Place:
        """Where the model goes.

        Raises
        ------
        InputError
            If it is named like data.
        """
        path = place_of(self.output)
        name = PurePath(path.name)
        if format_of_name(name)[0] is not None or is_image(name):
            named = "an image" if is_image(name) else "a table"
            raise InputError(f"--output {path} is named like {named}; expected a name for a model, like parts.vae.")
        return path


@contextlib.contextmanager
def _sampler(reading: EngineOptions, messages: Messages) -> "Iterator[Sampler]":
    """Who reads the rows of a table."""
    from vae_anomaly_cli.tables import sample_table

    if reading.engine is None:
        yield sample_table
        return
    from vae_anomaly_cli.distributed.engines import open_engine
    from vae_anomaly_cli.distributed.sampling import DistributedSampler

    with open_engine(reading.engine, reading.address, "cpu", messages) as engine:
        yield DistributedSampler(engine)


@command(HELP, (Kind.TABLES, Kind.IMAGES))
def fit(
    given: InputOptions,
    fitting: FitOptions,
    grouping: GroupOptions,
    saving: SaveOptions,
    reading: EngineOptions,
    run: RunOptions,
    messages: Messages,
    kind: Kind,
) -> None:
    """Fit on the rows or images of DATA and save the model."""
    path = saving.path
    if saving.no_raw_values and fitting.preset == ACCURATE:
        raise InputError(
            f"--preset {ACCURATE} compares rows with training rows, whose cells the model then holds, and "
            "--no-raw-values writes none. Leave one of them out."
        )
    if saving.no_raw_values and (fitting.baseline_by or fitting.baseline_time):
        raise InputError(
            "--baseline-by and --baseline-time compare rows with medians of groups, which of small groups are cells of "
            "rows and which the model then holds, and --no-raw-values writes none. Leave one of them out."
        )
    from vae_anomaly.columns import LevelRule
    from vae_anomaly_cli.data import open_data
    from vae_anomaly_cli.flagging import Decision
    from vae_anomaly_cli.known_anomalies import KnownAnomalies
    from vae_anomaly_cli.models import end_if_interrupted, save_model
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.output.targets import choose_model_path
    from vae_anomaly_cli.sources import open_table

    data = open_data(kind, given, messages)
    choose_model_path(saving.output, data.source)
    known = None
    if saving.reviewed:
        known = KnownAnomalies.read(open_table(list(saving.reviewed), None, None, messages.warning))
    if grouping.by is not None and reading.engine is not None:
        raise InputError(
            f"--engine {reading.engine} and --by do not go together: the rows of groups are drawn on this machine. "
            "Leave one of them out."
        )
    if grouping.by is not None:
        _fit_groups(data, fitting, grouping, saving, run, messages, known)
        return
    with _sampler(reading, messages) as sampler:
        model = data.fit(fitting, run.device, messages, n_passes=saving.passes, known=known, sampler=sampler)
    model.left_out.warn(messages)
    model.detector.column_roles_ = data.columns.roles
    model.detector.level_rule_ = LevelRule(raw_values=not saving.no_raw_values)
    save_model(model.detector, path)
    decision = Decision(model.detector.threshold_)
    messages.note(f"{model.report}; {decision.line(data.noun)}; written to {path}")
    summary = model.fit_summary() | {"model": str(path), "decision": decision.describe()}
    measures = data.measure_fit(model, messages)
    if measures is not None:
        summary["label"] = measures.describe()
        messages.answer(measures.line(data.noun))
    if saving.as_json:
        write_summary(summary)
    end_if_interrupted(model.detector, path)


def _fit_groups(
    data: "Data",
    fitting: FitOptions,
    grouping: GroupOptions,
    saving: SaveOptions,
    run: RunOptions,
    messages: Messages,
    known: "KnownAnomalies | None",
) -> None:
    """Fit a model for each group of rows, and save all of them."""
    from vae_anomaly_cli.grouped_model import fit_groups
    from vae_anomaly_cli.models import write_model
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.table_data import TableData

    assert isinstance(data, TableData)
    if saving.no_raw_values:
        raise InputError(
            f"--by {grouping.by}: the file leads rows to their models by the values of this column, which are texts of "
            "DATA, and --no-raw-values writes none. Leave one of them out."
        )
    if saving.passes > 1:
        raise InputError(
            f"--passes {saving.passes} and --by do not go together: groups are fitted once. Leave one out."
        )
    fitted = fit_groups(data.source, data.columns, fitting, grouping, run.device, messages, known)
    write_model(fitted.detector, saving.path)
    messages.note(f"{fitted.report}; written to {saving.path}")
    if saving.as_json:
        write_summary(fitted.summary | {"model": str(saving.path)})
