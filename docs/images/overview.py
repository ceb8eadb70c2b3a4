"""Draw the picture of the first page: `python docs/images/overview.py`; about ten seconds."""

import warnings
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from vae_anomaly import ColumnSetAsideWarning, VAEDetector
from vae_anomaly_datasets import load_thyroid_sick

FOLDER = Path(__file__).parent
LIGHT = {"text": "#1f2937", "bars": "#3572b0", "line": "#c2410c"}
DARK = {"text": "#d1d5db", "bars": "#6aa5dd", "line": "#fb923c"}


def main() -> None:
    """Score rows that were not fitted, and explain the most anomalous one."""
    warnings.simplefilter("ignore", ColumnSetAsideWarning)
    X, _ = load_thyroid_sick()
    history, new = X.iloc[:2800], X.iloc[2800:]
    detector = VAEDetector(random_state=0).fit(history)
    scores = detector.anomaly_score(new)
    most = scores.argmax()
    explanation = detector.explain(new.iloc[[most]])
    cells = explanation.contributions.iloc[0].sort_values(ascending=False).head(5)
    observed = new.iloc[most]
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "vae-anomaly", "font.size": 10})
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        mpl.rcParams.update(
            dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), colours["text"])
        )
        mpl.rcParams["axes.edgecolor"] = colours["text"]
        fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), width_ratios=(1.2, 1), layout="constrained")
        left.hist(scores, bins=60, color=colours["bars"], log=True)
        left.axvline(detector.threshold_.score, color=colours["line"], linestyle="--")
        left.text(
            detector.threshold_.score + 1, 60, f"threshold: {detector.threshold_.score:.1f} nats", color=colours["line"]
        )
        left.set(xlabel="score of a row (nats)", ylabel="rows", title=f"{len(new)} new rows")
        labels = [f"{column} = {observed[column]}" for column in cells.index]
        right.barh(labels[::-1], cells[::-1], color=colours["bars"])
        right.set(xlabel="nats that the cell costs", title=f"why one of them has {scores[most]:.0f} nats")
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        fig.savefig(FOLDER / f"overview_{name}.svg", transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main()
