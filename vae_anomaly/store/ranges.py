"""What values of a manifest may be: checks of JSON that say what was found, where, and what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

Check = Callable[[Any, str], None]
"""Takes a value and its place in the manifest; ValueError where the value may not be there."""

MAX_WHOLE = (1 << 63) - 1


def whole(low: int, high: int = MAX_WHOLE) -> Check:
    """A whole number from `low` to `high`."""

    def check(value: Any, place: str) -> None:
        if type(value) is not int or not low <= value <= high:
            refuse(value, place, f"a whole number from {low:,} to {high:,}")

    return check


def number(low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> Check:
    """A finite number from `low`, or `above` it, to `high`."""

    def check(value: Any, place: str) -> None:
        is_number = type(value) in (int, float) and abs(value) <= MAX_FLOAT
        if not is_number or not low <= value <= high or (above and value == low):
            ends = "" if low == -math.inf else f" {'above' if above else 'from'} {low:g}"
            refuse(value, place, f"a finite number{ends}{'' if high == math.inf else f' up to {high:g}'}")

    return check


MAX_FLOAT = 1.7976931348623157e308


def one_of(*values: Any) -> Check:
    """One of some values, of the same type."""

    def check(value: Any, place: str) -> None:
        if not any(type(value) is type(known) and value == known for known in values):
            refuse(value, place, f"one of {', '.join(map(str, values))}")

    return check


def text(value: Any, place: str) -> None:
    """Text."""
    if not isinstance(value, str):
        refuse(value, place, "text")


def flag(value: Any, place: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        refuse(value, place, "true or false")


def anything(value: Any, place: str) -> None:
    """Any JSON."""


def optional(check: Check) -> Check:
    """Null, or what a check lets through."""

    def checked(value: Any, place: str) -> None:
        if value is not None:
            check(value, place)

    return checked


def either(first: Check, *others: Check) -> Check:
    """What one of some checks lets through."""

    def check(value: Any, place: str) -> None:
        for one in others:
            try:
                one(value, place)
            except ValueError:
                continue
            return
        first(value, place)

    return check


def items(check: Check, fewest: int = 0, most: int | None = None) -> Check:
    """A list whose items a check lets through."""

    def checked(value: Any, place: str) -> None:
        if not isinstance(value, list | tuple) or len(value) < fewest or (most is not None and len(value) > most):
            upto = "" if most is None else f" and at most {most:,}"
            refuse(value, place, f"a list of at least {fewest}{upto} items")
        for position, item in enumerate(value):
            check(item, f"{place}[{position}]")

    return checked


def entries(check: Check) -> Check:
    """An object of any names whose values a check lets through."""

    def checked(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            refuse(value, place, "an object")
        for name, item in value.items():
            check(item, f"{place}.{name}")

    return checked


def record(fields: Mapping[str, Check], may_lack: Collection[str] = (), *, closed: bool = False) -> Check:
    """An object with these names, and others unless it is closed: each value as its check wants it."""

    def checked(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            refuse(value, place, "an object")
        if closed and not value.keys() <= fields.keys():
            raise ValueError(f"{place} has the unknown name {min(value.keys() - fields.keys())!r}")
        for name, check in fields.items():
            if name in value:
                check(value[name], f"{place}.{name}" if place else name)
            elif name not in may_lack:
                raise ValueError(f"{place or 'the manifest'} has no {name!r}")

    return checked


def refuse(value: Any, place: str, expected: str) -> NoReturn:
    """Say what was found where, and what was expected.

    Raises
    ------
    ValueError
        Always.
    """
    found = f"a list of {len(value)} items" if isinstance(value, list | tuple) else _shortened(value)
    raise ValueError(f"{place} is {found}; expected {expected}")


def _shortened(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_WHOLE:
        return "a whole number of more than 18 digits"
    if isinstance(value, dict):
        return "an object"
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:36]}..."
