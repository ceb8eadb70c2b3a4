"""
A table, from fit to reasons
============================

A table of patients with text, flags, numbers and missing cells goes in as it is; out come scores, flags and reasons.
"""

import matplotlib.pyplot as plt

from vae_anomaly import VAEDetector
from vae_anomaly_datasets import load_thyroid_sick

X, y = load_thyroid_sick()
history, new = X.iloc[:2800].drop(columns="TBG"), X.iloc[2800:].drop(columns="TBG")
history.iloc[:3, :8]

# %%
# ``TBG`` holds no value here; left in, it would be set aside with a warning. ``y`` says who is sick: ``fit`` never sees
# it.
#
# Fit
# ---
# A second or two: four small autoencoders are trained at once. What each column was taken for can be looked at.

detector = VAEDetector(random_state=0).fit(history)
for column in detector.columns_[:4]:
    print(column.name, column.kind)

# %%
# Score
# -----
# ``decide`` gives the score in nats (higher is more anomalous), the p-value, and the flag. The threshold says how many
# normal rows it expects to flag.

judged = detector.decide(new)
print(detector.threshold_.sentence())
judged.sort_values("anomaly_score", ascending=False).head()

# %%
threshold = detector.threshold_.score
fig, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
axes.hist(judged["anomaly_score"], bins=80, color="#3572b0")
axes.axvline(
    threshold, color="#c2410c", linestyle="--", label=f"threshold, {threshold:.1f} nats"
)
axes.set(xlabel="anomaly score (nats)", ylabel="rows", yscale="log")
axes.legend(frameon=False)

# %%
# Reasons
# -------
# A score is the sum of what the cells of the row cost, and of its KL, which belongs to no single cell. What is expected
# of a cell comes from the other cells of the row.

most = judged["anomaly_score"].idxmax()
explanation = detector.explain(new.loc[[most]])
print(explanation.top(3)[0])
explanation.to_frame(5)

# %%
costs = explanation.contributions.iloc[0].sort_values(ascending=False).head(8)[::-1]
fig, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
axes.barh(costs.index, costs, color="#3572b0")
axes.set(xlabel="nats that the cell costs")

# %%
# Which kinds of alerts there are
# -------------------------------
# Flagged rows sorted by the cells that are out of place in them.

for sentence in detector.patterns(new).sentences()[:3]:
    print("-", sentence)
