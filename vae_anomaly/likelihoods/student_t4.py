"""The Student-t distribution of four degrees of freedom in closed form, accurate in single precision."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

DF = 4.0
MIN_MASS = 1e-37
NARROW = 0.4
"""Half of the widest interval, in units of the scale, whose probability `log_narrow_mass` gives."""


def upper_tail(standard: Tensor) -> Tensor:
    """P(T >= t) of a Student-t variable with four degrees of freedom.

    With ``s = t / sqrt(4 + t ** 2)`` it is ``(1 - s) ** 2 * (2 + s) / 4``.
    """
    root = torch.sqrt(4 + standard.square())
    sine = standard / root
    # 1 - s cancels where s is near 1; the other form divides by 1 + s.
    rest = torch.where(standard > 0, 4 / (root.square() * (1 + sine.clamp(min=0))), 1 - sine)
    return rest.square() * (2 + sine) / 4


def interval_mass(lower: Tensor, upper: Tensor, width: Tensor | None = None) -> Tensor:
    """P(lower <= T <= upper) of a Student-t variable with four degrees of freedom, accurate also in the tails.

    The distribution function is ``1/2 + (3 s - s ** 3) / 4`` with ``s = t / sqrt(4 + t ** 2)``; differences of `s` and
    of 1 are written out so that nothing cancels in single precision.

    Parameters
    ----------
    lower, upper : Tensor
        Ends, ``lower <= upper``, in units of the scale.
    width : Tensor, optional
        Their distance, where it is known better than as a difference of single-precision numbers.
    """
    width = upper - lower if width is None else width
    mirrored = lower + upper < 0
    near, far = torch.where(mirrored, -upper, lower), torch.where(mirrored, -lower, upper)
    root_near, root_far = torch.sqrt(4 + near.square()), torch.sqrt(4 + far.square())
    sine_near, sine_far = near / root_near, far / root_far
    beyond = near.clamp(min=0)
    root_beyond = torch.sqrt(4 + beyond.square())
    same_side = 4 * width * (far + beyond) / ((far * root_beyond + beyond * root_far) * root_beyond * root_far)
    gap = torch.where(near > 0, same_side, sine_far - sine_near)
    product = sine_near * sine_far
    roots = root_beyond * root_far
    from_one = (16 + 4 * beyond.square() + 4 * far.square()) / (roots * (roots + beyond * far))
    slope = torch.where(
        near > 0,
        4 / root_far.square() + 4 / root_beyond.square() + from_one,
        3 - sine_near.square() - sine_far.square() - product,
    )
    return gap * slope / 4


def log_narrow_mass(middle: Tensor, half: Tensor) -> Tensor:
    """log P(middle - half <= T <= middle + half) for `half` up to `NARROW`, in a third of the steps of `interval_mass`.

    The Taylor series of the integral about the middle, up to the sixth power of `half`: derivatives of the density
    ``3 / 8 (1 + t ** 2 / 4) ** (-5 / 2)``, divided by it, are polynomials in ``u = 1 / (1 + t ** 2 / 4)``.  What is
    left out is less than 3e-6 nats.

    Parameters
    ----------
    middle : Tensor of shape (..., columns)
        In units of the scale; changed in place.
    half : Tensor that broadcasts to (..., columns)
        In units of the scale.
    """
    h2 = half.square()
    h4, h6 = h2.square() / 120, h2.square() * h2 / 5040
    h2 = h2 / 6
    heaviness = middle.mul_(0.5).square_().add_(1)
    u = heaviness.reciprocal()
    series = torch.addcmul(21114.84375 * h6, u, -10557.421875 * h6)
    for coefficient in (
        216.5625 * h4 - 12993.75 * h6,
        -315 * h4 + 2362.5 * h6,
        105 * h4 - 8.75 * h2,
        7.5 * h2,
    ):
        series = torch.addcmul(coefficient, series, u)
    log_mass = series.mul_(u).log1p_()
    return log_mass.add_(heaviness.log_(), alpha=-2.5).add_((0.75 * half).log()).clamp_(min=math.log(MIN_MASS))


class LogMass(torch.autograd.Function):
    """log P(lower <= T <= upper), with its derivatives -f(lower) / P and f(upper) / P in closed form.

    Automatic differentiation of `interval_mass` would keep and walk back some thirty steps: twice the time of a
    training with many rounded columns.
    """

    @staticmethod
    def forward(ctx: Any, lower: Tensor, upper: Tensor, width: Tensor) -> Tensor:
        """Log-probability, nats."""
        mass = interval_mass(lower, upper, width).clamp(min=MIN_MASS)
        ctx.save_for_backward(lower, upper, mass)
        return mass.log()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """By the density ``12 (4 + t ** 2) ** (-5 / 2)`` at the two ends."""
        lower, upper, mass = ctx.saved_tensors
        share = gradients[0] / mass
        ends = []
        for factor, end in ((-12.0, lower), (12.0, upper)):
            # By products, because a power takes longer than all else here.
            root = torch.rsqrt(4 + end.square())
            ends.append(_summed(root.square().square().mul_(root).mul_(share).mul_(factor), end))
        return ends[0], ends[1], None


def _summed(gradient: Tensor, of: Tensor) -> Tensor:
    """A gradient summed over the axes along which its tensor was broadcast."""
    return gradient if gradient.shape == of.shape else gradient.sum_to_size(of.shape)


def t_quantile(share: Tensor) -> Tensor:
    """The number that a Student-t variable with four degrees of freedom stays below with a probability.

    References
    ----------
    Shaw, "Sampling Student's T distribution", Journal of Computational Finance 9(4), 2006, eq. 37.
    """
    spread = (4 * share * (1 - share)).clamp(min=1e-30)
    root = torch.sqrt(spread)
    size = torch.cos(torch.arccos(root.clamp(max=1)) / 3) / root
    return (2 * torch.sqrt((size - 1).clamp(min=0))).copysign(share - 0.5)
