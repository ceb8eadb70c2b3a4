"""What a parent did, what a child does, and whether the child ends with the parent's bits."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vae_anomaly import FeatureMapDetector, PatchDetector, VAEDetector, compare, load, save

METHODS = ("fork", "spawn", "forkserver")
N_THREADS = 2
SECONDS = 60.0
HANGS = "hangs"
DIGEST_LETTERS = 64

Digests = dict[str, str]


class Workplace:
    """Data of a seed, detectors on them, and their files.

    Parameters
    ----------
    seed : int
    folder : Path
        Where `prepare` has left the files.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        rng = np.random.default_rng(seed)
        self.seed, self.folder = seed, folder
        numbers = rng.normal(size=(900, 4)) @ rng.normal(size=(4, 5)) + 0.1 * rng.normal(size=(900, 5))
        self.rows = pd.DataFrame(numbers, columns=list("abcde")).assign(kind=rng.choice(["x", "y", "z"], 900))
        self.rows.iloc[::50, 1] = np.nan
        self.images = rng.integers(0, 256, (24, 32, 32)).astype(np.uint8)
        self.small_images = rng.integers(0, 256, (120, 8, 8)).astype(np.uint8)
        self.is_anomaly = rng.random(300) < 0.2

    def of_rows(self) -> VAEDetector:
        return VAEDetector(n_estimators=2, max_iter=20, random_state=self.seed, device="cpu")

    def of_images(self) -> VAEDetector:
        return VAEDetector(max_iter=10, hidden_layer_sizes=(16,), random_state=self.seed, device="cpu")

    def of_patches(self) -> PatchDetector:
        # Large enough for products that several threads share.
        return PatchDetector(n_windows=512, max_iter=3, window=16, random_state=self.seed, device="cpu")

    def of_maps(self) -> FeatureMapDetector:
        torch.manual_seed(self.seed)
        network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, stride=2), torch.nn.BatchNorm2d(4))
        return FeatureMapDetector(network, random_state=self.seed, device="cpu")

    def prepare(self) -> None:
        """Leave the files of fitted detectors behind."""
        save(self.of_rows().fit(self.rows), self.folder / "rows.vae")
        save(self.of_patches().fit(self.images), self.folder / "patches.vae")

    def loaded(self) -> Any:
        return load(self.folder / "rows.vae", device="cpu")

    def loaded_patches(self) -> Any:
        return load(self.folder / "patches.vae", device="cpu")


def _weights(detector: Any) -> list[Any]:
    models = [one.model for one in detector.models_] if isinstance(detector, PatchDetector) else [detector.model_]
    return [tensor.numpy() for model in models for tensor in model.vae.state_dict().values()] + [detector.offset_]


def _saved(at: Workplace, detector: Any) -> bytes:
    path = at.folder / f"{os.getpid()}.vae"
    save(detector, path)
    with suppress(OSError):
        return path.read_bytes()[-4096:]
    return b""


def _after_partial_fit(at: Workplace) -> list[Any]:
    detector = at.of_rows().partial_fit(at.rows[:400]).partial_fit(at.rows[400:])
    return [*_weights(detector), detector.score_samples(at.rows)]


def _after_maps(at: Workplace) -> list[Any]:
    detector = at.of_maps().fit(at.images)
    return [detector.score_samples(at.images), *detector.anomaly_maps(at.images[:3])]


def _compared(at: Workplace) -> list[Any]:
    found = compare(at.rows.iloc[:300], at.is_anomaly, settings=["clean"], n_splits=1, random_state=at.seed)
    # Distances and mixtures of others may add up in another order on other threads.
    return [found.scores.select_dtypes("number").round(6).to_numpy()]


ACTIONS: dict[str, Callable[[Workplace, Any], Any]] = {
    "load": lambda at, _: _weights(at.loaded()),
    "fit": lambda at, _: _weights(at.of_rows().fit(at.rows)),
    "partial_fit": lambda at, _: _after_partial_fit(at),
    "score_samples": lambda at, given: given.score_samples(at.rows),
    "predict": lambda at, given: given.predict(at.rows),
    "decide": lambda at, given: given.decide(at.rows).to_numpy(),
    "explain": lambda at, given: given.explain(at.rows[:20]).contributions.to_numpy(),
    "sample": lambda _, given: given.sample(300, random_state=1).drop(columns="kind").to_numpy(dtype=float),
    "impute": lambda at, given: given.impute(at.rows).drop(columns="kind").to_numpy(dtype=float),
    "transform": lambda at, given: given.transform(at.rows),
    "save": _saved,
    "fit images": lambda at, _: _weights(at.of_images().fit(at.small_images)),
    "fit patches": lambda at, _: _weights(at.of_patches().fit(at.images)),
    "score patches": lambda at, _: at.loaded_patches().score_samples(at.images),
    "heat maps": lambda at, _: at.loaded_patches().explain(at.images[:4]).excess,
    "feature maps": lambda at, _: _after_maps(at),
    "compare": lambda at, _: _compared(at),
}
QUICK_ACTIONS = ("load", "fit", "partial_fit", "score_samples", "explain", "sample", "fit patches", "compare")


def _user_threads(_: Workplace) -> None:
    """Operations of the user's that start PyTorch's pool of threads."""
    big = torch.ones(1 << 20)
    for _again in range(3):
        big = (big * 2).sqrt()


PARENTS: dict[str, Callable[[Workplace], Any]] = {
    "nothing": lambda _: None,
    "load": lambda at: at.loaded(),
    "fit": lambda at: at.of_rows().fit(at.rows),
    "score": lambda at: at.loaded().score_samples(at.rows),
    "explain": lambda at: at.loaded().explain(at.rows[:20]),
    "fit images": lambda at: at.of_images().fit(at.small_images),
    "fit patches": lambda at: at.of_patches().fit(at.images),
    "compare": lambda at: ACTIONS["compare"](at, None),
    "torch in threads": _user_threads,
}
QUICK_PARENTS = ("fit", "fit patches", "torch in threads")


def digest(value: Any) -> str:
    """Equal for equal bits."""
    found = hashlib.sha256()
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, bytes):
            found.update(part)
            continue
        array = np.asarray(part)
        if array.dtype == object:
            found.update(repr(array.tolist()).encode())
        else:
            found.update(str((array.shape, array.dtype)).encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def done(name: str, at: Workplace, given: Any) -> str:
    """The digest of an action, or what went wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return digest(ACTIONS[name](at, at.loaded() if given is None else given))
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"


def child(names: list[str], at: Workplace, given: Any, to_parent: Any) -> None:
    """Do some actions, and tell the parent of each."""
    torch.set_num_threads(N_THREADS)
    for name in names:
        to_parent.send((name, done(name, at, given)))
    to_parent.close()


def in_children(method: str, names: list[str], at: Workplace, given: Any) -> Digests:
    """What children find: one for each action where they are forked, one for all where they are started anew."""
    found: Digests = {}
    for some in [[name] for name in names] if method == "fork" else [names]:
        found |= _from(multiprocessing.get_context(method), some, at, given)
    return found


def _from(context: Any, names: list[str], at: Workplace, given: Any) -> Digests:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(names, at, given, sender))
    process.start()
    sender.close()
    found: Digests = {}
    try:
        while len(found) < len(names) and receiver.poll(SECONDS):
            name, value = receiver.recv()
            found[name] = value
    except EOFError:
        process.join(SECONDS)
        return dict.fromkeys(names, f"ended with {process.exitcode}") | found
    finally:
        if process.is_alive():
            process.join(1)
        if process.is_alive():
            process.kill()
        process.join()
    return dict.fromkeys(names, HANGS) | found


def failures(expected: Digests, found: Digests) -> list[str]:
    """A sentence for each action that did not end with the parent's bits."""
    wrong = []
    for name, value in found.items():
        if len(expected[name]) != DIGEST_LETTERS:
            wrong.append(f"{name} fails in the parent, too: {expected[name]}")
        elif value != expected[name]:
            what = value if value == HANGS or ":" in value or "ended" in value else "has other bits"
            wrong.append(f"{name} {what}")
    return wrong


def pairs(at: Workplace, method: str, parent: str, names: list[str]) -> list[str]:
    """Children of a parent that did something; what it was, and the bits of the parent, come from this process."""
    given = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = PARENTS[parent](at)
        given = before if isinstance(before, VAEDetector) and parent in ("load", "fit") else None
        found = in_children(method, names, at, given)
    return failures({name: done(name, at, given) for name in names}, found)


def while_others_score(at: Workplace, names: list[str]) -> list[str]:
    """Children that are forked while threads of the parent score and explain."""
    detector, stop = at.loaded(), threading.Event()

    def busy() -> None:
        while not stop.is_set():
            done("score_samples", at, detector)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        found = in_children("fork", names, at, detector)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return failures({name: done(name, at, detector) for name in names}, found)


def _grandchildren(names: list[str], at: Workplace, given: Any, to_parent: Any) -> None:
    done("fit", at, given)
    for name, value in in_children("fork", names, at, given).items():
        to_parent.send((name, value))
    to_parent.close()


def fork_of_a_fork(at: Workplace, names: list[str]) -> list[str]:
    """Children of a child that has fitted."""
    detector = at.of_rows().fit(at.rows)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_grandchildren, args=(names, at, detector, sender))
    process.start()
    sender.close()
    found = dict.fromkeys(names, HANGS)
    with suppress(EOFError):
        while receiver.poll(3 * SECONDS):
            name, value = receiver.recv()
            found[name] = value
    process.kill()
    process.join()
    return failures({name: done(name, at, detector) for name in names}, found)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after some seconds, in the main thread."""

    def late(*_: object) -> None:
        raise TimeoutError(HANGS)

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def with_joblib(at: Workplace, backend: str) -> list[str]:
    """Actions as tasks of joblib, after a fit in the parent."""
    from joblib import Parallel, delayed

    detector = at.of_rows().fit(at.rows)
    names = ["fit", "score_samples", "explain", "sample"]
    with time_limit(2 * SECONDS):
        values = Parallel(n_jobs=2, backend=backend)(delayed(done)(name, at, detector) for name in names)
    expected = {name: done(name, at, detector) for name in names}
    return failures(expected, dict(zip(names, values, strict=True)))


def with_chunks(at: Workplace, backend: str) -> list[str]:
    """Scores whose chunks joblib computes, by a backend that the user chose."""
    from joblib import parallel_config

    detector = at.of_rows().fit(at.rows)
    expected = digest(detector.score_samples(at.rows))
    with time_limit(2 * SECONDS), parallel_config(backend=backend):
        found = digest(detector.score_samples(at.rows))
    return [] if found == expected else ["score_samples has other bits"]


def with_grid_search(at: Workplace, backend: str) -> list[str]:
    """A search over parameters in two workers, after a fit in the parent."""
    from joblib import parallel_config
    from sklearn.model_selection import GridSearchCV

    at.of_rows().fit(at.rows)

    def search(n_jobs: int) -> Any:
        searched = GridSearchCV(at.of_rows(), {"latent_dim": [1, 2]}, cv=2, n_jobs=n_jobs).fit(at.rows)
        return [searched.cv_results_["mean_test_score"], searched.best_estimator_.score_samples(at.rows)]

    with time_limit(3 * SECONDS), parallel_config(backend=backend):
        found = digest(search(2))
    return [] if found == digest(search(1)) else ["the search has other bits"]


def on_many_threads(at: Workplace) -> list[str]:
    """One detector that many threads use at once, some of which move its threshold."""
    from concurrent.futures import ThreadPoolExecutor

    detector = at.of_rows().fit(at.rows)
    names = ["score_samples", "explain", "sample", "transform", "impute"]
    expected = {name: done(name, at, detector) for name in names}
    scores = np.linspace(5, 9, 40)

    def step(number: int) -> tuple[str, str]:
        name = names[number % len(names)]
        detector.set_threshold(score=float(scores[number % len(scores)]))
        return name, done(name, at, detector)

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(step, range(40)))
    return [f"{name} differs" for name, value in results if value != expected[name]]


def run(kind: str, arguments: list[str], seed: int, folder: Path) -> tuple[int, list[str]]:
    """One scenario in this process, which did nothing else: how many pairs were tried, and what failed."""
    torch.set_num_threads(N_THREADS)
    at = Workplace(seed, folder)
    names = list(ACTIONS) if arguments[-1] == "all" else list(QUICK_ACTIONS)
    own: dict[str, Callable[[], list[str]]] = {
        "pairs": lambda: pairs(at, arguments[0], arguments[1], names),
        "while others score": lambda: while_others_score(at, names),
        "fork of a fork": lambda: fork_of_a_fork(at, names),
        "joblib": partial(with_joblib, at, arguments[0]),
        "chunks": partial(with_chunks, at, arguments[0]),
        "grid search": partial(with_grid_search, at, arguments[0]),
        "threads": lambda: on_many_threads(at),
    }
    tried = {"joblib": 4, "chunks": 1, "grid search": 1, "threads": 40}.get(kind, len(names))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tried, own[kind]()
    except TimeoutError:
        return tried, [HANGS] * tried


def prepared_folder(seed: int) -> tempfile.TemporaryDirectory[str]:
    """A folder with the files of fitted detectors, made by a process of its own."""
    folder = tempfile.TemporaryDirectory()
    process = multiprocessing.get_context("spawn").Process(target=_prepare, args=(seed, folder.name))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the detectors cannot be prepared: exit code {process.exitcode}")
    return folder


def _prepare(seed: int, folder: str) -> None:
    warnings.simplefilter("ignore")
    Workplace(seed, Path(folder)).prepare()


if __name__ == "__main__":
    import json

    given = json.loads(sys.argv[1])
    start = time.perf_counter()
    n_tried, wrong = run(given["kind"], given["arguments"], given["seed"], Path(given["folder"]))
    sys.stdout.write(json.dumps({"tried": n_tried, "wrong": wrong, "seconds": time.perf_counter() - start}) + "\n")
