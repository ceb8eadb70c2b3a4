"""What training reports on itself."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae_anomaly.columns import Batch
from vae_anomaly.deprecation import RenamedAttribute
from vae_anomaly.display import Shown, counted
from vae_anomaly.errors import FitWarning
from vae_anomaly.model import VAE, History, Terms

ACTIVE_VARIANCE = 1e-2
COLLAPSED_NATS = 1e-2
MAX_BASELINE_COLUMNS = 3_000


@dataclass(frozen=True, repr=False)
class FitReport(Shown):
    """How a fit went.

    Parameters
    ----------
    n_rows, n_validation_rows, n_rows_per_member : int
        Training rows in all, held out for early stopping, and seen by each member.
    n_iter : int
        Optimisation steps made.
    stopped_early, interrupted, rolled_back : bool
        Whether held-out rows, a person or a loss that was not finite intervened.
    elbo : float
        Mean over members and report rows, nats per row, prior N(0, I).  The report rows are the held-out
        ones, or the members' own where there are none.
    kl : float
        Its KL part.
    active_latents : float
        Latents per member whose posterior mean varies over rows by a variance above 0.01, averaged over members.
    latent_dim : int
        Latents per member.
    baseline_elbo : float or None
        Mean log-density on the held-out rows of the simple model: a full-covariance Gaussian for the continuous
        columns and independent frequencies for the others.  None where there are no held-out rows.
    collapsed : bool
        Whether the KL is near 0 in every member: the latents carry nothing.
    worse_than_baseline : bool
        Whether the simple model explains the held-out rows at least as well.

    References
    ----------
    Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, section 5 (active units).
    """

    n_rows: int
    n_validation_rows: int
    n_rows_per_member: int
    n_iter: int
    stopped_early: bool
    interrupted: bool
    rolled_back: bool
    elbo: float
    kl: float
    active_latents: float
    latent_dim: int
    baseline_elbo: float | None
    collapsed: bool
    worse_than_baseline: bool

    n_rows_a_member = RenamedAttribute("n_rows_per_member")

    def _summary(self) -> str:
        said = f"{counted(self.n_rows, 'row')}, {counted(self.n_iter, 'iteration')}, ELBO {self.elbo:,.2f} nats"
        simple = "" if self.baseline_elbo is None else f", a plain Gaussian {self.baseline_elbo:,.2f}"
        noted = "".join(f", {warning.kind}" for warning in self.warnings())
        return f"{said}, KL {self.kl:,.2f}{simple}{noted}"

    def _table(self) -> pd.DataFrame:
        fields = {field.name.replace("_", " "): getattr(self, field.name) for field in dataclasses.fields(self)}
        return pd.DataFrame({"": list(fields), " ": pd.Series(list(fields.values()), dtype=object)})

    def warnings(self) -> list[FitWarning]:
        """One warning for each thing that a user should know of."""
        found = {}
        if self.interrupted:
            found["interrupted"] = f"interrupted at iteration {self.n_iter}; the best weights so far are kept"
        if self.rolled_back:
            found["rolled_back"] = (
                "the loss was not finite once; training went back to the last good weights and a tenth of the step"
            )
        if self.collapsed:
            found["collapsed"] = (
                f"posterior collapse: the KL is {self.kl:.2g} nats per row, so the latents carry nothing and scores "
                "come from the columns' marginals. More max_iter or a higher learning_rate_init may help"
            )
        if self.worse_than_baseline and self.baseline_elbo is not None:
            found["worse_than_baseline"] = (
                f"held-out rows have an ELBO of {self.elbo:.2f} nats, and {self.baseline_elbo:.2f} under a plain "
                "Gaussian with full covariance: a simpler detector (GaussianMixture, EllipticEnvelope) may do as well. "
                "More max_iter, max_samples or latent_dim may help"
            )
        return [FitWarning(text, kind) for kind, text in found.items()]


@torch.no_grad()
def fit_report(
    vae: VAE,
    terms: Terms,
    train: Batch,
    validation: Batch | None,
    history: History,
    n_rows: int,
    n_rows_per_member: int,
) -> FitReport:
    """Measure a trained model on held-out rows.

    Parameters
    ----------
    vae : VAE
        With the prior N(0, I).
    terms : Terms
        Of the held-out rows, or of the members' own rows where there are none.
    train, validation : Batch
        Rows for the simple model, and the held-out rows that it is measured on.
    history : History
        Of the training.
    n_rows, n_rows_per_member : int
        Sizes to report.
    """
    elbo, kl = float(terms.elbo.mean()), float(terms.kl.mean())
    baseline = None if validation is None or vae.of_pixels else baseline_log_density(vae, train, validation)
    units = (train if validation is None else validation).units
    if units is not None:
        observed = (train if validation is None else validation).observed
        shift = float(units.row_jacobians(observed, charges_missing=False).mean())
        elbo, baseline = elbo + shift, None if baseline is None else baseline + shift
    mean = terms.posterior.mean
    active = (mean.var(1) > ACTIVE_VARIANCE).sum(1).float().mean() if mean.shape[1] > 1 else torch.tensor(0.0)
    return FitReport(
        n_rows=n_rows,
        n_validation_rows=0 if validation is None else len(validation),
        n_rows_per_member=n_rows_per_member,
        n_iter=history.iteration[-1],
        stopped_early=history.stopped_early,
        interrupted=history.interrupted,
        rolled_back=history.rolled_back,
        elbo=elbo,
        kl=kl,
        active_latents=float(active),
        latent_dim=vae.latent_dim,
        baseline_elbo=baseline,
        collapsed=bool((terms.kl.mean(1) < COLLAPSED_NATS).all()),
        worse_than_baseline=baseline is not None and baseline >= elbo,
    )


@torch.no_grad()
def baseline_log_density(vae: VAE, train: Batch, validation: Batch) -> float | None:
    """Mean log-density, nats per row, of held-out rows under a Gaussian and independent frequencies.

    Standardised columns are modelled by one Gaussian with the covariance of the training rows (missing cells at
    their mean) and the noise floor added; every other column by the distribution that the decoder starts
    from.  Both leave missing cells out.

    Parameters
    ----------
    vae : VAE
        For its groups of columns, their starting values and floors.
    train, validation : Batch
        Rows of shape (rows, columns).

    Returns
    -------
    float or None
        None where it would take long (above 3,000 standardised columns, or many patterns of missing cells over
        many columns), or where the covariance is singular.
    """
    total = torch.zeros(len(validation), dtype=torch.float64)
    standardised: list[int] = []
    for group in vae.groups:
        if group.likelihood.standardize:
            standardised += range(group.columns.start, group.columns.stop)
            continue
        marginal = group.likelihood.distribution(
            group.arrange(vae.start),
            vae.start.new_zeros(group.likelihood.noise_size(group.n_columns)),
            vae.constants(group),
        )
        cells = marginal.log_prob(validation.values[:, group.columns])
        total += cells.where(validation.observed[:, group.columns], 0.0).cpu().double().sum(1)
    if len(standardised) > MAX_BASELINE_COLUMNS:
        return None
    if standardised:
        density = _gaussian_log_density(
            train.values[:, standardised].cpu().double(),
            validation.values[:, standardised].cpu().double(),
            validation.observed[:, standardised].cpu(),
            vae.floor[standardised].cpu().double(),
        )
        if density is None:
            return None
        total += density
    jacobian = vae.log_slope(validation.values)
    total += torch.where(validation.observed, jacobian, 0.0).cpu().double().sum(1)
    return float(total.mean())


def _gaussian_log_density(train: Tensor, rows: Tensor, observed: Tensor, floor: Tensor) -> Tensor | None:
    """log N(row; mean, covariance) over each row's observed cells, one factorisation per pattern of missing cells."""
    mean = train.mean(0)
    covariance = train.T.cov(correction=0).reshape(len(floor), len(floor)) + torch.diag(floor**2)
    result = torch.zeros(len(rows), dtype=torch.float64)
    patterns, which = observed.unique(dim=0, return_inverse=True)
    if len(patterns) * len(floor) ** 3 > MAX_BASELINE_COLUMNS**3:
        return None
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        chosen = which == number
        factor, failed = torch.linalg.cholesky_ex(covariance[pattern][:, pattern])
        if failed:
            return None
        density = MultivariateNormal(mean[pattern], scale_tril=factor, validate_args=False)
        result[chosen] = density.log_prob(rows[chosen][:, pattern])
    return result
