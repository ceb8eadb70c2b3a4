"""`vae-anomaly threshold`: what a threshold promises, and another one without another fit."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from vae_anomaly_cli.command import INPUT, Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.options import NewModelOptions, ReadOptions, RunOptions, check_model_path
from vae_anomaly_cli.sources import check_found, kind_of
from vae_anomaly_cli.stores import Place

if TYPE_CHECKING:
    from vae_anomaly import PatchDetector, VAEDetector
    from vae_anomaly.decisions import ThresholdRule

RULE = "Rule"
CONFIDENCE = 0.95
NO_CALIBRATION = (
    "{model} has no calibration, and so no table. Give it normal rows that it has not seen: vae-anomaly calibrate "
    "normal.csv -m {model} -o {model}"
)

HELP = """Show what the threshold of MODEL promises, or move it; nothing is trained.

\b
[bold]Examples[/bold]
  vae-anomaly threshold orders.vae                    what it promises, and others
  vae-anomaly threshold orders.vae --false-alarm-rate 0.001 -o strict.vae
  vae-anomaly threshold orders.vae --false-alarm-rate 0.01 --confidence 0.95 -o orders.vae
  vae-anomaly threshold orders.vae --alerts 20 --per 5000 -o orders.vae
  vae-anomaly threshold orders.vae --contamination 0.02 -o orders.vae
  vae-anomaly threshold orders.vae --labels known.csv --label fraud --cost 10 -o orders.vae
  vae-anomaly threshold parts.vae --labels test/ --label folder --normal good -o parts.vae
  vae-anomaly threshold orders.vae --score 42.5 -o orders.vae

Without a rule: one sentence on the present threshold, and a table of others for false-alarm rates from 0.01 % to 10 \
%. Each has its score in nats, the alerts among a million normal rows, and a bound on the rate that holds for all \
thresholds of the table at once with the confidence given. Rates that need more calibration rows than the model has \
are left empty; --extrapolate reads them off a tail model, which promises nothing.

With a rule the model with the new threshold goes to --output, which may be MODEL itself.

--false-alarm-rate: at most this share of new normal rows is flagged, on average over fits; about half of all \
models exceed it a little. With --confidence 0.95 this very model keeps to it, with that probability. Where the model \
has too few calibration rows for either, the command says how many it takes.

--labels: the threshold of lowest cost on rows whose anomalies are known, where a false alarm costs 1 and a missed \
anomaly --cost. Rows without a label are left out. Let the model not have seen them.

All of it holds for new rows that are like the calibration rows: see vae-anomaly drift.

Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class ThresholdOptions:
    """Which model, and which rule its threshold is to follow."""

    model: Annotated[str, Option("Model file.", metavar="MODEL", is_argument=True, is_path=True)]
    false_alarm_rate: Annotated[
        float | None,
        Option(
            "Largest share of normal rows to flag, between 0 and 1.",
            common="Largest share of normal rows to flag.",
            metavar="RATE",
            panel=RULE,
        ),
    ] = None
    confidence: Annotated[
        float | None,
        Option(
            "With --false-alarm-rate: how sure it is that this very model keeps to it. Of the table: of its bounds. "
            "Between 0 and 1; default of the table 0.95.",
            metavar="SHARE",
            panel=RULE,
        ),
    ] = None
    alerts: Annotated[
        float | None,
        Option(
            "So many alerts, on average, among --per normal rows.",
            common="So many alerts among --per normal rows.",
            metavar="N",
            panel=RULE,
        ),
    ] = None
    per: Annotated[
        int | None,
        Option(
            "Rows that --alerts is for, those of a day for instance.",
            common="Rows that --alerts is for.",
            metavar="ROWS",
            panel=RULE,
        ),
    ] = None
    contamination: Annotated[
        float | None,
        Option(
            "Share of rows like the calibration rows to flag, up to 0.5.",
            common="Share of rows to flag.",
            metavar="SHARE",
            panel=RULE,
        ),
    ] = None
    score: Annotated[float | None, Option("The threshold itself.", common=True, metavar="NATS", panel=RULE)] = None
    labels: Annotated[
        str | None,
        Option("Table or images with known anomalies.", common=True, metavar="DATA", panel=RULE, is_path=True),
    ] = None
    cost: Annotated[
        float | None,
        Option(
            "With --labels: what a missed anomaly costs, in false alarms. Default 1.",
            common="With --labels: what a missed anomaly costs.",
            metavar="X",
            panel=RULE,
        ),
    ] = None
    label: Annotated[
        str | None,
        Option(
            "Column of --labels with the known anomalies, by default that of the fit; of images: folder. 0/1 and "
            "false/true (1 = anomaly), 1/-1 (-1 = anomaly), or values of which --anomalous or --normal names one.",
            common="Column of --labels with the known anomalies.",
            metavar="COLUMN",
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
            metavar="VALUE",
            panel=INPUT,
        ),
    ] = ()
    extrapolate: Annotated[
        bool, Option("Fill the table below the smallest rate that can be promised, with a tail model.")
    ] = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, and numbers out of their range."""
        check_model_path(self.model)
        rules = self.rules
        if len(rules) > 1:
            raise InputError(f"{' and '.join(rules)} each set the threshold; give one of them.")
        for flag, value, owner in (
            ("--per", self.per, "--alerts"),
            ("--cost", self.cost, "--labels"),
            ("--label", self.label, "--labels"),
            ("--anomalous", self.anomalous, "--labels"),
            ("--normal", self.normal or None, "--labels"),
        ):
            if value is not None and owner not in rules:
                raise InputError(f"{flag} belongs to {owner}, which is not given. Leave it out, or give both.")
        if self.confidence is not None and rules not in ([], ["--false-alarm-rate"]):
            raise InputError(f"--confidence belongs to --false-alarm-rate; leave it out beside {rules[0]}.")
        if self.extrapolate and rules:
            raise InputError(
                f"--extrapolate is for the table; {rules[0]} promises something, or nothing. Leave it out."
            )
        self._check_numbers()

    @property
    def rules(self) -> list[str]:
        """The rules that were given."""
        given = {
            "--false-alarm-rate": self.false_alarm_rate,
            "--alerts": self.alerts,
            "--contamination": self.contamination,
            "--score": self.score,
            "--labels": self.labels,
        }
        return [flag for flag, value in given.items() if value is not None]

    def _check_numbers(self) -> None:
        for flag, share, most in (
            ("--false-alarm-rate", self.false_alarm_rate, 1.0),
            ("--confidence", self.confidence, 1.0),
            ("--contamination", self.contamination, 0.5),
        ):
            # NaN is in no range.
            if share is not None and not (0 < share < 1 and share <= most):
                upper = "below 1" if most == 1 else f"at most {most:g}"
                raise InputError(f"{flag} {share:g}: expected a share above 0 and {upper}, like 0.01.")
        for flag, number in (("--alerts", self.alerts), ("--per", self.per), ("--cost", self.cost)):
            if number is not None and not 0 < number < float("inf"):
                raise InputError(f"{flag} {number:g}: expected a number above 0.")
        if self.score is not None and not abs(self.score) < float("inf"):
            raise InputError(f"--score {self.score:g}: expected a number of nats.")
        if self.alerts is not None:
            if self.per is None:
                raise InputError("--alerts needs --per: the number of rows that so many alerts are for.")
            if self.alerts >= self.per:
                raise InputError(f"--alerts {self.alerts:g} is not fewer than --per {self.per} rows; expected fewer.")


@command(HELP)
def threshold(
    setting: ThresholdOptions, reading: ReadOptions, changed: NewModelOptions, run: RunOptions, messages: Messages
) -> None:
    """Show what the threshold of MODEL promises, or move it."""
    path = _output(setting, changed)
    if path is None:
        _show(setting, changed, run, messages)
        return
    from vae_anomaly_cli.models import calibration_of, decision_errors, open_model, write_model
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.render.thresholds import describe_threshold

    if setting.labels is None:
        with messages.library_warnings():
            detector = open_model(setting.model, run.device)
        if setting.score is None:
            calibration_of(detector, setting.model)
        with decision_errors(setting.model, "calibrate"):
            rule = _rule(setting)
    else:
        detector, rule = _labelled(setting, setting.labels, reading, path, run, messages)
    before = detector.threshold_.score
    more = f"give more normal rows: vae-anomaly calibrate normal.csv -m {setting.model} -o {path}"
    with decision_errors(setting.model, more), messages.library_warnings():
        detector.decisions_ = detector.decisions_.with_rule(rule)
    write_model(detector, path)
    threshold = detector.threshold_
    messages.note(f"threshold moved from {before:,.2f} to {threshold.score:,.2f} nats; written to {path}")
    if changed.as_json:
        write_summary(
            {"model": setting.model, "output": str(path), "before": before, "threshold": describe_threshold(threshold)}
        )
    else:
        messages.note(threshold.sentence())


def _output(setting: ThresholdOptions, changed: NewModelOptions) -> Place | None:
    """Settle where the model goes, before any work; None where nothing is changed."""
    if setting.rules and changed.output is None:
        raise InputError(
            f"{setting.rules[0]} moves the threshold, and --output FILE says where the model goes that has it; "
            f"-o {setting.model} for the same file."
        )
    if changed.output is None:
        return None
    if not setting.rules:
        raise InputError(
            "--output is for a model with another threshold; say which with --false-alarm-rate, --alerts, "
            "--contamination, --score or --labels."
        )
    from vae_anomaly_cli.output.targets import choose_model_path

    return choose_model_path(changed.output)


def _show(setting: ThresholdOptions, changed: NewModelOptions, run: RunOptions, messages: Messages) -> None:
    """Say what the present threshold promises, and what others would."""
    from vae_anomaly.decisions import threshold_table
    from vae_anomaly_cli.models import open_model
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.render.drawings import show_drawings
    from vae_anomaly_cli.render.thresholds import ThresholdTable, describe_threshold

    with messages.library_warnings():
        detector = open_model(setting.model, run.device)
    calibration = detector.decisions_.calibration
    confidence = setting.confidence or CONFIDENCE
    table = None
    if calibration is not None:
        frame = threshold_table(calibration, confidence, setting.extrapolate)
        table = ThresholdTable(frame, calibration.n_rows, confidence)
        if setting.extrapolate and not frame["model_based"].any():
            messages.warning(
                f"--extrapolate: {calibration.n_rows:,} calibration rows are too few for a tail model, or "
                "leave nothing to fill"
            )
    if changed.as_json:
        described = {"model": setting.model, "threshold": describe_threshold(detector.threshold_)}
        write_summary(described | {"table": None if table is None else table.objects()})
        return
    sentence = detector.threshold_.sentence()
    show_drawings([sentence] if table is None else [f"{sentence}\n", table.drawn()])
    if table is None:
        messages.note(NO_CALIBRATION.format(model=setting.model))


def _rule(setting: ThresholdOptions) -> "ThresholdRule":
    """Return the rule that was given, but for that of labels."""
    from vae_anomaly.decisions import AlertBudget, Contamination, FalseAlarmRate, FixedScore

    if setting.false_alarm_rate is not None:
        return FalseAlarmRate(setting.false_alarm_rate, setting.confidence)
    if setting.alerts is not None and setting.per is not None:
        return AlertBudget(setting.alerts, setting.per)
    if setting.contamination is not None:
        return Contamination(setting.contamination)
    assert setting.score is not None
    return FixedScore(setting.score)


def _labelled(
    setting: ThresholdOptions, labels: str, reading: ReadOptions, path: Place, run: RunOptions, messages: Messages
) -> "tuple[VAEDetector | PatchDetector, ThresholdRule]":
    """Score rows whose anomalies are known, and return the model and the rule of lowest cost on them."""
    from vae_anomaly.decisions import LabelledCost
    from vae_anomaly_cli.data import open_data
    from vae_anomaly_cli.models import calibration_of
    from vae_anomaly_cli.output.targets import choose_model_path
    from vae_anomaly_cli.passes import judge

    given = replace(reading.of((labels,)), label=setting.label, anomalous=setting.anomalous, normal=setting.normal)
    check_found(given.data)
    data = open_data(kind_of(given.data), given, messages, model=setting.model, labels="needed")
    choose_model_path(str(path), data.source)
    model = data.load(setting.model, run.device, messages)
    calibration_of(model.detector, setting.model)
    found = judge(data, model, messages)
    is_anomaly = found.is_anomaly
    n_anomalies = int(is_anomaly.sum())
    counts = f"{counted(len(is_anomaly), data.noun)} of {labels} with a label, {n_anomalies:,} of them anomalous"
    if n_anomalies in (0, len(is_anomaly)):
        raise InputError(f"{counts}; expected normal ones and anomalies. Choose another --label, or label more.")
    n_known = found.judged.n_trained_on(model.detector)
    if n_known:
        messages.warning(
            f"{counted(n_known, data.noun)} of {labels} were trained on: their scores are lower than those of others."
        )
    messages.note(f"scored {counts}")
    return model.detector, LabelledCost(found.judged.scores[found.labelled], is_anomaly, setting.cost or 1.0)
