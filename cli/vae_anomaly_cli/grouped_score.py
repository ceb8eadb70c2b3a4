"""Scores of rows by the model of their group: the pipeline of one model, with what many cannot promise refused."""

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, Protocol, cast

from vae_anomaly.batches import JUDGED_BY
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.flagging import Decision
from vae_anomaly_cli.grouped_model import GroupDecision, GroupedModel, load_grouped_model
from vae_anomaly_cli.models import decision_errors
from vae_anomaly_cli.options import FlagOptions, RunOptions
from vae_anomaly_cli.output.partial_file import save_table, write_to_standard_output
from vae_anomaly_cli.output.sinks import NoOutput, open_sink
from vae_anomaly_cli.output.summary import write_summary
from vae_anomaly_cli.pipeline import Layout, OwnColumns, Pipeline
from vae_anomaly_cli.table_data import TableData

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from vae_anomaly_cli.output.targets import Target
    from vae_anomaly_cli.tally import Tally
    from vae_anomaly_cli.top_k import Ranked
    from vae_anomaly_cli.types import InferredType

WHY = "the model has one for each group, whose scores are nats of different densities"


class Plan(Protocol):
    """Where scores go; see `commands.score.Plan`."""

    @property
    def target(self) -> "Target": ...

    @property
    def as_json(self) -> bool: ...

    @property
    def shows_ranking(self) -> bool: ...

    @property
    def is_written(self) -> bool: ...

    @property
    def is_streamed(self) -> bool: ...

    @property
    def n_ranked(self) -> int: ...


def score_groups(
    data: TableData,
    plan: Plan,
    saved: str,
    flagging: FlagOptions,
    run: RunOptions,
    refused: list[str],
    messages: Messages,
) -> None:
    """Score all rows, each by the model of its group.

    Parameters
    ----------
    data : TableData
        The table.
    plan : Plan
        Where scores go.
    saved : str
        The file of the models.
    flagging : FlagOptions
        What flags rows.
    run : RunOptions
        Device.
    refused : list of str
        Options that were given, and that take one model.
    messages : Messages
        Shows progress and warnings.

    Raises
    ------
    InputError
        If options were given that take one model.
    CommandError
        If no row could be scored.
    """
    _refuse(data, saved, flagging, refused)
    model = load_grouped_model(data.source, data.columns, saved, run.device, messages)
    if flagging.false_alarm_rate is not None:
        with decision_errors(saved, "fit with a larger --min-rows"), messages.library_warnings():
            model.groups.set_threshold(false_alarm_rate=flagging.false_alarm_rate, confidence=flagging.confidence)
    kept = data.columns.kept
    needs_types = plan.as_json or (plan.is_written and plan.target.format.typed)
    types = data.infer_types(kept, messages) if needs_types else {}
    own = dataclasses.replace(
        data.own_columns(explain=False, by_file=plan.target.is_directory), judged_by=JUDGED_BY, reasons=None
    )
    layout = Layout(data.source.schema, kept, types if plan.target.format.typed else {}, own)
    with contextlib.ExitStack() as closing:
        sink: Any = NoOutput()
        if plan.is_streamed:
            sink = open_sink(plan.target, data.parts, layout.schema, None, closing)
        closing.callback(sink.discard)
        needed = {*kept, *model.names}
        names = [name for name in data.source.names if name in needed]
        decision = cast(Decision, GroupDecision())
        pipeline = Pipeline(cast(Any, model), names, layout, sink, messages, decision=decision, n_top=plan.n_ranked)
        pipeline.run(separate_writer=plan.target.is_resumable)
        tally = pipeline.tally
        tally.unusable.warn(messages, tally.n_rows)
        if not tally.n_scored:
            raise CommandError(tally.unusable.none_of(data.source.name, tally.n_rows))
        sink.finish()
        ranked = tally.top.ranked(plan.n_ranked)
        flags = decision.flags(ranked.judged) if len(ranked) else ranked.judged.scores > 0
        if plan.is_written and not plan.is_streamed:
            _write(layout.table(ranked, flags, {}), plan.target)
    _tell(data, model, plan, saved, tally, ranked, flags, types, messages)


def _refuse(data: TableData, saved: str, flagging: FlagOptions, refused: list[str]) -> None:
    """Refuse what takes one model, and a name that the output needs."""
    others = [option for option, given in (("--fdr", flagging.fdr), ("--alerts", flagging.alerts)) if given is not None]
    if refused or others:
        raise InputError(
            f"{saved}: {[*refused, *others][0]} is for one model, and {WHY}. Leave it out; for flags, "
            "--false-alarm-rate holds for each group."
        )
    if JUDGED_BY in data.columns.kept:
        raise InputError(
            f"{data.source.name} has a column '{JUDGED_BY}' of its own, and the output gets one: which model judged "
            "the row. Rename it, or name the columns to keep with --id."
        )


def _tell(
    data: TableData,
    model: GroupedModel,
    plan: Plan,
    saved: str,
    tally: "Tally",
    ranked: "Ranked",
    flags: "npt.NDArray[np.bool_]",
    types: "Mapping[str, InferredType]",
    messages: Messages,
) -> None:
    """Say what was done, and show the most anomalous rows, to people or to programs."""
    kept = data.columns.kept
    path = plan.target.path
    said = model.led.warning(model.groups.by_)
    if said is not None:
        messages.warning(said)
    without = tally.n_rows - tally.n_scored
    messages.note(
        f"{model.report}: {counted(tally.n_scored, 'row')}"
        f"{f' scored, {without:,} with a problem' if without else ''}, by {counted(len(model.led.groups), 'model')} of "
        f"{model.groups.n_groups_:,}; {counted(tally.n_flagged, 'row')} flagged, each by the threshold of its model"
        f"{'' if path is None else f'; written to {path}'}"
    )
    shown = Layout(data.source.schema, kept, types if plan.as_json else {}, OwnColumns(judged_by=JUDGED_BY))
    if plan.n_ranked and (plan.as_json or plan.shows_ranking):
        ranking = data.ranking(shown.table(ranked, flags, {}), ranked, None)
        if plan.shows_ranking:
            ranking.show()
            return
        summary = model.summary(tally.n_rows, tally.unusable.count)
        summary |= {
            "model": saved,
            "n_anomalies": tally.n_flagged,
            "problems": tally.unusable.first,
            "output": None if path is None else str(path),
        }
        write_summary(summary | {"ranked": ranking.objects()})


def _write(cells: Any, target: "Target") -> None:
    if target.path is not None:
        save_table(cells, target, target.path, None)
    else:
        write_to_standard_output(cells, target)
