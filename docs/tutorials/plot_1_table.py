"""
A table, from fit to reasons
============================

A table of patients with text, flags, numbers and missing cells goes in as it is; out come scores, flags and reasons.
"""

from vae_anomaly import ScoreDisplay, VAEDetector
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
# Most rows cost about 20 nats; the flagged ones are right of the threshold.

ScoreDisplay.from_estimator(detector, new)

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
# From what a typical row costs to what this one costs, cell by cell.

explanation.plot()

# %%
# Which kinds of alerts there are
# -------------------------------
# Flagged rows sorted by the cells that are out of place in them.

for sentence in detector.patterns(new).sentences()[:3]:
    print("-", sentence)
