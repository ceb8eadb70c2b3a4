"""Texts that are known again by keyed hashes, where a model file does not hold them."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vae_anomaly.caching import cached_property

DIGEST_BYTES = 16
KEY_BYTES = 32
SHOWN_DIGITS = 12


class HashedText(str):
    """What stands for a text of which only the hash is known: ``(hashed value 3f2a9c01d4e5)``; no cell of a table."""

    __slots__ = ()


def is_hashed(text: object) -> bool:
    """Whether a text is what stands for one that is not known.

    Examples
    --------
    >>> is_hashed(HashedText("(hashed value 3f2a9c01d4e5)")), is_hashed("(hashed value 3f2a9c01d4e5)")
    (True, False)
    """
    return isinstance(text, HashedText)


@dataclass(frozen=True)
class HashedTexts:
    """Different texts, of which only hashes are known: HMAC-SHA256, cut to 16 bytes.

    Who holds them cannot read a text, and can try whether they have one that he thinks of.

    Parameters
    ----------
    key : bytes
        32 of them.
    digests : bytes
        16 for each text.
    folded : bool, default=False
        Whether texts are hashed in lower case, so that those that differ in case alone are one.

    Examples
    --------
    >>> known = HashedTexts.of(["ann@example.com", "bob@example.com"], bytes(32), folded=True)
    >>> known.positions(["Bob@example.com", "carl@example.com"]).tolist()
    [1, -1]
    >>> known.placeholder(0)
    '(hashed value 0eb072f6a631)'
    """

    key: bytes
    digests: bytes
    folded: bool = False

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES or len(self.digests) % DIGEST_BYTES:
            raise ValueError(
                f"hashed texts have {len(self.digests)} bytes and a key of {len(self.key)}; expected {DIGEST_BYTES} "
                f"each and a key of {KEY_BYTES}"
            )

    @classmethod
    def of(cls, texts: Iterable[str], key: bytes, *, folded: bool = False) -> HashedTexts:
        """The hashes of texts, in their order."""
        return cls(key, b"".join(_digests(texts, key, folded)), folded)

    def __len__(self) -> int:
        return len(self.digests) // DIGEST_BYTES

    def __iter__(self) -> Iterator[bytes]:
        return (self.digests[start : start + DIGEST_BYTES] for start in range(0, len(self.digests), DIGEST_BYTES))

    def __getstate__(self) -> tuple[bytes, bytes, bool]:
        return self.key, self.digests, self.folded

    def __setstate__(self, state: tuple[bytes, bytes, bool]) -> None:
        for name, value in zip(("key", "digests", "folded"), state, strict=True):
            object.__setattr__(self, name, value)

    def positions(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """Where each text is among these; -1 where it is none of them."""
        in_order, order = self._in_order
        if not len(order) or not len(texts):
            return np.full(len(texts), -1, dtype=np.intp)
        wanted = np.frombuffer(b"".join(_digests(texts, self.key, self.folded)), dtype=f"S{DIGEST_BYTES}")
        places = np.searchsorted(in_order, wanted).clip(max=len(order) - 1)
        found: npt.NDArray[np.intp] = np.where(in_order[places] == wanted, order[places], -1)
        return found

    def placeholder(self, position: int) -> HashedText:
        """What stands for one of the texts, for people."""
        digest = self.digests[position * DIGEST_BYTES : (position + 1) * DIGEST_BYTES]
        return HashedText(f"(hashed value {digest.hex()[:SHOWN_DIGITS]})")

    def names_of(self, texts: Sequence[str]) -> list[str]:
        """The texts, those that are among these as their placeholders."""
        different = list(dict.fromkeys(texts))
        places = zip(different, self.positions(different).tolist(), strict=True)
        name_of = {text: self.placeholder(place) if place >= 0 else text for text, place in places}
        return [name_of[text] for text in texts]

    def filled(self, texts: Sequence[str | None]) -> list[str]:
        """Texts in which the placeholders of the first of these stand where there are none."""
        n_lacking = sum(text is None for text in texts)
        if n_lacking > len(self):
            raise ValueError(f"{n_lacking} texts are hashed, and {len(self)} hashes are given")
        places = itertools.count()
        return [self.placeholder(next(places)) if text is None else text for text in texts]

    @cached_property
    def _in_order(self) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.intp]]:
        digests = np.frombuffer(self.digests, dtype=f"S{DIGEST_BYTES}")
        order = np.argsort(digests, kind="stable")
        return digests[order], order


def with_hashed(
    texts: Sequence[str], kept: Sequence[bool], before: HashedTexts | None, key: bytes, *, folded: bool = False
) -> tuple[list[str], HashedTexts | None]:
    """Texts, those that are not kept as placeholders, and the hashes of these in their order.

    Parameters
    ----------
    texts : sequence of str
        Placeholders are those of `before`, in its order.
    kept : sequence of bool
        Which stay; no placeholder does.
    before : HashedTexts or None
        What is known by hashes already; those that have no placeholder among the texts come last.
    key : bytes
        Of the hashes, where there are none yet.
    folded : bool, default=False
        Whether texts are hashed in lower case, where there are none yet.

    Examples
    --------
    >>> with_hashed(["a", "b"], [True, False], None, bytes(32))[0]
    ['a', '(hashed value 6303a85bb6ce)']
    """
    if all(kept):
        return list(texts), before
    known = before or HashedTexts.of((), key, folded=folded)
    hidden = [text for text, stays in zip(texts, kept, strict=True) if not stays]
    old, new = iter(known), _digests((text for text in hidden if not is_hashed(text)), known.key, known.folded)
    digests = [next(old if is_hashed(text) else new) for text in hidden]
    hashed = replace(known, digests=b"".join([*digests, *old]))
    return hashed.filled([text if stays else None for text, stays in zip(texts, kept, strict=True)]), hashed


def _digests(texts: Iterable[str], key: bytes, folded: bool) -> Iterator[bytes]:
    keyed = hmac.new(key, digestmod=hashlib.sha256)
    for text in texts:
        hashed = keyed.copy()
        hashed.update((text.casefold() if folded else text).encode("utf-8", "surrogatepass"))
        yield hashed.digest()[:DIGEST_BYTES]
