"""Where outputs are: paths of files and addresses of stores alike, written whole or not at all."""

import io
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from vae_anomaly.files import OutputFile, make_folder, remove_stale_parts
from vae_anomaly_cli import stores
from vae_anomaly_cli.stores import Address, Place, is_there, place_of, size_of

__all__ = [
    "Place",
    "delete",
    "delete_folder",
    "is_there",
    "make_folder_of",
    "names_in",
    "open_output",
    "place_of",
    "read",
    "remove_stale",
    "size_of",
    "write",
]
SPOOLED_BYTES = 1 << 26


class OpenOutput(Protocol):
    """A file that is being written, and is there when it is finished.

    Attributes
    ----------
    stream : binary file
        Takes what is written.
    """

    @property
    def stream(self) -> BinaryIO: ...

    def finish(self) -> None:
        """Give the file its name."""

    def discard(self) -> None:
        """Leave nothing of it; without effect on a finished one."""


def read(place: Place) -> bytes:
    """Return what a file holds.

    Raises
    ------
    FileNotFoundError
        If there is none.
    OSError
        If it cannot be read.
    """
    return place.read_bytes() if isinstance(place, Path) else stores.read_object(place)


def write(place: Place, content: bytes) -> None:
    """Write a file, whole or not at all; folders on the way to it are made.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    if isinstance(place, Address):
        stores.write_object(place, io.BytesIO(content))
        return
    make_folder_of(place)
    with OutputFile(place) as file:
        file.stream.write(content)


def make_folder_of(place: Place) -> None:
    """Make the folder that a file goes to; stores need none.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    if isinstance(place, Path):
        make_folder(place.parent)


def names_in(folder: Place) -> list[str]:
    """List the files directly in a folder, in the order of their names; none where there is no folder.

    Raises
    ------
    OSError
        If it cannot be listed.
    """
    if isinstance(folder, Address):
        n_before = len(folder.path.rstrip("/")) + 1 if folder.path.strip("/") else 0
        names = [each.address.path[n_before:] for each in stores.objects_below(folder)]
        return sorted(name for name in names if "/" not in name)
    if not folder.is_dir():
        return []
    return sorted(each.name for each in folder.iterdir() if each.is_file())


def delete(place: Place) -> None:
    """Delete a file; without effect where there is none.

    Raises
    ------
    OSError
        If it cannot be deleted.
    """
    if isinstance(place, Address):
        stores.delete_object(place)
    else:
        place.unlink(missing_ok=True)


def delete_folder(folder: Place) -> None:
    """Delete a folder of files; without effect where there is none.

    Raises
    ------
    OSError
        If it cannot be deleted.
    """
    if isinstance(folder, Address):
        stores.delete_folder(folder)
        return
    for name in names_in(folder):
        delete(folder / name)
    if folder.is_dir():
        folder.rmdir()


def open_output(place: Place, note: Callable[[Path], None] | None = None) -> OpenOutput:
    """Begin a file.

    Parameters
    ----------
    place : Path or Address
        Its name.
    note : callable, optional
        Is told where the unfinished file will be, before it is; nothing is left of one in a store.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    return OutputFile(place, note) if isinstance(place, Path) else Upload(place)


def remove_stale(places: Sequence[Place]) -> None:
    """Remove what killed runs left of some files; of objects nothing is left."""
    remove_stale_parts([place for place in places if isinstance(place, Path)])


class Upload:
    """An object that is kept in a temporary file until it is whole, and then put into its store.

    Parameters
    ----------
    address : Address
        Its name.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        spool = tempfile.SpooledTemporaryFile(SPOOLED_BYTES, prefix="vae-anomaly-")  # noqa: SIM115 - closed below
        self.stream = cast(BinaryIO, spool)

    def finish(self) -> None:
        """Put the object into its store; an interruption waits for an upload that has begun.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self.stream.seek(0)
        # Not in this thread, which Ctrl-C ends: parts of what is not whole would stay in the store, and be paid for.
        with ThreadPoolExecutor(1) as uploading:
            uploading.submit(stores.write_object, self.address, self.stream).result()
        self.stream.close()

    def discard(self) -> None:
        """Leave nothing of it; without effect on a finished one."""
        self.stream.close()
