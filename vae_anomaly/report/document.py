"""The page: one HTML file that needs nothing besides, and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import html
import math
import os
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from vae_anomaly.files import OutputFile
from vae_anomaly.report.charts import check_can_draw
from vae_anomaly.report.contents import Contents
from vae_anomaly.report.sections import SECTIONS
from vae_anomaly.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Report", "check_can_draw"]

# What no page may hold, or what turns the text around it: it becomes the sign for an unknown letter.
UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
FRAME_HEIGHT = 640


class Report:
    """A page of its own about scored rows: `save` it, or look at it in a notebook.

    Parameters
    ----------
    contents : Contents
        What it shows.

    Attributes
    ----------
    contents : Contents
        The same.
    """

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self._html: str | None = None

    def __repr__(self) -> str:
        scored = self.contents.scored
        rows = "" if scored is None else f", {len(scored):,} {self.contents.nouns}, {scored.n_flagged:,} flagged"
        return f"<Report {self.contents.title!r}{rows}; save(path) writes it>"

    def to_html(self) -> str:
        """Return the page."""
        if self._html is None:
            made = (section(self.contents) for section in SECTIONS.values())
            self._html = render(self.contents, [section for section in made if section is not None])
        return self._html

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file, whole or not at all.

        Parameters
        ----------
        path : path-like
            The file; one that is there is replaced.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        page = self.to_html().encode("utf-8")
        with OutputFile(path) as file:
            file.stream.write(page)

    def _repr_html_(self) -> str:
        page = html.escape(self.to_html(), quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts" title="{html.escape(fit_text(self.contents.title))}" '
            f'style="width:100%;height:{FRAME_HEIGHT}px;border:1px solid #8888;border-radius:6px"></iframe>'
        )


def render(contents: Contents, sections: list[Any]) -> str:
    """Lay out sections as a page."""
    script = _template("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        _environment()
        .get_template("report.html")
        .render(
            contents=contents,
            sections=sections,
            style=_template("report.css"),
            script=script,
            digest=digest,
            version=__version__,
        )
    )


def fit_text(text: str) -> str:
    r"""A text without what a page cannot hold, and without what turns the direction of the text around it.

    Examples
    --------
    >>> fit_text("a\x00b\u202ec")
    'a�b�c'
    """
    return UNFIT.sub("�", text)


def number_text(value: float, digits: int = 1) -> str:
    """A number for people; a dash where there is none.

    Examples
    --------
    >>> number_text(1234.56), number_text(float("nan")), number_text(float("inf")), number_text(0.04, 2)
    ('1,234.6', '–', '∞', '0.04')
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.3g}" if abs(value) >= 1e9 else f"{value:,.{digits}f}"


def p_text(value: float) -> str:
    """A p-value in two digits.

    Examples
    --------
    >>> p_text(0.0123), p_text(1e-7), p_text(1.0), p_text(float("nan"))
    ('0.012', '1e-07', '1', '–')
    """
    return "–" if math.isnan(value) else f"{value:.2g}"


def percent_text(share: float) -> str:
    """A share in per cent.

    Examples
    --------
    >>> percent_text(0.0123), percent_text(1.0), percent_text(float("nan"))
    ('1.23 %', '100 %', '–')
    """
    return "–" if math.isnan(share) else f"{100 * share:.3g} %"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: fit_text(value) if type(value) is str else value,
    )
    environment.filters |= {"nats": number_text, "p": p_text, "percent": percent_text}
    return environment


@cache
def _template(name: str) -> str:
    return (files("vae_anomaly.report") / "templates" / name).read_text(encoding="utf-8")
