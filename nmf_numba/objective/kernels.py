"""The beta-divergence in compiled loops. The equations are in reference.py; this file says only how the loops differ.

A block of rows of WH lives in cache and never as a whole. A row's sum of (1) takes two powers, or a logarithm, of
vectors; where cancellation has eaten that sum, the row is done once more, entry by entry, with (2) or (3). Each chunk
has a sum of its own; they are added in order. For a sparse X and beta = 2 or 1, the zeros' share has a closed form, so
only stored entries are visited; if cancellation has eaten the result, all entries are.
"""

import numpy as np

from nmf_numba._chunks import for_each_chunk, gram_matrix
from nmf_numba._elementary import first_from, has_powers_is_named, log, power, tile_of_H
from nmf_numba._jit import inlined, inner, serial
from nmf_numba._product import product, products

FLOOR = 2.0**-23  # as in reference.py
FAR = 1e-8

BLOCK_ENTRIES = 1 << 15  # entries of WH in a block: 256 KB
TILE = 1000  # columns in a block, where X has many
CANCELLED = 1e-5  # a difference of sums that is smaller than this share of them has too few digits left
CANCELLED_32 = 1e-2  # for a WH in float32
LEAST, MOST = 1e-250, 1e250  # sums between these have no terms that left the range of float64 and count
HALVINGS = 3  # 2^HALVINGS ratios are multiplied before their logarithm is taken
NORMAL = 2.0**-1022  # what is smaller has fewer digits
TINY = 1e-300  # stands for a zero that has a negative power, before it is multiplied by zero


@inner
def _q(log_r, a):
    return log_r if a == 0 else np.expm1(a * log_r) / a


@inner
def _log(r, x, y):
    """log(x/y), also where r = x/y is beyond float64, or so small that it has lost digits."""
    return np.log(r) if NORMAL <= r < np.inf else np.log(x) - np.log(y)


@inner
def _entry(x, y, beta):
    """d(x | y) of one entry: a logarithm for beta = 1 and 0 where x and y are not close, else (2) or (3)."""
    if x == 0:
        if beta == 1:
            return y
        return y**beta / beta if beta > 0 else np.inf
    if beta <= 1:
        y = max(y, FLOOR)
    residual = x - y
    if residual == 0:
        return 0.0
    if beta == 1 and abs(residual) > 0.1 * y:
        return x * _log(x / y, x, y) - residual
    if beta == 0 and abs(residual) > 0.1 * y:
        return residual / y - _log(x / y, x, y)
    if beta > 1 and y < FAR * x:
        power = y ** (beta - 1)
        return (x**beta + (beta - 1) * power * y - beta * x * power) / (beta * (beta - 1))
    r, z = x / y, residual / y
    log_r = np.log1p(z) if abs(z) < 0.5 else _log(r, x, y)
    if beta >= 0.5:
        d = y**beta * (r * _q(log_r, beta - 1) - z) / beta
    else:
        d = y**beta * (_q(log_r, beta) - z) / (beta - 1)
    return d if d > 0 else 0.0 if d <= 0 else np.inf  # not a number only if y^beta is beyond float64


@inner
def _halved(a, b):
    """b <- products of each entry of a's first half and one of its second; an odd one in the middle stays as it is."""
    n, n_rest = len(a) // 2, len(a) - len(a) // 2
    second = a[n_rest:]
    for j in range(n):
        b[j] = a[j] * second[j]
    if n < n_rest:
        b[n] = a[n]
    return n_rest


@inner
def _KL_sums(x, y):
    """As `_sums`, for beta = 1."""
    total = size = 0.0
    for j in range(len(y)):
        x_j, y_j = np.float64(x[j]), np.float64(y[j])
        floored = max(y_j, FLOOR)
        log_term, y_j = x_j * log(x_j / floored), floored if x_j > 0 else y_j
        total += log_term + (y_j - x_j)
        size += abs(log_term) + (y_j + x_j)
    return total, size


@inner
def _IS_sums(x, y, a, b):
    """As `_sums`, for beta = 0."""
    n, total, size = len(y), 0.0, 0.0
    for j in range(n):
        a[j] = np.float64(x[j]) / max(np.float64(y[j]), FLOOR)
        total += a[j] - 1.0
        size += a[j] + 1.0 if a[j] >= NORMAL else np.inf  # so tiny that its logarithm needs care
    for _ in range(HALVINGS):  # one logarithm for the product of 2^HALVINGS ratios
        n = _halved(a[:n], b)
        a, b = b, a
    for j in range(n):
        log_term = log(a[j])
        total -= log_term
        size += abs(log_term) if NORMAL <= a[j] < np.inf else np.inf  # beyond float64: entry by entry
    return total, size


@inner
def _sum_of_powers(x, beta, a):
    """The sum of x^beta, as many at a time as there is room for in a."""
    total = 0.0
    for start in range(0, len(x), len(a)):
        part = x[start : start + len(a)]
        for j in range(len(part)):
            a[j] = part[j]
        power(a[: len(part)], beta)
        for j in range(len(part)):
            total += a[j]
    return total


@inner
def _power_sums(x, y, beta, of_x, a, b):
    """As `_sums`, for beta other than 2, 1 and 0."""
    n, first, second, third = len(y), 0.0, 0.0, 0.0
    first = _sum_of_powers(x, beta, a) if of_x is None else of_x
    if beta == 1.5:
        for j in range(n):
            y_j = np.float64(y[j])
            root = np.sqrt(y_j)
            second += root * y_j
            third += x[j] * root
    elif beta > 1:
        for j in range(n):
            b[j] = y[j]
        power(b[:n], beta - 1)
        for j in range(n):
            second += b[j] * y[j]
            third += x[j] * b[j]
    else:
        for j in range(n):
            b[j] = max(np.float64(y[j]), FLOOR if x[j] > 0 else TINY)
        power(b[:n], beta - 1)
        for j in range(n):
            second += b[j] * (max(np.float64(y[j]), FLOOR) if x[j] > 0 else np.float64(y[j]))
            third += x[j] * b[j]
    scale, second, third = beta * (beta - 1), (beta - 1) * second, beta * third
    return (first - third + second) / scale, (first + abs(second) + abs(third)) / abs(scale)


@inner
def _square_sums(x, y):
    """As `_sums`, for beta = 2."""
    square = size = 0.0
    for j in range(len(y)):
        x_j = np.float64(x[j])
        residual = x_j - y[j]
        square += residual * residual
        size += x_j * x_j
    return 0.5 * square, 0.5 * square if y.itemsize == 8 else 0.5 * size  # in float64 nothing cancels


@inner
def _sums(x, y, beta, has_powers, is_named, of_x, a, b):
    """The sum of (1), and the sum of its terms' sizes.

    of_x : None, or the sum of x^beta, where most of x is zero
    a, b : room for as many numbers
    """
    if has_powers is not None:
        return _power_sums(x, y, beta, of_x, a, b)
    if is_named is not None:
        if beta == 1:
            return _KL_sums(x, y)
        if beta == 0:
            return _IS_sums(x, y, a, b)
    return _square_sums(x, y)


@inlined
def _line(x, W, Ht, y, beta, has_powers, is_named, of_x, a, b):
    """The sum of d(x | y) over some rows, one after the other in x and in y, their WH.

    It is the sum of (1), unless that has lost its digits, or y has too few.
    """
    total, size = _sums(x, y, beta, has_powers, is_named, of_x, a, b)
    cancelled = CANCELLED if y.itemsize == 8 else CANCELLED_32
    if LEAST < size < MOST and total >= cancelled * size:
        return total
    total = 0.0
    for j in range(len(y)):
        x_j, y_j = np.float64(x[j]), np.float64(y[j])
        if y.itemsize == 4:
            w, h, y_j = W[j // len(Ht)], Ht[j % len(Ht)], 0.0
            for t in range(len(w)):
                y_j += np.float64(w[t]) * np.float64(h[t])
        total += 0.5 * (x_j - y_j) ** 2 if beta == 2 else _entry(x_j, y_j, beta)
    return total


@inlined
def _lines(X, left, W, Ht, WH, beta, has_powers, is_named, a, b):
    """The sum of d(X | WH) over a block of rows, from column left on: in lines of as many rows as there is room for."""
    n_rows, n_columns = WH.shape
    step = max(1, len(a) // n_columns) if n_columns == X.shape[1] else 1
    total = 0.0
    for i in range(0, n_rows, step):
        n = min(step, n_rows - i)
        x = X[i : i + n].reshape(-1)[left : left + n * n_columns]
        total += _line(x, W[i : i + n], Ht, WH[i : i + n].reshape(-1), beta, has_powers, is_named, None, a, b)
    return total


@inner
def _room(n_rows, Ht, W):
    """Rows of WH that are in cache at once, columns likewise, and room for WH and for H's columns."""
    width = min(len(Ht), TILE)
    most = max(1, min(n_rows, BLOCK_ENTRIES // width))
    return most, width, np.empty(most * width, W.dtype), np.empty(W.shape[1] * width, W.dtype)


@inner
def _product(W, H, room):
    """W H, in room."""
    WH = room[: len(W) * H.shape[1]].reshape(len(W), H.shape[1])
    product(WH, W, H, False)
    return WH


@inner
def _rows_dense(c, X, W, Ht, beta, has_powers, is_named, bounds, totals):
    X, W = X[bounds[c] : bounds[c + 1]], W[bounds[c] : bounds[c + 1]]
    n_rows = len(W)
    most, width, WH_room, H_room = _room(n_rows, Ht, W)
    a, b = np.empty(TILE), np.empty(TILE)  # not parts of one array, for which loops over both became no vectors
    total = 0.0
    for left in range(0, len(Ht), width):
        h = Ht[left : left + width]
        H = tile_of_H(H_room, h)
        for start in range(0, n_rows, most):
            n = min(most, n_rows - start)
            WH = _product(W[start : start + n], H, WH_room)
            total += _lines(X[start : start + n], left, W[start : start + n], h, WH, beta, has_powers, is_named, a, b)
    totals[c] = total


@inner
def _rows_csr(c, indptr, indices, data, W, Ht, beta, has_powers, is_named, bounds, totals):
    """All entries of the rows, stored or not."""
    W, indptr = W[bounds[c] : bounds[c + 1]], indptr[bounds[c] : bounds[c + 1] + 1]
    n_rows = len(W)
    most, width, WH_room, H_room = _room(n_rows, Ht, W)
    a, b = np.empty(width), np.empty(width)
    x, of_x = np.zeros(width), 0.0
    total = 0.0
    for left in range(0, len(Ht), width):
        h = Ht[left : left + width]
        H = tile_of_H(H_room, h)
        for start in range(0, n_rows, most):
            n = min(most, n_rows - start)
            WH = _product(W[start : start + n], H, WH_room)
            for i in range(n):
                end = indptr[start + i + 1]
                begin = first_from(indices, indptr[start + i], end, left)
                end = first_from(indices, begin, end, left + len(h))
                for p in range(begin, end):
                    x[indices[p] - left] = data[p]
                if has_powers is not None:
                    of_x = _sum_of_powers(data[begin:end], beta, a)
                total += _line(
                    x[: len(h)], W[start + i : start + i + 1], h, WH[i], beta, has_powers, is_named, of_x, a, b
                )
                for p in range(begin, end):
                    x[indices[p] - left] = 0
    totals[c] = total


@inner
def _stored_csr(c, indptr, indices, data, W, Ht, beta, bounds, totals, sizes):
    """Over the stored entries: the sum of d(x | y) - d(0 | y), and the sum of d(x | 0) for beta = 2, of x for beta = 1.

    The first is what the stored entries add to the divergence of WH from an X of zeros; the second says how large the
    terms were.
    """
    W, indptr = W[bounds[c] : bounds[c + 1]], indptr[bounds[c] : bounds[c + 1] + 1]
    total = size = 0.0
    y = np.empty(len(Ht), W.dtype)
    for i in range(len(W)):
        x, columns = data[indptr[i] : indptr[i + 1]], indices[indptr[i] : indptr[i + 1]]
        products(W[i], columns, Ht, y)
        if beta == 1:
            difference, row_size = _KL_sums(x, y[: len(x)])
            total += difference
            size += row_size
            for q in range(len(x)):
                total -= y[q]
        else:
            for q in range(len(x)):
                x_q = np.float64(x[q])
                total += x_q * (0.5 * x_q - y[q])
                size += 0.5 * x_q * x_q
    totals[c], sizes[c] = total, size


def _of_zeros(W, Ht, beta):
    """The divergence of WH from an X of zeros: <W'W, HH'>/2 for beta = 2, the sum of WH for beta = 1."""
    if beta == 2:
        return 0.5 * float(np.vdot(gram_matrix(W), gram_matrix(Ht)))
    return float(W.sum(axis=0, dtype=np.float64) @ Ht.sum(axis=0, dtype=np.float64))


def _divergence(rows, X, W, Ht, beta, bounds):
    """Chunks of rows of X, each with a sum of its own."""
    totals = np.empty(len(bounds) - 1)
    for_each_chunk(rows, len(totals), *X, W, Ht, beta, *has_powers_is_named(beta), bounds, totals)
    return float(totals.sum())


def divergence_dense(X, W, Ht, beta, bounds):
    """Blocks of rows of X."""
    return _divergence(_rows_dense, (X,), W, Ht, beta, bounds)


def divergence_csr(indptr, indices, data, W, Ht, beta, bounds):
    """Stored entries for beta = 2 and 1, unless cancellation forbids it, else all entries."""
    if beta == 1 or beta == 2:
        totals, sizes = np.empty(len(bounds) - 1), np.empty(len(bounds) - 1)
        for_each_chunk(_stored_csr, len(totals), indptr, indices, data, W, Ht, beta, bounds, totals, sizes)
        of_zeros = _of_zeros(W, Ht, beta)
        total, size = of_zeros + float(totals.sum()), of_zeros + float(sizes.sum())
        if LEAST < size < MOST and total > (CANCELLED if W.itemsize == 8 else CANCELLED_32) * size:
            return total
    return _divergence(_rows_csr, (indptr, indices, data), W, Ht, beta, bounds)


@serial
def penalties(W, l1, l2):
    """One loop for both sums."""
    total = squares = 0.0
    for i in range(len(W)):
        for t in range(W.shape[1]):
            w = np.float64(W[i, t])
            total += w
            squares += w * w
    return l1 * total if l1 > 0 else 0.0, 0.5 * l2 * squares if l2 > 0 else 0.0
