"""Those who watch one fit, and the log of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from vae_anomaly.callbacks.base import Callback
from vae_anomaly.callbacks.checkpoint import Checkpoint
from vae_anomaly.callbacks.progress_bar import ProgressBar
from vae_anomaly.errors import SpecificationError
from vae_anomaly.model import OnCheck, TrainingCheck, TrainingStates
from vae_anomaly.records import logger_of

LOGGER = logger_of(__name__)

_IN_EVERY_FIT: list[Callable[[], Callback]] = []


def add_to_every_fit(make: Callable[[], Callback]) -> None:
    """Have a new callback watch each fit to come in this process.

    Parameters
    ----------
    make : callable
        Makes it; added once, however often it is given.
    """
    if make not in _IN_EVERY_FIT:
        _IN_EVERY_FIT.append(make)


def remove_from_every_fit(make: Callable[[], Callback]) -> None:
    """Take back `add_to_every_fit`; without effect where there was none."""
    if make in _IN_EVERY_FIT:
        _IN_EVERY_FIT.remove(make)


def check_callbacks(callbacks: Sequence[Callback] | None) -> None:
    """Refuse what is no callback.

    Raises
    ------
    SpecificationError
        If something is not.
    """
    for number, callback in enumerate(callbacks or ()):
        if isinstance(callback, Callback):
            continue
        found = f"the class {callback.__name__}" if isinstance(callback, type) else f"of type {type(callback).__name__}"
        raise SpecificationError(
            f"callbacks[{number}] is {found}; expected an instance of a subclass of vae_anomaly.callbacks.Callback, "
            "such as ProgressBar()."
        )


class Watch:
    """Tells the log and the callbacks of one fit what happens in it.

    Parameters
    ----------
    detector : estimator
        That is fitted.
    callbacks : sequence of Callback
        Told in this order.
    """

    def __init__(self, detector: Any, callbacks: Sequence[Callback]) -> None:
        self.detector = detector
        self.callbacks = callbacks

    def on_check(self, training: int = 0, n_trainings: int = 1) -> OnCheck:
        """What a training calls at each check.

        Parameters
        ----------
        training, n_trainings : int
            Which it is, from 0, and how many there are in the fit.
        """

        def tell(check: TrainingCheck) -> None:
            held_out = "none" if check.validation_elbo is None else f"{check.validation_elbo:.4f}"
            LOGGER.debug(
                "step %d of %d: ELBO %.4f, held-out ELBO %s, KL %.4f nats; step size %.2g, %.0f rows/s",
                *(check.iteration, check.max_iter, check.elbo, held_out, check.kl, check.learning_rate),
                check.rows_per_second,
            )
            numbered = dataclasses.replace(check, training=training, n_trainings=n_trainings)
            for callback in self.callbacks:
                callback.on_check(self.detector, numbered)

        return tell

    @property
    def states(self) -> TrainingStates | None:
        """What keeps the state of trainings, where a callback does."""
        return next((callback for callback in self.callbacks if isinstance(callback, Checkpoint)), None)


NO_WATCH = Watch(None, ())


@contextmanager
def watched(detector: Any, X: Any, callbacks: Sequence[Callback] | None, *, verbose: bool = False) -> Iterator[Watch]:
    """A fit that callbacks watch: told before it and after it, closed in any case.

    Parameters
    ----------
    detector : estimator
        That is fitted inside.
    X : array-like, DataFrame, images or paths
        As it was given.
    callbacks : sequence of Callback or None
        Of the detector.
    verbose : bool
        Whether a `ProgressBar` watches as well.
    """
    bars = [ProgressBar()] if verbose else []
    every = [*bars, *(callbacks or ()), *(make() for make in _IN_EVERY_FIT)]
    LOGGER.debug("fit of %s begins", type(detector).__name__)
    with ExitStack() as stack:
        for callback in every:
            stack.callback(callback.close)
            callback.on_fit_begin(detector, X)
        yield Watch(detector, every)
        for callback in every:
            callback.on_fit_end(detector)
