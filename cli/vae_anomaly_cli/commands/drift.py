"""`vae-anomaly drift`: whether new rows are still like those that a model was calibrated with."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vae_anomaly_cli.command import Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import DRIFTED, InputError
from vae_anomaly_cli.options import InputOptions, NewModelOptions, RunOptions, SavedModelOptions
from vae_anomaly_cli.sources import Kind

if TYPE_CHECKING:
    from vae_anomaly_cli.models import Features, Model
    from vae_anomaly_cli.passes import Judged, Pass

HELP = """Say whether the rows, or the images, of DATA are still like those that calibrated the model.

\b
[bold]Examples[/bold]
  vae-anomaly drift today.csv -m orders.vae
  vae-anomaly drift today.csv -m orders.vae -o orders.vae    go on with the stream
  vae-anomaly drift today.csv -m orders.vae --alpha 0.001 --fail-on-drift
  vae-anomaly drift new/ -m parts.vae --json

Thresholds and p-values hold for rows that are like the calibration rows. Two tests ask whether they still are, each \
with at most --alpha false alarms.

Of this input: its scores (Kolmogorov and Smirnov's test), and of each column of a table that the model uses what \
it holds, levels that were not there before, and how much is missing, all together by Holm's method. A sample of \
2,048 rows stands for the columns, all rows for the scores.

Of the stream: all rows that were checked since the calibration, in their order. With --output the model keeps the \
state of the stream, and the next input goes on with it, so that slow changes add up; the chance of an alarm stays \
at most --alpha however often one looks. Check each row once, in the order of time: a file that is sorted by what it \
holds looks like a change.

Give rows that the model has not seen: it gives those of its fit lower scores. After a drift that is here to stay, \
vae-anomaly calibrate takes new normal rows; a fit learns them.

With --fail-on-drift the exit code is 3 where there is drift. Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class DriftOptions:
    """When to give an alarm, and how."""

    alpha: Annotated[
        float, Option("Chance of a false alarm of either test, above 0 and below 1.", common=True, metavar="SHARE")
    ] = 0.01
    fail_on_drift: Annotated[bool, Option("End with exit code 3 where there is drift.", common=True)] = False

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        # NaN is in no range.
        if not 0 < self.alpha < 1:
            raise InputError(f"--alpha {self.alpha:g}: expected a share above 0 and below 1, like 0.01.")


class StreamedCheck:
    """Checks rows for drift as they come, batch by batch.

    Parameters
    ----------
    model : Model
        Its stream goes on with the rows.
    alpha : float
        Chance of a false alarm.
    """

    def __init__(self, model: "Model", alpha: float) -> None:
        self.model, self.alpha = model, alpha
        self._report: Any = None
        self._n_batches = 0

    def add(self, features: "Features", judged: "Judged") -> None:
        """Go on with the stream."""
        import numpy as np

        usable = ~np.isnan(judged.scores)
        if not usable.any():
            return
        detector = self.model.detector
        self._n_batches += 1
        if self._report is None:
            # Begins the stream where there is none.
            self._report = detector.check_drift(features.usable, self.alpha)
            return
        stream = detector.decisions_.stream
        assert stream is not None
        stream = stream.updated(judged.comparisons[usable, 0])
        detector.decisions_ = dataclasses.replace(detector.decisions_, stream=stream)

    def report(self, found: "Pass") -> Any:
        """Return what was found in all rows: one batch is all there is, or a sample stands for the columns."""
        import numpy as np

        from vae_anomaly.decisions import holm, scores_moved

        report, detector = self._report, self.model.detector
        assert report is not None
        if self._n_batches == 1:
            return report
        decisions = detector.decisions_
        if found.sample is not None:
            report = detector.check_drift(found.sample.frame(self.model), self.alpha)
            # Rows of the sample are in the stream already.
            detector.decisions_ = decisions
        usable = ~np.isnan(found.judged.scores)
        scores = scores_moved(detector.calibration_, found.judged.comparisons[usable])
        assert decisions.stream is not None
        return dataclasses.replace(
            report,
            scores=scores,
            alerts=detector.alerts_moved(found.judged.scores[usable]),
            adjusted=tuple(holm([scores.p_value, *(shift.p_value for shift in report.columns)]).tolist()),
            stream=decisions.stream,
        )


@command(HELP, (Kind.TABLES, Kind.IMAGES), without=("label", "anomalous", "normal"))
def drift(
    given: InputOptions,
    saved: SavedModelOptions,
    checking: DriftOptions,
    changed: NewModelOptions,
    run: RunOptions,
    messages: Messages,
    kind: Kind,
) -> None:
    """Say whether DATA is still like what calibrated the model."""
    from vae_anomaly_cli.data import open_data
    from vae_anomaly_cli.models import calibration_of, write_model
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.output.targets import choose_model_path
    from vae_anomaly_cli.passes import judge
    from vae_anomaly_cli.render.drawings import show_drawings
    from vae_anomaly_cli.render.drifts import describe_drift, drawn_drift

    data = open_data(kind, given, messages, model=saved.model, labels="unused")
    path = None if changed.output is None else choose_model_path(changed.output, data.source)
    model = data.load(saved.model, run.device, messages, size=saved.size)
    detector = model.detector
    calibration_of(detector, saved.model)
    check = StreamedCheck(model, checking.alpha)
    found = judge(data, model, messages, sampled=True, compared=True, on_batch=check.add)
    report = check.report(found)
    n_trained = found.judged.n_trained_on(detector)
    if n_trained:
        messages.warning(
            f"the model was trained on {counted(n_trained, data.noun)} of {data.source.name}, and gives them lower "
            f"scores than it gives others: that alone looks like drift."
        )
    done = f"checked {data.source.name} with {saved.model}: {counted(report.n_rows, data.noun)}"
    if path is not None:
        write_model(detector, path)
        done += f", {report.stream.n_seen:,} in the stream so far; written to {path}"
    messages.note(done)
    if changed.as_json:
        about = {"input": data.source.name, "model": saved.model, "output": changed.output, "trained_on": n_trained}
        write_summary(about | describe_drift(report))
    else:
        show_drawings(drawn_drift(report))
    if report.drifted and checking.fail_on_drift:
        raise typer.Exit(DRIFTED)
