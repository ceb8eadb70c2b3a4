"""What all figures share: axes to draw on, styles, and the detector behind an estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_anomaly.data import FloatArray
from vae_anomaly.errors import DataError, NotInstalled, SpecificationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.legend import Legend

# Colours of the style in use, by their places in its cycle: blue and orange by default, which differ in lightness, too.
FIRST, SECOND, THIRD = "C0", "C1", "C2"
# What tells bars apart where there are no colours.
HATCH = "////"
MAX_POINTS = 1_000

Style = Mapping[str, Any]


def drawn_on(ax: Axes | None) -> tuple[Axes, Figure | SubFigure]:
    """The axes to draw on, and their figure: new ones if there are none.

    Raises
    ------
    NotInstalled
        Without matplotlib.
    """
    if ax is not None:
        return ax, ax.figure
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise NotInstalled("matplotlib", "plot") from error
    figure, ax = plt.subplots(layout="constrained")
    return ax, figure


def figure_of(n_axes: int) -> tuple[Figure, tuple[Axes, ...]]:
    """A new figure with axes side by side."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise NotInstalled("matplotlib", "plot") from error
    figure, axes = plt.subplots(1, n_axes, layout="constrained", squeeze=False, figsize=(3.6 * n_axes, 3.8))
    return figure, tuple(axes[0])


def text_colour() -> str:
    """The colour of text in the style in use: of lines that are no data."""
    import matplotlib as mpl

    return str(mpl.rcParams["text.color"])


def styled(defaults: Style, given: Style | None) -> dict[str, Any]:
    """A style with what was asked for in the place of its defaults, whatever alias of matplotlib's names it."""
    from matplotlib import cbook
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    styles = []
    for style in (defaults, given or {}):
        of_lines = cbook.normalize_kwargs(dict(style), Line2D)
        styles.append(cbook.normalize_kwargs(of_lines, Patch))
    return {**styles[0], **styles[1]}


def behind(estimator: Any) -> Any:
    """The detector in a pipeline or a search, or the estimator itself."""
    while True:
        inner = getattr(estimator, "best_estimator_", None)
        if inner is None and hasattr(estimator, "steps"):
            inner = estimator.steps[-1][1]
        if inner is None:
            return estimator
        estimator = inner


def as_given_to(estimator: Any, X: Any) -> Any:
    """Rows as the steps of a pipeline hand them to its detector."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    return estimator[:-1].transform(X) if hasattr(estimator, "steps") and len(estimator.steps) > 1 else X


def name_of(estimator: Any, name: str | None) -> str:
    """What a legend calls the estimator."""
    return type(estimator).__name__ if name is None else name


def numbers(values: Any, what: str, n_rows: int | None = None) -> FloatArray:
    """Numbers of rows, flat.

    Raises
    ------
    DataError
        If they have several axes, or not one entry for each row.
    """
    found: FloatArray = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or (n_rows is not None and len(found) != n_rows):
        expected = "one number each was expected" if n_rows is None else f"({n_rows},) was expected"
        raise DataError(f"{what} have the shape {found.shape}; {expected}.")
    return found


def thinned(values: FloatArray, most: int = MAX_POINTS) -> FloatArray:
    """Sorted values, and of many every so many and the ends: no eye tells a curve through these from one through all.

    Examples
    --------
    >>> thinned(np.arange(101.0), 5).tolist()
    [0.0, 25.0, 50.0, 75.0, 100.0]
    """
    if len(values) <= most:
        return values
    chosen: FloatArray = values[np.linspace(0, len(values) - 1, most).round().astype(int)]
    return chosen


def plain_text(ax: Axes) -> None:
    """Take dollar signs in what data is called for themselves, and not for mathematics."""
    for text in [*ax.get_xticklabels(), *ax.get_yticklabels(), ax.title]:
        text.set_parse_math(False)
    legend = ax.get_legend()
    if legend is not None:
        plain_legend(legend)


def plain_legend(legend: Legend) -> None:
    """Take dollar signs in the names of detectors for themselves; ticks of logarithmic axes are mathematics."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def shortened(text: str, most: int = 40) -> str:
    r"""Text on one line, and of long text its beginning.

    Examples
    --------
    >>> shortened("two\nlines"), shortened("abcdef", 4)
    ('two lines', 'abc…')
    """
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def one_row(X: Any, row: int) -> Any:
    """One row of a table, or one image, in the container that holds them.

    Raises
    ------
    SpecificationError
        If there is none at this position.
    """
    n_rows = len(X) if hasattr(X, "__len__") else X.shape[0]
    if not -n_rows <= row < n_rows:
        raise SpecificationError(f"there is no row {row} among {n_rows}; rows are counted from 0.")
    place = slice(row % n_rows, row % n_rows + 1)
    return X.iloc[place] if hasattr(X, "iloc") else X[place]
