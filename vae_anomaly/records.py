"""What the library logs, for whoever listens: INFO and DEBUG, under the name of the package."""

from __future__ import annotations

import logging

PACKAGE = "vae_anomaly"


def logger_of(module: str) -> logging.Logger:
    """The logger of a module, below that of the package, which by itself shows nothing.

    Parameters
    ----------
    module : str
        Its ``__name__``.
    """
    package = logging.getLogger(PACKAGE)
    if not package.handlers:
        package.addHandler(logging.NullHandler())
    return logging.getLogger(module)
