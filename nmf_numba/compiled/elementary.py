"""Logarithms and powers of single numbers, which become vectors in the loop that calls them.

The C library's functions take one number at a time, 10 to 20 ns for a power, where these take 1 to 2. Numba's cache
does not notice a change in another file: after one here, delete the cached kernels (`nmf-numba warmup` says where).
"""

import numpy as np

from nmf_numba.compiled.jit import inlined, kernel, part

# For x^a = 2^(a log2 x), in bits of a double: log2 of the mantissa f in [sqrt(1/2), sqrt(2)) is z LOG2(z^2) with
# z = (f-1)/(f+1), to 1.2e-18 relative; 2^r for r in [-1/2, 1/2] is EXP2(r), to 4.3e-18. Both interpolate at Chebyshev
# nodes. The result has a relative error of 6e-16 at most.
LOG2 = (
    2.8853900817779268, 0.9617966939259898, 0.5770780163455203, 0.4121985858409005,
    0.32059853491395984, 0.262334352504183, 0.2209130842311768, 0.2136589569431927,
)  # fmt: skip
EXP2 = (
    1.0, 0.6931471805599453, 0.24022650695910158, 0.055504108664821625, 0.009618129107587256, 0.001333355814640647,
    0.00015403530463724353, 1.5252733841556773e-05, 1.3215432535912375e-06, 1.0178057087733941e-07,
    7.074194297288521e-09, 4.4558179083360645e-10,
)  # fmt: skip
MANTISSA, BIAS = np.uint64(52), np.uint64(1023)  # bits of the mantissa; the exponent of 1
FROM_ROOT_HALF = np.uint64((1023 << 52) - 0x3FE6A09E667F3BCD)  # counts exponents from sqrt(1/2) instead of 1
INTEGER_BITS, INTEGER = np.uint64(0x433 << 52), 2.0**52  # an integer n as a double: INTEGER_BITS | n, minus INTEGER
ROUND = 1.5 * 2.0**52 + 1023.0  # k + ROUND is rounded to a whole number, and its last bits are those of k + 1023
LN2, LOG2_E = 0.6931471805599453, 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693145751953125, 1.4286068203094172e-06  # their sum is log(2); the first has few bits


@part
def as_bits(x):
    """The bits of a float64, as an integer."""
    return np.float64(x).view(np.uint64)


@part
def as_float(bits):
    """The float64 of these bits."""
    return np.uint64(bits).view(np.float64)


@part
def _log2_over(z):
    """log2((1 + z) / (1 - z)) / z, for z of a mantissa."""
    u = z * z
    v = u * u
    low_half = (LOG2[0] + LOG2[1] * u) + (LOG2[2] + LOG2[3] * u) * v
    return low_half + ((LOG2[4] + LOG2[5] * u) + (LOG2[6] + LOG2[7] * u) * v) * (v * v)


@part
def _parts(x):
    """Take x = f 2^exponent apart, f in [sqrt(1/2), sqrt(2))."""
    bits = as_bits(x)
    exponent = (bits + FROM_ROOT_HALF) >> MANTISSA
    return as_float(exponent | INTEGER_BITS) - (INTEGER + 1023.0), as_float(bits - ((exponent - BIAS) << MANTISSA))


@inlined
def log(x):
    """Log(x) of a finite float64 > 0, accurate also near 1; some finite number for x = 0."""
    exponent, f = _parts(x)
    z = (f - 1.0) / (f + 1.0)
    return LN2 * exponent + (LN2 * z) * _log2_over(z)


@part
def _power_of_2(r):
    """2^r - 1 for r in about [-1/2, 1/2], with the digits that r has near 0."""
    s = r * r
    t = s * s
    first = EXP2[1] + EXP2[2] * r
    second = (EXP2[3] + EXP2[4] * r) + (EXP2[5] + EXP2[6] * r) * s
    third = (EXP2[7] + EXP2[8] * r) + (EXP2[9] + EXP2[10] * r) * s + EXP2[11] * t
    return r * (first + s * (second + t * third))


@part
def _two_to(shifted):
    """2^k from shifted = k + ROUND, between 0 and infinity."""
    return as_float(as_bits(min(max(shifted, ROUND - 1023.0), ROUND + 1024.0)) << MANTISSA)


@inlined
def expm1(x):
    """Exp(x) - 1, accurate also near 0; what is beyond float64 becomes 1e308."""
    x = min(max(x, -745.0), 709.4)
    y = x * LOG2_E
    shifted = y + ROUND
    r = (x - (shifted - ROUND) * LN2_HIGH - (shifted - ROUND) * LN2_LOW) * LOG2_E
    two = _two_to(shifted)
    return two * _power_of_2(r) + (two - 1.0)


@part
def split(a):
    """Split a into high + low such that high times an exponent is exact: x^a then has its last digits."""
    high = np.float64(np.float32(a))
    return high, a - high


@inlined
def power(x, high, low):
    """x^(high + low) of a float64 >= 0; 0 for x = 0.

    a log2 x = k + r, with k whole and r about [-1/2, 1/2]. The dependency chain limits throughput, so k is taken from
    the first term of the log series; it need not be the nearest integer.
    """
    a, (exponent, f) = high + low, _parts(x)
    z, whole = (f - 1.0) / (f + 1.0), high * exponent
    shifted = (whole + (a * LOG2[0]) * z) + ROUND
    r = ((whole - (shifted - ROUND)) + low * exponent) + (a * z) * _log2_over(z)
    return (1.0 + _power_of_2(r)) * _two_to(shifted) * np.float64(x > 0)


@kernel
def powers(y, x, a):
    """Set y <- x^a, one-dimensional; a = 1/2 and -1/2 need only square roots and divisions."""
    n, one = len(x), y.dtype.type(1)
    if a == 0.5:
        for j in range(n):
            y[j] = np.sqrt(x[j])
    elif a == -0.5:
        for j in range(n):
            y[j] = np.sqrt(one / x[j])
    else:
        high, low = split(a)
        for j in range(n):
            y[j] = power(np.float64(x[j]), high, low)
