"""
Images with heat maps
=====================

Learn from images of normal things, score others, and see where they differ.
"""

import matplotlib.pyplot as plt

from vae_anomaly import VAEDetector
from vae_anomaly_datasets import ankle_boots_folder

# %%
# Fit
# ---
# 300 images of ankle boots from Fashion-MNIST, 28 x 28 pixels, ship with the data sets. A folder, a list of files or
# an array can be given.

folder = ankle_boots_folder()
good = sorted((folder / "good").glob("*.png"))
detector = VAEDetector(max_iter=600, random_state=0).fit(good[:300])

# %%
# Score
# -----
# New images are boots, bags, dresses, sandals and sneakers. The score is a surprise, in nats: minus the logarithm of
# the share of training images that are at least as anomalous.

new = sorted((folder / "new").rglob("*.png"))
kinds = [path.parent.name for path in new]
scores = detector.anomaly_score(new)

names = sorted(set(kinds), key=lambda name: (name != "boot", name))
fig, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for height, name in enumerate(names):
    of_kind = [score for score, kind in zip(scores, kinds, strict=True) if kind == name]
    axes.scatter(
        of_kind,
        [height] * len(of_kind),
        alpha=0.6,
        color="#3572b0" if name == "boot" else "#c2410c",
    )
axes.axvline(detector.threshold_.score, color="gray", linestyle="--")
axes.set(xlabel="anomaly score (nats)", yticks=range(len(names)), yticklabels=names)

# %%
# Where they differ
# -----------------
# For each pixel: the nats by which it is less likely than it could be. Small images are named by the pixels that stand
# out; on larger ones ``PatchDetector`` finds small defects.

shown = [
    next(path for path in new if path.parent.name == name) for name in ("boot", "bag")
]
explanation = detector.explain(shown)
explanation.plot(0)

# %%
# A bag is not a boot: what is expected, given what the encoder sees of it, is far from what is there.

explanation.plot(1)
