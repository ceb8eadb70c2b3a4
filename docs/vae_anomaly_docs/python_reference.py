"""The reference of Python: every public name, by the package that it comes from, with its docstring."""

import importlib.util
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import GenericAlias
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from vae_anomaly_docs.written import GENERATED, remove_others, write

FOLDER = GENERATED / "python"


@dataclass
class Group:
    """Names on one page, or each on a page of its own."""

    title: str
    about: str
    is_one_page: bool = True
    names: list[tuple[str, str]] = field(default_factory=list)


# By package of vae_anomaly. What is public and of a package that is not here gets a page all the same.
GROUPS = {
    "detectors": Group("Detectors", "What is fitted to rows or images, and scores them.", is_one_page=False),
    "explain": Group("Reasons", "What explanations, patterns, paths and blind spots hold."),
    "decisions": Group("Decisions", "Calibrations, thresholds and selections."),
    "comparison": Group("Comparison", "Whether it is worth it, beside simpler detectors, where anomalies are known."),
    "store": Group("Model files", "Saving, loading, and looking into a model file without building it."),
    "export": Group("Without PyTorch", "Detectors as ONNX files, and what runs them."),
    "display": Group("Figures", "Figures in the manner of scikit-learn's displays; they need `vae-anomaly[plot]`."),
    "callbacks": Group("Callbacks", "Watching a fit while it runs."),
    "mlflow": Group("MLflow", "Detectors as MLflow models; it needs `mlflow-skinny`."),
    "report": Group("Reports", "What `VAEDetector.report` returns."),
    "batches": Group("Batches", "A model as a function of Arrow batches, for the workers of any engine."),
    "serving": Group("Serving", "A model behind an endpoint; it needs `vae-anomaly[serve]`."),
    "scores": Group("Scores", "From the terms of the ELBO to one number per row: `VAEDetector(row_score=...)`."),
    "likelihoods": Group("Likelihoods", "What is assumed of a cell, given the latent variables: `likelihood=...`."),
    "model": Group("Networks and priors", "Backbones and priors: `backbone=...`, `prior=...`."),
    "data": Group("Data", "What is said of the columns of a table."),
    "results": Group("What detectors hold", "Objects that attributes and methods of detectors return."),
    "bases": Group("To write your own", "Bases of likelihoods, scores, priors and backbones."),
    "errors": Group("Errors and warnings", "All derive from `VAEAnomalyError` or `VAEAnomalyWarning`."),
    "datasets": Group("Data sets", "Real tables and a folder of images, shipped: `vae_anomaly_datasets`."),
}
ONE_PAGE_WITH = {"onnx_model": "export"}
# What users import from other doors than the top.
DOORS = {
    "batches": ("BatchScorer", "scorer"),
    "mlflow": ("MLflowLogger", "autolog", "load_model", "log_model", "save_model"),
    "report": ("Report",),
    "serving": ("ServingLimits", "scoring_app"),
}
# Given as they are made: what they do is said by the bases, which are for those who write their own.
VALUES = ("likelihoods", "scores", "model")
BASES = {
    "vae_anomaly.likelihoods": ("Likelihood",),
    "vae_anomaly.scores": ("Score",),
    "vae_anomaly.model": ("Backbone", "Prior"),
}
# What detectors return, and nobody makes.
RETURNED = {
    "vae_anomaly.columns": ("Column",),
    "vae_anomaly.fitting": ("ELBOTerms", "FitReport"),
    "vae_anomaly.decisions": ("Decisions",),
    "vae_anomaly.model": ("History",),
}


def public_names() -> Iterator[tuple[str, str, str]]:
    """Yield the group, the module and the name of all that is public."""
    top = importlib.import_module("vae_anomaly")
    for name in top.__all__:
        if name.startswith("__"):
            continue
        package = getattr(top, name).__module__.split(".")[1]
        yield ONE_PAGE_WITH.get(package, package), "vae_anomaly", name
    for package, names in DOORS.items():
        module = f"vae_anomaly.{package}"
        if importlib.util.find_spec(module):
            for name in names:
                yield package, module, name
    for key, modules in (("results", RETURNED), ("bases", BASES)):
        for module, names in modules.items():
            for name in names:
                yield key, module, name
    datasets = importlib.import_module("vae_anomaly_datasets")
    for name in datasets.__all__:
        yield "datasets", "vae_anomaly_datasets", name


def is_alias(module: str, name: str) -> bool:
    """Say whether a name stands for a type, like `tuple[int, str]`."""
    return isinstance(getattr(importlib.import_module(module), name), GenericAlias)


def entry(key: str, module: str, name: str) -> str:
    """Return the directive that documents a name."""
    found = getattr(importlib.import_module(module), name)
    if is_alias(module, name):
        return f".. py:type:: {module}.{name}\n   :canonical: {str(found).replace('pandas.core.frame.', '')}\n\n"
    if isinstance(found, type) and issubclass(found, Exception):
        return f".. autoexception:: {module}.{name}\n\n"
    if isinstance(found, type):
        members = "" if key in VALUES else "   :members:\n   :inherited-members:\n"
        return f".. autoclass:: {module}.{name}\n{members}\n"
    return f".. auto{'function' if inspect.isroutine(found) else 'data'}:: {module}.{name}\n\n"


def heading(text: str, line: str) -> str:
    """Return a heading in reStructuredText."""
    return f"{text}\n{line * len(text)}\n\n"


def write_reference(app: Sphinx, config: Config) -> None:
    """Write a page for each group, and the table of them."""
    groups = {key: Group(group.title, group.about, group.is_one_page) for key, group in GROUPS.items()}
    for key, module, name in public_names():
        groups.setdefault(key, Group(key.replace("_", " ").capitalize(), "")).names.append((module, name))
    groups = {key: group for key, group in groups.items() if group.names}
    for key, group in groups.items():
        # Autosummary cannot read aliases of types.
        listed = [f"   {module}.{name}\n" for module, name in group.names if not is_alias(module, name)]
        table = ".. autosummary::\n\n" + "".join(listed) + "\n"
        text = f".. _reference-{key}:\n\n" + heading(group.title, "=") + f"{group.about}\n\n{table}"
        if group.is_one_page:
            text += "".join(heading(name, "-") + entry(key, module, name) for module, name in group.names)
        else:
            text += ".. toctree::\n   :hidden:\n\n" + "".join(f"   {name}\n" for _, name in group.names)
            for module, name in group.names:
                write(FOLDER / f"{name}.rst", heading(name, "=") + entry(key, module, name))
        write(FOLDER / f"{key}.rst", text)
    index = heading("Python", "=") + "Everything public, from its docstrings.\n\n"
    for key, group in groups.items():
        names = ", ".join(f":py:obj:`~{module}.{name}`" for module, name in group.names)
        index += f":doc:`{group.title} <{key}>`\n   {group.about}\n   {names}\n\n"
    index += ".. toctree::\n   :hidden:\n\n" + "".join(f"   {key}\n" for key in groups)
    write(FOLDER / "index.rst", index)
    own = {name for group in groups.values() if not group.is_one_page for _, name in group.names}
    remove_others(FOLDER, {f"{name}.rst" for name in ("index", *groups, *own)})


def skip_inherited(app: Sphinx, what: str, name: str, found: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what scikit-learn, Python and the like give to our classes: they document it themselves."""
    function = getattr(found, "fget", None) or getattr(found, "func", None) or found
    module = getattr(function, "__module__", None)
    if isinstance(module, str) and not module.startswith("vae_anomaly"):
        return True
    if name.startswith("set_") and name.endswith("_request"):
        return True
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of it."""
    app.connect("config-inited", write_reference)
    app.connect("autodoc-skip-member", skip_inherited)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
