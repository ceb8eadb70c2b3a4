"""Pages that the build writes."""

from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
GENERATED = DOCS / "generated"


def write(path: Path, text: str) -> None:
    """Write a page where it differs from what is there, so that an unchanged one is not read again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def remove_others(folder: Path, names: set[str]) -> None:
    """Remove pages of earlier builds that are none of these, or Sphinx would miss them in its tables of contents."""
    for path in folder.glob("*.*"):
        if path.name not in names:
            path.unlink()
