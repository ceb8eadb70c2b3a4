"""What comes back from other processes, here or on a cluster: results, or why there are none, in our words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

from joblib import Parallel
from joblib.parallel import get_active_backend

from vae_anomaly.errors import WorkerError
from vae_anomaly.version import __version__

Result = TypeVar("Result")

# What joblib's own processes, Dask and Ray say where a worker has ended.
ENDED = {
    "concurrent.futures._base.BrokenExecutor",
    "distributed.scheduler.KilledWorker",
    "ray.exceptions.ObjectLostError",
    "ray.exceptions.OutOfMemoryError",
    "ray.exceptions.RayActorError",
    "ray.exceptions.WorkerCrashedError",
}


@contextmanager
def computed(tasks: Iterable[Any], n_jobs: int | None) -> Iterator[Iterator[Any]]:
    """Results of joblib's tasks, in their order: as they come, where the backend can (Ray's cannot), else at the end.

    Parameters
    ----------
    tasks : iterable
        Of `joblib.delayed`.
    n_jobs : int or None
        As joblib counts them.

    Raises
    ------
    WorkerError
        As `results_of_workers` does.
    """
    backend, _ = get_active_backend()
    if not getattr(backend, "supports_return_generator", False):
        yield results_of_workers(_all_at_the_end(tasks, n_jobs))
        return
    with closing(Parallel(n_jobs=n_jobs, return_as="generator")(tasks)) as results:
        yield results_of_workers(results)


def _all_at_the_end(tasks: Iterable[Any], n_jobs: int | None) -> Iterator[Any]:
    yield from Parallel(n_jobs=n_jobs)(tasks)


def results_of_workers(results: Iterable[Result]) -> Iterator[Result]:
    """Results as they come.

    Parameters
    ----------
    results : iterable
        As joblib gives them: an error may be raised, or stand among them.

    Raises
    ------
    WorkerError
        If a worker ended, or cannot import this library.
    """
    try:
        for result in results:
            yield _without_error(result)
    except Exception as error:
        if any(f"{kind.__module__}.{kind.__qualname__}" in ENDED for kind in type(error).__mro__):
            raise WorkerError(
                "ended before its work did: it was killed, or had too little memory",
                "Nothing of it is kept; start it again, with a smaller n_jobs if memory was short.",
            ) from error
        if isinstance(error, ModuleNotFoundError) and "vae_anomaly" in str(error):
            raise WorkerError(
                "has no vae_anomaly", f"Install vae-anomaly=={__version__} in the Python of every worker."
            ) from error
        raise


def _without_error(result: Result) -> Result:
    if isinstance(result, Exception):
        raise result
    return result


def check_version(callers: str) -> None:
    """Refuse to compute for another version of this library.

    Parameters
    ----------
    callers : str
        The version of who asks.

    Raises
    ------
    WorkerError
        If it is not the version here: scores could differ without a word.
    """
    if callers != __version__:
        raise WorkerError(
            f"has vae_anomaly {__version__}, and who asks has {callers}",
            f"Install vae-anomaly=={callers} in the Python of every worker.",
        )
