"""A sequential test of whether the scores of a stream still follow one law, across batches, files and days."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray
from vae_anomaly.decisions.false_alarms import checked_share
from vae_anomaly.decisions.sorted_scores import IntArray, SortedScores, checked_scores
from vae_anomaly.display import Described, counted

BINS_PER_UNIT = 4_096
MAX_SCORE = 1e12
BETS = (-1.0, 0.0, 1.0)
JUMP_RATE = 0.01
MAX_WEALTH = 1e100
BLOCK_ROWS = 256


@dataclass(frozen=True, eq=False, repr=False)
class SimpleJumper(Described):
    r"""What a gambler has won against the hypothesis that calibration rows and all rows since follow one law.

    Each row is ranked among all rows before it, calibration rows included; its rank over their number, with ties broken
    at random, is uniform and independent of the ranks before.  The gambler bets on small ranks, on large ones or on
    none, and moves a hundredth of the capital between these bets with every row.  Under the hypothesis the wealth is a
    martingale that starts at 1, so that it ever reaches :math:`1/\alpha` with probability at most :math:`\alpha`,
    however long the stream.

    The capital enters the game little by little, :math:`1 / \log_2(t + 2)` of it after row t, so that a change after a
    long time without one is found too.  Scores are rounded to a grid that does not depend on the data,
    about .02 % apart, so that what is kept is bounded and ranks stay exact.

    Parameters
    ----------
    bins : ndarray of shape (bins,), int64
        Positions on the grid, ascending.
    counts : ndarray of shape (bins,), int64
        How many rows are there.
    capital : tuple of three floats
        On small ranks, on none, and on large ranks.
    seed : int
        Of the random numbers that break ties; they depend on it and on the position in the stream alone.
    n_reference : int
        Calibration rows.
    n_seen : int, default=0
        Rows of the stream so far.
    largest_wealth : float, default=1.0
        The most that the gambler ever had.

    References
    ----------
    Vovk et al., "Retrain or not retrain: conformal test martingales for change-point detection", 2021, algorithm 1;
    Ville's inequality: Shafer and Vovk, "Game-theoretic foundations for probability and finance", 2019, section 2.

    Examples
    --------
    >>> normal, higher = np.random.default_rng(0).normal(size=(2, 1_000))
    >>> jumper = SimpleJumper.of(SortedScores.of(normal), seed=0)
    >>> jumper.updated(higher).alarm(0.01), jumper.updated(higher + 1).alarm(0.01)
    (False, True)
    """

    bins: IntArray
    counts: IntArray
    capital: tuple[float, float, float]
    seed: int
    n_reference: int
    n_seen: int = 0
    largest_wealth: float = 1.0

    @classmethod
    def of(cls, reference: SortedScores, seed: int) -> Self:
        """A stream that begins with calibration rows, before its first row.

        Parameters
        ----------
        reference : SortedScores
            Scores of the calibration rows, nats; the rounding of compressed ones is left out of account.  Of a cross
            calibration, those of one fold, and then the scores of the stream are by the members that did not see it.
        seed : int
            From 0 to 2**63 - 1.
        """
        bins, counts = _counted(_bins_of(reference.values), reference.counts)
        return cls(bins, counts, (0.0, 0.0, 0.0), int(seed), reference.n)

    def _summary(self) -> str:
        return f"{counted(self.n_seen, 'row')} since {self.n_reference:,} of the calibration, wealth {self.wealth:.3g}"

    @property
    def wealth(self) -> float:
        """What the gambler has now, with what is not in the game yet."""
        return sum(self.capital) + _reserve(self.n_seen)

    def alarm(self, alpha: float) -> bool:
        """Whether the wealth ever reached ``1 / alpha``: in a stream of one law it does with probability `alpha`."""
        return self.largest_wealth >= 1 / checked_share(alpha, "alpha")

    def updated(self, scores: npt.ArrayLike) -> Self:
        """The state after more rows of the stream, whether they come one by one or all at once.

        Parameters
        ----------
        scores : array-like of shape (rows,)
            Anomaly scores in the order of the stream, nats.
        """
        new = _bins_of(checked_scores(scores))
        ranks, bins, counts = self._ranks(new)
        small, none, large = self.capital
        largest = self.largest_wealth
        for position, rank in enumerate(ranks.tolist(), start=self.n_seen):
            shared = (JUMP_RATE * (small + none + large) + _reserve(position) - _reserve(position + 1)) / len(BETS)
            bet = rank - 0.5
            small = ((1 - JUMP_RATE) * small + shared) * (1 + BETS[0] * bet)
            none = ((1 - JUMP_RATE) * none + shared) * (1 + BETS[1] * bet)
            large = ((1 - JUMP_RATE) * large + shared) * (1 + BETS[2] * bet)
            total = small + none + large
            largest = max(largest, total + _reserve(position + 1))
            if total > MAX_WEALTH:
                # Money given away leaves a supermartingale, and numbers finite.
                small, none, large = (MAX_WEALTH * part / total for part in (small, none, large))
        return dataclasses.replace(
            self,
            bins=bins,
            counts=counts,
            capital=(small, none, large),
            n_seen=self.n_seen + len(new),
            largest_wealth=largest,
        )

    def sentence(self, alpha: float) -> str:
        """What the stream says so far, and how often a stream of one law says the same.

        Examples
        --------
        >>> jumper = SimpleJumper.of(SortedScores.of(np.arange(50.0)), seed=0).updated([7.0, 30.0, 12.0])
        >>> print(jumper.sentence(0.01))
        The scores of 3 rows so far are like those of the 50 calibration rows: largest wealth 1, alarm at 100.
        """
        wealth = f"largest wealth {self.largest_wealth:.3g}, alarm at {1 / alpha:.3g}"
        rows = f"The scores of {self.n_seen:,} rows so far"
        if not self.alarm(alpha):
            return f"{rows} are like those of the {self.n_reference:,} calibration rows: {wealth}."
        return (
            f"{rows} have changed since the {self.n_reference:,} calibration rows: {wealth}, which a stream that does "
            f"not change reaches with probability {alpha:.3g} at most."
        )

    def _ranks(self, new: IntArray) -> tuple[FloatArray, IntArray, IntArray]:
        """Rank of each row among those before it and itself, over their number; then all rows: bins and counts."""
        bins, counts = self.bins, self.counts
        uniforms = row_uniforms(self.seed, self.n_seen, len(new))
        ranks = np.empty(len(new))
        for start in range(0, len(new), BLOCK_ROWS):
            block = new[start : start + BLOCK_ROWS]
            below = np.concatenate([[0], np.cumsum(counts)])
            left, right = np.searchsorted(bins, block, "left"), np.searchsorted(bins, block, "right")
            above, tied = below[-1] - below[right], below[right] - below[left]
            earlier = np.tri(len(block), k=-1, dtype=bool)
            above = above + ((block[None, :] > block[:, None]) & earlier).sum(axis=1)
            tied = tied + ((block[None, :] == block[:, None]) & earlier).sum(axis=1)
            n_rows = below[-1] + np.arange(1, len(block) + 1)
            ranks[start : start + len(block)] = (above + uniforms[start : start + len(block)] * (1 + tied)) / n_rows
            bins, counts = _counted(
                np.concatenate([bins, block]), np.concatenate([counts, np.ones(len(block), dtype=np.int64)])
            )
        return ranks, bins, counts


def row_uniforms(seed: int, first: int, n_rows: int) -> FloatArray:
    """Uniform random numbers that depend on the seed and the position of a row alone.

    Parameters
    ----------
    seed : int
        From 0 to 2**63 - 1.
    first : int
        Position of the first row.
    n_rows : int
        How many.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        Above 0 and below 1.

    References
    ----------
    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014 (SplitMix64).

    Examples
    --------
    >>> bool((row_uniforms(7, 0, 5)[2:] == row_uniforms(7, 2, 3)).all())
    True
    """
    positions = np.arange(first, first + n_rows, dtype=np.uint64)
    mixed = _mixed(_mixed(np.full(1, seed, dtype=np.uint64)) + positions * np.uint64(0x9E3779B97F4A7C15))
    return (np.asarray(mixed >> np.uint64(12), dtype=np.float64) + 0.5) / 2.0**52


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The output function of SplitMix64."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _reserve(n_rows: int) -> float:
    """Capital that is not in the game after so many rows."""
    return 1 / math.log2(n_rows + 2)


def _bins_of(scores: FloatArray) -> IntArray:
    """Positions on a grid that is even in asinh of nats."""
    bins: IntArray = np.floor(np.arcsinh(np.clip(scores, -MAX_SCORE, MAX_SCORE)) * BINS_PER_UNIT).astype(np.int64)
    return bins


def _counted(bins: IntArray, counts: IntArray) -> tuple[IntArray, IntArray]:
    """Ascending bins, each once, and the sums of their counts."""
    distinct, where = np.unique(bins, return_inverse=True)
    summed = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(summed, where, counts)
    return distinct, summed
