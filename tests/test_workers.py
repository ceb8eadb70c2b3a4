"""What is said of processes that compute a part of the work and end, or are not set up as this one."""

from concurrent.futures.process import BrokenProcessPool

import joblib
import pytest
from joblib.parallel import SequentialBackend

from vae_anomaly import DataError, WorkerError
from vae_anomaly.version import __version__
from vae_anomaly.workers import check_version, computed, results_of_workers


class RayActorError(Exception):
    """Named as Ray's."""


RayActorError.__module__ = "ray.exceptions"


class ActorDiedError(RayActorError):
    """One of its kinds."""


def raised(error):
    yield 1
    raise error


@pytest.mark.parametrize("error", [BrokenProcessPool("a process in the pool ended"), ActorDiedError("died")])
@pytest.mark.parametrize("comes", [raised, lambda error: [1, error]], ids=["raised", "among the results"])
def test_worker_that_ended_is_said(error, comes):
    results = results_of_workers(comes(error))
    assert next(results) == 1
    with pytest.raises(WorkerError, match=r"^a worker ended before its work did: .* smaller n_jobs") as caught:
        next(results)
    assert caught.value.__cause__ is error


def test_worker_without_this_library_is_said():
    with pytest.raises(WorkerError, match=f"a worker has no vae_anomaly. Install vae-anomaly=={__version__} in"):
        list(results_of_workers(raised(ModuleNotFoundError("No module named 'vae_anomaly'"))))


@pytest.mark.parametrize("error", [DataError("wrong cell"), ModuleNotFoundError("No module named 'xgboost'")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as caught:
        list(results_of_workers(raised(error)))
    assert caught.value is error


def test_worker_with_another_version_refuses():
    check_version(__version__)
    with pytest.raises(WorkerError, match=f"a worker has vae_anomaly {__version__}, and who asks has 0.0.1. Install"):
        check_version("0.0.1")


class AllAtTheEnd(SequentialBackend):
    """Cannot give results as they come, as Ray's backend."""

    supports_return_generator = False


def test_backend_that_gives_all_results_at_the_end_gives_the_same():
    joblib.register_parallel_backend("all at the end", AllAtTheEnd)
    found = []
    for backend in ("sequential", "all at the end"):
        with (
            joblib.parallel_config(backend),
            computed((joblib.delayed(divmod)(n, 3) for n in range(5)), None) as results,
        ):
            found.append(list(results))
    assert found[0] == found[1] == [divmod(n, 3) for n in range(5)]
