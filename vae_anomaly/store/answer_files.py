"""Answers of a review, and the decisions that they put aside, as an entry of a manifest and tensors, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vae_anomaly.columns import Encoder
from vae_anomaly.decisions import Decisions
from vae_anomaly.fitting import Answers, FittedModel
from vae_anomaly.scores import likelihood_score_of, with_learned
from vae_anomaly.store.decision_files import decisions_entry, decisions_tensors, rebuilt_decisions

PREFIX = "answers."
DIGESTS, IS_ANOMALY = f"{PREFIX}digests", f"{PREFIX}is_anomaly"


def answers_entry(model: FittedModel[Encoder]) -> dict[str, Any]:
    """What a manifest says of answers, ready for JSON; nothing where there are none."""
    answers = model.answers
    if answers is None:
        return {}
    others = answers.others
    entry = {
        "learned": model.vae.learned is not None,
        "in_use": likelihood_score_of(model.score) is not model.score,
        "boundary": answers.boundary,
        # JSON has no infinity: none is the score alone.
        "shrinkage": None if answers.shrinkage is None or math.isinf(answers.shrinkage) else answers.shrinkage,
        "others": None if others is None else decisions_entry(_apart(others)),
    }
    return {"answers": entry}


def answers_tensors(model: FittedModel[Encoder]) -> dict[str, Tensor]:
    """Digests of the rows, what was found, and the decisions that are not in use."""
    answers = model.answers
    if answers is None:
        return {}
    tensors = {
        DIGESTS: torch.from_numpy(answers.digests.copy()),
        IS_ANOMALY: torch.from_numpy(answers.is_anomaly.astype("int64")),
    }
    others = {} if answers.others is None else decisions_tensors(_apart(answers.others))
    return tensors | {PREFIX + name: tensor for name, tensor in others.items()}


def with_answers(
    model: FittedModel[Encoder], entry: Mapping[str, Any] | None, tensors: Mapping[str, Tensor]
) -> FittedModel[Encoder]:
    """The model with the answers that an entry and tensors describe.

    Raises
    ------
    LookupError, TypeError or ValueError
        If they do not agree.
    """
    if entry is None:
        if any(name.startswith(PREFIX) for name in tensors) or model.vae.learned is not None:
            raise ValueError("the file holds answers that the manifest does not know")
        return model
    digests, found = tensors[DIGESTS], tensors[IS_ANOMALY]
    if digests.dtype != torch.int64 or digests.dim() != 1 or digests.shape != found.shape or not len(digests):
        raise ValueError(f"answers of shapes {tuple(digests.shape)} and {tuple(found.shape)}")
    if found.dtype != torch.int64 or not bool(((found == 0) | (found == 1)).all()):
        raise ValueError("answers are not 0 and 1")
    learned = bool(entry["learned"])
    if learned != (model.vae.learned is not None) or (entry["in_use"] and not learned):
        raise ValueError("what was learned is not what the manifest says")
    if learned and (entry["boundary"] is None or entry["others"] is None):
        raise ValueError("what was learned has no boundary, or no decisions beside it")
    others = None
    if entry["others"] is not None:
        own = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
        present = model.decisions
        others = dataclasses.replace(
            rebuilt_decisions(entry["others"], own),
            trained=present.trained,
            repeated_share=present.repeated_share,
            columns=present.columns,
        )
    shrinkage = entry["shrinkage"]
    answers = Answers(
        digests.numpy().copy(),
        found.numpy().astype(bool),
        entry["boundary"],
        (math.inf if shrinkage is None else float(shrinkage)) if learned else None,
        others,
    )
    score = with_learned(model.score) if entry["in_use"] else model.score
    return dataclasses.replace(model, score=score, answers=answers)


def _apart(decisions: Decisions) -> Decisions:
    """Decisions without what those in use say as well: of the training rows, and their columns."""
    return dataclasses.replace(decisions, trained=(), columns=())
