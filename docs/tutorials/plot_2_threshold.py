"""
Thresholds and false alarms
===========================

A threshold is a statement about rows to come: how many normal ones are flagged. It is taken from rows that influenced
nothing in the fit, and moving it trains nothing.
"""

import numpy as np
import pandas as pd

from vae_anomaly import CalibrationDisplay, ThresholdDisplay, VAEDetector

# %%
# Data
# ----
# Three numbers that go together, and a hundred rows in which they do not.


def normal_rows(n, seed):
    random = np.random.default_rng(seed)
    size = random.normal(size=n)
    noise = random.normal(size=(3, n))
    return pd.DataFrame(
        {
            "length": 50 + 5 * size + noise[0],
            "width": 20 + 2 * size + 0.4 * noise[1],
            "weight": np.exp(1 + size / 3),
        }
    )


history, normal, anomalous = (
    normal_rows(6000, 0),
    normal_rows(3900, 1),
    normal_rows(100, 2),
)
anomalous["width"] = anomalous["width"].sample(frac=1, random_state=0).to_numpy()
anomalous["weight"] *= 2
new = pd.concat([normal, anomalous], ignore_index=True)
is_anomalous = np.arange(len(new)) >= len(normal)

detector = VAEDetector(calibration="split", random_state=0).fit(history)
print(detector.threshold_.sentence())

# %%
# What a rate costs
# -----------------
# For each rate of false alarms: the threshold, what is expected, and what holds with 95 % confidence.

table = detector.threshold_table()
table

# %%
# What is promised can be looked at: the band reaches to the bound that holds with 95 % confidence; with rows that the
# detector has not seen, the measured share of normal ones and of anomalies above each threshold stands beside it.

ThresholdDisplay.from_estimator(detector, new, is_anomalous)

# %%
# Move it
# -------
# One false alarm in a hundred normal rows, kept by this very model with 95 % confidence; or a budget of alerts.

detector.set_threshold(false_alarm_rate=0.01, confidence=0.95)
print(detector.threshold_.sentence())
detector.set_threshold(n_alerts=20, per=5_000)
print(detector.threshold_.sentence())

# %%
# A share of false alarms
# -----------------------
# Where a whole table is at hand, ask for the share of false alarms among what is chosen. ``select`` judges all rows
# together.

chosen = detector.select(new, fdr=0.2)
print(f"{chosen.sum()} rows chosen, {(chosen & ~is_anomalous).sum()} of them normal")

# %%
# P-values of normal rows are spread evenly, so that their share below any level is that level; those of anomalies are
# small.

CalibrationDisplay.from_estimator(detector, new, is_anomalous, scale="log")
