"""What to fit, with every choice made: nothing here is optional, and nothing below asks what ``None`` means."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vae_anomaly.decisions import ThresholdRule
from vae_anomaly.fitting.partition import SplitConfig
from vae_anomaly.model import Backbone, Prior, TrainingConfig
from vae_anomaly.scores import Score


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the autoencoders.

    Parameters
    ----------
    n_members : int
        Autoencoders in the ensemble.
    latent_dim : int
        Latent variables of each.
    backbone : Backbone
        Bodies of encoder and decoder.
    hidden_layer_sizes : tuple of int
        Of the encoder; the decoder has them in reverse.
    activation : str
        Between layers.
    mask_input : bool
        Whether the encoder also reads which cells are missing or hidden, where any are.
    """

    n_members: int
    latent_dim: int
    backbone: Backbone
    hidden_layer_sizes: tuple[int, ...]
    activation: str
    mask_input: bool


@dataclass(frozen=True)
class FitConfig:
    """Everything that `fit_model` needs to know beside the rows, the encoder and the seed.

    Parameters
    ----------
    network : NetworkConfig
    training : TrainingConfig
    split : SplitConfig
    prior : Prior
        Fitted to the training rows after the training.
    score : Score
        What rows are scored by.
    threshold : ThresholdRule
        How the threshold is found.
    device : torch.device
        Where the arithmetic runs.
    matmul_precision : str
        In `vae_anomaly.model.PRECISIONS`, or `vae_anomaly.model.UNCHANGED`.
    """

    network: NetworkConfig
    training: TrainingConfig
    split: SplitConfig
    prior: Prior
    score: Score
    threshold: ThresholdRule
    device: torch.device
    matmul_precision: str
