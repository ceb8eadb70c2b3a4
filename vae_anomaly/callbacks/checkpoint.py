"""The state of a training in a file, from which a fit that was killed goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

from vae_anomaly.callbacks.base import Callback
from vae_anomaly.errors import SpecificationError
from vae_anomaly.files import OutputFile, make_folder
from vae_anomaly.model import TrainingCheck, TrainingState, packed_state
from vae_anomaly.records import logger_of

LOGGER = logger_of(__name__)
EXTENSION = ".training"


class Checkpoint(Callback):
    """Keeps the state of a training in a folder, so that a fit that was killed goes on when it is called again.

    The state is written at checks of the training, of which a training of full length has 20, before callbacks are
    told of the check: weights, those of the optimiser, the best so far and where its random numbers are, in a file that
    is written whole or not at all and cannot execute code.  The next fit of the same rows with the same parameters and
    the same integer `random_state` takes it up at that check, and on the same kind of processor has the bits of a fit
    that was never killed.  The file is removed when the fit is done, and stays where it fails or is interrupted.

    A file is named by what the training begins with, so that fits of other rows or parameters may share the folder:
    they begin anew, and leave it alone.  Where `augment` is given, it is the same function each time.  In a
    data-parallel fit the first process writes and reads.

    Parameters
    ----------
    folder : path-like
        Made where it is not there.
    n_checks : int, default=1
        Written at every so many checks, at least 1.

    Raises
    ------
    SpecificationError
        By `fit`, if `n_checks` is no whole number above 0.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from vae_anomaly import Checkpoint, VAEDetector
    >>> folder = tempfile.mkdtemp()
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = VAEDetector(max_iter=40, early_stopping=False, callbacks=[Checkpoint(folder)]).fit(X)
    >>> list(Path(folder).iterdir())
    []
    """

    def __init__(self, folder: str | os.PathLike[str], n_checks: int = 1) -> None:
        self.folder, self.n_checks = folder, n_checks
        self._n_since: dict[str, int] = {}
        self._names: set[str] = set()
        self._is_interrupted = False

    def __repr__(self) -> str:
        return f"Checkpoint({os.fspath(self.folder)!r})"

    def on_fit_begin(self, detector: Any, X: Any) -> None:
        """Make the folder.

        Raises
        ------
        SpecificationError
            If `n_checks` is no whole number above 0.
        """
        if not isinstance(self.n_checks, Integral) or isinstance(self.n_checks, bool) or self.n_checks < 1:
            raise SpecificationError(
                f"Checkpoint has n_checks={self.n_checks!r}; expected a whole number, 1 or more. With 1 the state is "
                "written at every check."
            )
        make_folder(Path(self.folder))
        self._n_since, self._names, self._is_interrupted = {}, set(), False

    def on_check(self, detector: Any, check: TrainingCheck) -> None:
        """Note whether the training was interrupted."""
        self._is_interrupted = check.history.interrupted

    def on_fit_end(self, detector: Any) -> None:
        """Remove the state of a fit that is done."""
        if self._is_interrupted or bool(getattr(getattr(detector, "history_", None), "interrupted", False)):
            return
        for name in self._names:
            self._path(name).unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        """The state of a training that was left; None where there is none."""
        self._names.add(name)
        with contextlib.suppress(FileNotFoundError):
            content = self._path(name).read_bytes()
            LOGGER.info("training goes on from %s", self._path(name))
            return content
        return None

    def where(self, name: str) -> str:
        """The file of a training, for messages."""
        return str(self._path(name))

    def write(self, name: str, state: Callable[[], TrainingState]) -> None:
        """Keep the state of a training, at every `n_checks`-th check."""
        self._n_since[name] = self._n_since.get(name, 0) + 1
        if self._n_since[name] < self.n_checks:
            return
        self._n_since[name] = 0
        with OutputFile(self._path(name)) as file:
            file.stream.write(packed_state(state()))

    def _path(self, name: str) -> Path:
        return Path(self.folder) / f"{name}{EXTENSION}"
