"""Charts as SVG that a page takes up: text stays text, and colours are those of the page, light or dark."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from vae_anomaly.errors import NotInstalled
from vae_anomaly.report.blocks import Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that nothing else has, and the variables of the page that take their place.
INK, FAINT, PAPER = "#010203", "#010204", "#010205"
FIRST, SECOND, THIRD, FOURTH = "#010206", "#010207", "#010208", "#010209"
VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--line)",
    PAPER: "var(--paper)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
    FOURTH: "var(--fourth)",
}
WIDTH, HEIGHT = 5.6, 3.3
# Left, bottom, right and top, as shares of the drawing.
MARGINS = 0.13, 0.15, 0.97, 0.96
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "vae-anomaly",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": FAINT,
    "legend.frameon": True,
    "legend.facecolor": PAPER,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.8,
    "legend.fontsize": 9.0,
    "legend.labelcolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "hatch.color": PAPER,
    "lines.color": FIRST,
    "patch.facecolor": FIRST,
    "patch.edgecolor": PAPER,
}


def check_can_draw() -> None:
    """Refuse to begin work whose result could not be drawn.

    Raises
    ------
    NotInstalled
        If matplotlib is missing.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise NotInstalled("matplotlib", "plot")


@contextlib.contextmanager
def page_style() -> Iterator[None]:
    """Draw in the colours of the page."""
    import matplotlib as mpl
    from matplotlib.rcsetup import cycler

    with mpl.rc_context(
        mpl.rcParamsDefault | STYLE | {"axes.prop_cycle": cycler("color", [FIRST, SECOND, THIRD, FOURTH])}
    ):
        yield


def chart(name: str, title: str, caption: str, draw: Callable[[Axes], None]) -> Chart:
    """Draw on axes, and return the drawing.

    Parameters
    ----------
    name : str
        Begins the names of its elements, so that no two of a page are equal.
    title, caption : str
        What it shows, and what to see in it.
    draw : callable
        Draws.
    """
    from matplotlib.figure import Figure

    with page_style():
        figure = Figure(figsize=(WIDTH, HEIGHT))
        # A layout that measures all texts would draw everything twice.
        figure.subplots_adjust(*MARGINS)
        draw(figure.subplots())
        stream = io.BytesIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", metadata=metadata)
    return Chart(embedded(stream.getvalue().decode("utf-8"), name), title, caption)


def embedded(svg: str, name: str) -> str:
    """An SVG file as an element of a page: its own names, the page's colours and letters, and no size.

    Examples
    --------
    >>> embedded('<?xml version="1.0"?><svg width="9pt" viewBox="0 0 9 9"><g id="a" fill="#010203"/></svg>', "one")
    '<svg viewBox="0 0 9 9"><g id="one-a" fill="var(--ink)"/></svg>'
    """
    svg = svg[svg.index("<svg") :].strip()
    head, rest = svg.split(">", 1)
    svg = re.sub(r'\s(?:width|height|version|xmlns(?::xlink)?)="[^"]*"', "", head) + ">" + rest
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'xlink:href="#', f'href="#{name}-', svg)
    svg = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 sans-serif", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
