"""JSON that means one thing: keys that are unique, text that is whole, and no more nesting than a table needs."""

from __future__ import annotations

import json
import re
from typing import Any

# What is nested deeper is nobody's table, and ends libraries that call themselves for each level.
MAX_NESTING = 32
# Python converts no longer ones.
MAX_DIGITS = 4000
# Of a pair that stands for one character beyond 16 bits.
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(text: str, source: bytes) -> Any:
    """Read a document or a line of JSON.

    Parameters
    ----------
    text : str
        What stands there.
    source : bytes
        The same, as it is stored.

    Raises
    ------
    ValueError
        If it is no JSON, has a key twice or half of a character, or nests too deeply; with what was found.
    """
    try:
        value = json.loads(text, object_pairs_hook=unique_keys, parse_int=_whole_number)
    except RecursionError:
        raise ValueError(f"it nests deeper than {MAX_NESTING} levels") from None
    _check_nesting(value)
    check_surrogates(source, value)
    return value


def _check_nesting(value: Any) -> None:
    """Refuse what nests too deeply, level by level."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_NESTING + 1):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    raise ValueError(f"it nests deeper than {MAX_NESTING} levels")


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its keys and values, each key once."""
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key occurs twice")
    return row


def check_surrogates(text: bytes, value: object) -> None:
    """Refuse text that ends, or was cut, in the middle of a character.

    Raises
    ------
    ValueError
        With what was found.
    """
    if SURROGATE.search(text) is None:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(f"{half} is half of a character, the other half is missing") from error
