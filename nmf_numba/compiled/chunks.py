"""Chunks of rows: each adds into sums of its own, which are then added in order.

So the result does not depend on the number of threads, to the last bit: chunks depend on shapes alone.
"""

import numpy as np
from numba import prange

from nmf_numba.compiled.jit import kernel, parallel
from nmf_numba.compiled.linear_algebra import gather, product

CHUNK = 1024  # rows of a factor in a chunk, at least, where X is not seen


@kernel
def empty_sums(n_chunks, n_rows, n_columns, like):
    """Return room for each chunk's sum, (n_chunks, n_rows, n_columns), of like's dtype.

    The array begins with a cache line of 64 bytes, so a row of 20 doubles lies in three lines, not in four. For a CSR,
    which reads and writes such rows at random, an iteration takes a tenth less time (`python -m benchmarks speed`).
    A dense X does not gain.
    """
    size, item = n_chunks * n_rows * n_columns, like.itemsize
    buffer = np.empty(size + 64 // item, like.dtype)
    start = (-buffer.ctypes.data % 64) // item
    return buffer[start : start + size].reshape((n_chunks, n_rows, n_columns))


@kernel
def fill(A, value):
    """A[:] = value. A plain loop compiles in a tenth of the time of an array expression."""
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            A[i, j] = value


@kernel
def bounds_of(A):
    """Return where chunks of rows of a factor begin, and where the last one ends."""
    n_chunks = max(1, len(A) // CHUNK)
    bounds = np.empty(n_chunks + 1, np.int64)
    for c in range(n_chunks + 1):
        bounds[c] = c * len(A) // n_chunks
    return bounds


@parallel
def add_chunks(sums):
    """Add the sums of all chunks to the first, in order; strips of rows run in parallel."""
    n_chunks, n_rows, n_columns = sums.shape
    n_strips = min(n_rows, 64)
    for strip in prange(n_strips):
        for c in range(1, n_chunks):
            for i in range(strip * n_rows // n_strips, (strip + 1) * n_rows // n_strips):
                for j in range(n_columns):
                    sums[0, i, j] += sums[c, i, j]


@kernel
def total_of(parts):
    """Return the sum of one number of each chunk, in order."""
    total = 0.0
    for c in range(len(parts)):
        total += parts[c]
    return total


def in_order(sums):
    """Return the sum of the chunks' sums, in the place of the first."""
    if len(sums) > 1 and sums.size > 0:
        add_chunks(sums)
    return sums[0]


@kernel
def gram_matrix(A):
    """Return A'A, on one thread: not by BLAS, whose bits depend on its number of threads."""
    gram = np.zeros((A.shape[1], A.shape[1]), A.dtype)
    for start in range(0, len(A), CHUNK):
        rows = A[start : start + CHUNK]
        product(gram, rows.T, rows, True)
    return gram


@parallel
def times(A, B):
    """Return A B, in chunks of rows of A. After a product by BLAS its threads would spin against those of kernels."""
    bounds, C = bounds_of(A), np.empty((A.shape[0], B.shape[1]), B.dtype)
    for c in prange(len(bounds) - 1):
        product(C[bounds[c] : bounds[c + 1]], A[bounds[c] : bounds[c + 1]], B, False)
    return C


@parallel
def times_csr(indptr, indices, data, B, bounds):
    """Return A B for an A in compressed sparse row format, in chunks of rows of A."""
    C = np.zeros((len(indptr) - 1, B.shape[1]), B.dtype)
    for c in prange(len(bounds) - 1):
        for i in range(bounds[c], bounds[c + 1]):
            begin, end = indptr[i], indptr[i + 1]
            gather(C[i], indices[begin:end], data[begin:end], B)
    return C
