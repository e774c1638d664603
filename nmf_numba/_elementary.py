"""What the kernels of several solvers share: powers, logarithms and tiles of H.

For kernels only. Numba's cache does not notice a change in another file: after one in this file, delete the cached
kernels (`nmf-numba warmup` says where they are).
"""

import numpy as np
from numba import types
from numba.extending import lower_builtin, type_callable

from nmf_numba._jit import exact, inner, scalar

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
LN2 = 0.6931471805599453


def as_bits(x):
    """The bits of a float64, as an integer."""
    return np.float64(x).view(np.uint64)


def as_float(bits):
    """The float64 of these bits."""
    return np.uint64(bits).view(np.float64)


@type_callable(as_bits)
def _type_as_bits(context):
    return lambda x: types.uint64(types.float64)


@type_callable(as_float)
def _type_as_float(context):
    return lambda bits: types.float64(types.uint64)


@lower_builtin(as_bits, types.float64)
@lower_builtin(as_float, types.uint64)
def _same_bits(context, builder, signature, arguments):
    return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))


@scalar
def _log2_over(z):
    """log2((1 + z) / (1 - z)) / z, for z of a mantissa."""
    u = z * z
    v = u * u
    low_half = (LOG2[0] + LOG2[1] * u) + (LOG2[2] + LOG2[3] * u) * v
    return low_half + ((LOG2[4] + LOG2[5] * u) + (LOG2[6] + LOG2[7] * u) * v) * (v * v)


@scalar
def _parts(x):
    """Take x = f 2^exponent apart, f in [sqrt(1/2), sqrt(2))."""
    bits = as_bits(x)
    exponent = (bits + FROM_ROOT_HALF) >> MANTISSA
    return as_float(exponent | INTEGER_BITS) - (INTEGER + 1023.0), as_float(bits - ((exponent - BIAS) << MANTISSA))


@exact
def split(a):
    """Split a into high + low such that high times an exponent is exact: x^a then has its last digits."""
    high = np.float64(np.float32(a))
    return high, a - high


@scalar
def any_power(x, high, low):
    """x^(high + low) of a float64 >= 0; 0 for x = 0. In a plain loop it becomes vectors.

    a log2 x = k + r, with k whole and r about [-1/2, 1/2]. What takes time is that each step waits for the one before:
    so k, which need not be the nearest, comes from the first term of the logarithm, while the others are computed.
    """
    a, (exponent, f) = high + low, _parts(x)
    z, whole = (f - 1.0) / (f + 1.0), high * exponent
    shifted = (whole + (a * LOG2[0]) * z) + ROUND
    r = ((whole - (shifted - ROUND)) + low * exponent) + (a * z) * _log2_over(z)
    s = r * r
    t = s * s
    first = (EXP2[0] + EXP2[1] * r) + (EXP2[2] + EXP2[3] * r) * s
    second = (EXP2[4] + EXP2[5] * r) + (EXP2[6] + EXP2[7] * r) * s
    third = (EXP2[8] + EXP2[9] * r) + (EXP2[10] + EXP2[11] * r) * s
    # 2^k, or 0 for x = 0: no branch, with which a loop would not become vectors
    biased = min(max(shifted, ROUND - 1023.0), ROUND + 1024.0)
    power_of_2 = as_float((as_bits(biased) << MANTISSA) * np.uint64(x > 0))
    return (first + t * (second + t * third)) * power_of_2


def has_powers_is_named(beta):
    """True and None for a loss with powers, None and True for one of the three with a name: two arguments of a kernel.

    Numba drops what depends on `is not None` of an argument that is None before it compiles: a second less.
    """
    return (None, True) if beta in (0, 1, 2) else (True, None)


@exact
def power(x, a):
    """Set x <- x^a, x one-dimensional. Half-integers need only square roots and divisions."""
    if a == -2 or a == -1.5 or a == -1 or a == -0.5:
        for j in range(len(x)):
            x[j] = 1 / x[j]
        a = -a
    if a == 0.5:
        for j in range(len(x)):
            x[j] = np.sqrt(x[j])
    elif a == 1.5:
        for j in range(len(x)):
            x[j] = x[j] * np.sqrt(x[j])
    elif a == 2:
        for j in range(len(x)):
            x[j] = x[j] * x[j]
    elif a != 1:
        high, low = split(a)
        for j in range(len(x)):
            x[j] = any_power(np.float64(x[j]), high, low)


@scalar
def log(x):
    """log(x) of a finite float64 > 0; some finite number for x = 0. In a plain loop it becomes vectors."""
    exponent, f = _parts(x)
    z = (f - 1.0) / (f + 1.0)
    return LN2 * (exponent + z * _log2_over(z))


@inner
def fill(A, value):
    """A[:] = value. A plain loop compiles in a tenth of the time of an array expression, as the next ones do."""
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            A[i, j] = value


@inner
def tile_of_H(room, h):
    """H at some columns, made in room from rows of Ht: products want lines along the features."""
    H = room[: h.size].reshape(h.shape[1], len(h))
    for j in range(H.shape[1]):  # outside: reading side by side takes half the time of writing so
        for t in range(H.shape[0]):
            H[t, j] = h[j, t]
    return H


@inner
def first_from(columns, begin, stop, column):
    """Where the first entry at or right of this column is: columns are in order."""
    while begin < stop:
        middle = (begin + stop) // 2
        if columns[middle] < column:
            begin = middle + 1
        else:
            stop = middle
    return begin
