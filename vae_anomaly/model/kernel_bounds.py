"""The bound of kernels at training rows, and how they are fitted."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model.elbo import marginal_terms
from vae_anomaly.model.kernels import Kernels
from vae_anomaly.model.matmul import batch_invariant_matmul
from vae_anomaly.model.priors import precise
from vae_anomaly.model.vae import VAE

LEVEL_SMOOTHING = 0.25
OF_ANY_LEVEL = math.log(LEVEL_SMOOTHING)
CENTRAL = (0.005, 0.995)
NEIGHBOUR = 3
SCALES = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6)
PILOT_ROWS = 512
MAX_LOG_WIDTH = 1.6
# Of a column whose central cells are all equal, in standard deviations.
MIN_BANDWIDTH, MIN_DEVIATION = 0.05, 1e-4
# How far below the median a bound counts: in nats, and in distances between the quartiles.
MAX_DEFICIT, MAX_SPREADS = 10.0, 10.0
# Of rows that are not equal, as a share of the largest norm.
MIN_DISTANCE = 1e-6
# Kernels that are no narrower add up to 1 over the values of a rounded column, but for one part in a hundred.
MIN_STEPS = 0.5


class _Rows:
    """Rows beside the centres: what of the kernels does not depend on the centre, and what they are multiplied by.

    Attributes
    ----------
    of_row : Tensor of shape (rows, columns), float64
        What a cell adds to the logarithm of every product: the log-Jacobian of a number, the log-probability of a level
        in its column; 0 where it is missing.
    """

    def __init__(
        self, vae: VAE, batch: Batch, kernels: Kernels, marginal: Tensor, *, equal_widths: bool = False
    ) -> None:
        self.kernels, self.batch, self.arranged = kernels, batch, kernels.arranged(equal_widths=equal_widths)
        self.seen = precise(batch.observed)
        marginal = precise(marginal)
        slope = precise(vae.log_slope(batch.values))
        self.of_row = torch.where(kernels.bandwidths > 0, slope, marginal) * self.seen
        arranged = self.arranged
        cells, self.seen_numbers = precise(batch.values[:, arranged.numeric]), self.seen[:, arranged.numeric]
        alone = (marginal - slope)[:, arranged.numeric]
        self.powers = [cells.square(), cells, torch.ones_like(cells), alone]
        # The log-Jacobian of levels is that of parts of dates.
        share = torch.exp(precise(vae.log_jacobian) - marginal)
        self.gain = torch.log(LEVEL_SMOOTHING + (1 - LEVEL_SMOOTHING) * share) - OF_ANY_LEVEL
        self.slots = arranged.slots(batch.values)
        self.seen_few, self.seen_many = self.seen[:, arranged.few], self.seen[:, arranged.many]
        copies = batch.fingerprints().unsqueeze(1) == kernels.fingerprints
        # What leaving one copy of the row itself out adds to the logarithm of every product: (rows, centres).
        self.discount: Tensor | None = None
        if bool(copies.any()):
            discount = torch.log1p(-1 / precise(copies.sum(1, keepdim=True).clamp(min=1)))
            self.discount = torch.where(copies, discount, 0.0)

    def log_kernels(self) -> Tensor:
        """Logarithm of every product, but for `of_row`, one copy of the row itself left out: (rows, centres)."""
        arranged = self.arranged
        n_terms = 3 if arranged.whole else 4
        features = torch.cat([power * self.seen_numbers for power in self.powers[:n_terms]], 1)
        total = _product(features, arranged.coefficients[: features.shape[1]])
        if len(arranged.few):
            of_matches = features.new_zeros(len(features), len(arranged.one_hot))
            of_matches.scatter_(1, self.slots, self.gain[:, arranged.few] * self.seen_few)
            of_matches[:, -1] = 0
            total += _product(self.seen_few * OF_ANY_LEVEL, arranged.present_few) + _product(
                of_matches, arranged.one_hot
            )
        for column, of_centre in self._of_many():
            total += self.seen_many[:, column : column + 1] * of_centre
        return total if self.discount is None else total + self.discount

    def cells(self, posterior: Tensor) -> Tensor:
        """Mean of the logarithm of each cell's kernel over the centres, with `of_row`: (rows, columns)."""
        arranged = self.arranged
        products = _product(posterior, arranged.coefficients.T)
        of_numbers = sum(power * part for power, part in zip(self.powers, products.chunk(4, -1), strict=True))
        cells = self.of_row.index_add(1, arranged.numeric, of_numbers * self.seen_numbers)
        if len(arranged.few):
            matching = _product(posterior, arranged.one_hot.T).gather(1, self.slots)
            matching = matching.where(self.slots < len(arranged.one_hot) - 1, 0.0)
            of_few = OF_ANY_LEVEL * _product(posterior, arranged.present_few.T) + self.gain[:, arranged.few] * matching
            cells = cells.index_add(1, arranged.few, of_few * self.seen_few)
        for column, of_centre in self._of_many():
            cells[:, arranged.many[column]] += self.seen_many[:, column] * (posterior * of_centre).sum(-1)
        return cells

    def _of_many(self) -> Iterator[tuple[int, Tensor]]:
        """Of each column of many levels: what it adds to the logarithm of every product, (rows, centres)."""
        for column, position in enumerate(self.arranged.many.tolist()):
            matches = self.batch.values[:, position : position + 1] == self.kernels.values[:, position]
            of_level = OF_ANY_LEVEL + matches * self.gain[:, position : position + 1]
            yield column, self.arranged.present_many[column] * of_level


def _product(rows: Tensor, matrix: Tensor) -> Tensor:
    return batch_invariant_matmul(rows.unsqueeze(0), matrix.unsqueeze(0)).squeeze(0)


def kernel_bound(vae: VAE, batch: Batch, kernels: Kernels, marginal: Tensor) -> Tensor:
    """log p(x) of the kernels: (rows,), float64, nats, in the units of the data.

    Parameters
    ----------
    vae : VAE
        Whose columns they are.
    batch : Batch
        Rows of shape (rows, columns).
    kernels : Kernels
    marginal : Tensor of shape (rows, columns)
        What `marginal_terms` gives for the rows.
    """
    rows = _Rows(vae, batch, kernels, marginal)
    return rows.log_kernels().logsumexp(-1) - math.log(kernels.n_centres) + rows.of_row.sum(-1)


def kernel_terms(vae: VAE, batch: Batch, kernels: Kernels, marginal: Tensor) -> tuple[Tensor, Tensor]:
    """`kernel_bound` by cell, and KL(r || 1/M), in which copies of the row count as in the bound.

    The parameters are those of `kernel_bound`.

    Returns
    -------
    log_likelihood : Tensor of shape (rows, columns), float64
        Mean of the logarithm of the cell's kernels over the posterior of the centres; 0 where the cell is missing.
    kl : Tensor of shape (rows,), float64
    """
    rows = _Rows(vae, batch, kernels, marginal)
    log_posterior = rows.log_kernels().log_softmax(-1)
    posterior = log_posterior.exp()
    kl = torch.special.xlogy(posterior, posterior).sum(-1) + math.log(kernels.n_centres)
    if rows.discount is not None:
        kl = kl - (posterior * rows.discount.where(posterior > 0, 0.0)).sum(-1)
    return rows.cells(posterior), kl


def nearest_centres(vae: VAE, batch: Batch, kernels: Kernels, n_nearest: int) -> Tensor:
    """Positions of the centres nearest to each row, in bandwidths, but for the row itself: (rows, at most n_nearest).

    Parameters
    ----------
    vae : VAE
        Whose columns they are.
    batch : Batch
        Rows of shape (rows, columns).
    kernels : Kernels
    n_nearest : int
        Fewer where there are not as many centres and one more.
    """
    rows = _Rows(vae, batch, kernels, marginal_terms(vae, batch), equal_widths=True)
    return rows.log_kernels().topk(max(min(n_nearest, kernels.n_centres - 1), 1), sorted=False).indices


def fit_kernels(vae: VAE, centres: Batch) -> Kernels:
    r"""Kernels at training rows, whose widths are found by leaving each centre out in turn.

    Bandwidths of columns are in proportion to the root of their standard deviation times their range: the likelihood
    would make columns that are nearly constant dominate.  The width of each centre falls with its density in a pilot of
    equal widths, as :math:`p^{-1/d}` for d columns.

    Parameters
    ----------
    vae : VAE
        Whose columns they are.
    centres : Batch
        Training rows, (centres, columns).

    References
    ----------
    Silverman, "Density Estimation for Statistics and Data Analysis", 1986, section 5.3 (adaptive kernels).
    """
    bandwidths, floor = _bandwidths(vae, centres)
    kernels = Kernels(
        centres.values.float().clone(),
        centres.observed.to(torch.uint8),
        torch.ones(len(centres), device=bandwidths.device),
        bandwidths.float(),
        floor.float(),
        centres.fingerprints(),
    )
    marginal = marginal_terms(vae, centres)
    n_varying = max(int((centres.observed[:, : vae.n_varying].any(0)).sum()), 1)
    kernels = _best_scale(vae, centres, kernels, marginal)
    parts = [slice(begin, begin + PILOT_ROWS) for begin in range(0, len(centres), PILOT_ROWS)]
    log_density = torch.cat([kernel_bound(vae, centres.at(part), kernels, marginal[part]) for part in parts])
    log_width = ((log_density.median() - log_density) / n_varying).clamp(-MAX_LOG_WIDTH, MAX_LOG_WIDTH)
    return _best_scale(vae, centres, kernels.scaled(log_width.exp().float()), marginal)


def _best_scale(vae: VAE, centres: Batch, kernels: Kernels, marginal: Tensor) -> Kernels:
    some = slice(0, PILOT_ROWS)
    rows = centres.at(some)
    means = [_mean_without_gross(kernel_bound(vae, rows, kernels.scaled(scale), marginal[some])) for scale in SCALES]
    return kernels.scaled(SCALES[int(torch.stack(means).argmax())])


def _mean_without_gross(bounds: Tensor) -> Tensor:
    """Mean of bounds of rows, those raised that are so far below the median that one of them would decide."""
    low, middle, high = bounds.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=bounds.dtype, device=bounds.device))
    return bounds.clamp(min=middle - (MAX_SPREADS * (high - low)).clamp(min=MAX_DEFICIT)).mean()


def _bandwidths(vae: VAE, centres: Batch) -> tuple[Tensor, Tensor]:
    """Bandwidths of columns, 0 of those without an order, and smallest standard deviations of kernels: (columns,)."""
    values = precise(centres.values).where(centres.observed, torch.nan)
    ordered = torch.zeros(vae.n_columns, dtype=torch.bool, device=values.device)
    step = torch.zeros(vae.n_columns, dtype=values.dtype, device=values.device)
    for group in vae.groups:
        traits = group.likelihood.traits
        if group.is_constant or traits.levels == "unordered":
            continue
        ordered[group.columns] = True
        if traits.levels == "ordered" or traits.counts:
            step[group.columns] = 1.0
    rounded = vae.rounded & (vae.asinh_scale == 0)
    step = torch.where(rounded, precise(vae.slope_at_0 - vae.log_jacobian).exp(), step)
    low, high = _central_range(values)
    central = torch.minimum(torch.maximum(values, low), high)
    deviation = (central - central.nanmean(0)).square().nanmean(0).sqrt().nan_to_num()
    bandwidths = torch.sqrt(deviation * (high - low)).clamp(min=MIN_BANDWIDTH)
    floor = (MIN_STEPS * step).clamp(min=MIN_DEVIATION)
    bandwidths = torch.where(ordered, bandwidths, 0.0)
    scaled = (central / bandwidths).nan_to_num(0.0, 0.0, 0.0)[:PILOT_ROWS, ordered]
    if scaled.shape[1]:
        distances = torch.cdist(scaled, scaled).fill_diagonal_(torch.inf)
        nearest = distances.kthvalue(min(NEIGHBOUR, len(scaled) - 1), dim=1).values
        # Distances are by products: those of equal rows are not quite 0.
        nearest = nearest[nearest > MIN_DISTANCE * scaled.norm(dim=1).amax()]
        if len(nearest):
            bandwidths = bandwidths * nearest.median() / math.sqrt(scaled.shape[1])
    return bandwidths, floor


def _central_range(values: Tensor) -> tuple[Tensor, Tensor]:
    """Of columns of numbers, NaN where they are missing: the cells at both ends of the central ones, (columns,).

    Cells of the column, not between two of them: of a few rows, a gross one would move what lies between.
    """
    in_order = values.sort(0).values
    last = (values.isfinite().sum(0) - 1).clamp(min=0)
    first = torch.zeros_like(last)
    low, high = (CENTRAL[0] * last).ceil().long(), (CENTRAL[1] * last).floor().long()
    flat = in_order.gather(0, low.unsqueeze(0)) >= in_order.gather(0, high.unsqueeze(0))
    ends = [torch.where(flat, end, other.unsqueeze(0)) for end, other in ((first, low), (last, high))]
    smallest, largest = (in_order.gather(0, end).squeeze(0).nan_to_num() for end in ends)
    return smallest, largest
