"""Whether the data of a command are a table or images: decided by names, before anything heavy is loaded."""

from collections.abc import Sequence
from enum import StrEnum

from vae_anomaly_cli.sources import PIPE, find_files, holds_images


class Kind(StrEnum):
    """What the data of a command are."""

    TABLES = "tables"
    IMAGES = "images"


def kind_of(data: Sequence[str]) -> Kind:
    """Tell what arguments name.

    Raises
    ------
    InputError
        If they name tables and images.
    """
    return Kind.IMAGES if holds_images(list(data)) else Kind.TABLES


def check_found(data: Sequence[str]) -> None:
    """Refuse arguments that name nothing.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if PIPE not in data and kind_of(data) is Kind.TABLES:
        find_files(list(data))
