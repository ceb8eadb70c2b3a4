"""Names and instances: how a parameter such as ``prior="exemplar"`` finds what it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from vae_anomaly.errors import SpecificationError

Concept = TypeVar("Concept")


def resolve(value: str | Concept, concept: type[Any], table: Mapping[str, Callable[[], Concept]], word: str) -> Concept:
    """The instance itself, or a default instance of what the table has under the name.

    Parameters
    ----------
    value : str or instance of `concept`
        What a user gave.
    concept : type
        The abstract class.
    table : mapping of str to callable
        What makes the default instance of each name, usually its class.
    word : str
        The parameter's name, for the message.

    Raises
    ------
    SpecificationError
        If it is neither.
    """
    if isinstance(value, concept):
        instance: Concept = value
        return instance
    if not isinstance(value, str) or value not in table:
        raise SpecificationError(f"{word} is one of {sorted(table)} or a {concept.__name__}, not {value!r}")
    return table[value]()
