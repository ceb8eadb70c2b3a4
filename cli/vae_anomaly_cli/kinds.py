"""Misuse: options of tables with images, and of images with tables."""

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import PIPE, find_files, holds_images

INSTEAD = "for images, vae-anomaly score --heatmaps DIR shows where each of them is anomalous"


def refuse_with_images(given: list[str]) -> None:
    """Refuse options that images do not have.

    Raises
    ------
    InputError
        If there are some.
    """
    if given:
        raise InputError(f"{', '.join(given)} cannot go with images: only tables take that. Leave it out.")


def refuse_with_tables(given: dict[str, object], data: list[str]) -> None:
    """Refuse options, with their values, that tables do not have.

    Raises
    ------
    InputError
        If there are some, or if there is no input.
    """
    names = [name for name, value in given.items() if value]
    if not names:
        return
    if PIPE not in data:
        # What does not exist is no table.
        find_files(data)
    raise InputError(f"{', '.join(names)} cannot go with tables: only images take that. Leave it out.")


def refuse_images(data: list[str], command: str) -> None:
    """Refuse images where a command is for tables alone.

    Raises
    ------
    InputError
        If the input holds images.
    """
    if holds_images(data):
        raise InputError(f"vae-anomaly {command} takes tables, and {data[0]} holds images; {INSTEAD}.")
