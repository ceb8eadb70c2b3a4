"""
Review and learn
================

What is rare is not always what you look for. ``review`` proposes rows, a person answers, and ``learn`` adds to the
score what the answers say of columns, directions and levels. Nothing is trained again.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.metrics import average_precision_score

from vae_anomaly import VAEDetector
from vae_anomaly_datasets import load_cardiotocography

# %%
# Recordings of fetal hearts, of which a fifth are suspect. Half are the history, the first 600 others are reviewed, and
# the rest are kept to see what was learned.

X, y = load_cardiotocography()
history, later = X.iloc[::2], X.iloc[1::2]
reviewed, kept = later.iloc[:600], later.iloc[600:]
detector = VAEDetector(random_state=0).fit(history)

# %%
# Five rounds of 20 rows
# ----------------------
# Here the labels of the data set answer for the person. ``learn`` takes all answers so far.

looked_at = pd.Index([], dtype=int)
found, precision = [], []
for n_rounds in range(6):
    if n_rounds:
        looked_at = looked_at.append(detector.review(reviewed, k=20).index)
        detector.learn(reviewed.loc[looked_at], y[looked_at], calibration=reviewed)
    found.append(y[looked_at].sum())
    precision.append(
        average_precision_score(y[kept.index], detector.anomaly_score(kept))
    )

by_score = (
    pd.Series(detector.likelihood_score(reviewed), reviewed.index).nlargest(100).index
)
print(
    f"{found[-1]} anomalies among 100 rows reviewed,"
    f" {y[by_score].sum()} among the 100 most anomalous by the score alone"
)

# %%
n_looked_at = range(0, 101, 20)
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
left.plot(n_looked_at, found, marker="o", color="#c2410c", label="review and learn")
left.plot(
    [0, 100],
    [0, y[by_score].sum()],
    color="gray",
    linestyle="--",
    label="by the score alone",
)
left.set(xlabel="rows looked at", ylabel="anomalies found")
left.legend(frameon=False)
right.plot(n_looked_at, precision, marker="o", color="#3572b0")
right.set(
    xlabel="rows looked at", ylabel="average precision on other rows", ylim=(0, 1)
)

# %%
# What was learned
# ----------------
# It can be read, turned off, and taken back.

for sentence in detector.learned_.sentences():
    print("-", sentence)

# %%
detector.forget_answers()
print(
    average_precision_score(y[kept.index], detector.anomaly_score(kept)) == precision[0]
)
