"""Student-t noise in each wrapper: the likelihoods of numbers that tables are given by default."""

from __future__ import annotations

from vae_anomaly.likelihoods.bounded import Bounded
from vae_anomaly.likelihoods.rounded import Rounded
from vae_anomaly.likelihoods.spiked import Spiked
from vae_anomaly.likelihoods.student_t import StudentT


def RoundedStudentT(floor: float = 0.05) -> Rounded:  # noqa: N802
    """``Rounded(StudentT(floor=floor))``."""
    return Rounded(StudentT(floor=floor))


def BoundedStudentT(floor: float = 0.05) -> Bounded:  # noqa: N802
    """``Bounded(StudentT(floor=floor))``."""
    return Bounded(StudentT(floor=floor))


def SpikedStudentT(floor: float = 0.05) -> Spiked:  # noqa: N802
    """``Spiked(StudentT(floor=floor))``."""
    return Spiked(StudentT(floor=floor))


def SpikedRoundedStudentT(floor: float = 0.05) -> Spiked:  # noqa: N802
    """``Spiked(Rounded(StudentT(floor=floor)))``."""
    return Spiked(Rounded(StudentT(floor=floor)))


def SpikedBoundedStudentT(floor: float = 0.05) -> Spiked:  # noqa: N802
    """``Spiked(Bounded(StudentT(floor=floor)))``."""
    return Spiked(Bounded(StudentT(floor=floor)))
