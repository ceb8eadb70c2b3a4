"""Pages that stand elsewhere in the repository, and links of all pages into it.

The pages of benchmarks, the changelog and so on are written to `docs/generated/` before Sphinx looks for pages. A link
to a file of the repository leads to its page where it has one, and else offers the file for download.
"""

import os
import re
from pathlib import Path, PurePosixPath

from sphinx.application import Sphinx
from sphinx.config import Config

from vae_anomaly_docs.written import DOCS, GENERATED, ROOT, remove_others, write

BENCHMARKS = ROOT / "reports" / "benchmarks"
# Where a page of the repository stands among those of the site, without its suffix.
PAGES = {
    ROOT / "SECURITY.md": "generated/project/security",
    ROOT / "CHANGELOG.md": "generated/project/changelog",
    ROOT / "CONTRIBUTING.md": "generated/project/contributing",
    ROOT / "datasets" / "README.md": "generated/project/datasets",
    ROOT / "README.md": "index",
    BENCHMARKS / "README.md": "generated/benchmarks/commands",
    **{path: f"generated/benchmarks/{path.stem}" for path in BENCHMARKS.glob("*.md") if path.stem != "README"},
    # Other folders have the parts of a page above.
    BENCHMARKS / "trust" / "trust.md": "generated/benchmarks/trust",
    BENCHMARKS / "images" / "features.md": "generated/benchmarks/images_features",
    **{path: f"generated/benchmarks/serving_{path.stem}" for path in BENCHMARKS.glob("serving/*.md")},
    **{
        BENCHMARKS / "analyst" / f"{part}.md": f"generated/benchmarks/analyst_{part}"
        for part in ("cells", "context", "patterns", "sensitivity")
    },
}
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]\n]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")
FENCE = re.compile(r"^(```|~~~|:::).*?^\1[ ]*$", re.DOTALL | re.MULTILINE)


def links_of_the_site(text: str, folder: Path, page: str) -> str:
    """Return the text of a page with its links as those of the site.

    Parameters
    ----------
    text : str
        Markdown.
    folder : Path
        Where the page stands in the repository: its links begin there.
    page : str
        Its name in the site, to which the links are made relative.
    """
    here = PurePosixPath(page).parent

    def in_site(match: re.Match[str]) -> str:
        target, words = match["target"], match["text"]
        if re.match(r"[a-z]+:", target):
            return match[0]
        file = (folder / target).resolve()
        anchor = match["anchor"] or ""
        if file in PAGES:
            return f"[{words}](/{PAGES[file]}.md{anchor})"
        if file.is_relative_to(DOCS):
            return match[0]
        if match["image"]:
            return f"![{words}]({_relative(file, DOCS / here)})"
        if file.is_dir():
            return words
        plain = words.replace("`", "")
        return f"{{download}}`{plain} <{_relative(file, DOCS / here)}>`"

    # Code is left as it is.
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(in_site, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, LINK.sub(in_site, text[end:])])


def _relative(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file, folder)).as_posix()


def write_pages(app: Sphinx, config: Config) -> None:
    """Write the pages of the repository for the site."""
    for path, page in PAGES.items():
        if page.startswith("generated/"):
            text = path.read_text(encoding="utf-8")
            if not re.search(r"^# ", text, re.MULTILINE):
                # A part of another page.
                text = re.sub(r"^#(#+ )", r"\1", text, flags=re.MULTILINE)
            text = links_of_the_site(text, path.parent, page)
            write(DOCS / f"{page}.md", text)
    for folder in ("project", "benchmarks"):
        remove_others(GENERATED / folder, {f"{Path(page).name}.md" for page in PAGES.values() if f"/{folder}/" in page})
    tutorials = {path.stem for path in (DOCS / "tutorials").glob("plot_*.py")}
    for path in (GENERATED / "tutorials").glob("plot_*"):
        if path.name.partition(".")[0] not in tutorials:
            path.unlink()


def rewrite_links(app: Sphinx, page: str, source: list[str]) -> None:
    """Make links into the repository those of the site, in a page of `docs/`."""
    path = Path(app.env.doc2path(page))
    if path.suffix == ".md" and not path.is_relative_to(GENERATED):
        source[0] = links_of_the_site(source[0], path.parent, page)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of it."""
    app.connect("config-inited", write_pages)
    app.connect("source-read", rewrite_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
