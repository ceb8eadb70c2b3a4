"""`vae-anomaly score` in parts."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.distributed.engines import open_engine
from vae_anomaly_cli.distributed.part_work import PartWork
from vae_anomaly_cli.distributed.parts import PART_ROWS, Part, Shard, parts_of
from vae_anomaly_cli.distributed.run import PartsRun, known_of
from vae_anomaly_cli.distributed.run_folder import RunFolder
from vae_anomaly_cli.flagging import Decision
from vae_anomaly_cli.options import Device, FlagOptions, PartsOptions
from vae_anomaly_cli.output.journal import identity
from vae_anomaly_cli.output.targets import check_parts
from vae_anomaly_cli.pipeline import Layout
from vae_anomaly_cli.table_data import TableData
from vae_anomaly_cli.table_model import TableModel
from vae_anomaly_cli.tally import Tally

if TYPE_CHECKING:
    from vae_anomaly_cli.output.targets import Target

# Most anomalous rows that each part keeps at least, for whoever sums up the parts.
KEPT_TOP = 100


@dataclass(frozen=True)
class PartsScored:
    """What is left when parts are scored.

    Attributes
    ----------
    run : PartsRun
        What was done.
    tally : Tally
        Of the parts that were.
    decision : Decision
        What flagged rows.
    n_explained : int
        Rows whose cells were explained.
    n_missing : int
        Parts of the input that are not done yet.
    """

    run: PartsRun
    tally: Tally
    decision: Decision
    n_explained: int
    n_missing: int

    @property
    def is_undecided(self) -> bool:
        """Whether rows are flagged only when all parts are scored, and so nothing is written yet."""
        return self.run.shard is not None and self.run.decide is not None

    @property
    def line(self) -> str:
        """What was done, where that is a share of the input; empty where it is all of it."""
        run, shard = self.run, self.run.shard
        if shard is None:
            return ""
        numbers = [part.index + 1 for part in run.chosen]
        which = f"part {numbers[0]}" if len(numbers) == 1 else f"parts {numbers[0]:,} to {numbers[-1]:,}"
        said = f"shard {shard}: {which} of {len(run.parts):,}"
        if self.is_undecided:
            said += f", {counted(self.tally.n_rows, 'row')} scored, nothing written yet: all rows decide together"
        if self.n_missing:
            return f"{said}; {counted(self.n_missing, 'part')} of the input left"
        does = "decides, and writes the results" if self.is_undecided else "sums them up"
        return f"{said}; all parts are done: the same command with --resume instead of --shard {does}"


def is_in_parts(options: PartsOptions, target: "Target", *, resume: bool) -> bool:
    """Whether a run is one in parts, or goes on with one.

    Raises
    ------
    InputError
        If it would begin beside one that is not ended.
    """
    if options.is_used:
        return True
    if not target.is_directory or target.path is None or not RunFolder.is_there(target.path):
        return False
    if not resume:
        RunFolder.refuse(target.path)
    return True


def score_parts(
    data: TableData,
    model: TableModel,
    target: "Target",
    layout: Layout,
    flagging: FlagOptions,
    options: PartsOptions,
    device: Device,
    messages: Messages,
    *,
    saved: str,
    resume: bool,
    explain: bool,
    n_top: int,
    decide: Callable[[Tally], Decision] | None,
) -> PartsScored:
    """Score an input in parts, or some of its parts.

    Parameters
    ----------
    data, model, target, layout, flagging, options, device, messages
        As the command has them.
    saved : str
        The file of the model.
    resume : bool
        Whether to go on with what an ended run left.
    explain : bool
        Whether flagged rows get reasons.
    n_top : int
        How many of the most anomalous rows are wanted in the end.
    decide : callable or None
        Says what flags rows, where all of them together do.

    Raises
    ------
    InputError
        If the folder of results holds another run.
    CommandError
        If a part cannot be done.
    """
    assert target.path is not None
    part_rows = options.part_rows or PART_ROWS
    parts = parts_of(data.source, part_rows)
    _check_apart(target, data, parts, saved)
    known = known_of(
        identity(saved, data.source, dataclasses.asdict(flagging)),
        [*layout.schema.names, f"label: {data.columns.label}"],
        part_rows,
    )
    shard = None if options.shard is None else Shard.of(options.shard)
    folder = RunFolder.open(target.path, known, resume=resume or shard is not None)
    work = PartWork(
        model,
        tuple(data.read_columns(model)),
        layout,
        target,
        Decision(model.detector.threshold_),
        folder,
        max(n_top, KEPT_TOP),
        explain,
        data.columns.label,
        tuple(data.sampled_columns(model)),
    )
    with open_engine(options.engine, options.address, str(device), messages) as engine:
        run = PartsRun(work, parts, engine, messages, shard, decide)
        done, tally, n_explained = run.do()
    n_missing = 0 if shard is None else run.n_missing()
    return PartsScored(run, tally, done.decision, n_explained, n_missing)


def _check_apart(target: "Target", data: TableData, parts: "tuple[Part, ...]", saved: str) -> None:
    """Refuse results of parts that would replace one another, or the input."""
    assert target.path is not None
    files = [dataclasses.replace(data.source.files[part.file], relative=part.relative) for part in parts]
    check_parts(target.path, data.source, files, "--output", {"--model": saved})
