"""The models of the textbooks, each one constructor call, their losses against arithmetic written out."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from vae_anomaly import MLP, TrainingPlan, VAEDetector
from vae_anomaly.data.table import Table
from vae_anomaly.model.elbo import elbo_terms

Array = npt.NDArray[np.float64]

TEXTBOOK = {
    "n_estimators": 1,
    "max_samples": 1.0,
    "activation": "relu",
    "backbone": MLP(skip_connection=False),
    "prior": "standard_normal",
    "training": TrainingPlan(hidden_fraction=0.0, weight_decay=0.0, kl_warmup=0.0),
    "batch_size": 128,
    "learning_rate_init": 3e-3,
    "max_iter": 80,
}
MODELS = {
    "784-400-20 Bernoulli": VAEDetector(**TEXTBOOK, likelihood="bernoulli", hidden_layer_sizes=(400,), latent_dim=20),
    "784-128-2 Bernoulli": VAEDetector(**TEXTBOOK, likelihood="bernoulli", hidden_layer_sizes=(128,), latent_dim=2),
    "784-128-20 Bernoulli": VAEDetector(**TEXTBOOK, likelihood="bernoulli", hidden_layer_sizes=(128,), latent_dim=20),
    "784-64-16-2 Bernoulli": VAEDetector(**TEXTBOOK, likelihood="bernoulli", hidden_layer_sizes=(64, 16), latent_dim=2),
    "784-400-20 Gaussian": VAEDetector(
        **TEXTBOOK, likelihood="unit_gaussian", hidden_layer_sizes=(400,), latent_dim=20
    ),
}

# The smallest of either likelihood, and the deepest one.
QUICK = ("784-128-2 Bernoulli", "784-64-16-2 Bernoulli", "784-400-20 Gaussian")
QUICK_AND_SLOW = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")


@pytest.fixture(scope="module")
def images(root: Path) -> Array:
    """1,000 flattened 28x28 images in [0, 1]: MNIST where it is beside the repository, else enlarged digits."""
    mnist = root.parent / "shared" / "data" / "mnist" / "mnist.npz"
    if mnist.is_file():
        with np.load(mnist) as arrays:
            return np.asarray(arrays["x_train"][:1000].reshape(1000, 784) / 255.0, dtype=np.float64)
    small = load_digits().images[:1000] / 16.0
    return np.pad(small.repeat(3, 1).repeat(3, 2), ((0, 0), (2, 2), (2, 2))).reshape(1000, 784)


def weights(detector: VAEDetector) -> tuple[list[Array], list[Array], list[Array], list[Array]]:
    """Weights and biases of the only member's encoder and decoder, as NumPy arrays."""
    state = {name: tensor[0].double().numpy() for name, tensor in detector.vae_.named_parameters()}

    def of(body: str, kind: str) -> list[Array]:
        return [value for name, value in state.items() if name.startswith(body) and name.endswith(kind)]

    return of("encoder", "weight"), of("encoder", "bias"), of("decoder", "weight"), of("decoder", "bias")


def forward(x: Array, matrices: list[Array], offsets: list[Array]) -> Array:
    for depth, (matrix, offset) in enumerate(zip(matrices, offsets, strict=True)):
        x = x @ matrix + offset
        if depth < len(matrices) - 1:
            x = np.maximum(x, 0)
    return x


@pytest.mark.parametrize("name", QUICK_AND_SLOW)
def test_textbook_model_trains_and_its_loss_is_the_textbooks(name: str, images: Array) -> None:
    detector = MODELS[name].fit(images)
    history = detector.history_
    assert history.elbo[-1] > history.elbo[0]

    x = images[:5]
    noise = np.random.default_rng(0).normal(size=(5, detector.vae_.latent_dim))
    encoder_weights, encoder_biases, decoder_weights, decoder_biases = weights(detector)
    sizes = [matrix.shape for matrix in encoder_weights]
    assert sizes[0][0] == 784
    assert sizes[-1][1] == 2 * detector.vae_.latent_dim
    mean, log_variance = np.split(forward(x, encoder_weights, encoder_biases), 2, axis=1)
    outputs = forward(mean + np.exp(log_variance / 2) * noise, decoder_weights, decoder_biases)
    if "Bernoulli" in name:
        y = 1 / (1 + np.exp(-outputs))
        reconstruction_loss = -(x * np.log(y) + (1 - x) * np.log(1 - y)).sum(1)
    else:
        reconstruction_loss = 0.5 * ((x - outputs) ** 2).sum(1) + 0.5 * 784 * np.log(2 * np.pi)
    divergence = -0.5 * (1 + log_variance - mean**2 - np.exp(log_variance)).sum(1)

    batch = detector.encoder_.encode(Table(tuple(column.name for column in detector.columns_), x))
    drawn = torch.from_numpy(noise).float()[None, None]
    terms = elbo_terms(detector.vae_, batch, drawn)
    np.testing.assert_allclose(-terms.reconstruction[0].numpy(), reconstruction_loss, rtol=1e-4)
    np.testing.assert_allclose(terms.kl[0].numpy(), divergence, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["784-128-2 Bernoulli", pytest.param("784-400-20 Gaussian", marks=pytest.mark.slow)])
def test_textbook_model_generates_through_its_decoder(name: str, images: Array) -> None:
    detector = MODELS[name].fit(images)
    generated = detector.sample(200, random_state=0)
    assert generated.shape == (200, 784)
    if "Bernoulli" in name:
        assert set(np.unique(generated)) == {0.0, 1.0}
    assert np.corrcoef(generated.mean(0), images.mean(0))[0, 1] > 0.9


@pytest.mark.slow
def test_latent_size_can_be_chosen_by_cross_validation(images: Array) -> None:
    model = MODELS["784-128-2 Bernoulli"]
    search = GridSearchCV(model, {"latent_dim": [1, 8]}, cv=2).fit(images[:600])
    assert search.best_params_ == {"latent_dim": 8}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
