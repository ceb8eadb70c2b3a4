"""Damaged and hostile versions of valid files, as hypothesis draws them."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Edit = tuple[str, int, int, bytes]
EDITS = ("flip", "cut", "remove", "repeat", "swap", "insert", "overwrite")
# What lengths, offsets and counts in binary files are read as.
ORDERS: tuple[tuple[int, Literal["little", "big"]], ...] = ((4, "little"), (8, "little"), (4, "big"))
INTEGERS = [
    value.to_bytes(size, order)
    for size, order in ORDERS
    for value in (0, 1, 255, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1, (1 << 8 * size) - 1)
]
TEXTS = [
    *('"', '""', "'", ",", ";", "\t", "|", "\r\n", "\r", "\n", "\0", "\x1a", "\ufeff", "\u2028", "\\", "#", "%"),
    *(
        "nan",
        "inf",
        "-inf",
        "1e308",
        "-1e309",
        "9" * 400,
        "0x1F",
        "1_000",
        "1,5",
        "1.234,5",
        "--",
        "NULL",
        "NA",
        "=1+1",
    ),
    *("today", "now", "2024", "0001-01-01", "9999-12-31T23:59:59", "10000-01-01", "29.02.2023", "24:00", "1e5-01-01"),
    *(
        "{",
        "}",
        "[",
        "]",
        ":",
        "null",
        "true",
        "\\ud800",
        "\\u0000",
        "[" * 1200,
        '{"a":' * 1200,
        '{"number":1}',
        "é",
        "日本",
    ),
]
PIECES = [*INTEGERS, *(text.encode() for text in TEXTS), b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"\x80" * 3]
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda content: content,
    "UTF-16": lambda content: content.decode("utf-8", "replace").encode("utf-16"),
    "UTF-16 without a mark": lambda content: content.decode("utf-8", "replace").encode("utf-16-le"),
    "Latin-1": lambda content: content.decode("utf-8", "replace").encode("latin-1", "replace"),
    "two marks": lambda content: b"\xef\xbb\xbf" * 2 + content,
    "gzip": lambda content: gzip.compress(content, 1, mtime=0),
    "half a gzip": lambda content: gzip.compress(content, 1, mtime=0)[: len(content) // 8],
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "CR": lambda content: content.replace(b"\n", b"\r"),
}
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 7, 255, 14_000, 10**6, 10**9, 2**31, 2**63, 10**30, -(10**9)),
    *(0.0, -0.0, 0.5, -0.5, 1.5, 1e-320, 1e38, 1e308, -1e308, float("nan"), float("inf")),
    *("", "x", "nan", "é" * 50, "a" * 100_000, "../../etc/passwd", "\ud800", "os.system", "Gaussian", "Categorical"),
    *([], [0], [1, 2, 3], [[]], [None], [1e308] * 3, [10**9, 10**9], {}, {"kind": "x"}, {"": 0}),
]


def edited(content: bytes, edits: Sequence[Edit]) -> bytes:
    """Apply edits one after the other."""
    for kind, place, length, piece in edits:
        at = place % (len(content) + 1)
        chunk = content[at : at + length]
        match kind:
            case "flip" if at < len(content):
                content = content[:at] + bytes([content[at] ^ 1 << length % 8]) + content[at + 1 :]
            case "cut":
                content = content[:at]
            case "remove":
                content = content[:at] + content[at + length :]
            case "repeat":
                content = content[:at] + chunk * 2 + content[at + length :]
            case "swap":
                after = at + length
                content = content[:at] + content[after : after + length] + chunk + content[after + length :]
            case "insert":
                content = content[:at] + piece + content[at:]
            case "overwrite":
                content = content[:at] + piece + content[at + len(piece) :]
    return content


def edits(size: int) -> SearchStrategy[list[Edit]]:
    """Up to four edits of a file of so many bytes; a third of them at its begin or end, where headers stand."""
    place = st.integers(0, size) | st.integers(0, min(size, 400)) | st.integers(max(0, size - 400), size)
    piece = st.sampled_from(PIECES) | st.binary(min_size=1, max_size=12)
    return st.lists(st.tuples(st.sampled_from(EDITS), place, st.integers(1, 64), piece), min_size=1, max_size=4)


def damaged(content: bytes) -> SearchStrategy[bytes]:
    """A valid file after some edits."""
    return edits(len(content)).map(lambda drawn: edited(content, drawn))


def damaged_text(content: bytes) -> SearchStrategy[bytes]:
    """A valid text file after some edits, in some encoding; or, one in eight, bytes that were never a file."""
    changed = st.tuples(damaged(content), st.sampled_from(list(ENCODINGS)) | st.just("as it is"))
    valid = changed.map(lambda drawn: ENCODINGS[drawn[1]](drawn[0]))
    return st.integers(0, 7).flatmap(lambda which: valid if which else st.binary(max_size=300))


def forged_manifest(text: str) -> SearchStrategy[str]:
    """A manifest with one to three of its values replaced, removed, or doubled."""
    manifest = json.loads(text)
    places = list(_places(manifest))
    change = st.tuples(
        st.sampled_from(places), st.sampled_from(["set", "set", "set", "remove", "repeat"]), st.sampled_from(VALUES)
    )
    return st.lists(change, min_size=1, max_size=3).map(lambda drawn: json.dumps(_changed(manifest, drawn)))


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Paths of all values below the top; of long lists, of the first and the last few."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    found = []
    for key, below in items if len(items) <= 12 else [*items[:6], *items[-3:]]:
        found += [(*path, key), *_places(below, (*path, key))]
    return found


def _changed(manifest: Any, changes: Sequence[tuple[tuple[str | int, ...], str, Any]]) -> Any:
    manifest = copy.deepcopy(manifest)
    for path, kind, value in changes:
        try:
            at = manifest
            for key in path[:-1]:
                at = at[key]
            if kind == "set":
                at[path[-1]] = value
            elif kind == "remove":
                del at[path[-1]]
            elif isinstance(at, list):
                at.insert(int(path[-1]), copy.deepcopy(at[int(path[-1])]))
            else:
                at[f"{path[-1]} again"] = at[path[-1]]
        except (LookupError, TypeError, ValueError):
            # An earlier change took it away.
            continue
    return manifest
