"""Attributes that are computed once."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or sys.version_info >= (3, 12):
    cached_property = functools.cached_property
else:

    class cached_property(functools.cached_property):  # noqa: N801 - as it is called in functools
        """That of Python 3.12, which has no lock.

        In Python 3.11 all objects of a class share one, held while a value is computed: threads wait for one another,
        and a process that is forked meanwhile waits for ever.
        """

        def __get__(self, instance: object, owner: type | None = None) -> Any:
            """Compute the value, and leave it where the next access finds it."""
            if instance is None:
                return self
            value = self.func(instance)
            instance.__dict__[self.attrname] = value
            return value
