"""Fingerprints of rows as nodes of a graph: which training rows a row equals."""

from __future__ import annotations

import math

import numpy as np

from vae_anomaly.export.expressions import DOUBLE, INTEGER, Array, Value

# Those of `Batch.fingerprints`.
PRIME, FACTOR, MISSING_BITS = 0x9E3779B97F4A7C15 - (1 << 64), 0x5851F42D4C957F2D, 0x7FC00001
SHIFTS = 29, 32
MIN_EXPONENT, BIAS, MANTISSA, SIGN = -126.0, 126.0, 2.0**23, 2.0**31


def fingerprints_graph(values: Value, observed: Value, n_columns: int) -> Value:
    """One 64-bit integer for each row of cells in model units, as `Batch.fingerprints` makes them: (rows, 1).

    Integer arithmetic that wraps around, as everywhere.
    """
    bits = observed.where(_bits(values), np.array(MISSING_BITS))
    with np.errstate(over="ignore"):
        position = np.arange(1, n_columns + 1) * np.int64(PRIME)
    mixed = (bits + position) * PRIME
    mixed = _xor_shifted(mixed, SHIFTS[0]) * FACTOR
    # As a product: the sums of ONNX Runtime are not exact for integers of 64 bits.
    return _xor_shifted(mixed, SHIFTS[1]).matmul(np.ones((n_columns, 1)))


def leave_one_out(fingerprints: Value, known: Array) -> Value:
    """What leaving one copy of a row out of a mixture adds to the logarithm of each component.

    Parameters
    ----------
    fingerprints : Value of shape (rows, 1)
    known : int64 ndarray of shape (..., 1, components)

    Returns
    -------
    Value of shape (..., rows, components), float64
        log((c - 1) / c) where there are c copies of the row, for each of them; 0 elsewhere.
    """
    equal = fingerprints.equals(known)
    count = equal.to(DOUBLE).sum(-1).with_axis(-1)
    return equal.where(((count - 1.0) / count.at_least(1.0)).log(), 0.0)


def _bits(values: Value) -> Value:
    """The bits of numbers in single precision, as 32-bit integers with a sign, in int64.

    By arithmetic on sign, exponent and mantissa, which is exact in double precision: ONNX looks at no bits.
    """
    size = values.to(DOUBLE).abs()
    exponent = (size.at_least(2.0**MIN_EXPONENT).log() / math.log(2)).floor()
    # The logarithm may be rounded to the other side of a power of two.
    exponent = (size < _power(exponent)).where(exponent - 1.0, exponent)
    exponent = (size >= _power(exponent + 1.0)).where(exponent + 1.0, exponent).at_least(MIN_EXPONENT)
    # The leading 1 of the mantissa is one more in the exponent; numbers below the smallest exponent have none.
    bits = (exponent + BIAS + size / _power(exponent)) * MANTISSA
    return (values < 0.0).where(bits - SIGN, bits).to(INTEGER)


def _power(exponent: Value) -> Value:
    """2 to a whole power."""
    return exponent.graph.op("Pow", exponent.graph.constant(np.array(2.0)), exponent)


def _xor_shifted(numbers: Value, n_bits: int) -> Value:
    """``x ^ (x >> n)``; the remainder of ONNX has the sign of the divisor, so that this is the shift of Python."""
    divisor = numbers.graph.constant(np.array(1 << n_bits))
    shifted = (numbers - numbers.graph.op("Mod", numbers, divisor)) / (1 << n_bits)
    return numbers.graph.op("BitwiseXor", numbers, shifted)
