"""What makes a command begin sooner: imports that wait until they are needed, and fewer garbage collections."""

import gc
import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# New objects before the garbage collector looks for those that nobody needs. At 700, as Python has it, it looks 2,000
# times at what is imported, all of which stays.
OBJECTS_BEFORE_COLLECTION = 50_000
# What scikit-learn imports for one function, which no detector calls.
DEFERRED_MODULES = ("scipy.stats",)


@contextmanager
def quick_start() -> Iterator[None]:
    """Collect garbage less often, and let modules wait that others import without need; in the end all is as it was."""
    thresholds = gc.get_threshold()
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION, *thresholds[1:])
    deferred = [DeferredModule(name) for name in DEFERRED_MODULES if name not in sys.modules]
    for module in deferred:
        sys.modules[module.__name__] = module
    try:
        yield
    finally:
        for module in deferred:
            module.leave()
        gc.set_threshold(*thresholds)


class DeferredModule(ModuleType):
    """Stands among the imported modules for one that is imported when something in it is first asked for.

    Parameters
    ----------
    name : str
        Full name of the module.
    """

    _lock = threading.Lock()

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # Asked for by every import statement.
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, attribute: str) -> Any:
        # Whoever looks through all modules, as `inspect` does, asks each for its `__file__`, and for nothing in it.
        if attribute.startswith("__") and attribute not in ("__path__", "__all__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {attribute!r}")
        self.leave()
        return getattr(importlib.import_module(self.__name__), attribute)

    def leave(self) -> None:
        """Make room for the module itself, unless it is there."""
        with DeferredModule._lock:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
