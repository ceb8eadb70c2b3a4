"""An object of a store as an input: read by ranges, and known again when it is opened once more."""

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from vae_anomaly_cli.errors import InputChanged, InputError
from vae_anomaly_cli.stores import Address, Listed, StoreError, errors_of, open_object, stamp_of

if TYPE_CHECKING:
    import pyarrow as pa

# What is read at once of a stream: little where only the first bytes are wanted, and then more and more.
MIN_BLOCK_BYTES, MAX_BLOCK_BYTES = 1 << 16, 1 << 23


@dataclass(frozen=True)
class StoredObject:
    """An object as it was before it was read.

    Attributes
    ----------
    listed : Listed
        Where it is, its size and time.
    stamps : list of str
        What changes when it is written again, as it was when it was opened first; empty until then.
    """

    listed: Listed
    stamps: list[str] = field(default_factory=list, compare=False)

    @property
    def address(self) -> Address:
        """Where it is."""
        return self.listed.address

    @property
    def size(self) -> int:
        """Bytes."""
        return self.listed.size

    @property
    def digest(self) -> str:
        """What says that two objects of one name are the same."""
        return self.stamps[0] if self.stamps else self.listed.moment

    def open(self) -> "pa.NativeFile":
        """Open it for reading ranges.

        Raises
        ------
        InputError
            If it cannot be read.
        InputChanged
            If it is another one than when it was opened first, or listed.
        """
        try:
            opened = open_object(self.address)
            size, stamp = opened.size(), stamp_of(self.address, opened)
        except FileNotFoundError as error:
            raise self._changed("it is not there any more") from error
        except StoreError as error:
            raise InputError(f"{self.address} cannot be read: {error}.") from error
        if size != self.size:
            raise self._changed(f"it had {self.size:,} bytes and then {size:,}")
        if not self.stamps:
            self.stamps.append(stamp)
        if stamp != self.stamps[0]:
            raise self._changed("another object took its place")
        return opened

    def stream(self) -> BinaryIO:
        """Open it for reading it from its beginning."""
        return cast(BinaryIO, io.BufferedReader(_Blocks(self.address, self.open())))

    def check(self, _name: str) -> None:
        """Refuse to go on with an object that changed since.

        Raises
        ------
        InputChanged
            If it did.
        """
        self.open().close()

    def _changed(self, change: str) -> InputChanged:
        return InputChanged(
            f"{self.address} changed while it was read: {change}. Run again when nobody writes to it, or on a copy."
        )


class _Blocks(io.RawIOBase):
    """An open object, of which each request gets more than the one before.

    Parameters
    ----------
    address : Address
        Where it is.
    opened : NativeFile
        The object.
    """

    def __init__(self, address: Address, opened: "pa.NativeFile") -> None:
        super().__init__()
        self._address, self._opened, self._size = address, opened, opened.size()
        self._position = self._start = 0
        self._block = b""
        self._block_bytes = MIN_BLOCK_BYTES

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        offset = self._position - self._start
        if not 0 <= offset < len(self._block):
            size = min(max(len(buffer), self._block_bytes), max(0, self._size - self._position))
            with errors_of(self._address):
                self._block = self._opened.read_at(size, self._position) if size else b""
            self._start, offset = self._position, 0
            self._block_bytes = min(4 * self._block_bytes, MAX_BLOCK_BYTES)
        part = self._block[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._opened.close()
        super().close()
