"""What every test shares: one torch thread, repeatable properties, columns by hand, and where the large data is."""

import math
import os
import pickle
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from torch.utils._python_dispatch import TorchDispatchMode

from vae_anomaly.likelihoods import CellDistribution, Constants, Likelihood


class Operations(TorchDispatchMode):
    """Counts what reaches the kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


SECONDS_OF_A_FORK = 60
ROOT = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)
# Figures are drawn without a screen.
os.environ.setdefault("MPLBACKEND", "agg")

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=30,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    """Figures of a test end with it."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def large_data(root: Path) -> Path:
    """The folder of large tables and images beside the repository on some machines."""
    folder = root.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the large data sets (../shared/data) are not on this machine")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def constants_of() -> Callable[..., Constants]:
    """What training taught about equal columns, from what differs from a plain one."""

    def build(n_columns: int = 1, dtype: torch.dtype = torch.float64, **known: float | list[float]) -> Constants:
        plain: dict[str, float | list[float]] = {
            **dict.fromkeys(("floor", "n_levels", "unseen", "location"), 0.0),
            "scale": 1.0,
            "asinh_scale": 0.0,
            "step": 1.0,
            "low": -math.inf,
            "high": math.inf,
            "cuts": [],
            "spikes": [],
        }
        assert known.keys() <= plain.keys()
        return {
            name: torch.tensor([value if isinstance(value, list) else float(value)] * n_columns, dtype=dtype)
            for name, value in (plain | known).items()
        }

    return build


@pytest.fixture(scope="session")
def distribution_of(constants_of: Callable[..., Constants]) -> Callable[..., CellDistribution]:
    """p(x) of one column from its decoder outputs, which are the same in all rows."""

    def build(
        likelihood: Likelihood,
        outputs: list[float] | torch.Tensor,
        log_noise: float = 0.0,
        dtype: torch.dtype = torch.float64,
        n_rows: int = 1,
        leading: tuple[int, ...] = (),
        **known: float | list[float],
    ) -> CellDistribution:
        noise = torch.tensor([log_noise] * likelihood.noise_size(1), dtype=dtype)
        parameters = torch.as_tensor(outputs, dtype=dtype).expand(*leading, n_rows, 1, -1)
        return likelihood.distribution(parameters, noise, constants_of(dtype=dtype, **known))

    return build


@pytest.fixture
def operations() -> Operations:
    """A context that counts the operations inside it."""
    return Operations()


@pytest.fixture(scope="session")
def in_fork() -> Callable[[Callable[[], Any]], Any]:
    """What a function returns in a forked process; an error where it hangs there."""
    return _in_fork


def _in_fork(function: Callable[[], Any]) -> Any:
    """What a function returns in a forked process; an error where it hangs there."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer: Any = ("found", function())
        except BaseException as error:  # noqa: BLE001
            answer = ("raised", f"{type(error).__name__}: {error}")
        with os.fdopen(writer, "wb") as stream:
            stream.write(pickle.dumps(answer))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        ready = select.select([stream], [], [], SECONDS_OF_A_FORK)[0]
        content = stream.read() if ready else b""
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert ready, "the forked process hangs"
    kind, value = pickle.loads(content)
    assert kind == "found", value
    return value
