"""What was measured of detectors side by side, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vae_anomaly.caching import cached_property
from vae_anomaly.comparison.intervals import Difference, ScoredRows, auroc_difference
from vae_anomaly.comparison.verdicts import Rival, Verdict, confidence_of_each, verdict_of
from vae_anomaly.display import ComparisonDisplay, Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_NAMED = 6
MEASURES = ("auroc", "average_precision", "precision_at_n", "fit_seconds", "score_seconds")


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Detectors side by side, as `compare` measured them.

    Parameters
    ----------
    methods : tuple of str
        Their names; the others are compared with the first.
    measures : DataFrame
        A row for each method, setting and split: numbers of rows, AUROC, average precision, precision among as many
        rows as there are anomalies, what of the detector made the scores (`score_samples`, or `training_scores_` and
        the like for the rows of the fit), and seconds.
    scores : DataFrame
        Anomaly scores, higher is more anomalous: a row for each setting, split and scored row, a column per method.
    """

    methods: tuple[str, ...]
    measures: pd.DataFrame
    scores: pd.DataFrame

    def _summary(self) -> str:
        names = ", ".join(self.methods[:MAX_NAMED]) + (", ..." if len(self.methods) > MAX_NAMED else "")
        best = [f"{setting}: {self._rivals[setting][0]}" for setting in self.settings]
        return f"{len(self.methods)} methods: {names}; highest AUROC in {', in '.join(best)}"

    def _table(self) -> pd.DataFrame:
        names = ["setting", "method", "auroc", "average_precision", "difference", "lower", "upper", "standing"]
        return self.summary[names]

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that were measured."""
        return tuple(self.measures["setting"].unique())

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row for each setting and method, the highest mean AUROC first, and what made its scores (`scored_by`).

        Beside the means and the standard deviations over the splits (`_sd`) it has the mean AUROC less that of the
        first method (`difference`), its limits (`lower`, `upper`), the splits in which it is ahead (`n_ahead`), and its
        `standing`: "better" or "worse" than the first if the interval leaves 0 out and all splits agree, otherwise
        "unclear". The intervals of a setting hold together with a probability of 95 %.
        """
        rows = []
        for setting in self.settings:
            of_setting = self.measures[self.measures["setting"] == setting]
            for rival in self._rivals[setting]:
                part = of_setting[of_setting["method"] == rival.method]
                row: dict[str, Any] = {"setting": setting, "method": rival.method}
                row["scored_by"] = part["scored_by"].iloc[0]
                for name in MEASURES:
                    row |= {name: float(part[name].mean()), f"{name}_sd": float(part[name].std(ddof=1))}
                found, compared = rival.difference, rival.method != self.methods[0]
                row |= {"difference": found.mean, "lower": found.lower, "upper": found.upper}
                row |= {"n_ahead": rival.n_ahead, "standing": rival.standing if compared else "first"}
                rows.append(row)
        columns: dict[str, Any] = {
            "difference": float,
            "lower": float,
            "upper": float,
            "n_ahead": "Int64",
            "standing": object,
        }
        summary = pd.DataFrame(rows)
        return summary.reindex(columns=list(dict.fromkeys([*summary.columns, *columns]))).astype(columns)

    def difference(self, setting: str, method: str, other: str | None) -> Difference:
        """Mean AUROC of a method less that of another, with an interval.

        Parameters
        ----------
        setting : str
            One of `settings`.
        method : str
            One of `methods`.
        other : str or None
            Another; None is chance, an AUROC of one half.

        Returns
        -------
        Difference
            With an interval so wide that those of all methods but the first hold together at 95 %.
        """
        splits = [
            ScoredRows(
                part["row"].to_numpy(),
                part["is_anomaly"].to_numpy(dtype=bool),
                part[method].to_numpy(),
                np.zeros(len(part)) if other is None else part[other].to_numpy(),
            )
            for _, part in self.scores[self.scores["setting"] == setting].groupby("split")
        ]
        return auroc_difference(splits, confidence_of_each(len(self.methods) - 1))

    def verdict(self, setting: str) -> Verdict:
        """Which detector to take in a setting.

        A detector counts as better than another only if the interval of the mean difference of their AUROCs leaves 0
        out and it is ahead in every split; with too few anomalies for that there is no verdict.

        Parameters
        ----------
        setting : str
            One of `settings`.

        Returns
        -------
        Verdict
        """
        rivals = self._rivals[setting]
        (first,) = (rival for rival in rivals if rival.method == self.methods[0])
        counts = self.measures[self.measures["setting"] == setting].iloc[0]
        n_anomalies = int(counts["n_anomalies"])
        others = [rival for rival in rivals if rival is not first]
        n_smaller = min(n_anomalies, int(counts["n_scored"]) - n_anomalies)
        return verdict_of(first, others, n_smaller, above_chance=self._above_chance(setting, rivals))

    def plot(self, setting: str | None = None, *, ax: Axes | None = None) -> ComparisonDisplay:
        """Draw the mean AUROCs of a setting, with intervals of their differences from the first method.

        Parameters
        ----------
        setting : str, optional
            One of `settings`; by default the first.
        ax : Axes, optional
            Where to draw; by default on a new figure.
        """
        return ComparisonDisplay.from_comparison(self, setting, ax=ax)

    def _above_chance(self, setting: str, rivals: tuple[Rival, ...]) -> bool:
        return any(self.difference(setting, rival.method, None).lower > 0 for rival in rivals)

    @cached_property
    def _rivals(self) -> dict[str, tuple[Rival, ...]]:
        """Detectors by setting, the highest mean AUROC first, equal ones in the given order."""
        found: dict[str, tuple[Rival, ...]] = {}
        for setting in self.settings:
            of_setting = self.measures[self.measures["setting"] == setting]
            rivals = []
            for method in of_setting["method"].unique():
                part = of_setting[of_setting["method"] == method]
                rivals.append(
                    Rival(
                        method,
                        float(part["auroc"].mean()),
                        float(part["average_precision"].mean()),
                        float(part["fit_seconds"].mean() + part["score_seconds"].mean()),
                        self.difference(setting, method, self.methods[0]),
                    )
                )
            found[setting] = tuple(sorted(rivals, key=lambda rival: -rival.auroc))
        return found
