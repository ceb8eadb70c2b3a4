"""The model that is served, and the file that it came from, which may be replaced."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vae_anomaly.errors import VAEAnomalyError
from vae_anomaly.forks import ForkSafeLock
from vae_anomaly.serving.engines import Engine, open_engine
from vae_anomaly.serving.request_rows import ROWS, rows_of_json

LOG = logging.getLogger("vae_anomaly.serving")
THREAD = "vae-anomaly reload"
MAX_TRIES = 5


@dataclass(frozen=True)
class FileState:
    """What tells a file from the one that replaces it."""

    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """The state of a file now."""
        found = path.stat()
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)


class ModelFile:
    """A model that is loaded again when its file is replaced; where that fails, the one before is served on.

    Parameters
    ----------
    path : path-like
    key : bytes or None
        What it has to be signed with.
    device : str
        Where the arithmetic runs.
    on_reload : callable
        Told of an attempt: with the engine, or None where it failed.

    Attributes
    ----------
    engine : Engine
        The one that is served.
    example : dict
        A row of it.
    problem : str
        Why the file is not what is served; empty where it is.
    loaded_at : float
        When it was loaded, in seconds since 1970.
    """

    def __init__(
        self, path: str | os.PathLike[str], key: bytes | None, device: str, on_reload: Callable[[Engine | None], None]
    ) -> None:
        self.path = Path(path)
        self._key, self._device, self.on_reload = key, device, on_reload
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = ForkSafeLock()
        self.problem = ""
        self._seen: FileState | None
        self.engine, self.example, self._seen = self._opened()
        self.loaded_at = time.time()

    def watch(self, seconds: float) -> None:
        """Begin to look at the file from time to time."""
        with self._lock:
            if seconds and self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._watch, args=(seconds,), name=THREAD, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()

    def look(self) -> None:
        """Load the file where it is another one than before."""
        try:
            state = FileState.of(self.path)
        except OSError as error:
            if self._seen is not None:
                self._refuse(f"the model file cannot be read: {error.strerror or type(error).__name__}")
                self._seen = None
            return
        if state == self._seen:
            return
        self._seen = state
        try:
            engine, example, self._seen = self._opened()
        except VAEAnomalyError as error:
            self._refuse(str(error))
        except OSError as error:
            self._refuse(f"the model file cannot be read: {error.strerror or type(error).__name__}")
        except Exception as error:  # noqa: BLE001 - the thread goes on, with the model that it has
            self._refuse(f"the model file cannot be loaded: {type(error).__name__}")
        else:
            self._take(engine, example)

    def _watch(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            self.look()

    def _opened(self) -> tuple[Engine, dict[str, Any], FileState]:
        """Load and try the file, and say which one it was: it may be replaced in between."""
        for _ in range(MAX_TRIES):
            before = FileState.of(self.path)
            engine = open_engine(self.path, key=self._key, device=self._device)
            example = try_out(engine)
            if FileState.of(self.path) == before:
                break
        return engine, example, before

    def _take(self, engine: Engine, example: dict[str, Any]) -> None:
        had_problem, self.problem = bool(self.problem), ""
        if engine.fingerprint == self.engine.fingerprint:
            if had_problem:
                LOG.info("%s is the model that is served again", self.path)
            self.on_reload(self.engine)
            return
        self.engine, self.example, self.loaded_at = engine, example, time.time()
        LOG.info("loaded the replaced %s, fingerprint %s", self.path, engine.fingerprint[:12])
        self.on_reload(engine)

    def _refuse(self, problem: str) -> None:
        self.problem = problem
        LOG.error("the model of before is served on: %s", problem)
        self.on_reload(None)


def try_out(engine: Engine) -> dict[str, Any]:
    """Score a row, so that what cannot is not served, and what is loaded late is there; returns the row."""
    row = engine.example()
    rows = rows_of_json(json.dumps({ROWS: [row]}).encode(), engine.fields, engine.known, 1)
    engine.judge(engine.features(rows.cells).frame, counted=False)
    return row
