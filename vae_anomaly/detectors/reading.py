"""Reading: how text in tables is read, where its cells do not tell or mislead."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import StrOptions

from vae_anomaly.data import TextRules
from vae_anomaly.detectors.names import Decimal, Thousands
from vae_anomaly.errors import SpecificationError

DECIMALS = (".", ",")
THOUSANDS = (",", ".", " ", "'")


class Reading(BaseEstimator):
    """How a `VAEDetector` reads text, beyond what the cells themselves tell.

    Parameters
    ----------
    decimal : {".", ","}, default=None
        The decimal mark of numbers.  None goes by the cells of the column, then by those of the whole table; without
        any evidence 1.234 is 1.234 and 1,234 is 1234, with a warning.
    thousands : {",", ".", " ", "'"}, default=None
        The mark between thousands; a point makes the comma the decimal mark, and the other way round.
    date_format : str, default=None
        Of dates that are text, as ``pandas.to_datetime`` takes it: "%d/%m/%Y %H:%M".  None finds one format for each
        column; where no cell tells day from month, the month comes first beside slashes and the day else, with a
        warning.
    fold_case : bool, default=True
        Whether levels that differ in upper and lower case alone are one.

    Examples
    --------
    >>> from vae_anomaly import Reading, VAEDetector
    >>> VAEDetector().set_params(reading__decimal=",").reading
    Reading(decimal=',')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "decimal": [StrOptions(set(DECIMALS)), None],
        "thousands": [StrOptions(set(THOUSANDS)), None],
        "date_format": [str, None],
        "fold_case": ["boolean"],
    }

    def __init__(
        self,
        *,
        decimal: Decimal | None = None,
        thousands: Thousands | None = None,
        date_format: str | None = None,
        fold_case: bool = True,
    ) -> None:
        self.decimal = decimal
        self.thousands = thousands
        self.date_format = date_format
        self.fold_case = fold_case

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reading) and self.get_params() == other.get_params()

    # It can be changed.
    __hash__ = None  # type: ignore[assignment]

    def validate(self) -> None:
        """Refuse values that no reading can have.

        Raises
        ------
        ValueError
            If a parameter has one.
        SpecificationError
            If both marks are the same, or the format is none of a date.
        """
        self._validate_params()
        if self.decimal is not None and self.decimal == self.thousands:
            raise SpecificationError(
                f"decimal and thousands are both {self.decimal!r}; expected different marks. Leave one of them out."
            )
        form = self.date_format
        if form is not None and not (
            form == "ISO8601" or (any(part in form for part in ("%Y", "%y")) and any(p in form for p in MONTHS))
        ):
            raise SpecificationError(
                f"date_format is {form!r}; expected a format with a year and a month, such as '%d/%m/%Y' or "
                "'%Y-%m-%d %H:%M', or 'ISO8601'."
            )

    @property
    def rules(self) -> TextRules:
        """The same for those who read."""
        return TextRules(self.decimal, self.thousands, self.date_format, bool(self.fold_case))


MONTHS = ("%m", "%b", "%B", "%j")
