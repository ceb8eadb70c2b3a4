"""Compressed files, recognised by their first bytes: which program wrote them, and how to read what is inside."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from vae_anomaly_cli.errors import InputError

MAGIC_BYTES = 12
ZIP_MAGIC = b"PK\x03\x04"
# What archives hold beside the files that somebody put there.
NOT_DATA = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$|Thumbs\.db$)")
# Office documents are zip archives of their own kind.
OFFICE_MEMBERS = ("[Content_Types].xml", "mimetype")
SHOWN_MEMBERS = 4
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Compression:
    """A way to compress a file.

    Attributes
    ----------
    name : str
        How messages call it.
    extension : str
        Of file names.
    magic : str
        How such files begin: a regular expression of bytes, as Latin-1.
    open : callable
        Opens what is inside; gets the name of the file and its bytes.
    """

    name: str
    extension: str
    magic: str
    open: Callable[[str, BinaryIO], BinaryIO]


def _open_gzip(_name: str, raw: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw))


def _open_bz2(_name: str, raw: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, bz2.open(raw, "rb"))


def _open_xz(_name: str, raw: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, lzma.open(raw, "rb"))


def _open_zstd(_name: str, raw: BinaryIO) -> BinaryIO:
    import pyarrow as pa

    return cast(BinaryIO, pa.input_stream(raw, compression="zstd"))


def _open_zip(name: str, raw: BinaryIO) -> BinaryIO:
    archive = zipfile.ZipFile(raw)
    member = only_member(name, archive)
    if member.flag_bits & 1:
        raise InputError(f"{name} is encrypted; expected a zip archive without a password. Unpack it first.")
    return cast(BinaryIO, archive.open(member))


COMPRESSIONS = (
    Compression("gzip", ".gz", "\x1f\x8b", _open_gzip),
    Compression("bzip2", ".bz2", "BZh[1-9]1AY&SY", _open_bz2),
    Compression("zstd", ".zst", re.escape("\x28\xb5\x2f\xfd"), _open_zstd),
    Compression("xz", ".xz", re.escape("\xfd7zXZ\0"), _open_xz),
    # The second is that of an archive without files.
    Compression("zip", ".zip", f"{ZIP_MAGIC.decode()}|PK\x05\x06", _open_zip),
)
COMPRESSED_EXTENSIONS = tuple(each.extension for each in COMPRESSIONS)


def compression_of(raw: BinaryIO) -> Compression | None:
    """Tell how a file is compressed, from its first bytes; leaves it at its beginning."""
    head = raw.read(MAGIC_BYTES).decode("latin-1")
    raw.seek(0)
    found = next((each for each in COMPRESSIONS if re.match(each.magic, head)), None)
    if found is not None and found.extension == ".zip" and is_office_document(raw):
        return None
    return found


def is_office_document(raw: BinaryIO) -> bool:
    """Whether a zip archive is a workbook or the like; leaves it at its beginning."""
    try:
        with zipfile.ZipFile(raw) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        names = set()
    raw.seek(0)
    return any(member in names for member in OFFICE_MEMBERS)


def only_member(name: str, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file of a zip archive.

    Raises
    ------
    InputError
        If it has none, or several.
    """
    members = [one for one in archive.infolist() if not one.is_dir() and not NOT_DATA.search(one.filename)]
    if len(members) == 1:
        return members[0]
    if not members:
        raise InputError(f"{name} is an empty zip archive; expected one with a table.")
    shown = ", ".join(one.filename for one in members[:SHOWN_MEMBERS])
    more = f" and {len(members) - SHOWN_MEMBERS} more" if len(members) > SHOWN_MEMBERS else ""
    raise InputError(
        f"{name} is a zip archive with {len(members)} files ({shown}{more}); expected one. Unpack it, and name those "
        "that are the table."
    )


def member_name(name: str, raw: BinaryIO) -> str:
    """Return the name of the one file in a zip archive, without its folders."""
    with zipfile.ZipFile(raw) as archive:
        return PurePosixPath(only_member(name, archive).filename).name


class Wrapped(io.RawIOBase):
    """Bytes that are made from those of a file as they are read.

    Parameters
    ----------
    inner : binary file
        Yields them.
    origin : binary file
        The file itself, whose position tells how much has been read.
    """

    def __init__(self, inner: BinaryIO, origin: BinaryIO) -> None:
        super().__init__()
        self.inner, self.origin = inner, origin

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self.inner.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self.inner.close()
        super().close()
