"""What an analyst asks of a fitted detector: which kinds of alerts there are, and what would not be noticed."""

from __future__ import annotations

import abc
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from vae_anomaly.columns import Encoder, TableEncoder
from vae_anomaly.data import FloatArray, Table
from vae_anomaly.decisions import Calibration, FalseAlarmRate
from vae_anomaly.detectors.calibrated import CalibratedDetectorMixin
from vae_anomaly.detectors.containers import as_rows
from vae_anomaly.detectors.inputs import new_seed, read_table
from vae_anomaly.errors import DataError, NotAvailable, SpecificationError
from vae_anomaly.explain import Patterns, Sensitivity, find_patterns, find_sensitivity
from vae_anomaly.fitting import FittedModel, score_rows
from vae_anomaly.model import own_settings

MICROSECONDS = 86_400_000_000


class ExaminedDetectorMixin(CalibratedDetectorMixin):
    """A detector of rows of a table whose alerts and blind spots can be looked at."""

    model_: FittedModel[Encoder]

    @own_settings()
    def patterns(self, X: Any, rows: Any = None, *, n_typical: int = 3, date: Any = None) -> Patterns:
        """Alerts by what is out of place in them: which cells, and on which side of what is expected.

        Rows are alike where the same cells cost nats, above what is typical of training rows, in the same direction,
        and by about as much; how anomalous a row is makes little difference.  How many patterns there are follows from
        the rows, without labels: average linkage of their profiles, cut at a cosine distance of 0.3.  Patterns have at
        least one in a hundred alerts, and there are at most 20; alerts that resemble none are left over.  The order
        of the rows makes no difference.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data.
        rows : bool array-like of shape (rows,), or int, optional
            Which of them are alerts, or how many of the most anomalous ones; by default those that `predict` flags.
        n_typical : int, default=3
            Typical rows of each pattern, those nearest to its middle.
        date : str or array-like of shape (rows,), optional
            The dates of the rows, or the column that has them, which the model need not know; by default its first
            column of dates.

        Returns
        -------
        Patterns
            Its `sentences` say what they are, `frame` has them as a table, and `labels` the pattern of each row.

        Raises
        ------
        SpecificationError
            If `rows` or `n_typical` is neither, or `date` is no column of dates.
        NotAvailable
            If the model takes images.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from vae_anomaly import VAEDetector
        >>> rows = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 2)), columns=["speed", "load"])
        >>> detector = VAEDetector(max_iter=100, early_stopping=False).fit(rows)
        >>> rows.loc[:9, "speed"] += 20
        >>> rows.loc[10:14, "load"] -= 20
        >>> patterns = detector.patterns(rows, rows.index < 15)
        >>> [(pattern.cells[0].column, pattern.cells[0].direction, pattern.count) for pattern in patterns.patterns]
        [('speed', 'above', 10), ('load', 'below', 5)]
        """
        check_is_fitted(self)
        if self.model_.takes_images:
            raise NotAvailable("the model takes images, whose alerts have no columns to be compared by; see explain.")
        if not _is_count(n_typical):
            raise SpecificationError(f"n_typical is a positive integer, not {n_typical!r}")
        X, dates = _dates(self.model_.table_encoder, as_rows(X), date)
        table = read_table(self, X, fitting=False)
        scores = self.anomaly_score(X)
        alerts = _alerts(rows, scores, self.threshold_.score)
        if isinstance(dates, str):
            position = table.names.index(dates)
            days = self.model_.table_encoder.columns[position].numbers(table, position)
            dates = (days * MICROSECONDS).round().astype("timedelta64[us]") + np.datetime64(0, "us")
        elif dates is not None and len(dates) != table.n_rows:
            raise SpecificationError(f"date has {len(dates):,} dates for {table.n_rows:,} rows. Give one for each.")
        return find_patterns(self._with_reference(), table, alerts, scores, int(n_typical), dates)

    @own_settings()
    def sensitivity(
        self,
        X: Any,
        false_alarm_rate: float = 0.01,
        *,
        power: float = 0.5,
        n_rows: int = 200,
        random_state: Any = 0,
    ) -> Sensitivity:
        """The smallest change of each column that is noticed, and what would not be: blind spots.

        One cell of normal rows is changed at a time: numbers and dates are shifted up and down, by doubling amounts
        until enough rows are above the threshold and then to within 5 %, levels are replaced by other ones and by an
        unknown one, cells are taken away, and values of other rows take their place, which breaks combinations alone.

        It does not tell which detector finds more of real anomalies, which change many cells at once: over detectors,
        what is noticed of planted changes and of real anomalies hardly goes together (Spearman's correlation .19).  Do
        not choose a model by it.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Normal rows that the model has not seen.
        false_alarm_rate : float, default=0.01
            Share of normal rows that may be alerts, in (0, 1): sets the threshold, by the calibration of the model, or
            by the rows given where it has none. `threshold_` stays as it is.
        power : float, default=0.5
            A change is noticed if so large a share of the rows is above the threshold with it, in (0, 1].
        n_rows : int, default=200
            Rows to change, at most; drawn from those that are no alerts before.
        random_state : int, RandomState, Generator or None, default=0
            Draws rows, levels and permutations; global state is not touched.

        Returns
        -------
        Sensitivity
            Its `frame` has the changes as a table, `sentences` one for each column, `not_noticed` the blind spots.

        Raises
        ------
        SpecificationError
            If a number is out of its range, or there are too few calibration rows for the rate.
        DataError
            If all rows are above the threshold before anything is changed.
        NotAvailable
            If the model takes images.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from vae_anomaly import VAEDetector
        >>> rows = pd.DataFrame(np.random.default_rng(0).normal(size=(1000, 2)) * [1, 100], columns=["speed", "load"])
        >>> detector = VAEDetector(max_iter=100, early_stopping=False).fit(rows[:700])
        >>> changes = detector.sensitivity(rows[700:], n_rows=50).frame().set_index(["column", "change"])
        >>> bool(2 < changes.amount["speed", "above"] < 5), bool(200 < changes.amount["load", "below"] < 500)
        (True, True)
        """
        check_is_fitted(self)
        if self.model_.takes_images:
            raise NotAvailable("the model takes images, whose pixels are not changed one by one; see explain.")
        rule = FalseAlarmRate(false_alarm_rate)
        if not (isinstance(power, Real) and not isinstance(power, bool) and 0 < power <= 1):
            raise SpecificationError(f"power is a share of rows, above 0 and up to 1, not {power!r}")
        if not _is_count(n_rows):
            raise SpecificationError(f"n_rows is a positive integer, not {n_rows!r}")
        model, table = self.model_, read_table(self, X, fitting=False)

        def score(rows: Table) -> FloatArray:
            batch = model.encoder.encode(rows, fingerprints=model.tells_copies)
            scores: FloatArray = -score_rows(model.vae, batch, model.score, model.noise).numpy()
            return scores

        scores = score(table)
        calibration = self.decisions_.calibration
        if calibration is not None and calibration.kind == "training":
            calibration = None
        threshold = rule.find(calibration or Calibration.of("split", [scores])).score
        normal = np.flatnonzero(scores <= threshold)
        if not len(normal):
            raise DataError(
                f"all {len(scores):,} rows are alerts before anything is changed (scores above {threshold:.6g} nats). "
                "Give normal rows, like those that the model was fitted on."
            )
        rng = np.random.default_rng(new_seed(random_state))
        chosen = np.sort(rng.permutation(normal)[: int(n_rows)])
        changes = find_sensitivity(
            model.table_encoder.columns, table.take(chosen), table, score, threshold, float(power), rng
        )
        return Sensitivity(
            changes,
            threshold,
            float(false_alarm_rate),
            by_calibration=calibration is not None,
            alarm_rate=1 - len(normal) / len(scores),
            power=float(power),
            n_rows=len(chosen),
        )

    @abc.abstractmethod
    def _with_reference(self, *, cells: bool = False) -> FittedModel[Encoder]:
        """The model with what explanations compare cells with, which the detector keeps."""


def _is_count(number: Any) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool) and int(number) >= 1


def _alerts(rows: Any, scores: npt.NDArray[np.float64], threshold: float) -> npt.NDArray[np.intp]:
    """Positions of the alerts, ascending."""
    if rows is None:
        return np.flatnonzero(scores > threshold)
    if _is_count(rows):
        return np.sort(np.argsort(-scores, kind="stable")[: int(rows)])
    chosen = np.asarray(rows)
    if chosen.dtype != bool or chosen.shape != scores.shape:
        raise SpecificationError(
            f"rows is a boolean for each of the {len(scores):,} rows, or a positive number of rows, not "
            f"{f'{chosen.dtype} of shape {chosen.shape}' if chosen.ndim else repr(rows)}."
        )
    return np.flatnonzero(chosen)


def _dates(encoder: TableEncoder, X: Any, date: Any) -> tuple[Any, str | npt.NDArray[np.datetime64] | None]:
    """Rows without a column of dates that the model does not know, and the dates, or the model's column of them."""
    names = [column.name for column in encoder.columns]
    known = [column.name for column in encoder.columns if column.kind == "datetime"]
    if date is None:
        return X, known[0] if known else None
    if not isinstance(date, str):
        cells = pd.Series(date)
        return X, _read_dates(cells, "date" if cells.name is None else str(cells.name))
    if date in known:
        return X, date
    if not isinstance(X, pd.DataFrame) or date not in X.columns:
        raise SpecificationError(f"date={date!r} is no column of X. Name one with dates, or leave it out.")
    return X if date in names else X.drop(columns=date), _read_dates(X[date], date)


def _read_dates(cells: pd.Series[Any], name: str) -> npt.NDArray[np.datetime64]:
    """Dates in universal time, without a zone."""
    is_read = cells.dtype.kind == "M"
    try:
        # Numbers would be read as nanoseconds.
        texts = cells if is_read else cells.astype("string")
        dates: Any = pd.to_datetime(texts, utc=True, format=None if is_read else "ISO8601")
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{name!r} holds {str(cells.iloc[0])!r} and others that are no dates",
            "expected dates like 2026-02-28. Convert them with pd.to_datetime.",
            column=name,
        ) from error
    found: npt.NDArray[np.datetime64] = dates.dt.tz_localize(None).to_numpy("datetime64[us]")
    return found
