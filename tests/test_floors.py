"""The house as DESIGN has it: imports only point down, and every module has its floor."""

import ast
import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTAINERS = ("cli", "datasets", "reports", "tests")
PACKAGES = {
    "vae_anomaly": ROOT / "vae_anomaly",
    "vae_anomaly_datasets": ROOT / "datasets" / "vae_anomaly_datasets",
    "vae_anomaly_reports": ROOT / "reports" / "vae_anomaly_reports",
    "vae_anomaly_cli": ROOT / "cli" / "vae_anomaly_cli",
}

# From the ground up. A module imports from its own floor or a lower one, never in a circle.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "registry", "version"),
    ("data",),
    ("likelihoods",),
    ("columns",),
    ("model",),
    ("scores", "decisions"),
    ("fitting",),
    ("explain",),
    ("detectors",),
    ("store", "comparison"),
    ("vae_anomaly",),
    ("vae_anomaly_reports", "vae_anomaly_datasets"),
    ("vae_anomaly_cli",),
)
FLOOR_OF = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}
DETECTOR_FLOOR = FLOOR_OF["detectors"]

Sources = Mapping[str, str]


def unit_of(module: str) -> str:
    """Name what has a floor: a file or folder of the library, or a whole package beside it.

    The library's own ``__init__`` is ``vae_anomaly``.
    """
    package, _, rest = module.partition(".")
    return rest.split(".")[0] if package == "vae_anomaly" and rest else package


def imports_of(module: str, source: str, *, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of every import, also inside functions and ``TYPE_CHECKING``."""
    parents = module.split(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            depth = len(parents) - node.level + is_package
            origin = [*parents[:depth], *([node.module] if node.module else [])]
            if not node.level:
                origin = [node.module or ""]
            target = ".".join(origin)
            if target == "vae_anomaly":
                yield from (
                    (node.lineno, f"{target}.{alias.name}" if alias.name in FLOOR_OF else target)
                    for alias in node.names
                )
            else:
                yield node.lineno, target


def broken_rules(sources: Sources, packages: frozenset[str] = frozenset()) -> list[str]:
    """Say which modules have no floor, import upwards or in a circle, or reach for what is not theirs."""
    broken = []
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        unit = unit_of(module)
        if unit not in FLOOR_OF:
            broken.append(f"{module} has no floor: add {unit!r} to FLOORS")
            continue
        for line, target in imports_of(module, source, is_package=module in packages):
            where = f"{module}:{line} imports {target}"
            third_party = target.partition(".")[0]
            if third_party in PACKAGES:
                imported = unit_of(target)
                if imported not in FLOOR_OF:
                    broken.append(f"{where}, which has no floor")
                elif FLOOR_OF[imported] > FLOOR_OF[unit]:
                    broken.append(f"{where}: upwards")
                elif imported != unit:
                    graph.setdefault(unit, set()).add(imported)
            elif third_party == "sklearn" and FLOOR_OF[unit] < DETECTOR_FLOOR:
                broken.append(f"{where}: scikit-learn begins at the detector")
            elif third_party == "typer" and unit != "vae_anomaly_cli":
                broken.append(f"{where}: typer is the command line's")
            elif third_party == "torch" and unit == "vae_anomaly_datasets":
                broken.append(f"{where}: the data sets do without torch")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as circle:
        broken.append(f"imports in a circle: {' <- '.join(circle.args[1])}")
    return broken


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py")) if folder.is_dir() else []


def read_house() -> tuple[Sources, frozenset[str]]:
    sources: dict[str, str] = {}
    packages = set()
    for package, folder in PACKAGES.items():
        for path in python_files(folder):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            if parts[-1] == "__init__":
                parts.pop()
                packages.add(".".join(parts))
            sources[".".join(parts)] = path.read_text(encoding="utf-8")
    return sources, frozenset(packages)


def test_imports_only_point_down():
    sources, packages = read_house()
    assert "vae_anomaly_datasets" in sources
    assert not broken_rules(sources, packages)


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("vae_anomaly.columns.batch", "from vae_anomaly.scores import x", "upwards"),
        ("vae_anomaly.columns.batch", "import vae_anomaly.detectors", "upwards"),
        ("vae_anomaly.columns.batch", "from vae_anomaly import model", "upwards"),
        ("vae_anomaly.model.elbo", "from vae_anomaly import VAEDetector", "upwards"),
        ("vae_anomaly.columns.batch", "from ..model import VAE", "upwards"),
        ("vae_anomaly.likelihoods.discrete", "from ..model import VAE", "upwards"),
        ("vae_anomaly.fitting.fit", "from vae_anomaly.store import save", "upwards"),
        ("vae_anomaly.store", "from vae_anomaly_cli.app import main", "upwards"),
        ("vae_anomaly.model.vae", "def f():\n    import vae_anomaly.fitting.fit", "upwards"),
        (
            "vae_anomaly.model.vae",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vae_anomaly.detectors import x",
            "vae_anomaly.model.vae:3 imports vae_anomaly.detectors: upwards",
        ),
        ("vae_anomaly.scores", "from sklearn.base import clone", "begins at the detector"),
        ("vae_anomaly.detectors", "import typer", "typer is the command line's"),
        ("vae_anomaly_datasets.loading", "from torch import nn", "without torch"),
        ("vae_anomaly.helpers", "", "has no floor: add 'helpers' to FLOORS"),
        ("vae_anomaly.store", "import vae_anomaly.helpers", "which has no floor"),
    ],
)
def test_planted_fault_is_found(module, source, complaint):
    (found,) = broken_rules({module: source})
    assert complaint in found


def test_planted_circle_is_found():
    sources = {
        "vae_anomaly.store": "from vae_anomaly.comparison import compare",
        "vae_anomaly.comparison": "from vae_anomaly.store import load",
    }
    (found,) = broken_rules(sources)
    assert found.startswith("imports in a circle: ")


def test_imports_downwards_and_within_a_folder_are_allowed():
    sources = {
        "vae_anomaly": "from vae_anomaly.store import save",
        "vae_anomaly.detectors": "from sklearn.base import OutlierMixin\nfrom .vae_detector import fit",
        "vae_anomaly.fitting.fit": "from vae_anomaly.fitting import names\nfrom ..model import VAE",
        "vae_anomaly.columns": "from vae_anomaly.likelihoods import Gaussian",
        "vae_anomaly_cli.app": "import typer, torch\nfrom vae_anomaly import VAEDetector",
    }
    assert not broken_rules(sources, frozenset({"vae_anomaly", "vae_anomaly.detectors"}))


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_are_not_packages(container):
    assert not (ROOT / container / "__init__.py").exists()


def test_library_never_prints():
    printing = [
        f"{module}:{node.lineno}"
        for module, source in read_house()[0].items()
        if module.partition(".")[0] in {"vae_anomaly", "vae_anomaly_datasets"}
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing
