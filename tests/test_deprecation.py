"""Names of the version before still work, and say their new name."""

import numpy as np
import pandas as pd
import pytest

import vae_anomaly
from vae_anomaly import FeatureMapDetector, ImageExplanation, ImageFeatures, PatchDetector, VAEDetector
from vae_anomaly.explain import Explanation
from vae_anomaly.fitting import FitReport

OF_CLASSES = [
    (Explanation, "strangeness", "cell_scores"),
    (ImageExplanation, "strangest_pixels", "top_pixels"),
    (VAEDetector, "picture_format_", "image_format_"),
    (PatchDetector, "picture_format_", "image_format_"),
    (PatchDetector, "reading_", "reduction_"),
    (FitReport, "n_rows_a_member", "n_rows_per_member"),
    (ImageFeatures, "picture_format_", "image_format_"),
    (FeatureMapDetector, "picture_format_", "image_format_"),
]


@pytest.mark.parametrize(("owner", "old", "new"), OF_CLASSES)
def test_old_attribute_is_the_new_one(owner, old, new):
    class Named(owner):
        pass

    setattr(Named, new, "what the new name holds")
    with pytest.warns(DeprecationWarning, match=f"Named.{old} is now called {new}") as caught:
        assert getattr(Named.__new__(Named), old) == "what the new name holds"
    assert caught[0].filename == __file__


def test_old_name_of_a_class_is_the_new_one():
    with pytest.warns(DeprecationWarning, match="PictureExplanation is now called ImageExplanation") as caught:
        assert vae_anomaly.PictureExplanation is ImageExplanation
    assert caught[0].filename == __file__


def test_old_names_are_not_among_the_public_ones():
    assert "PictureExplanation" not in vae_anomaly.__all__
    assert "PictureExplanation" not in dir(vae_anomaly)


def test_model_of_a_table_has_no_image_format_under_the_old_name_either():
    model = VAEDetector(n_estimators=1, max_iter=2).fit(pd.DataFrame({"a": np.arange(50.0) ** 1.5}))
    with pytest.warns(DeprecationWarning, match="image_format_"):
        assert model.picture_format_ is None
