"""Levels of text to the numbers that stand for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_anomaly.caching import cached_property
from vae_anomaly.data.hashed_texts import HashedTexts, is_hashed


@dataclass(frozen=True)
class LevelCodes:
    """What a column of text levels knows of its levels: 0, 1, ... in their order, and one more for all others.

    Parameters
    ----------
    levels : tuple of str
        In the order of their codes; `HashedText` where only the hash is known.
    rare : tuple of str
        Levels that have the code of the last one.
    hashed : HashedTexts or None
        Levels that are known by hashes alone: those among `levels` in their order, then those that were pooled.
    folded : bool
        Whether case does not matter.
    trimmed : bool
        Whether levels have no blanks around them; in files of earlier versions they are as they came.

    Examples
    --------
    >>> LevelCodes(("paid", "(rare)"), rare=("open",), folded=True).codes(np.array(["open", None, "new"], dtype=object))
    array([ 1., nan,  2.])
    """

    levels: tuple[str, ...]
    rare: tuple[str, ...] = ()
    hashed: HashedTexts | None = None
    folded: bool = False
    trimmed: bool = True

    def codes(self, texts: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
        """Codes of texts, NaN where there is none."""
        codes = self._codes_as_written(texts)
        if not self.trimmed:
            unseen = codes == len(self.levels)
            stripped = np.array([text.strip() for text in texts[unseen]] + [None], dtype=object)[:-1]
            codes[unseen] = self._codes_as_written(stripped)
        return codes

    def spelling_of(self, text: str | None) -> str | None:
        """The level that a trimmed text is, in the spelling of training; the text itself where it is none."""
        if text is None or text in self._code_of:
            return text
        return self._level_of_folded.get(text.casefold(), text)

    @cached_property
    def _code_of(self) -> dict[str, float]:
        """Codes of text levels; those that were pooled have that of the pool."""
        pool = float(len(self.levels) - 1)
        codes = {str(level): float(code) for code, level in enumerate(self.levels) if not is_hashed(level)}
        return codes | {level: pool for level in self.rare if not is_hashed(level)}

    @cached_property
    def _hashed_codes(self) -> npt.NDArray[np.float64]:
        """Codes of the levels that are known by their hashes, in the order of these."""
        assert self.hashed is not None
        codes = [float(code) for code, level in enumerate(self.levels) if is_hashed(level)]
        pooled = np.full(len(self.hashed) - len(codes), float(len(self.levels) - 1))
        return np.concatenate([codes, pooled])

    @cached_property
    def _level_of_folded(self) -> dict[str, str]:
        """Levels by their spelling in lower case, where case does not matter."""
        return {level.casefold(): level for level in reversed(self._code_of)} if self.folded else {}

    def _codes_as_written(self, texts: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
        known, unseen = self._code_of, float(len(self.levels))
        codes = np.array([np.nan if text is None else known.get(text, unseen) for text in texts], dtype=np.float64)
        if self.hashed is not None:
            rows = np.flatnonzero(codes == unseen)
            place: dict[str, int] = {}
            which = np.array([place.setdefault(text, len(place)) for text in texts[rows].tolist()], dtype=np.intp)
            found = self.hashed.positions(list(place))[which]
            codes[rows[found >= 0]] = self._hashed_codes[found[found >= 0]]
        return codes
