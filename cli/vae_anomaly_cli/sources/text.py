"""Files of text: whether they can be read as such, and where not."""

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource

ZIP_MAGIC = b"PK\x03\x04"


def check_text(name: str, head: bytes, expected: str) -> None:
    """Refuse bytes that cannot be UTF-8 text, and say what they look like.

    Parameters
    ----------
    name : str
        How messages call the file.
    head : bytes
        How it begins.
    expected : str
        The format that it should have.
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(
            f"{name} is UTF-16 text; expected UTF-8. Save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8."
        )
    if head.startswith(ZIP_MAGIC):
        raise InputError(
            f"{name} is a zip archive or an Excel workbook; expected {expected} text. "
            "Unpack it, or save the sheet as CSV (UTF-8)."
        )
    if b"\0" in head:
        raise InputError(
            f"{name} is not text: byte {head.index(0)} is NUL. Expected a {expected} table "
            "in UTF-8; say what it is with --format if the extension misleads."
        )


def find_undecodable(source: ByteSource) -> str | None:
    """Locate the first byte that is not UTF-8, or return None."""
    offset = 0
    with source.open() as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return (
                    f"{source.name} is not UTF-8: byte 0x{line[error.start]:02x} on line {number} "
                    f"(offset {offset + error.start}). Save it as UTF-8, or convert it from its "
                    "own encoding, for example: iconv -f LATIN1 -t UTF-8."
                )
            offset += len(line)
    return None
