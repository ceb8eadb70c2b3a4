"""What every test shares: one torch thread, repeatable properties, and where the large data is."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=30,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def large_data(root: Path) -> Path:
    """The folder of large tables and images that lies beside the repository on some machines."""
    folder = root.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the large data sets (../shared/data) are not on this machine")
    return folder
