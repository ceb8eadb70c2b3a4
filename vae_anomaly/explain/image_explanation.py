"""Explanations of images, and values for their missing pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vae_anomaly.columns import Encoder
from vae_anomaly.data import Images, arranged
from vae_anomaly.explain.conditionals import expected_cells
from vae_anomaly.explain.explanation import ImageExplanation
from vae_anomaly.fitting import FittedModel, pixel_excess, score_rows, score_shares
from vae_anomaly.scores import additive_of


def explain_images(model: FittedModel[Encoder], images: Images) -> ImageExplanation:
    """Where images are anomalous."""
    encoder = model.image_encoder
    batch = encoder.encode(images)
    shares = score_shares(model.vae, batch, additive_of(model.score), model.noise)
    return ImageExplanation(
        score=-score_rows(model.vae, batch, model.score, model.noise).numpy(),
        threshold=-model.offset,
        excess=pixel_excess(model.vae, encoder.grid, batch, model.noise, shares.cells),
        contributions=(-shares.cells).numpy().reshape(len(batch), *encoder.shape),
        kl=shares.of_row.numpy(),
        reconstruction=encoder.decode(expected_cells(model.vae, batch, model.noise, weighted=False).numpy()),
        pixels=images.pixels,
    )


def impute_images(model: FittedModel[Encoder], images: Images) -> npt.NDArray[Any]:
    """Images with their missing pixels predicted from the others, in the layout that they came in."""
    encoder = model.image_encoder
    batch = encoder.encode(images)
    expected = encoder.in_data_units(expected_cells(model.vae, batch, model.noise, weighted=True).numpy())
    observed = batch.observed.numpy().reshape(expected.shape)
    filled = np.where(observed, images.pixels, expected).astype(images.pixels.dtype)
    return arranged(filled, channels_last=images.channels_last, channel_axis=images.channel_axis)
