"""The value that a fit returns; scoring, explaining, sampling and saving are functions of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from vae_anomaly.caching import cached_property
from vae_anomaly.columns import Batch, Encoder, ImageEncoder, TableEncoder
from vae_anomaly.decisions import Decisions
from vae_anomaly.display import Described
from vae_anomaly.errors import NotAvailable
from vae_anomaly.fitting.answers import Answers
from vae_anomaly.fitting.fit_report import FitReport
from vae_anomaly.model import VAE, History
from vae_anomaly.scores import Score

EncoderT_co = TypeVar("EncoderT_co", bound=Encoder, covariant=True)


@dataclass(frozen=True)
class CellReference:
    """How the cells of training rows are distributed: makes tail probabilities of different columns comparable.

    Parameters
    ----------
    given_others, alone : Tensor of shape (rows, model columns), float32
        Positions of training cells given the others and given nothing, sorted by column, NaN last; see
        `vae_anomaly.explain.Conditionals`.
    typical : Tensor of shape (model columns + 1,), float64
        Mean contribution of each model column to the anomaly score of a training row, and the mean KL; nats.
    cells : Tensor of shape (folds, rows, columns), float32, optional
        How anomalous the cells of rows are that influenced nothing, by fold and column of the user's, sorted along the
        rows, NaN last; see `vae_anomaly.explain.settled_scores`. None without such rows.
    """

    given_others: Tensor
    alone: Tensor
    typical: Tensor
    cells: Tensor | None = None


@dataclass(frozen=True)
class CalibratingRows:
    """Some of the rows that calibrate, whose cells are what others are compared with.

    Parameters
    ----------
    rows : Batch
    folds : int64 Tensor of shape (rows,)
        The fold that each is in.
    n_folds : int
        1 where no member saw any of them, else as many as members, each of which did not see its fold.
    places : int64 Tensor of shape (rows,)
        Where each is among the reference rows of the model; -1 where it is not.
    """

    rows: Batch
    folds: Tensor
    n_folds: int
    places: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class FittedModel(Described, Generic[EncoderT_co]):
    """Everything that was learned: an estimator holds one, and a model file is one.

    Parameters
    ----------
    encoder : Encoder
        From the data as given to batches, and back.
    vae : VAE
        The weights, with the fitted prior.
    noise : Tensor of shape (members, draws, 1, latents)
        The noise that all rows are scored with.
    score : Score
        What rows are scored by.
    decisions : Decisions
        The calibration, and which scores are anomalous.
    history : History
        The training, check by check.
    report : FitReport
        How the training went.
    reference_rows : Batch or None
        Training rows to compare with; None after loading, because a model file holds no rows.
    reference : CellReference or None
        What explanations compare cells with; None until it is computed from `reference_rows`.
    calibrating_rows : CalibratingRows or None
        Rows that cells are calibrated by; None after loading, of images, and where the fit has no calibration.
    map_scale : (float, float) or None
        Of images: from how many nats per pixel on, and up to how many, maps are coloured.
    answers : Answers or None
        What people found in rows that they reviewed; what was learned of it is ``vae.learned``.
    """

    encoder: EncoderT_co
    vae: VAE
    noise: Tensor
    score: Score
    decisions: Decisions
    history: History
    report: FitReport
    reference_rows: Batch | None
    reference: CellReference | None
    calibrating_rows: CalibratingRows | None
    map_scale: tuple[float, float] | None
    answers: Answers | None = None

    def _summary(self) -> str:
        what = "images" if self.takes_images else f"{len(self.encoder.columns)} columns"
        return f"{what}, {type(self.score).__name__}, {self.report!r}, {self.decisions.threshold!r}"

    @property
    def offset(self) -> float:
        """Rows with a lower score are anomalous; nats."""
        return -self.decisions.threshold.score

    @property
    def takes_images(self) -> bool:
        """Whether rows are images."""
        return self.encoder.takes_images

    @cached_property
    def tells_copies(self) -> bool:
        """Whether the score of a row depends on which rows of the model it is a copy of."""
        return any(name.rpartition(".")[2] == "fingerprints" for name, _ in self.vae.named_buffers())

    @property
    def image_encoder(self) -> ImageEncoder:
        """The encoder of a model of images.

        Raises
        ------
        NotAvailable
            If the model takes rows of a table.
        """
        if not isinstance(self.encoder, ImageEncoder):
            raise NotAvailable("the model takes rows of a table, not images.")
        return self.encoder

    @property
    def table_encoder(self) -> TableEncoder:
        """The encoder of a model of tables.

        Raises
        ------
        NotAvailable
            If the model takes images.
        """
        if not isinstance(self.encoder, TableEncoder):
            raise NotAvailable("the model takes images, whose pixels are not repaired one by one; see explain.")
        return self.encoder
