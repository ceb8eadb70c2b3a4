"""Which rows are flagged: above a threshold or chosen from all of them, and what may be wrong with that."""

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vae_anomaly.batches import Numbers, RowScores
from vae_anomaly_cli.console import counted

if TYPE_CHECKING:
    from vae_anomaly.decisions import Calibration, FamilyCounts, Selection, Threshold

# A share of anomalies that a file may well hold: it is no reason to warn.
USUAL_SHARE = 0.05
# More flags than so many times those expected, and than chance has them once in a million files.
MANY_TIMES, MIN_CHANCE = 3.0, 1e-6
# p-values whose distribution is further off than chance has it once in ten thousand files.
KS_LEVEL, N_EDGES = 1e-4, 1000
DRIFT = "See vae-anomaly drift"


@dataclass(frozen=True)
class Decision:
    """Which rows are flagged.

    Attributes
    ----------
    threshold : Threshold
        Rows above it are, unless there is a selection.
    selection : Selection or None
        Of all rows together.
    selected_above : float or None
        The score above which rows are selected, nats; None where their scores do not tell.
    """

    threshold: "Threshold"
    selection: "Selection | None" = None
    selected_above: float | None = None

    @property
    def score(self) -> float | None:
        """The score above which rows are flagged, nats, where that is one."""
        score = self.threshold.score if self.selection is None else self.selected_above
        return None if score is None or math.isinf(score) else score

    def flags(self, judged: RowScores) -> npt.NDArray[np.bool_]:
        """Which rows are flagged; none that has no score."""
        if self.selection is None:
            return judged.scores > self.threshold.score
        return judged.p_values <= self.selection.cutoff

    @property
    def sentence(self) -> str:
        """What may be expected, and under what condition."""
        return self.threshold.sentence() if self.selection is None else self.selection.sentence()

    def line(self, noun: str) -> str:
        """Say in a few words what flags rows, and how many normal ones."""
        threshold, selection = self.threshold, self.selection
        if selection is not None:
            return f"p-values up to {selection.cutoff:.3g} ({counted(selection.n_calibration, f'calibration {noun}')})"
        said = f"threshold {threshold.score:,.2f} nats"
        if threshold.expected_rate is None or threshold.kind in (None, "training"):
            return said
        bound = "" if threshold.rate_bound is None else f", with {_percent(threshold.confidence)} confidence at most "
        bound += "" if threshold.rate_bound is None else _percent(threshold.rate_bound, upwards=True)
        return (
            f"{said} ({_percent(threshold.expected_rate)} of normal {noun}s expected{bound}; "
            f"{counted(threshold.n_calibration, f'calibration {noun}')}, p-values from {threshold.smallest_p:.2g})"
        )

    def describe(self) -> dict[str, Any]:
        """Say for programs what flags rows and what is expected."""
        if self.selection is None:
            fields = dataclasses.asdict(dataclasses.replace(self.threshold, parameters={}))
            found = fields | {"parameters": dict(self.threshold.parameters)}
        else:
            found = {
                "rule": "fdr",
                **dataclasses.asdict(self.selection),
                "expected_false_share": self.selection.expected_false_share,
            }
        return {name: _plain(value) for name, value in found.items()} | {"sentence": self.sentence}


def select_from(calibration: "Calibration", family: "FamilyCounts", fdr: float) -> "tuple[Selection, float | None]":
    """Choose rows of a whole input.

    Parameters
    ----------
    calibration : Calibration
        Of the model.
    family : FamilyCounts
        The p-values of all rows.
    fdr : float
        The share of false alarms among the chosen rows, expected at most.

    Returns
    -------
    Selection
        How many there are, and what is known of them.
    float or None
        The score above which rows are chosen, nats; None where their scores do not tell.
    """
    selection = family.select(calibration, fdr)
    if calibration.kind == "cross" or calibration.groups:
        return selection, None
    rank = round(selection.cutoff * (calibration.n_rows + 1))
    if rank == 0:
        return selection, math.inf
    return selection, -math.inf if rank > calibration.n_rows else calibration.pooled.kth_largest(rank)


@dataclass(frozen=True)
class Unlike:
    """Rows that are not like those of the calibration.

    Attributes
    ----------
    fact : str
        What shows it.
    guess : str
        What that may mean, where nothing more is known.
    """

    fact: str
    guess: str

    def __str__(self) -> str:
        return f"{self.fact}: {self.guess}. {DRIFT}."


def unlike_calibration(
    decision: Decision, calibration: "Calibration | None", family: "FamilyCounts", n_flagged: int, noun: str
) -> Unlike | None:
    """Say so where rows are not like those of the calibration; None if nothing is known, or nothing strange.

    Parameters
    ----------
    decision : Decision
        What flagged them.
    calibration : Calibration or None
        Of the model.
    family : FamilyCounts
        The p-values of all rows.
    n_flagged : int
        How many of them are flagged.
    noun : str
        What a row is.
    """
    n_rows = family.n_rows
    if calibration is None or calibration.kind == "training" or not n_rows:
        return None
    expected = decision.threshold.expected_rate
    if decision.selection is None and expected is not None and _too_many(n_flagged, n_rows, expected, calibration):
        return Unlike(
            f"{n_flagged:,} of {counted(n_rows, noun)} flagged; {_percent(expected)} of normal ones expected",
            f"many anomalies, or {noun}s that are not like the {calibration.n_rows:,} of the calibration",
        )
    distance, edge = _largest_distance(calibration, family)
    chance = math.sqrt(math.log(2 / KS_LEVEL) / 2 * (1 / n_rows + 1 / calibration.n_rows))
    if abs(distance) <= chance + USUAL_SHARE:
        return None
    found = _percent(family.n_up_to(edge) / n_rows)
    why = "many anomalies, or drift"
    if distance <= 0:
        why = "as rows are that the model was fitted on, or with more cells missing"
    if distance <= 0 and calibration.groups:
        why += f", or have a '{calibration.group_column}' that the calibration has not, and so a p-value of 1"
    expected_there = _percent(float(_expected(calibration, np.array([edge]))[0]))
    return Unlike(
        f"the {noun}s are {'more' if distance > 0 else 'less'} anomalous than those of the calibration ({found} of "
        f"{counted(n_rows, noun)} have p-values up to {edge:.3g}, {expected_there} expected)",
        why,
    )


def _too_many(n_flagged: int, n_rows: int, expected: float, calibration: "Calibration") -> bool:
    """Whether far more rows are flagged than expected, chance in the calibration and in the rows both considered."""
    from vae_anomaly.decisions import rate_bound

    share = n_flagged / n_rows
    if share <= max(MANY_TIMES * expected, expected + USUAL_SHARE):
        return False
    n = calibration.n_rows
    rank = min(max(round(expected * (n + 1)), 1), n)
    bound = rate_bound(n, rank, 1 - MIN_CHANCE / 2)
    if share <= bound:
        return False
    # Chernoff's bound on the chance of so many.
    nats = share * math.log(share / bound)
    if share < 1:
        nats += (1 - share) * math.log((1 - share) / (1 - bound))
    return math.exp(-n_rows * nats) < MIN_CHANCE / 2


def _largest_distance(calibration: "Calibration", family: "FamilyCounts") -> tuple[float, float]:
    """Of the distribution of p-values from that of the calibration rows themselves, with its sign, and where it is."""
    edges = np.arange(1, N_EDGES) / N_EDGES
    found = np.array([family.n_up_to(edge) for edge in edges]) / family.n_rows
    distances = found - _expected(calibration, edges)
    largest = int(np.argmax(np.abs(distances)))
    return float(distances[largest]), float(edges[largest])


def _expected(calibration: "Calibration", edges: Numbers) -> Numbers:
    """The share of the calibration rows whose p-values are at most these; less than them where scores tie."""
    n_within = np.zeros(len(edges))
    for folds in calibration.groups.values() or (calibration.folds,):
        pooled = folds[0].merged(*folds[1:])
        # From the largest score down, p-values rise.
        p_values = (1 + pooled.n_at_least(pooled.values[::-1])) / (1 + pooled.n)
        n_within += np.append(0, np.cumsum(pooled.counts[::-1]))[np.searchsorted(p_values, edges, "right")]
    return n_within / calibration.n_rows


def _percent(share: float, *, upwards: bool = False) -> str:
    if upwards and share > 0:
        digit = 10.0 ** (math.floor(math.log10(share)) - 2)
        share = math.ceil(share / digit - 1e-9) * digit
    return f"{100 * share:.3g} %"


def _plain(value: Any) -> Any:
    """Return a number as JSON knows it."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
