"""Draw the figures of figures.md: ``python docs/guide/draw_figures.py``, about a minute."""

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split

from vae_anomaly import (
    CalibrationDisplay,
    ComparisonDisplay,
    ExplanationDisplay,
    HeatmapDisplay,
    LatentDisplay,
    ScoreDisplay,
    ThresholdDisplay,
    TrainingDisplay,
    VAEDetector,
    compare,
)
from vae_anomaly_datasets import ankle_boots_folder, load_cardiotocography

FOLDER = Path(__file__).parent / "figures"


def keep(name: str) -> None:
    """Write the figure that was drawn last."""
    plt.gcf().savefig(FOLDER / f"{name}.png", dpi=90, metadata={"Software": None})
    plt.close("all")


def draw() -> None:
    """Draw all of them."""
    FOLDER.mkdir(exist_ok=True)
    X, y = load_cardiotocography()
    healthy = train_test_split(X[y == 0], test_size=0.4, random_state=0)[0]
    patients = X.drop(index=healthy.index)
    labels = y[patients.index]
    detector = VAEDetector().fit(healthy)

    ScoreDisplay.from_estimator(detector, patients, labels)
    keep("scores")
    ThresholdDisplay.from_estimator(detector, patients, labels)
    keep("thresholds")
    CalibrationDisplay.from_estimator(detector, patients, labels)
    keep("calibration")
    TrainingDisplay.from_estimator(detector)
    keep("training")
    LatentDisplay.from_estimator(detector, patients, labels)
    keep("latents")
    ill = patients[labels == 1]
    ExplanationDisplay.from_estimator(detector, ill, row=int(detector.anomaly_score(ill).argmax()))
    keep("explanation")
    ComparisonDisplay.from_comparison(compare(X, y))
    keep("comparison")

    boots = ankle_boots_folder()
    of_images = VAEDetector().fit(boots / "good")
    HeatmapDisplay.from_estimator(of_images, boots / "new" / "sneaker", row=2)
    keep("heatmap")


if __name__ == "__main__":
    draw()
