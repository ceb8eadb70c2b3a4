"""Every name in a registry has a reference value in the contract test of its concept."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vae_anomaly
from vae_anomaly.scores import SCORES

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "vae_anomaly"

# By registry, the tables of tests that want an entry for each of its names; of two with "or", one is enough.
CONTRACTS: dict[str, tuple[str, ...]] = {
    "ACTIVATIONS": ("test_backbones.py ACTIVATED",),
    "AUGMENTATIONS": ("test_named_augmentation.py BY_HAND",),
    "BACKBONES": ("test_backbones.py N_WEIGHTS",),
    "LIKELIHOODS": ("test_likelihoods.py REFERENCES",),
    # Names of model files: those above, and wrappers, which test_likelihoods.py tests around what they wrap.
    "LIKELIHOOD_CLASSES": (),
    "NETWORKS": ("test_networks.py REFERENCE",),
    "PRIORS": ("test_priors.py REFERENCE_KL",),
    "RULES": ("test_decisions_thresholds.py BY_HAND",),
    "SCORES": ("test_scores.py BY_HAND or COMPARED_IN_TEST_SURPRISE",),
}


def assigned(source: str) -> Iterator[tuple[str, ast.expr, str]]:
    """Name, value and annotation of every constant of a module."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value, ""
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value, ast.unparse(node.annotation)


def keys_of(value: ast.expr) -> set[str]:
    """The names that a dict or a set lists, also behind ``**`` and ``|``."""
    if isinstance(value, ast.Dict):
        pairs = zip(value.keys, value.values, strict=True)
        return set().union(*(keys_of(merged if key is None else key) for key, merged in pairs))
    if isinstance(value, ast.Set | ast.Tuple | ast.List):
        return set().union(*map(keys_of, value.elts))
    if isinstance(value, ast.BinOp):
        return keys_of(value.left) | keys_of(value.right)
    return {value.value} if isinstance(value, ast.Constant) else set()


def registries() -> dict[str, set[str]]:
    """Names by registry: a dict of classes by name, somewhere in the library."""
    return {
        name: keys_of(value)
        for path in sorted(LIBRARY.rglob("*.py"))
        for name, value, annotation in assigned(path.read_text(encoding="utf-8"))
        if annotation.startswith(("dict[str, type[", "dict[str, Callable[[]"))
    }


def lacking(names: set[str], table: str) -> set[str]:
    """Names without an entry in a table such as ``test_priors.py REFERENCE_KL``."""
    file, _, wanted = table.partition(" ")
    constants = list(assigned((ROOT / "tests" / file).read_text(encoding="utf-8")))
    return names - set().union(*(keys_of(value) for name, value, _ in constants if name in wanted.split(" or ")))


def test_every_registry_has_a_contract():
    assert {"LIKELIHOODS", "SCORES"} <= registries().keys()
    assert registries().keys() - CONTRACTS.keys() == set(), "say in CONTRACTS which tables hold reference values"


@pytest.mark.parametrize(
    ("registry", "table"), [(name, table) for name, tables in CONTRACTS.items() for table in tables]
)
def test_every_name_of_a_registry_has_a_reference_value(registry, table):
    without = lacking(registries()[registry], table)
    assert without == set(), f"{sorted(without)} of {registry} want an entry in tests/{table}"


def test_planted_name_without_an_entry_is_found():
    assert lacking({"exemplar", "vamp"}, "test_priors.py REFERENCE_KL") == {"vamp"}
    assert lacking({"elbo", "surprise", "vamp"}, "test_scores.py BY_HAND or COMPARED_IN_TEST_SURPRISE") == {"vamp"}
    assert lacking({"elbo"}, "test_scores.py NO_SUCH_TABLE") == {"elbo"}


def test_every_score_has_a_public_name() -> None:
    assert {score.__name__ for score in SCORES.values()} <= set(vae_anomaly.__all__)
