"""`vae-anomaly calibrate`: the scores of other normal rows, to decide by."""

from typing import TYPE_CHECKING

from vae_anomaly_cli.command import command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.options import InputOptions, NewModelOptions, RunOptions, SavedModelOptions
from vae_anomaly_cli.sources import Kind

if TYPE_CHECKING:
    from vae_anomaly_cli.data import Data
    from vae_anomaly_cli.models import Model
    from vae_anomaly_cli.passes import Pass, Rows

MAX_NAMED_ROWS = 5

HELP = """Calibrate a model with the rows, or the images, of DATA, which are normal ones that it has not seen.

\b
[bold]Examples[/bold]
  vae-anomaly calibrate normal.csv -m orders.vae -o calibrated.vae
  vae-anomaly calibrate last-week/ -m orders.vae -o orders.vae
  vae-anomaly calibrate known.csv -m orders.vae --label fraud -o orders.vae
  vae-anomaly calibrate good/ -m parts.vae -o parts.vae

Threshold, p-values and false-alarm rates compare new rows with the calibration rows. A fit sets some of its own rows \
aside for that, or holds them out in turn; this command puts the scores of DATA in their place. Nothing is trained. \
Do it where the rows to come differ from those of the fit, where more calibration rows allow rarer false alarms (1 in \
1,000 takes at least 999), or where a model of an earlier version has none.

The threshold keeps its rule, such as --false-alarm-rate 0.001, and moves to the new scores; a score or a threshold of \
labels stays. vae-anomaly threshold changes the rule.

DATA should be like the rows to come, and normal: each anomaly among them hides others. With --label, only rows that \
are labelled normal calibrate. Rows that the model was trained on are refused, because it gives them too low scores. \
DATA may be larger than memory.

Exit codes: see vae-anomaly --help.
"""


@command(HELP, (Kind.TABLES, Kind.IMAGES), required=("output",))
def calibrate(
    given: InputOptions,
    saved: SavedModelOptions,
    changed: NewModelOptions,
    run: RunOptions,
    messages: Messages,
    kind: Kind,
) -> None:
    """Calibrate a model with the rows or images of DATA."""
    from vae_anomaly_cli.data import open_data
    from vae_anomaly_cli.models import decision_errors, write_model
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.output.targets import choose_model_path
    from vae_anomaly_cli.passes import judge
    from vae_anomaly_cli.render.thresholds import describe_threshold

    data = open_data(kind, given, messages, model=saved.model)
    assert changed.output is not None
    path = choose_model_path(changed.output, data.source)
    model = data.load(saved.model, run.device, messages, size=saved.size)
    detector = model.detector
    found = judge(data, model, messages, sampled=True)
    rows = found.labelled
    if found.labels is not None:
        rows = rows[~found.is_anomaly]
        if not len(rows):
            raise InputError(
                f"--label {found.labels.column.name}: no {data.noun} is labelled normal, and normal ones calibrate."
            )
    _refuse_trained(data, model, found, rows)
    if not any(map(len, detector.decisions_.trained)):
        messages.warning(
            f"{saved.model} does not hold which {data.noun}s it was trained on, being of an earlier version: "
            f"whether it has seen those of {data.source.name} cannot be checked."
        )
    before = detector.threshold_.score
    with decision_errors(data.source.name, "give more of them"), messages.library_warnings():
        _replace_calibration(model, found, rows)
    write_model(detector, path)
    threshold = detector.threshold_
    n_left_out = len(found.judged.scores) - found.n_unusable - len(rows)
    left_out = f", {n_left_out:,} not labelled normal left out" if n_left_out else ""
    messages.note(
        f"calibrated {saved.model} with {data.source.name}: {counted(len(rows), data.noun)}{left_out}; threshold moved "
        f"from {before:,.2f} to {threshold.score:,.2f} nats; written to {path}"
    )
    if changed.as_json:
        summary = {"input": data.source.name, "model": saved.model, "output": str(path), "before": before}
        counts = {"n_calibration": len(rows), "n_left_out": n_left_out, "unusable": found.n_unusable}
        write_summary(summary | counts | {"threshold": describe_threshold(threshold)})
    else:
        messages.note(threshold.sentence())


def _replace_calibration(model: "Model", found: "Pass", rows: "Rows") -> None:
    """Put the scores of rows in the place of a model's calibration, and keep the rule of its threshold."""
    from vae_anomaly.detectors import Compared

    detector, judged = model.detector, found.judged
    columns = detector.decisions_.columns
    if found.sample is not None:
        columns = detector.column_samples(found.sample.frame(model, rows))
    every = Compared(judged.scores, judged.comparisons, lambda: judged.fingerprints, judged.groups)
    detector.calibrate_with(every.take(rows), rows, columns)


def _refuse_trained(data: "Data", model: "Model", found: "Pass", rows: "Rows") -> None:
    """Refuse rows that the model was trained on, unless there are no more than chance would have it.

    Raises
    ------
    InputError
        If there are more.
    """
    trained = rows[~model.detector.decisions_.unseen(found.judged.fingerprints[rows])]
    if not len(trained):
        return
    named = ", ".join(f"{row + 1:,}" for row in trained[:MAX_NAMED_ROWS])
    named += ", ..." if len(trained) > MAX_NAMED_ROWS else ""
    raise InputError(
        f"{data.source.name}: the model was trained on {len(trained):,} of {counted(len(rows), data.noun)} "
        f"({data.noun}s {named}, counted from 1), and their scores are too low. Give normal ones that it has not seen."
    )
