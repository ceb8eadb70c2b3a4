"""A fit as TensorBoard shows it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vae_anomaly.callbacks.base import Callback
from vae_anomaly.callbacks.records_of_fits import scalars_of, shown_parameters
from vae_anomaly.callbacks.sampled_rows import as_frame, first_images, first_rows, is_of_images
from vae_anomaly.errors import NotInstalled
from vae_anomaly.model import TrainingCheck

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

MAX_RUNS = 100_000
MAX_SHOWN_COLUMNS = 200


class TensorBoard(Callback):
    """Writes a fit for TensorBoard: scalars, hyperparameters, reconstructions and latents.

    Each fit writes to a folder of its own in `log_dir`: ``fit-1``, ``fit-2`` and so on, also where several processes
    fit at once. The scalars are ``elbo/training``, ``elbo/held_out``, ``kl``, ``learning_rate`` and
    ``rows_per_second`` by step, those of `History` (nats per row); of a detector with several trainings they begin with
    ``training1/`` and so on. At the end come the hyperparameters with the outcome, the first rows beside their
    reconstructions (images: as given, as expected, and the map of nats), and latents with their anomaly scores for the
    embedding projector.

    The folder then holds rows of yours, and whoever may read it may read these: ``n_reconstructions=0`` leaves cells
    out, ``n_latents=0`` the latents.

    Parameters
    ----------
    log_dir : path-like
        Folder of the runs; it is made where it is missing.
    n_reconstructions : int, default=8
        First rows or images that are shown with their reconstructions.
    n_latents : int, default=1000
        First rows or images whose latents are shown.

    Raises
    ------
    NotInstalled
        At the beginning of a fit, if tensorboard is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from vae_anomaly import VAEDetector
    >>> from vae_anomaly.callbacks import TensorBoard
    >>> folder = Path(tempfile.mkdtemp())
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> detector = VAEDetector(max_iter=20, early_stopping=False, callbacks=[TensorBoard(folder)]).fit(X)
    >>> [run.name for run in folder.iterdir()]
    ['fit-1']
    """

    def __init__(self, log_dir: str | os.PathLike[str], *, n_reconstructions: int = 8, n_latents: int = 1000) -> None:
        self.log_dir = log_dir
        self.n_reconstructions = n_reconstructions
        self.n_latents = n_latents
        self._writer: SummaryWriter | None = None
        self._X: Any = None
        self._iteration = 0

    def __repr__(self) -> str:
        return f"TensorBoard({os.fspath(self.log_dir)!r})"

    def on_fit_begin(self, detector: Any, X: Any) -> None:
        """Make the folder of the run."""
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise NotInstalled("tensorboard", "tensorboard") from error
        self._X = X
        self._iteration = 0
        self._writer = SummaryWriter(_new_run(Path(self.log_dir)))

    def on_check(self, detector: Any, check: TrainingCheck) -> None:
        """Write the scalars."""
        assert self._writer is not None
        self._iteration = check.iteration
        for name, value in scalars_of(check).items():
            self._writer.add_scalar(name, value, check.iteration)
        self._writer.flush()

    def on_fit_end(self, detector: Any) -> None:
        """Write what the fitted detector makes of the first rows."""
        self._write_parameters(detector)
        if is_of_images(detector):
            self._write_images(detector)
        else:
            self._write_rows(detector)

    def close(self) -> None:
        """Write the file to its end, and let go of the rows."""
        if self._writer is not None:
            self._writer.close()
        self._writer = self._X = None

    def _write_parameters(self, detector: Any) -> None:
        from torch.utils.tensorboard.summary import hparams

        assert self._writer is not None
        report = detector.fit_report_
        outcome = {"outcome/elbo": report.elbo, "outcome/kl": report.kl, "outcome/n_iter": report.n_iter}
        given = {name: _as_hyperparameter(value) for name, value in shown_parameters(detector).items()}
        for summary in hparams(given, outcome):
            self._writer._get_file_writer().add_summary(summary)
        for name, value in outcome.items():
            self._writer.add_scalar(name, value, self._iteration)

    def _write_rows(self, detector: Any) -> None:
        assert self._writer is not None
        if self.n_reconstructions:
            rows = first_rows(self._X, self.n_reconstructions)
            table = _side_by_side(detector, rows)
            self._writer.add_text("reconstructions", table, self._iteration)
        if self.n_latents:
            rows = first_rows(self._X, self.n_latents)
            self._write_latents(detector.transform(rows), detector.anomaly_score(rows))

    def _write_images(self, detector: Any) -> None:
        assert self._writer is not None
        if self.n_reconstructions:
            given, observed = first_images(detector, self._X, self.n_reconstructions)
            explained = detector.explain(given)
            expected = first_images(detector, explained.reconstruction, self.n_reconstructions)[1]
            grid = _grid(observed, expected, np.asarray(explained.excess), detector.map_scale_)
            self._writer.add_image("reconstructions", grid, self._iteration, dataformats="HWC")
        if self.n_latents and hasattr(detector, "transform"):
            given, _ = first_images(detector, self._X, self.n_latents)
            self._write_latents(detector.transform(given), detector.anomaly_score(given))

    def _write_latents(self, latents: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> None:
        assert self._writer is not None
        # The projector reads the label of a row as text.
        labels = [f"{score:.2f} nats" for score in scores]
        self._writer.add_embedding(latents, labels, global_step=self._iteration, tag="latents")


def _new_run(log_dir: Path) -> Path:
    """A new folder, whose number no other process takes at the same time."""
    log_dir.mkdir(parents=True, exist_ok=True)
    for number in range(1, MAX_RUNS):
        run = log_dir / f"fit-{number}"
        try:
            run.mkdir()
        except FileExistsError:
            continue
        return run
    raise FileExistsError(f"{log_dir} holds {MAX_RUNS - 1:,} runs. Name another folder.")


def _as_hyperparameter(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else repr(value)


def _side_by_side(detector: Any, rows: Any) -> str:
    """Rows and their reconstructions in Markdown, a line for each column: as given and as expected."""
    observed, expected = as_frame(rows), as_frame(detector.reconstruct(rows))
    names = [str(name) for name in getattr(detector, "feature_names_in_", [f"x{i}" for i in range(observed.shape[1])])]
    scores = [f"{score:.2f} nats" for score in detector.anomaly_score(rows)]
    lines = [["column", *(f"row {row}" for row in range(len(scores)))], ["---"] * (len(scores) + 1)]
    lines.append(["anomaly score", *scores])
    for column, name in enumerate(names[:MAX_SHOWN_COLUMNS]):
        pairs = zip(observed.iloc[:, column], expected.iloc[:, column], strict=True)
        lines.append([_escaped(name), *(f"{_escaped(_cell(one))} ({_escaped(_cell(other))})" for one, other in pairs)])
    more = len(names) - MAX_SHOWN_COLUMNS
    left_out = f" {more:,} more columns are not shown." if more > 0 else ""
    return f"Each cell as given (as expected).{left_out}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())[:40]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")


def _grid(
    observed: npt.NDArray[Any], expected: npt.NDArray[Any], nats: npt.NDArray[Any], scale: Sequence[float]
) -> npt.NDArray[np.uint8]:
    """A line for each image: as given, as expected, and its map, from black to white over the scale of maps."""
    low, high = float(np.nanmin(observed)), float(np.nanmax(observed))

    def grey(pixels: npt.NDArray[Any], least: float, most: float) -> npt.NDArray[np.uint8]:
        share = (pixels.astype(float) - least) / max(most - least, 1e-12)
        return np.asarray(np.nan_to_num(share).clip(0, 1) * 255, dtype=np.uint8)

    lines = []
    for one, other, own in zip(observed, expected, nats, strict=True):
        pictures = [grey(one, low, high), grey(other, low, high), grey(own[None], scale[0], scale[1])]
        lines.append(np.concatenate([_three_channels(picture) for picture in pictures], 2))
    return np.asarray(np.concatenate(lines, 1).transpose(1, 2, 0))


def _three_channels(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    n_channels, height, width = picture.shape
    return picture[:3] if n_channels >= 3 else np.broadcast_to(picture[:1], (3, height, width))
