"""From images to what a network of the user's makes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from vae_anomaly.data import ImageFormat, Images, is_images
from vae_anomaly.deprecation import RenamedAttribute
from vae_anomaly.detectors.inputs import is_files
from vae_anomaly.detectors.names import DeviceName
from vae_anomaly.detectors.network_inputs import NetworkInput, open_given, prepared, refuse
from vae_anomaly.errors import DataError
from vae_anomaly.forks import at_fork
from vae_anomaly.model import own_settings, resolve_device, usual_threads
from vae_anomaly.networks import PretrainedNetwork

Network = Callable[[Tensor], Any]

NETWORK_CONSTRAINTS: dict[str, Any] = {
    "network": [callable, str],
    "image_shape": ["array-like", None],
    "channels": [Interval(Integral, 1, None, closed="left"), None],
    "mean": ["array-like", None],
    "std": ["array-like", None],
    "max_pixels": [Interval(Integral, 1, None, closed="left"), None],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "device": [StrOptions({"auto", "cpu", "cuda", "mps"})],
}


class ImageFeatures(TransformerMixin, BaseEstimator):
    """Vectors that a network makes of images, for a detector behind it in a pipeline.

    Nothing is downloaded and nothing is trained here.  A network with a name has its weights in a package of the extra
    ``features``; any callable from images to vectors will do as well, a timm or torchvision model with its own weights
    for instance.

    What it sees of an image depends on that image alone.  Levels are divided by the white of their files' depth, or
    of their dtype: 65535 for uint16, 1 for bools, 255 for other integers; floats stay as they are.  Files are read in
    the channels and the depth of the images in `fit`, so that a grey one has three channels where others had colour.

    Parameters
    ----------
    network : callable or "efficientnet-lite0"
        From a float32 tensor of images, (n, channels, height, width), to vectors, (n, features).  A
        ``torch.nn.Module`` is put into evaluation mode and on the device while it is used.  Of a network with a name
        the vectors are the means of its maps.
    image_shape : (int, int), default=None
        Height and width that images are resized to, with antialiasing, and files as they are read; by default they
        stay as they are, and files need one size.
    channels : int, default=None
        A single channel is repeated so often, for networks that want colour; 3 for one with a name.
    mean, std : sequence of float, default=None
        What is taken off each channel, and divided by, after pixels were brought to [0, 1]; a network with a name has
        its own.
    max_pixels : int, default=65536
        A network with a name sees larger images reduced to so many pixels; None shows them as they are.
    batch_size : int, default=32
        Images that the network sees at once.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where the network runs.

    Attributes
    ----------
    image_format_ : ImageFormat or None
        In whose channels and depth files are read: that of the images in `fit`.  Without a fit, files are read in the
        format of each call.

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

    image_format_: ImageFormat | None
    picture_format_ = RenamedAttribute("image_format_")

    _parameter_constraints: ClassVar[dict[str, Any]] = NETWORK_CONSTRAINTS

    def __init__(
        self,
        network: Network | str,
        *,
        image_shape: Sequence[int] | None = None,
        channels: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        max_pixels: int | None = 65_536,
        batch_size: int = 32,
        device: DeviceName = "auto",
    ) -> None:
        self.network = network
        self.image_shape = image_shape
        self.channels = channels
        self.mean = mean
        self.std = std
        self.max_pixels = max_pixels
        self.batch_size = batch_size
        self.device = device

    @own_settings()
    def fit(self, X: Any, y: Any = None) -> ImageFeatures:
        """Check the parameters, and keep the format of the images.

        Parameters
        ----------
        X : ndarray or Tensor of images, or path-like, or list of them
            As `VAEDetector` takes them.
        y : ignored
            For scikit-learn's interface.
        """
        self._validate_params()
        inputs = NetworkInput.of(self)
        self.image_format_ = open_given(inputs, X, None).image_format if is_files(X) or is_images(X) else None
        return self

    @own_settings()
    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        """Vectors of images.

        Parameters
        ----------
        X : ndarray or Tensor of images, or path-like, or list of them
            As `VAEDetector` takes them.

        Returns
        -------
        ndarray of shape (n, features)

        Raises
        ------
        DataError
            If there is no image, a file cannot be read, pixels are missing, or the network gives no vectors or none
            that are finite.
        """
        self._validate_params()
        inputs = NetworkInput.of(self)
        images = open_given(inputs, X, getattr(self, "image_format_", None))
        return np.concatenate([vectors for some in images.portions(refuse) for vectors in self._vectors(some, inputs)])

    def _vectors(self, images: Images, inputs: NetworkInput) -> Iterator[npt.NDArray[np.float64]]:
        for outputs in network_outputs(inputs, images, self.batch_size, self.device):
            if isinstance(inputs.network, PretrainedNetwork):
                yield torch.cat([part.mean((2, 3)) for part in outputs], 1).double().numpy()
                continue
            if len(outputs) != 1 or outputs[0].dim() != 2:
                shapes = ", ".join(str(tuple(part.shape)) for part in outputs)
                raise DataError(
                    f"the network gives {shapes}; expected vectors, (n, features). Pool its maps, or take "
                    "FeatureMapDetector, which takes maps."
                )
            yield outputs[0].double().numpy()

    def __sklearn_is_fitted__(self) -> bool:
        return True


def network_outputs(
    inputs: NetworkInput, images: Images, batch_size: int, device: DeviceName
) -> Iterator[list[Tensor]]:
    """What the network makes of images, batch by batch: vectors, or one or several maps.

    Parameters
    ----------
    inputs : NetworkInput
    images : Images
        In memory.
    batch_size : int
        Images at once.
    device : str
        Where it runs.
    """
    placed = resolve_device(device)
    network = inputs.network
    for begin in range(0, images.n_rows, batch_size):
        some = images.take(slice(begin, begin + batch_size))
        with torch.inference_mode(), _EVALUATION.of(network), usual_threads():
            if isinstance(network, nn.Module):
                network.to(placed)
            outputs = _outputs(network(prepared(inputs, some, begin).to(placed)), some.n_rows)
        yield outputs


class _Evaluation:
    """Keeps networks in evaluation mode while any thread uses them, and gives each of their modules its mode back."""

    def __init__(self) -> None:
        self.users: dict[int, int] = {}
        self.modes: dict[int, list[tuple[nn.Module, bool]]] = {}
        self.start_anew()

    def start_anew(self) -> None:
        """What a forked process begins with: no users, and the modes from before them."""
        self.lock = threading.Lock()
        for modes in self.modes.values():
            _restore(modes)
        self.users.clear()
        self.modes.clear()

    @contextmanager
    def of(self, network: Network) -> Iterator[None]:
        """Evaluation mode inside, if it is a module."""
        if not isinstance(network, nn.Module):
            yield
            return
        key = id(network)
        with self.lock:
            if not self.users.get(key):
                self.modes[key] = [(module, module.training) for module in network.modules()]
                network.eval()
            self.users[key] = self.users.get(key, 0) + 1
        try:
            yield
        finally:
            with self.lock:
                self.users[key] -= 1
                if not self.users[key]:
                    del self.users[key]
                    _restore(self.modes.pop(key))


def _restore(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, mode in modes:
        module.training = mode


_EVALUATION = _Evaluation()
at_fork(in_child=_EVALUATION.start_anew)


def _outputs(given: Any, n_images: int) -> list[Tensor]:
    """What a network returned, as tensors on the CPU: one, or the values of a list, tuple or dict."""
    if isinstance(given, dict):
        given = list(given.values())
    parts = given if isinstance(given, list | tuple) else [given]
    tensors = [part.detach().cpu() if isinstance(part, Tensor) else torch.as_tensor(part) for part in parts]
    for tensor in tensors:
        if tensor.dim() not in (2, 4) or len(tensor) != n_images:
            raise DataError(
                f"the network gives a tensor of shape {tuple(tensor.shape)} for {n_images} images; expected "
                "vectors, (n, features), or maps, (n, features, height, width)."
            )
        if not bool(torch.isfinite(tensor).all()):
            raise DataError("the network gives numbers that are not finite. Check its weights and the normalisation.")
    if not tensors:
        raise DataError("the network gives nothing; expected vectors or maps.")
    return tensors
