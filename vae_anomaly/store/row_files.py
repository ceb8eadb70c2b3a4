"""Model files of `VAEDetector`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_anomaly.columns import Encoder, LevelRule, TableEncoder
from vae_anomaly.data import ColumnRoles
from vae_anomaly.detectors import VAEDetector, copied_parameters, defaults_for, resolved_baseline, resolved_prior
from vae_anomaly.explain import with_cell_reference
from vae_anomaly.store.answer_files import answers_entry, answers_tensors, with_answers
from vae_anomaly.store.baseline_files import baseline_entry, baseline_tensors, rebuilt_baseline
from vae_anomaly.store.decision_files import decisions_tensors, rebuilt_decisions
from vae_anomaly.store.manifest import (
    check_pixels,
    checked_map_scale,
    image_encoder_of,
    images_entry,
    manifest_head,
)
from vae_anomaly.store.models import check_sizes, model_entry, model_tensors, rebuilt_model
from vae_anomaly.store.values import LEVEL_HASHES, decode, decode_column, level_tensors

KIND = "rows"
BASELINE_PARAMETERS = ("baseline_by", "baseline_time", "baseline_units")


def row_manifest(detector: VAEDetector) -> dict[str, Any]:
    """What a model file says of a fitted detector, ready for JSON."""
    model, parameters = detector.model_, detector.fitted_parameters_
    defaults = defaults_for(parameters["preset"], images=model.takes_images)
    names = getattr(detector, "feature_names_in_", None)
    images = images_entry(model.image_encoder, detector.map_scale_) if model.takes_images else None
    baseline = model.encoder.baseline if isinstance(model.encoder, TableEncoder) else None
    if baseline is None:
        parameters = {name: value for name, value in parameters.items() if name not in BASELINE_PARAMETERS}
    return {
        **manifest_head(KIND, parameters, detector.n_features_in_, model.decisions, images, detector.column_roles_),
        "feature_names": None if names is None else [str(name) for name in names],
        "n_training_rows": model.report.n_rows,
        "level_rule": dataclasses.asdict(detector.level_rule_),
        **model_entry(model, parameters["activation"], resolved_prior(parameters["prior"], defaults)),
        **answers_entry(model),
        **({} if baseline is None else {"baseline": baseline_entry(baseline)}),
    }


def row_tensors(detector: VAEDetector) -> dict[str, Tensor]:
    """Weights, noise and what rows are compared with; explanations of images compare with no training cells."""
    model = detector.model_
    if not model.takes_images and model.reference_rows is not None:
        model = with_cell_reference(model)
    levels, decisions = level_tensors(model.encoder.columns), decisions_tensors(model.decisions)
    tensors = model_tensors(model) | levels | decisions | answers_tensors(model)
    if isinstance(model.encoder, TableEncoder) and model.encoder.baseline is not None:
        tensors |= baseline_tensors(model.encoder.baseline)
    return tensors


def rebuilt_rows(manifest: dict[str, Any], tensors: dict[str, Tensor], device: torch.device) -> VAEDetector:
    """The detector that a manifest and tensors describe.

    Raises
    ------
    LookupError, TypeError, ValueError, RuntimeError, AttributeError or ArithmeticError
        If they do not agree.
    """
    detector = VAEDetector(**{name: decode(value) for name, value in manifest["parameters"].items()})
    detector._validate_params()
    columns = tuple(
        decode_column(entry, tensors.get(f"{LEVEL_HASHES}{position}"))
        for position, entry in enumerate(manifest["columns"])
    )
    decisions, images = rebuilt_decisions(manifest["decisions"], tensors), manifest["images"]
    check_pixels(manifest, columns)
    check_sizes(manifest, tensors, columns, None if images is None else (images["height"], images["width"]))
    encoder: Encoder = image_encoder_of(images, columns) if images is not None else TableEncoder(columns)
    wanted = resolved_baseline(detector.baseline_by, detector.baseline_time, detector.baseline_units)
    if (wanted is not None) != ("baseline" in manifest) or (wanted is not None and images is not None):
        raise ValueError("the parameters name a baseline and the file has none, or the other way round")
    if wanted is not None:
        encoder = TableEncoder(columns, rebuilt_baseline(manifest["baseline"], tensors, columns, wanted))
    map_scale = None if images is None else checked_map_scale(images)
    model = rebuilt_model(manifest, tensors, encoder, device, decisions=decisions, map_scale=map_scale)
    detector.model_ = with_answers(model, manifest.get("answers"), tensors)
    detector.fitted_parameters_ = copied_parameters(detector)
    detector.n_features_in_ = int(manifest["n_features"])
    detector.column_roles_ = ColumnRoles.of(manifest["column_roles"])
    if manifest.get("level_rule") is not None:
        rule = manifest["level_rule"]
        detector.level_rule_ = LevelRule(int(rule["min_count"]), bool(rule["raw_values"]))
    if manifest["feature_names"] is not None:
        detector.feature_names_in_ = np.array(manifest["feature_names"], dtype=object)
    return detector
