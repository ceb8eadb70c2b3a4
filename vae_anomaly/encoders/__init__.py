"""From user data to batches and back."""

from __future__ import annotations

from vae_anomaly.encoders.pictures import PictureEncoder, learn_channels
from vae_anomaly.encoders.specification import Encoder
from vae_anomaly.encoders.tables import TableEncoder

__all__ = ["Encoder", "PictureEncoder", "TableEncoder", "learn_channels"]
