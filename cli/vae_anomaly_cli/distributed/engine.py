"""Who does the work on parts: this process, or the workers of an engine."""

from collections.abc import Callable, Sequence
from typing import Protocol, Self

from vae_anomaly_cli.distributed.parts import Part

# Gets each part that is done, and what the work returned.
Done = Callable[[Part, bytes], None]


class Work(Protocol):
    """What is done with each part; it can be pickled, for another process to do it."""

    def do(self, phase: str, part: Part) -> bytes:
        """Do it, and return what the command needs of it.

        Parameters
        ----------
        phase : str
            Which of the passes over the input.
        part : Part
            With which part.
        """

    def on_device(self, device: str) -> Self:
        """Return the same work for arithmetic elsewhere."""


class Engine(Protocol):
    """Does the work on parts somewhere."""

    def run(self, work: Work, phase: str, parts: Sequence[Part], done: Done) -> None:
        """Do the work on parts, and tell of each that is done.

        Parameters
        ----------
        work : Work
            What to do.
        phase : str
            Which pass it is.
        parts : sequence of Part
            With which.
        done : callable
            Gets each part, and what the work returned.
        """


class ThisProcess:
    """No engine: one part after the other, here."""

    def run(self, work: Work, phase: str, parts: Sequence[Part], done: Done) -> None:
        """Do the work on parts, and tell of each that is done."""
        for part in parts:
            done(part, work.do(phase, part))
