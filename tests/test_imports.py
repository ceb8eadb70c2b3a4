"""What a process loads before it needs it."""

import subprocess
import sys

import pytest

import vae_anomaly

HEAVY = ("torch", "sklearn", "scipy", "pandas", "pyarrow")


def loaded_after(code: str) -> set[str]:
    """Which heavy packages a fresh interpreter holds after some code."""
    program = f"import sys\n{code}\nsys.stderr.write(' '.join(n for n in {HEAVY!r} if n in sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(run.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import vae_anomaly; vae_anomaly.__version__; vae_anomaly.FitWarning; dir(vae_anomaly)",
        "from vae_anomaly_cli.main import main; assert main(['--help']) == 0",
        "from vae_anomaly_cli.main import main; assert main(['score', '--help']) == 0",
    ],
)
def test_name_and_help_load_nothing_heavy(code: str) -> None:
    assert loaded_after(code) == set()


@pytest.mark.parametrize(
    "code",
    [
        "import vae_anomaly.decisions, vae_anomaly.registry, vae_anomaly.files",
        "from vae_anomaly import Calibration, ColumnRoles",
    ],
)
def test_what_needs_no_network_is_there_without_torch(code: str) -> None:
    assert not {"torch", "sklearn"} & loaded_after(code)


def test_first_fit_does_not_load_the_compiler() -> None:
    code = """
import numpy as np, warnings; warnings.simplefilter('ignore')
from vae_anomaly import VAEDetector
VAEDetector(n_estimators=1, max_iter=2).fit(np.random.default_rng(0).normal(size=(50, 3)))
assert 'torch._dynamo' not in sys.modules
"""
    assert "torch" in loaded_after(code)


@pytest.mark.parametrize("name", vae_anomaly.__all__)
def test_public_name_is_there(name: str) -> None:
    assert name in dir(vae_anomaly)
    assert getattr(vae_anomaly, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="VAEdetector"):
        _ = vae_anomaly.VAEdetector  # type: ignore[attr-defined]
