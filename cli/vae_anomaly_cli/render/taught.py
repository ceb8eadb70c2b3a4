"""What reviewed rows taught a model, for people and for programs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vae_anomaly_cli.console import counted
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.render.reasons import plain

if TYPE_CHECKING:
    from vae_anomaly import PatchDetector, VAEDetector
    from vae_anomaly.explain import LearnedWeights

MAX_NUMBERS = 100
NOTHING, LITTLE = "nothing", "hardly anything: by the score alone the answers are as expected"


def check_learns(detector: "VAEDetector | PatchDetector", model: str) -> None:
    """Refuse models of patches, which no review teaches.

    Raises
    ------
    InputError
        If it is one.
    """
    from vae_anomaly import VAEDetector

    if not isinstance(detector, VAEDetector):
        raise InputError(
            f"{model} is a model of patches, and reviews teach models of tables and of whole images. Fit one with "
            "vae-anomaly fit --method image, or list the most anomalous images with vae-anomaly score --top."
        )


@dataclass(frozen=True)
class Taught:
    """What a person found, and what a model learned of it.

    Attributes
    ----------
    n_rows, n_anomalies : int
        Rows that were answered, and those of them that are anomalous; 0 before a review.
    learned : LearnedWeights or None
        What was learned.
    """

    n_rows: int
    n_anomalies: int
    learned: "LearnedWeights | None"

    @classmethod
    def of(cls, detector: "VAEDetector | PatchDetector") -> "Taught":
        """Ask a detector."""
        answers = getattr(detector, "answers_", None)
        if answers is None:
            return cls(0, 0, None)
        return cls(answers.n_rows, answers.n_anomalies, detector.learned_)

    @property
    def is_in_use(self) -> bool:
        """Whether scores have it in them."""
        return self.learned is not None and self.learned.in_use

    @property
    def sentences(self) -> list[str]:
        """What changed the most, in words."""
        return [NOTHING] if self.learned is None else self.learned.sentences() or [LITTLE]

    def describe(self) -> dict[str, Any]:
        """Say it for programs: the numbers that count the most, and sentences."""
        numbers = [] if self.learned is None else self.learned.frame().head(MAX_NUMBERS).to_dict("records")
        return {
            "n_rows": self.n_rows,
            "n_anomalies": self.n_anomalies,
            "in_use": self.is_in_use,
            "numbers": [{str(name): plain(cell) for name, cell in number.items()} for number in numbers],
            "sentences": self.sentences,
        }

    def facts(self) -> dict[str, str]:
        """Say it for people."""
        found = f"{counted(self.n_rows, 'row')}, {self.n_anomalies:,} anomalous, known by 64-bit digests"
        off = " (turned off)" if self.learned is not None and not self.learned.in_use else ""
        return {"answers": found, "learned": "; ".join(self.sentences) + off}
