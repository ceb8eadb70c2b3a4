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
from vae_anomaly_cli.output.pieces import check_no_other_pieces
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
    def line(self) -> str:
        """What a shard did, and what is left."""
        run, tally, shard = self.run, self.tally, self.run.shard
        numbers = [part.index + 1 for part in run.chosen]
        which = f"part {numbers[0]}" if len(numbers) == 1 else f"parts {numbers[0]:,} to {numbers[-1]:,}"
        said = f"shard {shard}: {which} of {len(run.parts):,}, {counted(tally.n_rows, 'row')} read, "
        said += f"{tally.n_scored:,} scored, "
        if run.decide is None:
            said += f"{tally.n_flagged:,} flagged; written to {run.work.target.path}"
        else:
            said += "nothing written yet: all rows decide together"
        if self.n_missing:
            return f"{said}; {counted(self.n_missing, 'part')} of the input left"
        does = "sums them up" if run.decide is None else "decides, and writes the results"
        return f"{said}; all parts are done: the same command with --resume instead of --shard {does}"

    def warn(self, messages: Messages) -> None:
        """Warn of rows without a score, also where these are all of the share."""
        tally = self.tally
        if tally.n_rows and not tally.n_scored:
            messages.warning(tally.unusable.none_of(f"shard {self.run.shard}", tally.n_rows))
        else:
            tally.unusable.warn(messages, tally.n_rows)


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
    if n_top > KEPT_TOP and RunFolder.is_there(target.path):
        messages.warning(
            f"parts that are done keep their {KEPT_TOP} most anomalous rows, and {n_top:,} are wanted: those that keep "
            "fewer are scored again."
        )
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
    try:
        with open_engine(options.engine, options.address, str(device), messages) as engine:
            run = PartsRun(work, parts, engine, messages, shard, decide)
            done, tally, n_explained = run.do()
    except BaseException:
        # What did not begin is in nobody's way.
        if shard is None and not folder.is_begun:
            folder.forget()
        raise
    n_missing = 0 if shard is None else run.n_missing()
    return PartsScored(run, tally, done.decision, n_explained, n_missing)


def _check_apart(target: "Target", data: TableData, parts: "tuple[Part, ...]", saved: str) -> None:
    """Refuse results of parts that would replace one another, or the input."""
    assert target.path is not None
    files = [dataclasses.replace(data.source.files[part.file], relative=part.relative) for part in parts]
    check_parts(target.path, data.source, files, "--output", {"--model": saved})
    if RunFolder.is_there(target.path):
        # Its parts are these, or it is refused; others were not there when it began.
        return
    wholes = [file.relative for file in data.source.files]
    check_no_other_pieces(target.path, wholes, [part.relative for part in parts], "--output")
