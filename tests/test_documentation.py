"""The README and the documentation: links lead somewhere, code runs, and the reference has every name and command."""

import ast
import contextlib
import importlib
import importlib.util
import io
import itertools
import re
import shlex
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

import vae_anomaly
import vae_anomaly_datasets
from vae_anomaly.detectors.parameters import PRESETS
from vae_anomaly_cli.application import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
if not DOCS.exists():
    pytest.skip("the documentation is no part of a source distribution", allow_module_level=True)

README = ROOT / "README.md"
MAX_WORDS = 1200
PAGES = [README, *sorted(path for path in DOCS.rglob("*.md") if not {"_build", "generated"} & set(path.parts))]
LINK = re.compile(r"!?\[[^\]\n]*\]\((?P<target>[^)\s#]+)(?:#[^)\s]*)?\)")
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: .+ -->\n$")
# Pages that the build writes.
GENERATED = re.compile(r"^(\.\./)*generated/")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    """Code of a page that is not marked as `<!-- not run: reason -->`."""
    text = path.read_text(encoding="utf-8")
    return [
        found["code"]
        for found in FENCE.finditer(text)
        if found["language"] == language and not NOT_RUN.search(text[: found.start()])
    ]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_relative_links_lead_to_files(path):
    targets = [link["target"] for link in LINK.finditer(FENCE.sub("", path.read_text(encoding="utf-8")))]
    relative = [target for target in targets if not re.match(r"[a-z]+:", target) and not GENERATED.match(target)]
    assert [target for target in relative if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_to_generated_pages_name_one(path):
    """Of pages that the build writes: tutorials from scripts, commands and names from what is public."""
    targets = [link["target"] for link in LINK.finditer(path.read_text(encoding="utf-8"))]
    known = {f"tutorials/{script.stem}.rst" for script in (DOCS / "tutorials").glob("plot_*.py")}
    known |= {"tutorials/index.rst", "python/index.rst", "commands/index.md", "python/VAEDetector.rst"}
    known |= {f"commands/{command.name}.md" for command in COMMANDS}
    known |= {f"project/{page}.md" for page in ("security", "changelog", "contributing", "datasets")}
    named = {GENERATED.sub("", target) for target in targets if GENERATED.match(target)}
    assert named - known == set()


def test_readme_is_a_page():
    assert len(README.read_text(encoding="utf-8").split()) < MAX_WORDS


@pytest.mark.parametrize("mark", ["score", "test"])
def test_readme_has_the_commands_that_are_checked(mark):
    """`.ci/run` takes them from there."""
    text = README.read_text(encoding="utf-8")
    assert len(re.findall(rf"^<!-- command: {mark} -->\n```bash\n.+\n```$", text, re.MULTILINE)) == 1


def test_readme_leads_to_every_page_of_the_guides():
    text = README.read_text(encoding="utf-8")
    folders = {"start", "how_to", "guide", "background"}
    pages = [name_of(path) for path in PAGES if path.parent.name in folders and path.name != "index.md"]
    optional = {"docs/background/two_views.md", "docs/background/image_scores.md"}
    assert [page for page in pages if f"({page})" not in text and page not in optional] == []


OF_EVERY_COMMAND = {"--config", "--help", "--help-all", "-h", "--install-completion", "--show-completion", "--version"}
# It says which names options had.
WITH_EARLIER_NAMES = "docs/guide/command_line.md"
WITH_PYTHON = [path for path in PAGES if blocks(path, "python")]
# They fit small tables, or none.
QUICK = {"docs/background/choices.md", "docs/guide/model_files.md", "docs/start/ml_engineer.md"}


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[] if name_of(path) in QUICK else [pytest.mark.slow]) for path in WITH_PYTHON],
    ids=name_of,
)
def test_python_of_a_page_runs(path, tmp_path, monkeypatch):
    """With short fits: what they find is shown by tutorials, which run whole in the build."""
    monkeypatch.chdir(tmp_path)
    for name, defaults in PRESETS.items():
        monkeypatch.setitem(PRESETS, name, replace(defaults, min_iter=60, max_iter=60))
    names: dict[str, object] = {}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", vae_anomaly.VAEAnomalyWarning)
        for code in blocks(path, "python"):
            exec(compile(code, str(path), "exec"), names)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_python_of_a_page_names_what_there_is(path):
    """Also what is not run: imported names, methods of a detector, and parameters of it."""
    for found in FENCE.finditer(path.read_text(encoding="utf-8")):
        for node in ast.walk(ast.parse(found["code"] if found["language"] == "python" else "")):
            if isinstance(node, ast.ImportFrom):
                if importlib.util.find_spec(node.module.partition(".")[0]) is None:
                    # Of an engine, whose tests run the page.
                    continue
                module = importlib.import_module(node.module)
                missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                # What is named may be a module that is not loaded yet.
                assert [name for name in missing if not importlib.util.find_spec(f"{node.module}.{name}")] == []
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if re.fullmatch(r"detector\.\w+", called):
                assert hasattr(vae_anomaly.VAEDetector, called.removeprefix("detector.")), called
            if called == "VAEDetector":
                given = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
                assert given - vae_anomaly.VAEDetector().get_params().keys() == set()


def shown_commands() -> list[tuple[str, list[str]]]:
    """Each `vae-anomaly ...` of the pages, with the page."""
    shown = []
    for path in PAGES:
        for line in "\n".join(blocks(path, "bash")).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for is_separator, part in itertools.groupby(words, lambda word: word in {"&&", "|", ";"}):
                command = list(part)
                if not is_separator and command[0] == "vae-anomaly":
                    shown.append((name_of(path), command[1:]))
    return shown


def test_commands_of_pages_have_the_options_that_they_show():
    known = {command.name: command for command in COMMANDS}
    unknown = []
    for page, (name, *words) in shown_commands():
        flags = {flag for each in known[name].parameters.values() for flag in each.flags} if name in known else set()
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        if name not in known or given - flags - OF_EVERY_COMMAND:
            unknown.append(f"{page}: {name} {' '.join(words)}")
    assert unknown == []


def test_options_in_sentences_are_there():
    parameters = [each for command in COMMANDS for each in command.parameters.values()]
    flags = {flag for each in parameters for flag in each.flags} | OF_EVERY_COMMAND
    earlier = {each.option.deprecated.flag for each in parameters if each.option.deprecated is not None}
    unknown = []
    for path in PAGES:
        text = FENCE.sub("", path.read_text(encoding="utf-8"))
        for code in re.findall(r"`((?:vae-anomaly |--)[^`\n]*)`", text):
            named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", code))
            known = flags | (earlier if name_of(path) == WITH_EARLIER_NAMES else set())
            unknown += [f"{name_of(path)}: {flag}" for flag in named - known]
    assert unknown == []


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """What the build writes before Sphinx reads pages, in a folder of its own."""
    pytest.importorskip("sphinx", reason="the extra docs has what builds the documentation")
    sys.path.insert(0, str(DOCS))
    try:
        modules = {
            name: importlib.import_module(f"vae_anomaly_docs.{name}")
            for name in ("python_reference", "command_reference", "repository_pages")
        }
    finally:
        sys.path.remove(str(DOCS))
    folder = tmp_path_factory.mktemp("generated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules["python_reference"], "FOLDER", folder / "python")
        patch.setattr(modules["command_reference"], "FOLDER", folder / "commands")
        modules["python_reference"].write_reference(None, None)
        modules["command_reference"].write_reference(None, None)
    return folder, modules


def test_every_public_name_is_in_the_reference(site):
    folder, _ = site
    text = "".join(path.read_text(encoding="utf-8") for path in (folder / "python").glob("*.rst"))
    documented = set(re.findall(r"^\.\. (?:auto\w+|py:type):: (\S+)$", text, re.MULTILINE))
    names = {f"vae_anomaly.{name}" for name in vae_anomaly.__all__ if not name.startswith("__")}
    names |= {f"vae_anomaly_datasets.{name}" for name in vae_anomaly_datasets.__all__}
    assert names - documented == set()


def test_every_command_and_option_is_in_the_reference(site):
    folder, _ = site
    missing = []
    for command in COMMANDS:
        text = (folder / "commands" / f"{command.name}.md").read_text(encoding="utf-8")
        assert f"`{command.name}`" in (folder / "commands" / "index.md").read_text(encoding="utf-8")
        for each in command.parameters.values():
            sign = f"\n`{each.flag}`\n: " if each.option.is_argument else f"{{option}} {each.flags[0]}"
            if sign not in text:
                missing.append(f"{command.name} {each.flag}")
    assert missing == []


def test_every_benchmark_page_is_on_the_site(site):
    _, modules = site
    folder = ROOT / "reports" / "benchmarks"
    pages = set(folder.glob("*.md")) | {folder / "trust" / "trust.md"}
    assert pages - modules["repository_pages"].PAGES.keys() == set()


def test_links_into_the_repository_become_those_of_the_site(site):
    _, modules = site
    text = """[a](../../SECURITY.md#x) ![b](../../reports/benchmarks/speed.png)
[c](../../CHANGELOG.md)
```
[code](../../SECURITY.md)
```
[f](threshold.md) [g](../../Makefile) [h](https://example.org)"""
    expected = """[a](/generated/project/security.md#x) ![b](../../reports/benchmarks/speed.png)
[c](/generated/project/changelog.md)
```
[code](../../SECURITY.md)
```
[f](threshold.md) {download}`g <../../Makefile>` [h](https://example.org)"""
    assert modules["repository_pages"].links_of_the_site(text, DOCS / "how_to", "how_to/x") == expected
