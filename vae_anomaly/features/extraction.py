"""From pictures to what a network of the user's makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn
from torch.nn import functional

from vae_anomaly.detector.inputs import is_files, open_files, resolve_device
from vae_anomaly.errors import DataError, SpecificationError
from vae_anomaly.images.pictures import Pictures, read_arrays

Network = Callable[[Tensor], Any]

NETWORK_CONSTRAINTS: dict[str, Any] = {
    "network": [callable],
    "image_size": ["array-like", None],
    "channels": [Interval(Integral, 1, None, closed="left"), None],
    "mean": ["array-like", None],
    "std": ["array-like", None],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "device": [StrOptions({"auto", "cpu", "cuda", "mps"})],
}


class ImageFeatures(TransformerMixin, BaseEstimator):
    """Vectors that a network of the user's makes of pictures, for a detector behind it in a pipeline.

    Nothing is downloaded and nothing is trained here: any callable from images to vectors will do, a timm or
    torchvision model with its own weights for instance.

    Parameters
    ----------
    network : callable
        From a float32 tensor of images, (n, channels, height, width), to vectors, (n, features).  A
        ``torch.nn.Module`` is put into evaluation mode and on the device while it is used.
    image_size : (int, int), default=None
        Height and width that images are resized to, with antialiasing; by default they stay as they are.
    channels : int, default=None
        A single channel is repeated so often, for networks that want colour.
    mean, std : sequence of float, default=None
        What is taken off each channel, and divided by, after pixels were brought to [0, 1].
    batch_size : int, default=32
        Images that the network sees at once.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where the network runs.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from vae_anomaly import ImageFeatures, VAEDetector
    >>> images = np.random.default_rng(0).integers(0, 256, (60, 8, 8)).astype(np.uint8)
    >>> halves = ImageFeatures(lambda pixels: pixels.unflatten(3, (2, 4)).mean((1, 2, 4)))
    >>> halves.fit_transform(images).shape
    (60, 2)
    >>> detector = make_pipeline(halves, VAEDetector(max_iter=50, early_stopping=False)).fit(images)
    >>> bool(detector.score_samples(images * 0)[0] < detector.score_samples(images).mean())
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = NETWORK_CONSTRAINTS

    def __init__(
        self,
        network: Network,
        *,
        image_size: Sequence[int] | None = None,
        channels: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        batch_size: int = 32,
        device: str = "auto",
    ) -> None:
        self.network = network
        self.image_size = image_size
        self.channels = channels
        self.mean = mean
        self.std = std
        self.batch_size = batch_size
        self.device = device

    def fit(self, X: Any, y: Any = None) -> ImageFeatures:
        """Check the parameters; there is nothing to learn.

        Parameters
        ----------
        X, y : ignored
            For scikit-learn's interface.
        """
        self._validate_params()
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        """Vectors of pictures.

        Parameters
        ----------
        X : ndarray or Tensor of pictures, or path-like, or list of them
            As `VAEDetector` takes them.

        Returns
        -------
        ndarray of shape (n, features)

        Raises
        ------
        DataError
            If the network gives no vectors, or none that are finite.
        """
        self._validate_params()
        parts = []
        for outputs in seen_by(self, X):
            if len(outputs) != 1 or outputs[0].dim() != 2:
                shapes = ", ".join(str(tuple(part.shape)) for part in outputs)
                raise DataError(
                    f"the network gives {shapes}; expected vectors, (n, features). Pool its maps, or take "
                    "FeatureMapDetector, which looks at maps."
                )
            parts.append(outputs[0].double().numpy())
        return np.concatenate(parts)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def seen_by(features: Any, X: Any) -> Iterator[list[Tensor]]:
    """What the network makes of pictures, batch by batch: one tensor, or several maps.

    Parameters
    ----------
    features : ImageFeatures or FeatureMapDetector
        With the parameters of the network.
    X : ndarray or Tensor of pictures, or path-like, or list of them
    """
    device = resolve_device(features.device)
    network = features.network
    before = None
    if isinstance(network, nn.Module):
        before = network.training
        network = network.eval().to(device)
    try:
        with torch.inference_mode():
            for pixels in batches(X, features.batch_size):
                yield _outputs(network(_prepared(features, pixels).to(device)), len(pixels))
    finally:
        if before is not None and isinstance(network, nn.Module):
            network.train(before)


def batches(X: Any, n_pictures: int) -> Iterator[npt.NDArray[Any]]:
    """Pixels of pictures, (n, channels, height, width), some at a time; files that cannot be read raise."""
    if is_files(X):
        for _, pictures, problems in open_files(X, None, None).chunks():
            if problems:
                raise problems[0]
            yield from _parts(pictures, n_pictures)
        return
    yield from _parts(read_arrays(X, None), n_pictures)


def _parts(pictures: Pictures, n_pictures: int) -> Iterator[npt.NDArray[Any]]:
    for begin in range(0, pictures.n_rows, n_pictures):
        yield pictures.pixels[begin : begin + n_pictures]


def _prepared(features: Any, pixels: npt.NDArray[Any]) -> Tensor:
    """Images as networks want them: float32, [0, 1] or standardised, of the wanted size."""
    if pixels.dtype.kind in "iub":
        top = 1 if pixels.dtype.kind == "b" else 255 if pixels.max(initial=0) <= 255 else 65_535
        images = torch.from_numpy(pixels.astype(np.float32) / top)
    else:
        images = torch.from_numpy(pixels.astype(np.float32))
    if features.channels is not None and images.shape[1] == 1:
        images = images.expand(-1, features.channels, -1, -1)
    if features.image_size is not None:
        size = tuple(int(side) for side in features.image_size)
        if len(size) != 2 or min(size) < 1:
            raise SpecificationError(f"image_size={features.image_size!r}; expected (height, width).")
        images = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
    for name, change in (("mean", torch.sub), ("std", torch.div)):
        given = getattr(features, name)
        if given is not None:
            numbers = torch.tensor(given, dtype=torch.float32)
            if len(numbers) not in (1, images.shape[1]):
                raise SpecificationError(f"{name} has {len(numbers)} numbers for {images.shape[1]} channels.")
            images = change(images, numbers.view(1, -1, 1, 1))
    return images.contiguous()


def _outputs(given: Any, n_pictures: int) -> list[Tensor]:
    """What a network returned, as tensors on the CPU: one, or the values of a list, tuple or dict."""
    if isinstance(given, dict):
        given = list(given.values())
    parts = given if isinstance(given, list | tuple) else [given]
    tensors = [part.detach().cpu() if isinstance(part, Tensor) else torch.as_tensor(part) for part in parts]
    for tensor in tensors:
        if tensor.dim() not in (2, 4) or len(tensor) != n_pictures:
            raise DataError(
                f"the network gives a tensor of shape {tuple(tensor.shape)} for {n_pictures} pictures; expected "
                "vectors, (n, features), or maps, (n, features, height, width)."
            )
        if not bool(torch.isfinite(tensor).all()):
            raise DataError("the network gives numbers that are not finite. Check its weights and the normalisation.")
    if not tensors:
        raise DataError("the network gives nothing; expected vectors or maps.")
    return tensors
