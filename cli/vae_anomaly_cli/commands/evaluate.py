"""`vae-anomaly evaluate`: a model and its threshold on rows whose anomalies are known."""

import re
from typing import TYPE_CHECKING, Any

from vae_anomaly_cli.command import command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.options import InputOptions, ReportOptions, RunOptions, SavedModelOptions
from vae_anomaly_cli.sources import Kind

if TYPE_CHECKING:
    from vae_anomaly.decisions import Evaluation, Threshold

HELP = """Measure a model, and its threshold, on rows or images of DATA whose anomalies are known.

\b
[bold]Examples[/bold]
  vae-anomaly evaluate known.csv -m orders.vae               by the --label of the fit
  vae-anomaly evaluate known.csv -m orders.vae --label fraud
  vae-anomaly evaluate known.csv -m orders.vae --label class --anomalous sick
  vae-anomaly evaluate test/ -m parts.vae --label folder --normal good
  vae-anomaly evaluate known.csv -m orders.vae --label fraud --json

Of the scores: AUROC, average precision, and precision among the most anomalous rows, as many as are flagged, 10, 100, \
and as many as there are anomalies. Of the threshold: recall, the share of the anomalies that is flagged; and the \
false-alarm rate, the share of the normal rows that is, beside the rate that the model expects.

Intervals hold at 95 % each: Wilson's for shares; for the AUROC the same with DeLong's variance; for average precision \
the same with the number of anomalies. Rows without a label are left out. Measures on rows that the model was trained \
on are too good, and such rows are warned of.

DATA may be larger than memory; vae-anomaly compare asks whether a simpler detector does as well.

Exit codes: see vae-anomaly --help.
"""


@command(HELP, (Kind.TABLES, Kind.IMAGES))
def evaluate(
    given: InputOptions,
    saved: SavedModelOptions,
    reporting: ReportOptions,
    run: RunOptions,
    messages: Messages,
    kind: Kind,
) -> None:
    """Measure a model on rows or images whose anomalies are known."""
    from vae_anomaly.decisions import Evaluation
    from vae_anomaly_cli.data import open_data
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.passes import judge
    from vae_anomaly_cli.render.drawings import show_drawings
    from vae_anomaly_cli.render.evaluations import drawn_evaluation

    data = open_data(kind, given, messages, model=saved.model, labels="needed")
    model = data.load(saved.model, run.device, messages, size=saved.size)
    found = judge(data, model, messages)
    threshold = model.detector.threshold_
    evaluation = Evaluation.of(found.is_anomaly, found.judged.scores[found.labelled], threshold.score)
    n_trained = found.judged.n_trained_on(model.detector)
    if n_trained:
        messages.warning(
            f"the model was trained on {counted(n_trained, data.noun)} of {data.source.name}: measures on new ones are "
            "lower."
        )
    n_left_out = len(found.judged.scores) - found.n_unusable - evaluation.n_rows
    left_out = f"; {n_left_out:,} without a label left out" if n_left_out else ""
    messages.note(
        f"evaluated {data.source.name} with {saved.model}: {counted(evaluation.n_rows, data.noun)}, "
        f"{evaluation.n_anomalies:,} anomalous; {evaluation.n_flagged:,} above the threshold of "
        f"{threshold.score:,.2f} nats{left_out}"
    )
    verdict = _verdict(evaluation, threshold)
    if reporting.as_json:
        assert found.labels is not None
        about = {"input": data.source.name, "model": saved.model, "label": found.labels.describe()}
        write_summary(about | {"trained_on": n_trained} | _described(evaluation, threshold, verdict))
    else:
        show_drawings([drawn_evaluation(evaluation, threshold), *([f"\n{verdict}"] if verdict else [])])


def _described(evaluation: "Evaluation", threshold: "Threshold", verdict: str) -> dict[str, Any]:
    """Describe for programs what was measured, and what is expected."""
    counts = {"n_rows": evaluation.n_rows, "n_anomalies": evaluation.n_anomalies, "n_flagged": evaluation.n_flagged}
    measures = {re.sub(r"[ -]", "_", each.name.replace(",", "")).lower(): each.describe() for each in evaluation.all}
    expected = {"false_alarm_rate": threshold.expected_rate, "bound": threshold.rate_bound}
    return counts | {
        "threshold": threshold.score,
        "measures": measures,
        "expected": expected | {"confidence": threshold.confidence},
        "verdict": verdict,
    }


def _least(threshold: "Threshold", expected: float) -> float:
    """Return the rate that the model may well have where it has fewer false alarms than expected."""
    from vae_anomaly.decisions import rate_bound

    n = threshold.n_calibration
    rank = min(max(round(expected * (n + 1)), 1), n)
    return min(expected, rate_bound(n, rank, 1 - threshold.confidence))


def _verdict(evaluation: "Evaluation", threshold: "Threshold") -> str:
    """Say whether false alarms are as many as expected."""
    from vae_anomaly_cli.render.drawings import percent

    measured, expected = evaluation.false_alarm_rate, threshold.expected_rate
    if measured is None or expected is None:
        return ""
    if threshold.kind == "training":
        return (
            f"The threshold comes from the training rows, {percent(expected)} of which are above it, and promises "
            "nothing about others: vae-anomaly calibrate takes normal rows that promise something."
        )
    shown = f"{percent(measured.value)} [{percent(measured.lower)}, {percent(measured.upper)}]"
    most = expected if threshold.rate_bound is None else threshold.rate_bound
    if measured.lower > most:
        return (
            f"More false alarms than the model expects: {shown}, expected {percent(expected)} and at most "
            f"{percent(most, upwards=True)}. The normal rows differ from those that calibrated the model, or some are "
            "unlabelled anomalies; vae-anomaly drift says what moved."
        )
    if measured.upper < _least(threshold, expected):
        return (
            f"Fewer false alarms than the model expects: {shown}, expected {percent(expected)}. Anomalies among the "
            "calibration rows do that: vae-anomaly audit lists the rows to look at."
        )
    return f"The false-alarm rate agrees with what the model expects: {shown}, expected {percent(expected)}."
