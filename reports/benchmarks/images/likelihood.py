"""The likelihood of binarised MNIST, beside the literature's: each pass over the training images binarises them anew.

python reports/benchmarks/images/likelihood.py
python reports/benchmarks/images/likelihood.py --recipes "ELBO, longer" --trained --draws 5000
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from benchmarks.detection.cells import Ledger, commit
from benchmarks.detection.protocol import stop
from benchmarks.harness import console
from benchmarks.images.sets import Grey, images
from torch import Tensor, nn

from vae_anomaly.columns import Batch, learn_channels
from vae_anomaly.data import Images
from vae_anomaly.likelihoods import Bernoulli
from vae_anomaly.model import MLP, VAE, FittedPrior, Posterior, Terms, elbo_terms
from vae_anomaly.scores import ImportanceWeighted

HERE = Path(__file__).resolve().parent
WEIGHTS = Path(tempfile.gettempdir()) / "vae_anomaly_likelihood"
COLUMNS = ("recipe", "seed", "draws", "epochs", "train_s", "elbo", "nll", "error", "judged_s", "commit")
SIDE, BATCH_ROWS, MAX_DRAWS, NEAREST = 28, 100, 2_000, 256
WARMUP_EPOCHS, REPORTED = 20, 20


@dataclass(frozen=True)
class Recipe:
    """What is trained, and for how long.

    Parameters
    ----------
    latent_dim : int
    layers : tuple of int
        Of the encoder, and in reverse of the decoder.
    epochs : int
    rate : float
        First learning rate of Adam; it falls to 0 along half a cosine.
    draws : int
        1 for the ELBO, more for the importance-weighted bound.
    after : str, optional
        Recipe whose weights are the first ones.
    exemplars : int
        Training images of a step whose latents are the prior; 0 for the standard normal.
    """

    latent_dim: int = 50
    layers: tuple[int, ...] = (200, 200)
    epochs: int = 560
    rate: float = 2e-3
    draws: int = 1
    after: str | None = None
    exemplars: int = 0


class Exemplars(FittedPrior):
    """Kernels at the latents of training images, of widths that all of them share.

    Training takes the latents as they are: they move with the encoder, but no gradient flows through them.  An image
    is never its own exemplar.  For a test image only the kernels nearest to it are added up, while the divisor counts
    all of them: a lower bound of the density, and so of the log-likelihood.

    Parameters
    ----------
    means : Tensor of shape (images, latents)
    log_variance : Tensor of shape (latents,)
        Of the kernels at first.
    """

    means: Tensor

    def __init__(self, means: Tensor, log_variance: Tensor) -> None:
        super().__init__()
        self.register_buffer("means", means)
        self.log_variance = nn.Parameter(log_variance)
        self.chosen = torch.arange(len(means))

    @property
    def n_components(self) -> int:
        return len(self.means)

    def kl(self, posterior: Posterior, batch: Batch) -> Tensor:  # noqa: ARG002
        ratio = posterior.log_variance - self.log_variance
        return (ratio.exp() - ratio - 1).sum(-1) / 2 - self._mixture(posterior.mean[0]).unsqueeze(0)

    def log_prob(self, z: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002
        constant = (self.log_variance + math.log(2 * math.pi)).sum() / 2
        if self.training:
            return (self._mixture(z.flatten(0, 2)) - constant).view(z.shape[:3])
        width = torch.exp(self.log_variance / 2)
        points, means = z[0] / width, self.means / width
        near = torch.cdist(points.mean(0), means).topk(NEAREST, largest=False).indices
        squares = torch.cdist(points.transpose(0, 1), means[near]).square()
        kernels = (-squares / 2).logsumexp(-1) - math.log(len(means))
        return kernels.T.unsqueeze(0) - constant

    def _mixture(self, points: Tensor) -> Tensor:
        """log of the mean over the chosen exemplars of exp(-squared distance in widths / 2)."""
        width = torch.exp(self.log_variance / 2)
        points, means = points / width, self.means[self.chosen] / width
        squares = points.square().sum(-1, keepdim=True) + means.square().sum(-1) - 2 * points @ means.T
        return (-squares / 2).logsumexp(-1) - math.log(len(means))

    def draw(self, n_rows: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(self.means), (n_rows,), generator=generator)
        noise = torch.randn(n_rows, self.means.shape[1], generator=generator)
        return (self.means[chosen] + torch.exp(self.log_variance / 2) * noise).unsqueeze(0)


RECIPES = {
    "ELBO": Recipe(),
    "ELBO, longer": Recipe(epochs=240, rate=1e-3, after="ELBO"),
    "importance weighted": Recipe(epochs=20, rate=5e-4, draws=50, after="ELBO, longer"),
    "exemplar prior": Recipe(epochs=20, rate=5e-4, after="ELBO, longer", exemplars=4_000),
}


def greys(images: Grey) -> Tensor:
    return torch.from_numpy(images.reshape(len(images), -1)).float() / 255


def observed(values: Tensor) -> Batch:
    return Batch(values, torch.ones_like(values, dtype=torch.bool))


def untrained(recipe: Recipe, shades: Tensor, generator: torch.Generator) -> VAE:
    binary = torch.bernoulli(shades, generator=generator).to(torch.uint8).numpy()
    encoder = learn_channels(Images(binary.reshape(-1, 1, SIDE, SIDE)), Bernoulli())
    return VAE(
        encoder.modelled,
        latent_dim=recipe.latent_dim,
        n_members=1,
        backbone=MLP(skip_connection=False),
        hidden_layer_sizes=recipe.layers,
        activation="tanh",
        mask_input=False,
        grid=encoder.grid,
        generator=generator,
    )


def epoch(shades: Tensor, generator: torch.Generator) -> Iterator[tuple[Tensor, Batch]]:
    """Every image once, by its number, in a new order and binarised anew."""
    for rows in torch.randperm(len(shades), generator=generator).split(BATCH_ROWS):
        yield rows, observed(torch.bernoulli(shades[rows], generator=generator))


@torch.no_grad()
def latents(vae: VAE, shades: Tensor, generator: torch.Generator) -> Posterior:
    """The posteriors of training images."""
    parts = torch.bernoulli(shades, generator=generator).split(BATCH_ROWS)
    found = [vae.posterior(observed(part)) for part in parts]
    return Posterior(torch.cat([one.mean[0] for one in found]), torch.cat([one.log_variance[0] for one in found]))


def bound(vae: VAE, terms: Terms, rows: Batch, draws: int, kl_weight: float) -> Tensor:
    """What training maximises, nats per image."""
    if draws > 1:
        return ImportanceWeighted(draws).reduce(terms, vae, rows).mean()
    return (terms.reconstruction - kl_weight * terms.kl).mean()


def train(vae: VAE, recipe: Recipe, shades: Tensor, generator: torch.Generator) -> None:
    if recipe.exemplars:
        first = latents(vae, shades, generator)
        vae.prior = Exemplars(first.mean, first.log_variance.exp().mean(0).log())
    optimizer = torch.optim.Adam(vae.parameters(), lr=recipe.rate, fused=True)
    n_steps = recipe.epochs * math.ceil(len(shades) / BATCH_ROWS)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    warmup = 0 if recipe.after else min(WARMUP_EPOCHS, recipe.epochs / 10)
    for done in range(recipe.epochs):
        kl_weight = min(1.0, (done + 1) / (warmup + 1))
        total, n_batches = 0.0, 0
        for numbers, rows in epoch(shades, generator):
            if isinstance(vae.prior, Exemplars):
                drawn = torch.randint(len(shades), (recipe.exemplars,), generator=generator)
                vae.prior.chosen = drawn[~torch.isin(drawn, numbers)]
            noise = torch.randn(1, recipe.draws, len(rows), recipe.latent_dim, generator=generator)
            reached = bound(vae, elbo_terms(vae, rows, noise), rows, recipe.draws, kl_weight)
            optimizer.zero_grad()
            (-reached).backward()
            optimizer.step()
            schedule.step()
            if isinstance(vae.prior, Exemplars):
                vae.prior.means[numbers] = latents(vae, shades[numbers], generator).mean
            total, n_batches = total + reached.item(), n_batches + 1
        if done % max(1, recipe.epochs // REPORTED) == 0:
            console.log(f"epoch {done + 1} of {recipe.epochs}: bound {total / n_batches:.2f} nats", highlight=False)


@torch.inference_mode()
def measured(vae: VAE, shades: Tensor, draws: int, seed: int) -> tuple[Tensor, Tensor]:
    """The ELBO and the importance-weighted estimate of log p(x) of test images, binarised once, by image."""
    generator = torch.Generator().manual_seed(seed)
    vae.eval()
    binary = torch.bernoulli(shades, generator=generator)
    elbo, density = torch.empty(len(binary)), torch.empty(len(binary), dtype=torch.float64)
    for some in torch.arange(len(binary)).split(max(1, MAX_DRAWS // draws)):
        rows = observed(binary[some])
        terms = elbo_terms(vae, rows, torch.randn(1, draws, len(rows), vae.latent_dim, generator=generator))
        elbo[some], density[some] = terms.elbo[0], ImportanceWeighted(draws).reduce(terms, vae, rows)
    return elbo, density


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, help="instead of those of the recipe")
    parser.add_argument("--draws", type=int, default=500, help="importance samples a test image")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder for the weights of each recipe")
    parser.add_argument("--trained", action="store_true", help="measure the weights of an earlier run in that folder")
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument("--out", type=Path, default=HERE / "likelihood.csv")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    training, _, tested, _ = images("mnist")
    shades, unseen = greys(training), greys(tested)
    chosen.weights.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(chosen.out, COLUMNS, 3)
    with ledger.alone():
        for seed in chosen.seeds:
            for name in chosen.recipes:
                if (name, str(seed), str(chosen.draws)) in ledger.rows and not chosen.again:
                    continue
                recipe = RECIPES[name] if chosen.epochs is None else replace(RECIPES[name], epochs=chosen.epochs)
                generator = torch.Generator().manual_seed(seed)
                vae = untrained(recipe, shades, generator)
                first = name if chosen.trained else recipe.after
                if first:
                    if RECIPES[first].exemplars:
                        size = len(shades), recipe.latent_dim
                        vae.prior = Exemplars(torch.zeros(size), torch.zeros(recipe.latent_dim))
                    kept = chosen.weights / f"{first} {seed}.pt"
                    if not kept.exists():
                        stop(f"{kept} is not there: run --recipes {first!r} --seeds {seed} --again before.")
                    vae.load_state_dict(torch.load(kept, weights_only=True))
                begin = time.perf_counter()
                if not chosen.trained:
                    train(vae, recipe, shades, generator)
                    torch.save(vae.state_dict(), chosen.weights / f"{name} {seed}.pt")
                train_s, begin = time.perf_counter() - begin, time.perf_counter()
                elbo, density = measured(vae, unseen, chosen.draws, seed)
                row = {
                    "recipe": name,
                    "seed": seed,
                    "epochs": recipe.epochs,
                    "train_s": None if chosen.trained else train_s,
                    "elbo": elbo.mean().item(),
                    "nll": -density.mean().item(),
                    "error": (density.std() / math.sqrt(len(density))).item(),
                    "draws": chosen.draws,
                    "judged_s": time.perf_counter() - begin,
                    "commit": commit(),
                }
                ledger.add(row)
                console.log(f"{name}, {seed}: {row['nll']:.2f} nats in {train_s:.0f} s", highlight=False)


if __name__ == "__main__":
    main()
