"""The laws with a fixed score: normal rows score as a standard normal variable, so that every rate is known."""

from __future__ import annotations

import numpy as np
from benchmarks.detection.cells import Cell, Row
from benchmarks.guarantees.studies import Flags, Study
from benchmarks.harness import Array
from scipy.special import ndtr
from scipy.stats import beta, kstest

from vae_anomaly.decisions import (
    Calibration,
    FalseAlarmRate,
    FamilyCounts,
    SimpleJumper,
    SortedScores,
    band,
    benjamini_hochberg,
    largest_rank,
    rate_bound,
)

N_DRAWS = 2_000
CONFIDENCE = 0.95
FDR = 0.1
TIED = 0.8
# Of tied scores: four in five are at the floor, the others a quarter of a standard deviation apart.
FLOOR, STEP = 0.8416212335729143, 0.25


def scores(rng: np.random.Generator, n_rows: int, mean: float = 0.0, tied: float = 0.0) -> Array:
    drawn = rng.normal(mean, 1.0, n_rows)
    return np.maximum(np.ceil((drawn - FLOOR) / STEP) * STEP, 0.0) if tied else drawn


def rate_above(threshold: float, tied: float = 0.0) -> float:
    """Share of normal rows with a larger score."""
    return float(ndtr(-(FLOOR + threshold if tied else threshold)))


def generator(*cell: str) -> np.random.Generator:
    return np.random.default_rng([round(1_000 * float(part)) for part in cell])


# Beta law


def law(cell: Cell) -> Row:
    """Rates above the k-th largest of n scores, over draws of these."""
    n_rows, rate, _ = int(cell[0]), float(cell[1]), cell[2]
    rng = generator(*cell)
    found = []
    for _ in range(N_DRAWS):
        calibration = Calibration.of("split", [scores(rng, n_rows)])
        found.append(rate_above(FalseAlarmRate(rate).find(calibration).score))
    rank = largest_rank(n_rows, rate)
    rates = np.array(found)
    return {
        "rank": rank,
        "mean_rate": float(rates.mean()),
        "expected": rank / (n_rows + 1),
        "ks_p": float(kstest(rates, beta(rank, n_rows + 1 - rank).cdf).pvalue),
        "share_above_rate": float((rates > rate).mean()),
        "bound": rate_bound(n_rows, rank, CONFIDENCE),
        "share_above_bound": float((rates > rate_bound(n_rows, rank, CONFIDENCE)).mean()),
    }


BETA = Study(
    ("n_calibration", "rate", "seed"),
    ("rank", "mean_rate", "expected", "ks_p", "share_above_rate", "bound", "share_above_bound"),
    tuple(
        (str(n), str(rate), "0") for n in (50, 200, 1_000, 5_000) for rate in (0.01, 0.05, 0.1) if rate * (n + 1) >= 1
    ),
    law,
)


# False-discovery rate


def discoveries(cell: Cell) -> Row:
    """False shares of selections from families with a calibration of their own."""
    n_rows, n_family, share, effect, tied = int(cell[0]), int(cell[1]), *map(float, cell[2:5])
    rng = generator(*cell)
    n_anomalies = round(share * n_family)
    is_normal = np.arange(n_family) >= n_anomalies
    false: dict[str, list[float]] = {"bh": [], "storey": []}
    power: dict[str, list[float]] = {"bh": [], "storey": []}
    n_bounds = n_wrong = 0
    for _ in range(N_FAMILIES):
        calibration = Calibration.of("split", [scores(rng, n_rows, tied=tied)], declared_normal=True)
        drawn = np.concatenate([scores(rng, n_anomalies, effect, tied), scores(rng, n_family - n_anomalies, tied=tied)])
        p = calibration.p_values(drawn[:, None])
        family = FamilyCounts.of(p)
        for name, cutoff in (("bh", family.cutoff(FDR)), ("storey", family.cutoff(FDR, "storey"))):
            chosen = p <= cutoff
            false[name].append(false_share(chosen, is_normal))
            power[name].append(float((chosen & ~is_normal).sum() / n_anomalies))
        if family.cutoff(FDR) > 0:
            bound = family.select(calibration, FDR).false_share_bound
            n_bounds += 1
            n_wrong += bound is not None and false[next(iter(false))][-1] > bound
    found: Row = {"n_bounds": n_bounds, "n_bounds_wrong": n_wrong}
    for name, of_families in false.items():
        shares = np.array(of_families)
        found[f"fdr_{name}"] = float(shares.mean())
        found[f"se_{name}"] = float(shares.std(ddof=1) / np.sqrt(len(shares)))
        found[f"power_{name}"] = float(np.mean(power[name]))
        found[f"beyond_{name}"] = float((shares > FDR).mean())
    return found


def false_share(chosen: Flags, is_normal: Flags) -> float:
    return float((chosen & is_normal).sum() / max(chosen.sum(), 1))


N_FAMILIES = 400
FALSE_DISCOVERIES = Study(
    ("n_calibration", "n_family", "share", "effect", "tied", "seed"),
    (
        "n_bounds",
        "n_bounds_wrong",
        *(f"{what}_{name}" for name in ("bh", "storey") for what in ("fdr", "se", "power", "beyond")),
    ),
    tuple(
        (str(n), str(m), str(share), str(effect), str(tied), "0")
        for n in (200, 1_000, 5_000)
        for m in (100, 1_000)
        for share in (0.02, 0.1, 0.3)
        for effect in (2.0, 4.0)
        for tied in (0.0, TIED)
    ),
    discoveries,
)


# A bound for this very model


def sure(cell: Cell) -> Row:
    """How many models exceed the rate that they were to keep with a probability."""
    n_rows, rate, confidence, tied = int(cell[0]), *map(float, cell[1:4])
    rng = generator(*cell)
    rule = FalseAlarmRate(rate, confidence)
    rates = np.array(
        [
            rate_above(rule.find(Calibration.of("split", [scores(rng, n_rows, tied=tied)])).score, tied)
            for _ in range(N_DRAWS)
        ]
    )
    share = float((rates > rate).mean())
    return {
        "rank": largest_rank(n_rows, rate, confidence),
        "mean_rate": float(rates.mean()),
        "share_above": share,
        "allowed": 1 - confidence,
        "z": (share - (1 - confidence)) / np.sqrt(confidence * (1 - confidence) / N_DRAWS),
    }


SURE = Study(
    ("n_calibration", "rate", "confidence", "tied", "seed"),
    ("rank", "mean_rate", "share_above", "allowed", "z"),
    tuple(
        (str(n), str(rate), str(confidence), str(tied), "0")
        for n in (299, 1_000, 5_000)
        for rate in (0.01, 0.05)
        for confidence in (0.8, 0.95)
        for tied in (0.0, TIED)
    ),
    sure,
)


# Selections in chunks

CHUNKS = (1, 10, 100, 1_000)


def chunked(cell: Cell) -> Row:
    """One selection that is given in chunks, and one selection a chunk: false share of all that is flagged."""
    size, seed = int(cell[0]), cell[1]
    n_rows, n_family, n_anomalies = 2_000, 10_000, 200
    rng = generator(seed)
    calibration = Calibration.of("split", [scores(rng, n_rows)], declared_normal=True)
    drawn = np.concatenate([scores(rng, n_anomalies, 4.0), scores(rng, n_family - n_anomalies)])
    order = rng.permutation(n_family)
    p, is_normal = calibration.p_values(drawn[order, None]), order >= n_anomalies
    parts = np.split(p, range(size, n_family, size))
    cutoffs = {}
    for method in ("benjamini_hochberg", "storey"):
        together = FamilyCounts()
        for part in parts:
            together.add(part)
        cutoffs[method] = together.cutoff(FDR, method), FamilyCounts.of(p).cutoff(FDR, method)
    at_once = benjamini_hochberg(p, FDR)
    by_chunk = np.concatenate([benjamini_hochberg(part, FDR) for part in parts])
    return {
        "same": int(all(one == other for one, other in cutoffs.values())),
        "false_together": false_share(at_once, is_normal),
        "power_together": float((at_once & ~is_normal).sum() / n_anomalies),
        "n_by_chunk": int(by_chunk.sum()),
        "false_by_chunk": false_share(by_chunk, is_normal),
        "power_by_chunk": float((by_chunk & ~is_normal).sum() / n_anomalies),
    }


IN_CHUNKS = Study(
    ("chunk", "seed"),
    ("same", "false_together", "power_together", "n_by_chunk", "false_by_chunk", "power_by_chunk"),
    tuple((str(size), str(seed)) for size in CHUNKS for seed in range(20)),
    chunked,
)


# Streams

N_STREAMS, N_STREAM_SEEDS, STREAM_ROWS = 500, 3, 5_000
N_SHIFTED, MAX_DELAY = 50, 5_000
ALPHAS = (0.01, 0.05)


def stream(cell: Cell) -> Row:
    """Alarms of streams that never change, or the delay after a shift."""
    n_rows, shift, after, tied = int(cell[0]), float(cell[1]), int(cell[2]), float(cell[3])
    rng = generator(*cell)
    if not shift:
        largest = [
            jumper(rng, n_rows, tied).updated(scores(rng, STREAM_ROWS, tied=tied)).largest_wealth
            for _ in range(N_STREAMS)
        ]
        return {"n_streams": N_STREAMS} | {
            f"alarms_{100 * alpha:g}": float(np.mean(np.array(largest) >= 1 / alpha)) for alpha in ALPHAS
        }
    delays = []
    false = 0
    for _ in range(N_SHIFTED):
        state = jumper(rng, n_rows, tied).updated(scores(rng, after, tied=tied))
        if state.alarm(ALPHAS[0]):
            false += 1
            continue
        delays.append(delay(state, scores(rng, MAX_DELAY, shift, tied)))
    found = np.array(delays)
    return {
        "n_streams": N_SHIFTED,
        "n_false": false,
        "found": float((found <= MAX_DELAY).mean()),
        "delay": float(np.quantile(found, 0.5, method="higher")),
        "delay_90": float(np.quantile(found, 0.9, method="higher")),
    }


def jumper(rng: np.random.Generator, n_rows: int, tied: float) -> SimpleJumper:
    return SimpleJumper.of(SortedScores.of(scores(rng, n_rows, tied=tied)), int(rng.integers(2**62)))


def delay(state: SimpleJumper, shifted: Array, batch: int = 25) -> float:
    """Rows until the alarm at 1 %, counted in batches."""
    for begin in range(0, len(shifted), batch):
        state = state.updated(shifted[begin : begin + batch])
        if state.alarm(ALPHAS[0]):
            return float(begin + batch)
    return float("inf")


STREAMS = Study(
    ("n_calibration", "shift", "after", "tied", "seed"),
    ("n_streams", "alarms_1", "alarms_5", "n_false", "found", "delay", "delay_90"),
    (
        *(
            (str(n), "0", "0", str(tied), str(seed))
            for n in (100, 1_000)
            for tied in (0.0, TIED)
            for seed in range(N_STREAM_SEEDS)
        ),
        *(
            (str(n), str(shift), str(after), "0.0", "0")
            for n in (100, 1_000)
            for shift in (0.25, 0.5, 1.0)
            for after in (0, 5_000)
        ),
    ),
    stream,
)


# Audit

N_AUDITS = 300
LOOKS = ("0", "25", "50", "blind")


def audited(cell: Cell) -> Row:
    """Selections after so many looks at a contaminated reference; "blind" cuts its share of anomalies off unseen."""
    share, looks = float(cell[0]), cell[1]
    n_rows, n_family, n_anomalies = 2_000, 1_000, 20
    rng = np.random.default_rng([round(1_000 * share), 15])
    n_wrong = round(share * n_rows)
    is_normal = np.arange(n_family) >= n_anomalies
    false, power, left, wrong, n_bounds = [], [], [], 0, 0
    for _ in range(N_AUDITS):
        reference = np.concatenate([scores(rng, n_wrong, 4.0), scores(rng, n_rows - n_wrong)])
        calibration = Calibration.of("split", [reference])
        if looks == "blind":
            calibration = calibration.without(calibration.suspects.unaudited(n_wrong))
        elif int(looks):
            listed = calibration.suspects.unaudited(int(looks))
            calibration = calibration.answered(listed, listed < n_wrong)
        drawn = np.concatenate([scores(rng, n_anomalies, 4.0), scores(rng, n_family - n_anomalies)])
        p = calibration.p_values(drawn[:, None])
        family = FamilyCounts.of(p)
        chosen = p <= family.cutoff(FDR)
        false.append(false_share(chosen, is_normal))
        power.append(float((chosen & ~is_normal).sum() / n_anomalies))
        left.append(n_wrong - calibration.suspects.n_confirmed)
        if chosen.any():
            bound = family.select(calibration, FDR).false_share_bound
            n_bounds += 1
            wrong += bound is not None and false[-1] > bound
    return {
        "fdr": float(np.mean(false)),
        "se": float(np.std(false, ddof=1) / np.sqrt(N_AUDITS)),
        "power": float(np.mean(power)),
        "left": float(np.mean(left)),
        "n_bounds": n_bounds,
        "n_bounds_wrong": wrong,
    }


AUDIT = Study(
    ("contamination", "looks", "seed"),
    ("fdr", "se", "power", "left", "n_bounds", "n_bounds_wrong"),
    tuple((str(share), looks, "0") for share in (0.0, 0.005, 0.01, 0.02) for looks in LOOKS if share or looks == "0"),
    audited,
)


# All thresholds at once


def bands(cell: Cell) -> Row:
    """How often all bounds hold, and what they are beside those of Dvoretzky, Kiefer and Wolfowitz."""
    n_rows = int(cell[0])
    rng = generator(*cell)
    bounds = band(n_rows, CONFIDENCE)
    ranks = np.arange(1, n_rows + 1)
    dkw = np.minimum(ranks / n_rows + np.sqrt(np.log(1 / (1 - CONFIDENCE)) / (2 * n_rows)), 1.0)
    held = dkw_held = 0
    for _ in range(N_DRAWS):
        rates = np.sort(rng.random(n_rows))
        held += bool((rates <= bounds).all())
        dkw_held += bool((rates <= dkw).all())
    found: Row = {"held": held / N_DRAWS, "dkw_held": dkw_held / N_DRAWS}
    for name, rank in (("first", 1), ("1", largest_rank(n_rows, 0.01)), ("10", largest_rank(n_rows, 0.1))):
        if rank:
            found |= {f"band_{name}": float(bounds[rank - 1]), f"dkw_{name}": float(dkw[rank - 1])}
    return found


BANDS = Study(
    ("n_calibration", "seed"),
    ("held", "dkw_held", *(f"{what}_{name}" for name in ("first", "1", "10") for what in ("band", "dkw"))),
    tuple((str(n), "0") for n in (4, 20, 50, 60, 101, 200, 501, 1_000, 2_001, 5_000, 20_000)),
    bands,
)
