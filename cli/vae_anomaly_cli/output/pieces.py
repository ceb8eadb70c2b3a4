"""Pieces of large files of results: their names, and whether others with the same rows lie beside them.

Who reads a folder of results reads all of its files: rows that are there whole and in pieces would count twice.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.output import places
from vae_anomaly_cli.output.places import Place

PIECE = re.compile(r"-\d{5,}-of-\d{5,}$")


def name_of_piece(relative: PurePath, number: int, n_pieces: int) -> PurePath:
    """Return the name of a piece of a file, from 1; that of the file where it is whole.

    Examples
    --------
    >>> name_of_piece(PurePath("day=1/a.parquet"), 2, 3).as_posix()
    'day=1/a-00002-of-00003.parquet'
    """
    if n_pieces == 1:
        return relative
    return relative.with_name(f"{relative.stem}-{number:05d}-of-{n_pieces:05d}{relative.suffix}")


def check_no_other_pieces(folder: Place, wholes: Sequence[PurePath], written: Iterable[PurePath], option: str) -> None:
    """Refuse a folder that holds the rows of a file cut in another way.

    Parameters
    ----------
    folder : Path or Address
        The folder of results.
    wholes : sequence of PurePath
        Names of files of results, in the folder, where they are not cut.
    written : iterable of PurePath
        Names that are going to be written.
    option : str
        What names the folder.

    Raises
    ------
    InputError
        If it does.
    CommandError
        If the folder cannot be listed.
    """
    expected = set(written)
    of_rows = set(wholes)
    for below in dict.fromkeys(whole.parent for whole in wholes):
        try:
            names = places.names_in(folder / below)
        except OSError as error:
            raise CommandError(f"{folder / below} cannot be listed: {error.strerror or error}.") from error
        for name in names:
            found = below / name
            whole = found.with_name(PIECE.sub("", found.stem) + found.suffix)
            if found not in expected and whole in of_rows:
                raise InputError(
                    f"{option} {folder}: {found} is there, which holds rows of {whole} from another run, cut in "
                    "another way; whoever reads the folder would count them twice. Name an empty folder, or delete it."
                )
