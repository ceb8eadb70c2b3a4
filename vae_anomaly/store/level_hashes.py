"""Detectors as a model file holds them: rare and long texts of training rows are known by keyed hashes."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from vae_anomaly.columns import Column, LevelRule, TableEncoder, with_hashed_levels
from vae_anomaly.data import HashedTexts, is_hashed, with_hashed
from vae_anomaly.decisions import Calibration, ColumnSample, Decisions
from vae_anomaly.detectors import FeatureMapDetector, PatchDetector, VAEDetector

DetectorT = TypeVar("DetectorT", VAEDetector, PatchDetector, FeatureMapDetector)


def with_level_hashes(detector: DetectorT, rule: LevelRule) -> DetectorT:
    """A detector with the same scores that knows rare and long texts by hashes; the one that is given stays as it is.

    Parameters
    ----------
    detector : VAEDetector, PatchDetector or FeatureMapDetector
        A fitted one.
    rule : LevelRule
        Which texts stay.
    """
    if not isinstance(detector, VAEDetector) or detector.model_.takes_images:
        return detector
    model = detector.model_
    columns, decisions = model.encoder.columns, model.decisions
    key = _known_key(columns, decisions) or _new_key(detector)
    hashed = tuple(with_hashed_levels(column, key, rule) for column in columns)
    by_name = {column.name: column for column in hashed}

    def changed(known: Decisions) -> Decisions:
        return dataclasses.replace(
            known,
            columns=tuple(_sample(sample, by_name.get(sample.name), key, rule) for sample in known.columns),
            calibration=None if known.calibration is None else _groups(known.calibration, key, rule),
        )

    answers = model.answers
    if answers is not None and answers.others is not None:
        answers = dataclasses.replace(answers, others=changed(answers.others))
    alike = copy.copy(detector)
    alike.model_ = dataclasses.replace(
        model, encoder=TableEncoder(hashed, model.table_encoder.baseline), decisions=changed(decisions), answers=answers
    )
    alike.level_rule_ = rule
    return alike


def _sample(sample: ColumnSample, column: Column | None, key: bytes, rule: LevelRule) -> ColumnSample:
    """What a column held in the calibration, for drift: levels that the column holds stay, and numbers by the rule."""
    if sample.kind == "values" and not rule.raw_values:
        return sample.without_values()
    if sample.kind != "levels" or column is None or not column.textual:
        return sample
    form = column.text_format
    stays = {level for level in (*column.levels, *column.rare) if not is_hashed(level)}
    kept = [level in stays and not is_hashed(level) for level in sample.levels]
    folded = form is not None and form.fold
    names, hashed = with_hashed(list(sample.levels), kept, sample.hashed, key, folded=folded)
    levels = dict(zip(names, sample.levels.values(), strict=True))
    return dataclasses.replace(sample, levels=levels, hashed=hashed)


def _groups(calibration: Calibration, key: bytes, rule: LevelRule) -> Calibration:
    """A calibration by groups, whose names stay if enough calibration rows have them."""
    kept = [
        not is_hashed(name) and rule.keeps(name, sum(fold.n for fold in folds))
        for name, folds in calibration.groups.items()
    ]
    names, hashed = with_hashed(list(calibration.groups), kept, calibration.hashed_groups, key)
    groups = dict(zip(names, calibration.groups.values(), strict=True))
    return dataclasses.replace(calibration, groups=groups, hashed_groups=hashed)


def _known_key(columns: Iterable[Column], decisions: Decisions) -> bytes | None:
    """The key of texts that are hashed already: a file has one."""
    found: list[HashedTexts | None] = [sample.hashed for sample in decisions.columns]
    for column in columns:
        found += [column.hashed, None if column.text_format is None else column.text_format.hashed_missing]
    if decisions.calibration is not None:
        found.append(decisions.calibration.hashed_groups)
    return next((hashed.key for hashed in found if hashed is not None), None)


def _new_key(detector: VAEDetector) -> bytes:
    """A key of 32 bytes that is the same for the same fit, and another for other weights or texts."""
    hashed = hashlib.sha256(b"vae-anomaly: levels")
    for tensor in detector.model_.vae.state_dict().values():
        hashed.update(tensor.cpu().contiguous().numpy().tobytes())
    for text in _texts(detector):
        data = text.encode("utf-8", "surrogatepass")
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.digest()


def _texts(detector: VAEDetector) -> Iterator[str]:
    decisions = detector.model_.decisions
    for column in detector.columns_:
        yield from map(str, (*column.levels, *column.rare))
        yield from () if column.text_format is None else column.text_format.missing
    for sample in decisions.columns:
        yield from sample.levels
    groups: Mapping[str, object] = {} if decisions.calibration is None else decisions.calibration.groups
    yield from groups
