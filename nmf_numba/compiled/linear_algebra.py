"""Products of thin matrices, as plain loops: what a kernel calls, and what it means.

A kernel calls `product`, `gather`, `scatter` and `products`. Where the compiler's vectors are to be had, vectors.py
defines the same functions in them, 1.2 to 2.8 times faster for a whole iteration; these loops run otherwise, and Python
can run them too. A test compares both. The environment variable NMF_NUMBA_PLAIN_LOOPS=1 chooses the plain loops.
"""

import os
import types

from numba import config

from nmf_numba.compiled.jit import kernel


def product(C, A, B, add):
    """C <- A B, or C <- C + A B if add is true. A may be a transposed view."""
    for i in range(C.shape[0]):
        for j in range(C.shape[1]):
            total = C[i, j] if add else C.dtype.type(0)
            for depth in range(A.shape[1]):
                total += A[i, depth] * B[depth, j]
            C[i, j] = total


def gather(row, columns, x, Ht):
    """Row += x Ht[columns]: a row of a CSR, which stores x at these columns, times Ht."""
    for q in range(len(columns)):
        for t in range(len(row)):
            row[t] += x[q] * Ht[columns[q], t]


def scatter(sums, columns, x, w):
    """Do sums[columns] += x w: a row of a CSR, transposed, times the row w. No column comes twice."""
    for q in range(len(columns)):
        for t in range(len(w)):
            sums[columns[q], t] += x[q] * w[t]


def products(w, columns, Ht, wh):
    """Set wh <- w'H at these columns, one after the other; wh may be longer."""
    for q in range(len(columns)):
        total = wh.dtype.type(0)
        for t in range(len(w)):
            total += w[t] * Ht[columns[q], t]
        wh[q] = total


PLAIN = types.SimpleNamespace(product=product, gather=gather, scatter=scatter, products=products)

try:
    if config.DISABLE_JIT or os.environ.get("NMF_NUMBA_PLAIN_LOOPS") == "1":
        raise ImportError
    from nmf_numba.compiled import vectors  # compiled code that calls these loops now gets vectors instead

    ROWS = vectors.ROWS  # components that HALS takes together
except (ImportError, AttributeError):  # Numba or llvmlite without what vectors.py needs
    ROWS = 10
    product, gather, scatter, products = map(kernel, (product, gather, scatter, products))
