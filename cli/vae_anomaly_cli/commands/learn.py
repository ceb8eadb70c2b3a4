"""`vae-anomaly learn`: what a person found of the rows of a review, for the scores to come."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from vae_anomaly_cli.command import INPUT, Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.options import NewModelOptions, ReadOptions, RunOptions, check_model_path
from vae_anomaly_cli.sources import check_found, kind_of

if TYPE_CHECKING:
    from vae_anomaly import PatchDetector, VAEDetector
    from vae_anomaly_cli.reviewed_rows import ReviewedRows
    from vae_anomaly_cli.sources import TableSource
    from vae_anomaly_cli.stores import Place

HELP = """Learn from a review that was filled in: which kinds of rows matter more, and which less.

\b
[bold]Examples[/bold]
  vae-anomaly review new.csv -m orders.vae -n 20 -o todo.csv
  vae-anomaly learn orders.vae todo.csv -o orders.vae
  vae-anomaly learn orders.vae todo.csv --calibrate new.csv -o orders.vae
  vae-anomaly learn orders.vae todo.csv todo2.csv -o orders.vae   all so far
  vae-anomaly learn parts.vae todo.csv --images new/ -o parts.vae
  vae-anomaly learn orders.vae --forget -o orders.vae   as it was before

REVIEW is what vae-anomaly review -o has written, with is_anomaly filled in: 1 or 0, true or false, yes or no, empty \
where nobody looked. The more is answered, the more is learned; a few answers change little. Give all reviews so far: \
what the others taught is forgotten.

MODEL is not trained again. What it learns is added to its score, column by column, and is said: how many times a \
column counts. The score without it stays, as likelihood_score.

Threshold and p-values need the learned scores of normal rows that influenced nothing: --calibrate DATA, rows like \
those to judge, which may contain the reviewed ones. Without it p_value is empty, and the threshold stays where it \
was. Rows that the model was trained on are refused.

The model file keeps which rows were answered, by fingerprints, and what they are. A later fit of the same detector \
leaves the anomalies among them out; vae-anomaly fit --reviewed does so for a new one.

Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class LearnOptions:
    """What to learn from."""

    model: Annotated[str, Option("Model file.", metavar="MODEL", is_argument=True, is_path=True)]
    review: Annotated[
        tuple[str, ...],
        Option("Reviews that were filled in, all so far.", metavar="REVIEW", is_argument=True, is_path=True),
    ] = ()
    calibrate: Annotated[
        tuple[str, ...],
        Option(
            "Rows, or images, like those to judge, from which threshold and p-values are found again. Repeat for more "
            "files.",
            common="Rows like those to judge, from which threshold and p-values are found again.",
            metavar="DATA",
            panel=INPUT,
            is_path=True,
        ),
    ] = ()
    images: Annotated[
        tuple[str, ...],
        Option(
            "What was reviewed, where MODEL is of images: they are read again. Repeat for more folders.",
            common=True,
            metavar="FOLDER",
            panel=INPUT,
            is_path=True,
        ),
    ] = ()
    forget: Annotated[bool, Option("Forget all answers, and what was learned from them.", common=True)] = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        check_model_path(self.model)
        if self.forget:
            for flag, given in (("REVIEW", self.review), ("--calibrate", self.calibrate), ("--images", self.images)):
                if given:
                    raise InputError(f"{flag} is to learn from, and --forget forgets; leave one of them out.")
        elif not self.review:
            raise InputError(
                "REVIEW is missing; expected a review that was filled in, as vae-anomaly review -o writes it, or "
                "--forget."
            )


@command(HELP, required=("output",))
def learn(
    learning: LearnOptions, reading: ReadOptions, changed: NewModelOptions, run: RunOptions, messages: Messages
) -> None:
    """Learn from REVIEW, or forget what was learned."""
    from vae_anomaly_cli.models import open_model
    from vae_anomaly_cli.output.targets import choose_model_path

    assert changed.output is not None
    if learning.forget:
        path = choose_model_path(changed.output)
        with messages.library_warnings():
            detector = open_model(learning.model, run.device)
        _forget(learning, detector, path, messages, as_json=changed.as_json)
        return
    _learn(learning, reading, changed, run, messages)


def _learn(
    learning: LearnOptions, reading: ReadOptions, changed: NewModelOptions, run: RunOptions, messages: Messages
) -> None:
    """Read reviews, learn from them, and save the model."""
    from vae_anomaly_cli.models import library_errors, open_model, write_model
    from vae_anomaly_cli.output.targets import choose_model_path
    from vae_anomaly_cli.render.taught import check_learns
    from vae_anomaly_cli.sources import open_table

    assert changed.output is not None
    check_found(learning.review)
    layout = reading.of(learning.review).layout()
    # One by one: the columns of a later review may be others.
    sources = [open_table([review], reading.format, layout, messages.warning) for review in learning.review]
    for source in sources:
        path = choose_model_path(changed.output, source)
    with messages.library_warnings():
        detector = open_model(learning.model, run.device)
    check_learns(detector, learning.model)
    before = detector.threshold_.score
    found = _read(learning, sources, detector, messages)
    calibration = _calibration_rows(learning, detector, messages) if learning.calibrate else None
    if calibration is not None:
        with messages.library_warnings(), library_errors(f"--calibrate {' '.join(learning.calibrate)}"):
            detector.decisions_.check_unseen(detector.compared(calibration).fingerprints)
    with messages.library_warnings(), library_errors(found.name, found.locate):
        detector.learn(found.seen, found.is_anomaly, calibration=calibration)
    write_model(detector, path)
    _report(learning, detector, found, before, path, messages, as_json=changed.as_json)


def _read(
    learning: LearnOptions, sources: "list[TableSource]", detector: "VAEDetector | PatchDetector", messages: Messages
) -> "ReviewedRows":
    """Read the review of rows, or of images, which are elsewhere."""
    from vae_anomaly import VAEDetector
    from vae_anomaly_cli.reviewed_rows import reviewed_images, reviewed_rows

    if detector.encoder_.takes_images:
        if not learning.images:
            raise InputError(
                f"{learning.model} is a model of images, which are read again: give the folder that was reviewed with "
                "--images."
            )
        return reviewed_images(sources, learning.images, detector, learning.model, messages)
    if learning.images:
        raise InputError(
            f"--images: {learning.model} is a model of tables, whose cells are in the review. Leave it out."
        )
    assert isinstance(detector, VAEDetector)
    return reviewed_rows(sources, detector, learning.model, messages)


def _calibration_rows(learning: LearnOptions, detector: "VAEDetector | PatchDetector", messages: Messages) -> Any:
    """Read the rows, or find the images, that calibrate what was learned."""
    from vae_anomaly import VAEDetector
    from vae_anomaly_cli.reviewed_rows import calibration_frame
    from vae_anomaly_cli.sources import Kind, open_images

    check_found(learning.calibrate)
    kind = kind_of(learning.calibrate)
    if (kind is Kind.IMAGES) is not detector.encoder_.takes_images:
        fitted = "images" if detector.encoder_.takes_images else "tables"
        raise InputError(
            f"--calibrate {learning.calibrate[0]} holds {kind}, and {learning.model} is a model of {fitted}."
        )
    if kind is Kind.IMAGES:
        return list(open_images(learning.calibrate).paths)
    assert isinstance(detector, VAEDetector)
    return calibration_frame(learning.calibrate, detector, learning.model, messages)


def _forget(
    learning: LearnOptions, detector: "VAEDetector | PatchDetector", path: "Place", messages: Messages, *, as_json: bool
) -> None:
    """Take back all that was learned, and save the model."""
    from vae_anomaly_cli.models import write_model
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.render.taught import Taught
    from vae_anomaly_cli.render.thresholds import describe_threshold

    taught = Taught.of(detector)
    if not taught.n_rows:
        raise InputError(f"--forget: {learning.model} has learned from no answers. Leave it as it is.")
    with messages.library_warnings():
        detector.forget_answers()
    write_model(detector, path)
    threshold = detector.threshold_
    messages.note(f"forgot {counted(taught.n_rows, 'answer')} of {learning.model}; written to {path}")
    if as_json:
        about = {"model": learning.model, "output": str(path), "n_forgotten": taught.n_rows}
        write_summary(about | {"threshold": describe_threshold(threshold)})
    else:
        messages.note(threshold.sentence())


def _report(
    learning: LearnOptions,
    detector: "VAEDetector | PatchDetector",
    found: "ReviewedRows",
    before: float,
    path: "Place",
    messages: Messages,
    *,
    as_json: bool,
) -> None:
    """Say what was learned from, what changed, and what the threshold promises now."""
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.render.taught import Taught
    from vae_anomaly_cli.render.thresholds import describe_threshold

    taught, threshold = Taught.of(detector), detector.threshold_
    n_anomalies = int(found.is_anomaly.sum())
    left_open = f", {found.n_open:,} not looked at (is_anomaly is empty)" if found.n_open else ""
    n_answers = len(found.is_anomaly)
    messages.note(
        f"{counted(n_answers, 'answer')} of {found.name}, {n_anomalies:,} anomalous{left_open}; threshold "
        f"moved from {before:,.2f} to {threshold.score:,.2f} nats; written to {path}"
    )
    if as_json:
        summary: dict[str, Any] = {
            "model": learning.model,
            "review": list(learning.review),
            "output": str(path),
            "n_answers": n_answers,
            "n_anomalies": n_anomalies,
            "n_open": found.n_open,
            "learned": taught.describe(),
            "before": before,
            "threshold": describe_threshold(threshold),
        }
        write_summary(summary)
        return
    for sentence in taught.sentences:
        messages.note(f"learned: {sentence}")
    messages.note(threshold.sentence())
