"""Names of earlier versions: they work for one version, with a DeprecationWarning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any


class OldNameWarning(DeprecationWarning, FutureWarning):
    """An old name was used; also a FutureWarning, which scikit-learn mutes where it lists an estimator's attributes."""


class RenamedAttribute:
    """An attribute or method under its old name.

    Parameters
    ----------
    new : str
        Name of the attribute that it stands for.

    Examples
    --------
    >>> class Report:
    ...     n_steps = 700
    ...     n_iterations = RenamedAttribute("n_steps")
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     print(Report().n_iterations, caught[0].message)
    700 Report.n_iterations is now called n_steps; the old name goes in the next version.
    """

    def __init__(self, new: str) -> None:
        self.new = new
        self.old = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.old = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        _warn(f"{owner.__name__}.{self.old}", self.new)
        return getattr(instance, self.new)


def with_old_names(load: Callable[[str], Any], renamed: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that knows old names, too.

    Parameters
    ----------
    load : callable
        The module's ``__getattr__``, which knows the new names.
    renamed : mapping of str to str
        New names by old ones.
    """

    def load_name(name: str) -> Any:
        if name not in renamed:
            return load(name)
        _warn(name, renamed[name])
        return load(renamed[name])

    return load_name


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now called {new}; the old name goes in the next version.", OldNameWarning, stacklevel=3)
