"""A detector that reports on rows: a page for people who have no Python."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from vae_anomaly.data import anomalous
from vae_anomaly.detectors.calibrated import CalibratedDetectorMixin
from vae_anomaly.detectors.containers import as_rows, row_labels
from vae_anomaly.detectors.inputs import is_files, open_files
from vae_anomaly.errors import SpecificationError
from vae_anomaly.model import own_settings
from vae_anomaly.report import MAX_COMPARED, MAX_PICTURES, MAX_TOP, TOP, Reading, Report, ReportBuilder

SEED_OF_SAMPLE = 0
PER_BATCH = 8


class ReportedDetectorMixin(CalibratedDetectorMixin):
    """A detector of rows of a table, or of images, that reports on them."""

    @own_settings()
    def report(
        self, X: Any, y: Any = None, *, top: int = TOP, redact: bool = False, title: str | None = None
    ) -> Report:
        """Score rows or images, and make a page of what was found: one HTML file that needs nothing besides.

        The page has the scores and the threshold with the false alarms to expect, the most anomalous rows with
        their reasons, to search, sort and open, patterns of flagged rows, columns beside those of the training,
        calibration, and the diagnosis of the fit; with labels, how well scores agree with them; of images, the most
        anomalous with maps of where they are so.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes.
        y : array-like of shape (rows,), optional
            Labels: 1 or True for anomalies, or -1 where there are 1 and -1. They are compared with, and nothing else.
        top : int, default=200
            How many of the most anomalous rows are shown, up to 2,000; of images 48 at most.
        redact : bool, default=False
            Whether raw values are left out: what cells hold, levels, dates, names of rows and files, images.
            Names of columns, nats, shares and rounded ranges stay.
        title : str, optional
            Of the page.

        Returns
        -------
        Report
            Its `save` writes the page, `to_html` returns it, and a notebook shows it.

        Raises
        ------
        NotInstalled
            If matplotlib is missing.
        SpecificationError
            If `top` is no number of rows, or `y` are no labels.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(300, 2))
        >>> detector = VAEDetector(max_iter=50, early_stopping=False).fit(X)
        >>> report = detector.report(X, title="First look")
        >>> report.to_html().startswith("<!doctype html>")
        True
        """
        check_is_fitted(self)
        if isinstance(top, bool) or not isinstance(top, Integral) or not 1 <= top <= MAX_TOP:
            raise SpecificationError(f"top is a number of rows from 1 to {MAX_TOP:,}, not {top!r}")
        encoder = getattr(self, "encoder_", None)
        of_images = encoder is None or encoder.takes_images
        noun = "image" if of_images else "row"
        builder = ReportBuilder(
            self, title=title or f"Anomalous {noun}s", noun=noun, top=int(top), redact=redact, numbered_from=0
        )
        X = _listed(X, self) if of_images else as_rows(X)
        found = self.decide(X)
        builder.add(found["anomaly_score"], found["p_value"], found["is_anomaly"])
        if y is not None:
            builder.label(anomalous(y, len(found)))
        if not of_images:
            self._report_rows(X, builder)
        elif encoder is not None:
            self._report_images(X, builder)
        return builder.finish(
            Reading(f"{type(X).__name__} of {len(found):,} {noun}s", f"{type(self).__name__}, fitted before")
        )

    def _report_rows(self, X: Any, builder: ReportBuilder) -> None:
        n_rows = len(builder.scored)
        labels = row_labels(X, n_rows)
        named = not isinstance(labels, pd.RangeIndex)
        top, alerts = builder.top_rows(), builder.alerts()
        builder.explain(_taken(X, top), top, names=_names(labels, top) if named else None)
        if len(alerts):
            find: Any = self
            patterns = find.patterns(_taken(X, alerts), np.ones(len(alerts), dtype=np.bool_))
            builder.sort(patterns, alerts, names=_names(labels, alerts) if named else None)
        rng = np.random.default_rng(SEED_OF_SAMPLE)
        some = np.sort(rng.permutation(np.flatnonzero(~np.isnan(builder.scored.scores)))[:MAX_COMPARED])
        builder.compare(_taken(X, some))

    def _report_images(self, X: Any, builder: ReportBuilder) -> None:
        if builder.redact:
            return
        detector: Any = self
        scored = builder.scored
        top = builder.top_rows()[:MAX_PICTURES]
        for start in range(0, len(top), PER_BATCH):
            rows = top[start : start + PER_BATCH]
            explained = detector.explain(_taken(X, rows))
            for row, pixels, nats in zip(rows.tolist(), explained.pixels, explained.excess, strict=True):
                builder.show(
                    pixels,
                    nats,
                    detector.map_scale_,
                    name=str(X[row]) if is_files(X) else f"image {row}",
                    score=float(scored.scores[row]),
                    is_flagged=bool(scored.flags[row]),
                )


def _listed(X: Any, detector: Any) -> Any:
    """Images one by one: the files of a folder as their names."""
    if not is_files(X):
        return X
    has_encoder = getattr(detector, "encoder_", None) is not None
    return [str(path) for path in open_files(X, detector.image_format_).paths] if has_encoder else X


def _taken(X: Any, rows: npt.NDArray[np.intp]) -> Any:
    """Some rows, in the container that they came in."""
    if isinstance(X, pd.DataFrame):
        return X.iloc[rows]
    return [X[row] for row in rows.tolist()] if isinstance(X, list | tuple) else X[rows]


def _names(labels: pd.Index[Any], rows: npt.NDArray[np.intp]) -> Sequence[str]:
    return [str(label) for label in labels[rows]]
