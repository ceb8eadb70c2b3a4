"""
Thresholds and false alarms
===========================

A threshold is a statement about rows to come: how many normal ones are flagged. It is taken from rows that influenced
nothing in the fit, and moving it trains nothing.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from vae_anomaly import VAEDetector

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
# What is promised can be looked at: of normal rows that the detector has not seen, the share above each threshold.

scores = detector.anomaly_score(new)
usable = table.dropna(subset=["threshold"])
measured = [
    (scores[~is_anomalous] > threshold).mean() for threshold in usable["threshold"]
]
found = [(scores[is_anomalous] > threshold).mean() for threshold in usable["threshold"]]

fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
left.loglog(
    usable.index, usable.index, color="gray", linestyle="--", label="as promised"
)
left.loglog(
    usable.index,
    np.maximum(measured, 1e-4),
    marker="o",
    color="#3572b0",
    label="measured",
)
left.set(xlabel="rate of false alarms asked for", ylabel="rate among new normal rows")
left.legend(frameon=False)
right.semilogx(usable.index, found, marker="o", color="#c2410c")
right.set(
    xlabel="rate of false alarms asked for",
    ylabel="share of anomalies found",
    ylim=(0, 1.05),
)

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
# P-values of normal rows are spread evenly; those of anomalies are small.

p_values = detector.p_values(new)
fig, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.hist(
    [p_values[~is_anomalous], p_values[is_anomalous]],
    bins=20,
    stacked=True,
    color=["#3572b0", "#c2410c"],
)
axes.set(xlabel="p-value", ylabel="rows")
axes.legend(["normal", "anomalous"], frameon=False)
