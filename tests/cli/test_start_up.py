"""How soon a command begins."""

import gc
import importlib
import subprocess
import sys
from types import ModuleType

import pytest

from vae_anomaly_cli import start_up
from vae_anomaly_cli.start_up import OBJECTS_BEFORE_COLLECTION, DeferredModule, quick_start


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A module `late` that nobody has imported, and the list of its imports."""
    (tmp_path / "late.py").write_text("__all__ = ['answer']\nanswer = 42\nimport late_list\nlate_list.n.append(1)\n")
    (tmp_path / "late_list.py").write_text("n = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(start_up, "DEFERRED_MODULES", ("late",))
    yield importlib.import_module("late_list").n
    for name in ("late", "late_list"):
        sys.modules.pop(name, None)


def imported(module, name=None):
    """What an import statement gives."""
    found = {}
    exec(f"from {module} import {name}" if name else f"import {module}", found)
    return found[name or module]


def test_module_is_imported_once_something_in_it_is_asked_for(written):
    with quick_start():
        late = imported("late")
        assert isinstance(late, DeferredModule)
        assert not hasattr(late, "__file__")
        assert written == []
        assert late.answer == late.answer == 42
        assert written == [1]
        assert type(sys.modules["late"]) is ModuleType
    assert type(sys.modules["late"]) is ModuleType


def test_names_of_a_deferred_module_can_be_imported(written):
    with quick_start():
        assert imported("late", "answer") == 42
    assert written == [1]


def test_module_that_nobody_asked_for_leaves_no_trace(written):
    thresholds = gc.get_threshold()
    with quick_start():
        assert gc.get_threshold()[0] == OBJECTS_BEFORE_COLLECTION
    assert "late" not in sys.modules
    assert gc.get_threshold() == thresholds
    assert written == []


def test_imported_module_stays(written):
    late = imported("late")
    with quick_start():
        assert sys.modules["late"] is late


@pytest.mark.slow
def test_fit_loads_neither_statistics_nor_the_compiler(many, fast, tmp_path):
    heavy = "{'torch', 'torch._dynamo', 'scipy.stats._stats', 'scipy.ndimage', 'matplotlib'}"
    program = (
        "import sys; from vae_anomaly_cli.main import main; code = main(sys.argv[1:]);"
        f"print(code, sorted({heavy} & set(sys.modules)))"
    )
    path, _ = many
    arguments = ["fit", str(path), "-o", str(tmp_path / "again.vae"), *fast]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout == "0 ['torch']\n"
