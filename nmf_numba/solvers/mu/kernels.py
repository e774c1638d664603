"""Multiplicative updates in compiled loops. The equations are in reference.py; this file says only how loops differ.

A block of rows of WH lives in cache and never as a whole. From it come numerator and denominator, then the new rows of
W, then WH again and the block's share of H's sums, while the rows of X are still in cache. What the mathematics saves
is saved: beta = 2 needs no WH (its denominator is W (H H')), beta = 1 no power (its denominator is the row sums of H),
and one power serves both sums, since WH^(beta-1) = WH^(beta-2) WH. Each chunk of rows adds into sums of its own, which
are added in order: the result does not depend on the number of threads.
"""

import time

import numpy as np

from nmf_numba._chunks import for_each_chunk, gram_matrix, n_chunks_of, sum_of_parts, times
from nmf_numba._elementary import (
    any_power,
    fill,
    first_from,
    has_powers_is_named,
    log,
    power,
    split,
    tile_of_H,
)
from nmf_numba._jit import inlined, inner, nanoseconds
from nmf_numba._memory import aligned_empty
from nmf_numba._product import gather, product, products, ratio_to_product, root_of_product, scatter
from nmf_numba.objective.kernels import CANCELLED, CANCELLED_32, LEAST, MOST, divergence_csr, divergence_dense
from nmf_numba.objective.kernels import _lines as divergence
from nmf_numba.objective.kernels import _sum_of_powers as sum_of_powers

FLOOR = 2.0**-23  # as in reference.py

BLOCK = 60  # rows in a block: with TILE columns half a MB of WH, half of a core's second cache; a multiple of ROWS
TILES_BYTES = 4 << 20  # of all tiles of H, at most: what is larger is made where it is needed
TILE = 1000  # columns in a block, where X has many; lines 1024 numbers apart compete for places in a cache


@inner
def _raise(x):
    """x <- max(x, FLOOR)"""
    floor = x.dtype.type(FLOOR)
    for j in range(len(x)):
        x[j] = max(x[j], floor)


@inner
def _ratios(x, wh, p, beta, has_powers):
    """p <- x * wh^(beta-2), and wh <- wh^(beta-1) unless beta = 1; floored where the power is negative."""
    if has_powers is not None:
        _ratios_by_powers(x, wh, p, beta)
        return
    floor, one = wh.dtype.type(FLOOR), wh.dtype.type(1)
    if beta == 1:
        for j in range(len(wh)):
            p[j] = x[j] / max(wh[j], floor)
    else:  # beta = 0: one pass over the block instead of a pass for each power
        for j in range(len(wh)):
            wh[j] = one / max(wh[j], floor)
            p[j] = x[j] * (wh[j] * wh[j])


@inner
def _ratios_by_powers(x, wh, p, beta):
    """As `_ratios`, for beta other than 1 and 0."""
    floor, n = wh.dtype.type(FLOOR), len(wh)
    one, root_floor = wh.dtype.type(1), np.sqrt(floor)
    if beta == 0.5:  # here, at 1.5 and at 3: no power
        for j in range(n):
            inverse = one / max(wh[j], floor)
            wh[j] = np.sqrt(inverse)
            p[j] = x[j] * (inverse * wh[j])
        return
    if beta == 1.5:
        for j in range(n):
            wh[j] = np.sqrt(wh[j])
            p[j] = x[j] / max(wh[j], root_floor)
        return
    if beta == 3:
        for j in range(n):
            p[j] = x[j] * wh[j]
            wh[j] = wh[j] * wh[j]
        return
    n_low, (high, low), least = 0, split(beta - 2), floor if beta < 2 else 0 * floor
    for j in range(n):
        y = max(wh[j], least)
        y_raised = any_power(np.float64(y), high, low)
        n_low += wh[j] < least
        p[j] = x[j] * y_raised
        wh[j] = (y if beta < 1 else wh[j]) * y_raised
    if beta > 1 and n_low > 0:  # wh^(beta-1) has no floor here, but was made with a factor that has
        factor = any_power(np.float64(floor), high, low)
        for j in range(n):
            if wh[j] < floor * factor:
                wh[j] = (wh[j] / factor) ** (beta - 1)


@inner
def _floored_power(x, a, has_powers):
    """x <- x^a, floored where a < 0."""
    if a < 0:
        _raise(x)
    if has_powers is not None:
        power(x, a)
    else:  # beta = 0: a is -1 or -2
        for j in range(len(x)):
            x[j] = (1 if a == -1 else 1 / x[j]) / x[j]


@inner
def _renew(W, numerator, denominator, l1, l2, beta, flush):
    """(1) on a few rows. The denominator has as many rows as W, or one for all of them."""
    gamma = 1 / (2 - beta) if beta < 1 else 1 / (beta - 1) if beta > 2 else 1.0
    exponent, l1, l2 = W.dtype.type(gamma), W.dtype.type(l1), W.dtype.type(l2)
    floor, flush = W.dtype.type(FLOOR), W.dtype.type(flush)
    n_rows, n_components = W.shape
    for i in range(n_rows):
        w, num, den = W[i], numerator[i], denominator[min(i, len(denominator) - 1)]
        for t in range(n_components):
            d = den[t] + l1 + l2 * w[t]
            ratio = num[t] / (floor if d == 0 else d)
            new = w[t] * (ratio if gamma == 1 else ratio**exponent)
            w[t] = 0 if new < flush else new


@inner
def _add_rows(sums, A):
    """sums[0] += the sum of A's rows"""
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            sums[0, j] += A[i, j]


# What a measured row pass leaves for each chunk: the divergence before it, how large its terms were, how many entries
# of WH were below the floor where that counts, and in nanoseconds what measuring took and the whole chunk.
TOTAL, SIZE, N_LOW, INSIDE, WHOLE = range(5)


@inner
def _add_logs(measured, x, p):
    """Add x log(x/y) - x, from p = x/y. What is left of the divergence for beta = 1 is the sum of WH."""
    log_terms = sum_x = 0.0
    n_low, low = 0, FLOOR * (1 + 1e-6)
    for j in range(len(x)):
        x_j, p_j = np.float64(x[j]), np.float64(p[j])
        log_terms += x_j * log(p_j)
        sum_x += x_j
        n_low += (x_j > 0) & (x_j <= low * p_j)
    measured[TOTAL] += log_terms - sum_x
    measured[SIZE] += abs(log_terms) + sum_x
    measured[N_LOW] += n_low


@inner
def _n_low(x, wh, beta):
    """How many entries of WH were raised to the floor, and the divergence takes them otherwise."""
    n, floor = 0, wh.dtype.type(FLOOR)
    if beta < 2:
        for j in range(len(wh)):
            n += (wh[j] < floor) & ((beta < 1) | (x[j] > 0))
    return n


@inner
def _n_low_stored(wh, columns, left, beta):
    """The same for a row of a CSR. wh : its WH from column left on; for beta = 1.5 the square root"""
    n, floor = 0, wh.dtype.type(FLOOR)
    if beta < 1:
        for j in range(len(wh)):
            n += wh[j] < floor
    elif beta < 2:
        floor = np.sqrt(floor) if beta == 1.5 else floor
        for q in range(len(columns)):
            n += wh[columns[q] - left] < floor
    return n


@inner
def _measure_tile(measured, x, left, rows, h, wh, p, beta, has_powers, is_named, a, b, clock):
    """Add what a tile's entries tell: for beta = 0 all, for beta = 1 their logarithms.

    wh : a tile of WH, whose first column is left, unless beta = 1
    p : X / WH there, if beta = 1
    """
    began = nanoseconds(clock)
    if is_named is not None and beta == 0:
        measured[TOTAL] += divergence(x, left, rows, h, wh, beta, has_powers, is_named, a, b)
    else:
        n_lines = 1 if wh.shape[1] == x.shape[1] else len(wh)  # as in `_ratios_dense`
        x, lines, p_lines = x.reshape(n_lines, -1), wh.reshape(n_lines, -1), p.reshape(n_lines, -1)
        for i in range(n_lines):
            line = x[i][left : left + lines.shape[1]]
            if is_named is not None:
                _add_logs(measured, line, p_lines[i])
            else:
                measured[N_LOW] += _n_low(line, lines[i], beta)
    measured[INSIDE] += nanoseconds(clock) - began


@inner
def _dot(A, B):
    total = 0.0
    for i in range(len(A)):
        for t in range(A.shape[1]):
            total += np.float64(A[i, t]) * np.float64(B[min(i, len(B) - 1), t])
    return total


@inner
def _measure_sums(measured, W, numerator, denominator, of_X, beta, has_powers):
    """Add what W's sums tell, before it is renewed: <W, denominator> is the sum of WH^beta.

    And <W, numerator> is that of X WH^(beta-1). of_X : the sum of each row's X^beta
    """
    if has_powers is None:
        if beta == 1:
            sum_y = _dot(W, denominator)
            measured[TOTAL] += sum_y
            measured[SIZE] += sum_y
        return
    scale, first = beta * (beta - 1), of_X.sum()
    second, third = (beta - 1) * _dot(W, denominator), beta * _dot(W, numerator)
    measured[TOTAL] += (first - third + second) / scale
    measured[SIZE] += (first + abs(second) + abs(third)) / abs(scale)


@inlined
def _finish_half(is_for_H, rows, num, den, total, fixed, l1, l2, beta, flush, first):
    """Renew a block of rows, or for H add what its denominator has in common for all columns.

    fixed : H's part of W's denominator where it is the same for all rows: H H' for beta = 2, row sums of H for beta = 1
    """
    if is_for_H:
        if beta == 2:
            product(total, rows.T, rows, not first)
        elif beta == 1:
            _add_rows(total, rows)
    else:
        if beta == 2:
            product(den, rows, fixed, False)
        _renew(rows, num, fixed if beta == 1 else den, l1, l2, beta, flush)


@inlined
def _tile(H, room, h, left):
    """H at h's columns, of which left is the first: where its tiles lie one after the other, or made in room."""
    if len(H) == 0:
        return tile_of_H(room, h)
    n = h.shape[1]
    return H[left * n : left * n + h.size].reshape(n, len(h))


@inlined
def _ratios_dense(x, left, beta, has_powers, wh, p):
    """x * wh^(beta-2) of a tile that begins at column left; wh <- wh^(beta-1) if that is not 1 or wh itself."""
    if beta == 2:
        return x[:, left : left + wh.shape[1]]
    n_lines = 1 if wh.shape[1] == x.shape[1] else len(wh)  # whole rows lie one after the other: one long line
    x, lines, p_lines = x.reshape(n_lines, -1), wh.reshape(n_lines, -1), p.reshape(n_lines, -1)
    for i in range(n_lines):
        _ratios(x[i][left : left + lines.shape[1]], lines[i], p_lines[i], beta, has_powers)
    return p


@inner
def _rows_dense(
    c,
    W,
    X,
    Ht,
    H,
    fixed,
    beta,
    has_powers,
    is_named,
    l1,
    l2,
    flush,
    update_H,
    bounds,
    numerator_H,
    denominator_H,
    of_X,
    measured,
):
    """The row pass over chunk c: numerator_H[c] and denominator_H[c] become its share of H's sums.

    of_X : None, or the sum of each row's X^beta; NaN where it is not known yet
    measured : None, or measured[c] becomes the chunk's part of the divergence before
    """
    W, X = W[bounds[c] : bounds[c + 1]], X[bounds[c] : bounds[c + 1]]
    (n_rows, n_components), n_features = W.shape, len(Ht)
    general = beta != 1 and beta != 2  # both numerator and denominator need a power of WH
    most, width = min(BLOCK, n_rows), min(TILE, n_features)
    room = 0 if beta == 2 else most * width
    WH, P = np.empty(room, W.dtype), np.empty(room, W.dtype)
    numerator, denominator = np.empty((most, n_components), W.dtype), np.empty((most, n_components), W.dtype)
    H_room = np.empty(n_components * width if beta != 2 and len(H) == 0 else 0, W.dtype)
    if measured is not None:
        clock, a, b = np.empty(2, np.int64), np.empty(TILE), np.empty(TILE)
        begin, measured[c] = nanoseconds(clock), 0.0
    if n_rows == 0 or not update_H:
        fill(numerator_H[c], 0)
    if n_rows == 0 or not update_H or beta == 1:
        fill(denominator_H[c], 0)
    for start in range(0, n_rows, BLOCK):
        n, first = min(BLOCK, n_rows - start), start == 0
        rows, x, num, den = W[start : start + n], X[start : start + n], numerator[:n], denominator[:n]
        n_WH = 0 if beta == 2 else n
        for is_for_H in range(1 + update_H):  # W's half, then H's with the new rows of W, while x is in cache
            for left in range(0, n_features, width):
                right = min(left + width, n_features)
                h, size = Ht[left:right], n_WH * (right - left)
                wh, p = WH[:size].reshape(n_WH, right - left), P[:size].reshape(n_WH, right - left)
                measures = False
                if measured is not None:
                    measures = not is_for_H  # WH is still that of the W and H before
                if beta == 1:
                    ratio_to_product(p, rows, _tile(H, H_room, h, left), x[:, left:right])
                elif beta != 2:
                    product(wh, rows, _tile(H, H_room, h, left), False)
                if measured is not None and measures:
                    _measure_tile(measured[c], x, left, rows, h, wh, p, beta, has_powers, is_named, a, b, clock)
                ratios = p if beta == 1 else _ratios_dense(x, left, beta, has_powers, wh, p)
                if is_for_H:
                    product(numerator_H[c][:, left:right], rows.T, ratios, not first)
                    if general:
                        product(denominator_H[c][:, left:right], rows.T, wh, not first)
                else:
                    product(num, ratios, h, left > 0)
                    if general:
                        product(den, wh, h, left > 0)
            if measured is not None and not is_for_H:
                of_x = of_X[bounds[c] + start : bounds[c] + start + n]
                for i in range(n):
                    if has_powers is not None and np.isnan(of_x[i]):
                        of_x[i] = sum_of_powers(x[i], beta, a)
                _measure_sums(measured[c], rows, num, fixed if beta == 1 else den, of_x, beta, has_powers)
            _finish_half(is_for_H, rows, num, den, denominator_H[c], fixed, l1, l2, beta, flush, first)
    if measured is not None:
        measured[c, WHOLE] = nanoseconds(clock) - begin


@inlined
def _stored(x, w, columns, Ht, beta, has_powers, WH, i, left, p):
    """x * (w H)^(beta-2) at stored entries of one row, in p.

    WH : of the block, from column left on, which is there anyway unless beta = 1 or 2; for beta = 1.5 its square root.
        Its row i is w H
    """
    n, floor = len(columns), w.dtype.type(FLOOR)
    if has_powers is None and beta == 2:
        return x
    if has_powers is None and beta == 1:
        products(w, columns, Ht, p)
        for q in range(n):
            p[q] = x[q] / max(p[q], floor)
    else:
        wh = WH[i]
        for q in range(n):
            p[q] = wh[columns[q] - left]
        if beta == 1.5:
            for q in range(n):
                p[q] = 1 / max(p[q], np.sqrt(floor))
        else:
            _floored_power(p[:n], beta - 2, has_powers)
        for q in range(n):
            p[q] *= x[q]
    return p[:n]


@inner
def _rows_csr(
    c,
    W,
    indptr,
    indices,
    data,
    Ht,
    H,
    fixed,
    beta,
    has_powers,
    is_named,
    l1,
    l2,
    flush,
    update_H,
    bounds,
    numerator_H,
    denominator_H,
    of_X,
    measured,
):
    """As `_rows_dense`. Measuring takes little here, and has no clock."""
    W, indptr = W[bounds[c] : bounds[c + 1]], indptr[bounds[c] : bounds[c + 1] + 1]
    (n_rows, n_components), n_features = W.shape, len(Ht)
    whole = beta != 1 and beta != 2  # only then does the denominator need all of WH
    most, width = min(BLOCK, n_rows), min(TILE, n_features) if whole else n_features
    longest = 0
    for i in range(n_rows):
        longest = max(longest, indptr[i + 1] - indptr[i])
    WH, p, at = np.empty(most * width if whole else 0, W.dtype), np.empty(longest, W.dtype), np.empty(most, np.intp)
    numerator, denominator = np.empty((most, n_components), W.dtype), np.empty((most, n_components), W.dtype)
    H_room = np.empty(n_components * width if whole and len(H) == 0 else 0, W.dtype)
    if measured is not None:
        a, measured[c], measured[c, WHOLE] = np.empty(TILE), 0.0, 1.0
    fill(numerator_H[c], 0)
    if n_rows == 0 or not update_H or beta == 1:
        fill(denominator_H[c], 0)
    for start in range(0, n_rows, BLOCK):
        n, first = min(BLOCK, n_rows - start), start == 0
        rows, num, den = W[start : start + n], numerator[:n], denominator[:n]
        for is_for_H in range(1 + update_H):  # W's half, then H's with the new rows of W
            fill(num, 0)
            for i in range(n):
                at[i] = indptr[start + i]
            for left in range(0, n_features, width):
                right = min(left + width, n_features)
                h, n_WH = Ht[left:right], n if whole else 0
                wh = WH[: n_WH * (right - left)].reshape(n_WH, right - left)
                if beta == 1.5:
                    root_of_product(wh, rows, _tile(H, H_room, h, left))
                elif whole:
                    product(wh, rows, _tile(H, H_room, h, left), False)
                for i in range(n):
                    begin, stop = at[i], indptr[start + i + 1]
                    if right < n_features:  # columns are in order: the row's entries in this tile come next
                        stop = first_from(indices, begin, stop, right)
                    at[i] = stop
                    columns, x = indices[begin:stop], data[begin:stop]
                    ratios = _stored(x, rows[i], columns, Ht, beta, has_powers, wh, i, left, p)
                    if measured is not None and not is_for_H:
                        if has_powers is not None:
                            measured[c, N_LOW] += _n_low_stored(wh[i], columns, left, beta)
                        else:
                            _add_logs(measured[c], x, ratios)
                    if is_for_H:
                        scatter(numerator_H[c], columns, ratios, rows[i])
                    else:
                        gather(num[i], columns, ratios, Ht)
                if whole:
                    if beta != 1.5:
                        _floored_power(wh.reshape(wh.size), beta - 1, has_powers)
                    if is_for_H:
                        product(denominator_H[c][:, left:right], rows.T, wh, not first)
                    else:
                        product(den, wh, h, left > 0)
            if measured is not None and not is_for_H:
                of_x = of_X[bounds[c] + start : bounds[c] + start + n]
                for i in range(n):
                    if has_powers is not None and np.isnan(of_x[i]):
                        of_x[i] = sum_of_powers(data[indptr[start + i] : indptr[start + i + 1]], beta, a)
                _measure_sums(measured[c], rows, num, fixed if beta == 1 else den, of_x, beta, has_powers)
            _finish_half(is_for_H, rows, num, den, denominator_H[c], fixed, l1, l2, beta, flush, first)


def _tiles(Ht):
    """H, tile after tile: made once instead of for each block of rows. Empty where H is so large that it costs little.

    Without these tiles a sparse X of 3000 columns and beta = 1.5 took a tenth longer (`python -m benchmarks speed`).
    """
    H = aligned_empty((Ht.size if Ht.nbytes <= TILES_BYTES else 0,), Ht.dtype)
    for left in range(0, len(H) // Ht.shape[1], TILE):
        tile = Ht[left : left + TILE]
        H[left * Ht.shape[1] :][: tile.size].reshape(Ht.shape[1], len(tile))[:] = tile.T
    return H


@inner
def _update_chunk(c, n_chunks, W, numerator, denominator, l1, l2, beta, flush):
    start, stop = c * len(W) // n_chunks, (c + 1) * len(W) // n_chunks
    first, end = (start, stop) if len(denominator) > 1 else (0, 1)
    _renew(W[start:stop], numerator[start:stop], denominator[first:end], l1, l2, beta, flush)


def update(W, numerator, denominator, l1, l2, beta, flush):
    """Chunks of rows of W."""
    n_chunks = n_chunks_of(W)
    if denominator.strides[0] == 0:  # one row for all, as for beta = 1
        denominator = denominator[:1]
    for_each_chunk(_update_chunk, n_chunks, n_chunks, W, numerator, denominator, l1, l2, beta, flush)


def _row_pass(rows, W, X, Ht, beta, l1, l2, flush, update_H, bounds, *more):
    """Chunks of rows of X, each with sums of its own.

    All rows' denominators share H H' for beta = 2, and for beta = 1 the row sums of H; H's likewise.
    """
    n_chunks, (n_features, n_components) = len(bounds) - 1, Ht.shape
    fixed = gram_matrix(Ht) if beta == 2 else Ht.sum(axis=0, keepdims=True) if beta == 1 else Ht[:1]
    # for a dense X it gains nothing, and 64 bytes more do not fit where H was before it was transposed
    empty = aligned_empty if rows is _rows_csr else np.empty
    lying = n_components, n_features  # like H: the product that adds to these has full vectors along the features
    numerator_H = empty((n_chunks, *(Ht.shape if rows is _rows_csr else lying)), Ht.dtype)
    shape = (n_components, n_components) if beta == 2 else (1, n_components) if beta == 1 else lying
    denominator_H = empty((n_chunks, *shape), Ht.dtype)
    arguments = beta, *has_powers_is_named(beta), l1, l2, flush, update_H, bounds, numerator_H, denominator_H, *more
    makes_WH = beta != 2 and (beta != 1 or rows is _rows_dense)
    H = _tiles(Ht if makes_WH else Ht[:0])
    for_each_chunk(rows, n_chunks, W, *X, Ht, H, fixed, *arguments)
    numerator, denominator = sum_of_parts(numerator_H), sum_of_parts(denominator_H)
    if beta == 2:
        denominator = times(Ht, denominator)
    elif beta == 1:
        denominator = np.broadcast_to(denominator, Ht.shape)  # one row in memory
    else:
        denominator = denominator.T
    return numerator if rows is _rows_csr else numerator.T, denominator


def _measured_row_pass(rows, divergence, W, X, Ht, beta, l1, l2, flush, update_H, of_X, measured, bounds):
    """The same kernel, and as a third result the divergence before: from its sums, unless they have lost its digits."""
    arguments = beta, l1, l2, flush, update_H, bounds
    if beta == 2 or (beta == 0 and rows is _rows_csr):  # the first takes no pass, the second no CSR with zeros
        total = divergence(*X, W, Ht, beta, bounds)
        return *_row_pass(rows, W, X, Ht, *arguments, None, None), total
    began, before, copied = time.perf_counter(), W.copy(), time.perf_counter()
    sums = _row_pass(rows, W, X, Ht, *arguments, of_X, measured)
    done = time.perf_counter()
    total, size, n_low, _, whole = measured.sum(axis=0)
    has_digits = size == 0 or LEAST < size < MOST
    if n_low or not (has_digits and total > (CANCELLED if W.itemsize == 8 else CANCELLED_32) * size):
        total = divergence(*X, before, Ht, beta, bounds)
    measured[0, INSIDE:] += whole * (time.perf_counter() - done + copied - began) / (done - copied)
    return *sums, float(total)


def row_pass_dense(W, X, Ht, beta, l1, l2, flush, update_H, bounds):
    """Blocks of rows of X."""
    return _row_pass(_rows_dense, W, (X,), Ht, beta, l1, l2, flush, update_H, bounds, None, None)


def row_pass_csr(W, indptr, indices, data, Ht, beta, l1, l2, flush, update_H, bounds):
    """The same with what X stores of each row."""
    X = indptr, indices, data
    return _row_pass(_rows_csr, W, X, Ht, beta, l1, l2, flush, update_H, bounds, None, None)


def measured_row_pass_dense(W, X, Ht, beta, l1, l2, flush, update_H, of_X, measured, bounds):
    """Blocks of rows of X."""
    arguments = beta, l1, l2, flush, update_H, of_X, measured, bounds
    return _measured_row_pass(_rows_dense, divergence_dense, W, (X,), Ht, *arguments)


def measured_row_pass_csr(W, indptr, indices, data, Ht, beta, l1, l2, flush, update_H, of_X, measured, bounds):
    """The same with what X stores of each row."""
    arguments = beta, l1, l2, flush, update_H, of_X, measured, bounds
    return _measured_row_pass(_rows_csr, divergence_csr, W, (indptr, indices, data), Ht, *arguments)
