"""Which encoding text is in: UTF-8 unless its bytes say otherwise."""

import codecs
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.compression import Wrapped

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

UTF8, WINDOWS = "utf-8", "cp1252"
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
BLOCK_BYTES = 1 << 20
# Of the letters of a Western European text, those that are not in ASCII, and of the words with such letters, those
# that have no others: far more are another alphabet.
MAX_ACCENTED, MAX_FOREIGN_WORDS = 0.3, 0.2
WORD = re.compile(rb"[A-Za-z\xc0-\xff]{3,}")
FOREIGN_WORD = re.compile(rb"[\xc0-\xff]{3,}")
# Characters beside letters that such texts hold.
SIGNS = frozenset("€£¥§©®°±²³µ·¹º¼½¾¿×÷‚ƒ„…†‡ˆ‰‹‘’“”•–—˜™›¡¢¤¦¨ª«¬¯´¶¸»\xa0\xad")
CONTROL_BYTES = [byte for byte in range(32) if byte not in b"\t\n\r\f\x1a"] + [127]


class Transcoded(Wrapped):
    """Text of another encoding, as UTF-8.

    Parameters
    ----------
    name : str
        How messages call the file.
    inner, origin : binary file
        Its text, and the file itself.
    encoding : str
        Of the text.
    """

    def __init__(self, name: str, inner: BinaryIO, origin: BinaryIO, encoding: str) -> None:
        super().__init__(inner, origin)
        self.name, self.encoding = name, encoding
        self.decoder = codecs.getincrementaldecoder(encoding)()
        self.pending = b""
        self.n_lines = 0
        self.ended = False

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self.pending and not self.ended:
            part = self.inner.read(BLOCK_BYTES)
            self.ended = not part
            try:
                self.pending = self.decoder.decode(part, final=self.ended).encode("utf-8")
            except UnicodeError as error:
                raise self._undecodable(error) from error
            self.n_lines += self.pending.count(b"\n")
        part, self.pending = self.pending[: len(buffer)], self.pending[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def _undecodable(self, error: UnicodeError) -> InputError:
        where = f"after line {self.n_lines + 1}"
        if isinstance(error, UnicodeDecodeError):
            before = error.object[: error.start].decode(self.encoding, errors="replace")
            found = " ".join(f"0x{byte:02x}" for byte in error.object[error.start : error.end][:4])
            where = f"byte {found} on line {self.n_lines + before.count(chr(10)) + 1}"
        return InputError(
            f"{self.name} is not {self.encoding.upper()}: {where}. Copy it again, or name its encoding with --encoding."
        )


def check_encoding(given: str) -> str:
    """Return the usual name of an encoding.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    try:
        # Encodings of bytes, like base64, take no text.
        "".encode(given)
        return codecs.lookup(given).name
    except (LookupError, UnicodeError, ValueError) as error:
        raise InputError(
            f"--encoding {given}: there is no text encoding of that name; expected one like utf-8, cp1252, latin-1 or "
            "utf-16."
        ) from error


def encoding_of_head(head: bytes) -> str | None:
    """Tell an encoding of more than one byte a character from how a text begins; None if it is none of these."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    if len(head) < 8 or b"\0" not in head:
        return None
    # Where every other byte is NUL, and the others never are.
    even, odd = head[: len(head) // 2 * 2 : 2], head[1 : len(head) // 2 * 2 : 2]
    for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) > 0.8 * len(zeros) and b"\0" not in others:
            return encoding
    return None


@dataclass(frozen=True)
class Undecodable:
    """Where text is not UTF-8, and whether it is Western European text of Windows instead.

    Attributes
    ----------
    line : int
        Of the first bad byte, from 1.
    offset : int
        Of it in the file, from 0.
    byte : int
        Its value.
    is_windows : bool
        Whether all of the text can be read as cp1252, and looks like text then.
    example : str
        The first word that this makes of a bad byte.
    """

    line: int
    offset: int
    byte: int
    is_windows: bool
    example: str = ""


def find_undecodable(lines: Iterable[bytes]) -> Undecodable | None:
    """Locate the first byte that is not UTF-8, and look at the bytes of all lines; None if there is no such byte."""
    first: tuple[int, int, int, str] | None = None
    offset = n_valid = 0
    block = bytearray()
    counts = _counts(block)
    n_accented = n_foreign = 0
    for number, line in enumerate(lines, start=1):
        if not line.isascii():
            try:
                n_valid += len(line) - len(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                if first is None:
                    first = (number, offset + error.start, line[error.start], _word(line, error.start))
            accented = [word for word in WORD.findall(line) if not word.isascii()]
            n_accented += len(accented)
            n_foreign += sum(FOREIGN_WORD.fullmatch(word) is not None for word in accented)
        block += line
        if len(block) >= BLOCK_BYTES:
            counts += _counts(block)
            block.clear()
        offset += len(line)
    counts += _counts(block)
    if first is None:
        return None
    # Where other characters are well-formed UTF-8, the file is damaged UTF-8.
    is_windows = n_valid == 0 and n_foreign <= MAX_FOREIGN_WORDS * n_accented and _is_western(counts)
    return Undecodable(*first[:3], is_windows=is_windows, example=first[3])


def _counts(block: bytearray) -> "npt.NDArray[np.int64]":
    """How often each byte occurs."""
    import numpy as np

    return np.bincount(np.frombuffer(bytes(block), np.uint8), minlength=256)


def _word(line: bytes, position: int) -> str:
    text = line.decode(WINDOWS, errors="replace")
    start = max((text.rfind(sign, 0, position) for sign in ',;\t|"'), default=-1) + 1
    found = re.match(r'[^,;\t|"\r\n]{1,40}', text[start:])
    return found[0] if found else text[position : position + 1]


def _is_western(counts: "npt.NDArray[np.int64]") -> bool:
    """Whether bytes, so many of each, are Western European text."""
    if counts[CONTROL_BYTES].any():
        return False
    n_accented = n_others = 0
    for byte in counts.nonzero()[0]:
        if byte < 128:
            continue
        try:
            character = bytes([byte]).decode(WINDOWS)
        except UnicodeDecodeError:
            return False
        if unicodedata.category(character).startswith("L"):
            n_accented += int(counts[byte])
        elif character not in SIGNS:
            n_others += 1
    letters = int(counts[65:91].sum() + counts[97:123].sum())
    return n_others == 0 and n_accented <= MAX_ACCENTED * (letters + n_accented)
