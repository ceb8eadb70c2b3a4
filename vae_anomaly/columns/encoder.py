"""What turns user data into batches and back."""

from __future__ import annotations

import abc
from typing import Any, final

import numpy.typing as npt

from vae_anomaly.columns.batch import Batch
from vae_anomaly.columns.cell_units import CellUnits
from vae_anomaly.columns.column import Column
from vae_anomaly.data import FloatArray, ImageFormat
from vae_anomaly.display import Described


class Encoder(Described):
    """From rows as users hold them to rows in the model's order and units."""

    columns: tuple[Column, ...]

    @property
    @abc.abstractmethod
    def modelled(self) -> tuple[Column, ...]:
        """The columns and parts of columns that the model sees, in its order."""

    @property
    @abc.abstractmethod
    def n_varying(self) -> int:
        """Columns before those that were constant in training."""

    @property
    @abc.abstractmethod
    def n_model_columns(self) -> int:
        """Cells of a row in the model's order."""

    @property
    @abc.abstractmethod
    def grid(self) -> tuple[int, int] | None:
        """Height and width where rows are images."""

    @property
    @abc.abstractmethod
    def image_format(self) -> ImageFormat | None:
        """The format in which image files are read; None where rows are no images."""

    @final
    @property
    def takes_images(self) -> bool:
        """Whether rows are images."""
        return self.grid is not None

    @abc.abstractmethod
    def encode(self, data: Any, *, fingerprints: bool = True) -> Batch:
        """Rows in model units, as float32, with their mask.

        Parameters
        ----------
        data : Table or Images
            What the encoder was made for.
        fingerprints : bool, default=True
            Whether those of the batch are needed: they take three times as long as all the rest, and without are those
            of cells in model units.

        Raises
        ------
        DataError
            If a cell cannot be read as its column demands.
        """

    @abc.abstractmethod
    def by_column(self, terms: FloatArray) -> FloatArray:
        """Terms of the model's columns, (..., model columns), added up by the user's columns: (..., columns)."""

    @abc.abstractmethod
    def decode(self, values: FloatArray, units: CellUnits | None = None) -> list[npt.NDArray[Any]] | npt.NDArray[Any]:
        """From model units to the units of the data: columns of a table, or images.

        Parameters
        ----------
        values : ndarray of shape (rows, model columns)
            In the model's order.
        units : CellUnits, optional
            Of the rows, where numbers are compared with those of their group.
        """
