"""Where the time goes: kinds of operations in a step and in a chunk, parts of a fit."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from benchmarks.speed.counting import Subject, seconds
from torch.profiler import ProfilerActivity, profile, record_function

from vae_anomaly import VAEDetector
from vae_anomaly.fitting import fit, predict
from vae_anomaly.model import VAE, Exemplar, FittedExemplar, FittedStandardNormal, elbo, steps, training
from vae_anomaly.scores import pool

N_PROFILED = 60
NAMED = {
    "aten::bmm": "matrix products",
    "aten::baddbmm": "matrix products",
    "aten::silu": "activations",
    "aten::silu_backward": "activations",
    "aten::_fused_adamw_": "optimiser",
}
PYTHON = "Python and PyTorch's bookkeeping"
OTHER = "the rest: sums, losses, joining and clipping the gradient"
LIKELIHOOD, KL, NETWORK = "likelihood", "KL", "network: all else"
BACKWARD = "autograd::engine::evaluate_function"
# Innermost first.
REGIONS: dict[str, list[tuple[Any, str]]] = {
    LIKELIHOOD: [(elbo, "elbo_terms"), (pool, "marginal_terms")],
    NETWORK: [(VAE, "encode")],
    KL: [(FittedStandardNormal, "kl"), (FittedExemplar, "kl")],
}

Seconds = dict[str, float]


@contextmanager
def regions() -> Iterator[None]:
    """Give the profiler names for what is called by these functions."""

    def named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named_arguments: Any) -> Any:
            with record_function(f"region:{name}"):
                return function(*arguments, **named_arguments)

        return called

    with ExitStack() as stack:
        for name, indices in REGIONS.items():
            for index, attribute in indices:
                original = getattr(index, attribute)
                for user in (
                    index,
                    *(module for module in (steps, pool, predict, training) if hasattr(module, attribute)),
                ):
                    if getattr(user, attribute) is original:
                        stack.enter_context(patch.object(user, attribute, named(name, original)))
        yield


def kinds(work: Callable[[], object], n: int) -> Seconds:
    """Seconds of one call by kind, the profiler's own cost taken off in proportion."""
    wall = seconds(work, 0.5)
    with regions():
        work()
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            for _ in range(n):
                work()
    events = [event for event in recorded.events() if event.device_type.name == "CPU"]
    of_node = _regions_of_nodes(events)
    found: Seconds = defaultdict(float)
    for event in events:
        name = event.name
        if name.startswith("region:"):
            kind = PYTHON
        elif name.startswith("aten::"):
            kind = NAMED.get(name) or _region(event, of_node) or OTHER
        else:
            kind = PYTHON
        found[kind] += event.self_cpu_time_total * 1e-6 / n
    begin = min(event.time_range.start for event in events)
    whole = (max(event.time_range.end for event in events) - begin) * 1e-6 / n
    found[PYTHON] += whole - sum(found.values())
    return {kind: taken * wall / whole for kind, taken in found.items()}


def _ancestors(event: Any) -> Iterator[Any]:
    while event is not None:
        yield event
        event = event.cpu_parent


def _regions_of_nodes(events: list[Any]) -> dict[int, str]:
    """For each number of a node of autograd's graph, the region of the operation that made it."""
    nodes: dict[int, str] = {}
    for event in sorted(events, key=lambda event: float(event.time_range.start)):
        if event.sequence_nr >= 0 and event.name.startswith("aten::"):
            chain = [above.name for above in _ancestors(event)]
            if not any(name.startswith(BACKWARD) for name in chain):
                region = next((name.removeprefix("region:") for name in chain if name.startswith("region:")), OTHER)
                nodes[event.sequence_nr] = region
    return nodes


def _region(event: Any, of_node: dict[int, str]) -> str | None:
    for above in _ancestors(event):
        if above.name.startswith("region:"):
            return str(above.name.removeprefix("region:"))
        if above.name.startswith(BACKWARD):
            return of_node.get(above.sequence_nr)
    return None


def step_kinds(subject: Subject) -> Seconds:
    ahead = subject.steps()

    def work() -> None:
        next(ahead)()

    return kinds(work, N_PROFILED)


def scoring_kinds(subject: Subject) -> Seconds:
    return kinds(lambda: subject.score(1), N_PROFILED)


def fit_parts(subject: Subject) -> Seconds:
    """Seconds of the parts of a whole fit."""
    spent: Seconds = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named_arguments: Any) -> Any:
            begin = time.perf_counter()
            try:
                return function(*arguments, **named_arguments)
            finally:
                spent[name] += time.perf_counter() - begin

        return called

    parts: dict[str, tuple[Any, str]] = {
        "steps": (steps.Stepper, "step"),
        "mini-batches": (steps.MiniBatches, "prepare"),
        "held-out rows, 20 checks": (training, "_held_out_elbo"),
        "report": (fit, "fit_report"),
        "exemplars": (Exemplar, "fit"),
        "calibration and threshold": (fit, "_decisions"),
    }
    with ExitStack() as stack:
        for name, (index, attribute) in parts.items():
            stack.enter_context(patch.object(index, attribute, timed(name, getattr(index, attribute))))
        begin = time.perf_counter()
        VAEDetector().fit(subject.rows)
        whole = time.perf_counter() - begin
    return {**spent, "the rest: columns, encoding, set-up": whole - sum(spent.values())}
