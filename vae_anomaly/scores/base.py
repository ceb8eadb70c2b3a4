"""What a score is: a reduction of the terms of the ELBO to one number per row."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model import VAE, Terms


@dataclass(frozen=True)
class Score(abc.ABC):
    """A number for each row, higher for more normal ones: a frozen description without tensors.

    Parameters
    ----------
    n_draws : int
        Latent draws that it needs, taken from the noise that is stored with the model.
    """

    n_draws: int
    for_images: ClassVar[bool] = False
    """Whether it compares pixels with their neighbours, so that rows have to be images."""
    takes_steps: ClassVar[bool] = False
    """Whether it takes gradient steps for each row."""
    is_density: ClassVar[bool] = False
    """Whether what is added to the log-likelihood of a cell is added to the score, which has its units."""
    fixed_offset: ClassVar[float | None] = None
    """The offset of a score whose meaning sets it; None leaves it to the training scores."""

    def __post_init__(self) -> None:
        if not self.n_draws >= 1:
            raise ValueError(f"n_draws is an integer of at least 1, not {self.n_draws!r}")

    @abc.abstractmethod
    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        """Terms of the members to one value per row, in nats: (rows,)."""


@dataclass(frozen=True)
class MemberScore(Score):
    """A score that a member has alone, too: so a member can judge rows that the others trained on and it did not.

    Parameters
    ----------
    n_draws : int
        Latent draws that it needs, taken from the noise that is stored with the model.
    """

    @abc.abstractmethod
    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        """What the score of every row were if there was one member: (members, rows), nats."""

    def of_all_and_by_member(self, terms: Terms, vae: VAE, batch: Batch) -> tuple[Tensor, Tensor]:
        """What `reduce` and `by_member` give, where they share work in one pass: (rows,) and (members, rows)."""
        return self.reduce(terms, vae, batch), self.by_member(terms, vae, batch)


@dataclass(frozen=True)
class Shares:
    """What each cell of rows adds to a score, and what is left for the row as a whole.

    Parameters
    ----------
    cells : Tensor of shape (rows, columns), float64
        Nats; of a missing cell minus what the score charges for it.
    of_row : Tensor of shape (rows,), float64
        Nats that the score takes off for the combination of the cells: the score is the sum of `cells` less this.
    charged : Tensor of shape (rows,), float64
        How much of the negative score is not measured but expected, because cells are missing; nats.
    """

    cells: Tensor
    of_row: Tensor
    charged: Tensor


@dataclass(frozen=True)
class AdditiveScore(MemberScore):
    """A score that is the sum of what its cells say and of what their combination costs.

    Parameters
    ----------
    n_draws : int
        Latent draws that it needs, taken from the noise that is stored with the model.
    """

    @abc.abstractmethod
    def by_cell(self, terms: Terms, vae: VAE, batch: Batch, member: int | None = None) -> Shares:
        """Every cell's share of the score of its row, or of what the score were if there was this member alone."""


@dataclass(frozen=True)
class RelativeScore(Score):
    """A score that compares a row's statistics with those of training rows that no weight has seen.

    The detector holds such rows out and keeps their statistics as ``vae.reference_statistics``.

    Parameters
    ----------
    n_draws : int
        Latent draws that it needs, taken from the noise that is stored with the model.
    """

    n_statistics: ClassVar[int]
    """How many numbers rows are compared by."""

    @abc.abstractmethod
    def statistics(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        """What rows are compared by: (rows, statistics), float64."""

    @abc.abstractmethod
    def compare(self, statistics: Tensor, reference_statistics: Tensor) -> Tensor:
        """One number per row, higher for more normal ones.

        Parameters
        ----------
        statistics : Tensor of shape (rows, statistics)
        reference_statistics : Tensor of shape (training rows, statistics)
        """

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return self.compare(self.statistics(terms, vae, batch), vae.reference_statistics)
