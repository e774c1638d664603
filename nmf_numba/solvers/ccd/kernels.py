"""Cyclic coordinate descent in compiled loops. The equations are in reference.py; this file says how the loops differ.

The columns of H that a row visits are copied into a buffer with one line for each component, so that the loops over the
visited entries are contiguous and vectorise; row and buffer stay in cache for all sweeps. Rows do not depend on each
other, so the result does not depend on chunks or threads. Most of the time goes into one division for each component
and visited entry, and a quarter into the copy.
"""

import numpy as np
from numba import prange

from nmf_numba.compiled.jit import kernel, parallel
from nmf_numba.losses.kernels import observed_in

MARGIN = 1 + 2.0**-10  # as in reference.py
PAD = 8  # numbers between the lines of a buffer: lines 1024 doubles apart would map to the same cache set


@kernel
def slope_at_zero(w, x, h, y, total, floor):
    """The slope if this entry were zero: `total` is its part without x."""
    most = y.dtype.type(MARGIN) * w
    for j in range(len(x)):
        total -= x[j] * (h[j] / max(y[j] - most * h[j], floor))
    return total


@kernel
def step_up(w, S, N, Q, l2):
    """`up` of reference.py."""
    two, rho = type(w)(2), Q / N
    b = S * rho + l2
    return w + two * (N - S) / (b + np.sqrt(b * b + two * two * l2 * rho * (N - S))) if b > 0 else w


@kernel
def multiply(y, w, H):
    """Set y <- w H."""
    for j in range(len(y)):
        y[j] = 0
    for t in range(len(w)):
        if w[t] != 0:
            h, w_t = H[t], w[t]
            for j in range(len(y)):
                y[j] += w_t * h[j]


@kernel
def visit_row(w, x, H, y, sums, penalties, method):
    """`visit` of reference.py. The lines of H may be longer than x; y is scratch, as long as x."""
    number, n = w.dtype.type, len(x)
    zero, one, floor, l1, l2 = number(0), number(1), number(method[2]), number(penalties[0]), number(penalties[1])
    violation = 0.0
    for sweep in range(method[1]):
        multiply(y, w, H)
        for t in range(len(w)):
            if sums[t] == 0 or (sweep > 0 and w[t] == 0):
                continue
            h, w_t, N, Q = H[t], w[t], zero, zero
            for j in range(n):
                u = h[j] / max(y[j], floor)
                share = x[j] * u
                N += share
                Q += share * u
            S = sums[t] + l1 + l2 * w_t
            new, slope, reach = w_t, S - N, w_t * (Q + l2)
            if sweep == 0:
                violation += abs(min(slope, zero) if w_t == 0 else slope)
            if slope < 0:
                new = step_up(w_t, S, N, Q, l2)
            elif slope > 0 and w_t > 0:
                if slope >= reach and slope_at_zero(w_t, x, h, y, sums[t] + l1, floor) >= 0:
                    new = zero
                elif reach > 0:
                    new = w_t / (one + slope / reach)  # (2)
            change = new - w_t
            if change != 0:
                w[t] = new
                for j in range(n):
                    y[j] += change * h[j]
    return violation


@kernel
def visit_row_of_squares(w, x, H, y, used, penalties, method):
    """`visit_squares` of reference.py; y, which keeps w H - x, is scratch, as long as x."""
    number, violation = w.dtype.type, 0.0
    zero, l1, l2 = number(0), number(penalties[0]), number(penalties[1])
    curvature = np.zeros_like(w)
    for sweep in range(method[1]):
        multiply(y, w, H)
        for j in range(len(x)):
            y[j] -= x[j]
        for t in range(len(w)):
            if used[t] == 0:
                continue
            h, g = H[t], zero
            for j in range(len(x)):
                g += y[j] * h[j]
            if sweep == 0:
                for j in range(len(x)):
                    curvature[t] += h[j] * h[j]
            g += l1 + l2 * w[t]
            if sweep == 0:
                violation += abs(min(g, zero) if w[t] == 0 else g)
            if curvature[t] + l2 > 0:
                new = max(w[t] - g / (curvature[t] + l2), zero)  # (4)
                change = new - w[t]
                if change != 0:
                    w[t] = new
                    for j in range(len(x)):
                        y[j] += change * h[j]
    return violation


@kernel
def visit_observed_row(w, columns, x, m, y, Ht, H, fixed, penalties, method):
    """`visit_observed` of reference.py. x and m are overwritten, H and y are buffers."""
    beta, used = method[0], np.zeros(len(w), w.dtype)
    copy_columns(H, columns, Ht)
    for j in range(len(x)):
        m[j] = m[j] if beta == 1 else np.sqrt(m[j])
        x[j] *= m[j]
    for t in range(len(w)):
        if len(fixed) == 0 or not fixed[t]:
            for j in range(len(x)):
                used[t] += m[j] * H[t, j]
    if beta == 1:
        return visit_row(w, x, H, y, used, penalties, method)
    for t in range(len(w)):
        for j in range(len(x)):
            H[t, j] *= m[j]
    return visit_row_of_squares(w, x, H, y, used, penalties, method)


@kernel
def column_sums(Ht):
    """The row sums of H."""
    sums = np.zeros(Ht.shape[1], Ht.dtype)
    for j in range(len(Ht)):
        for t in range(len(sums)):
            sums[t] += Ht[j, t]
    return sums


@kernel
def in_use(sums, fixed, i):
    """Return the sums with zeros for the entries of row i that stay; nothing stays if fixed has no rows."""
    if len(fixed) == 0:
        return sums
    used = sums.copy()
    for t in range(len(used)):
        if fixed[i, t]:
            used[t] = 0
    return used


@kernel
def lines(n_lines, n, like):
    """Return a buffer of lines of n numbers; the numbers behind them are never read."""
    return np.empty((n_lines, n + PAD), like.dtype)


@kernel
def copy_columns(H, columns, Ht):
    """Set the first entries of each line of H to these columns of it."""
    for q in range(len(columns)):
        for t in range(Ht.shape[1]):
            H[t, q] = Ht[columns[q], t]


@parallel
def update_dense(W, X, Ht, penalties, method, fixed, bounds):
    """Chunks of rows in parallel. A row without zeros visits all of H, which is transposed once for all of them."""
    n_features, k = Ht.shape
    violations, sums, H = np.zeros(len(bounds) - 1), column_sums(Ht), lines(k, n_features, W)
    copy_columns(H, np.arange(n_features), Ht)
    for c in prange(len(bounds) - 1):
        columns, buffer, line = np.empty(n_features, np.int64), lines(k, n_features, W), lines(2, n_features, W)
        x, y = line[0], line[1]
        for i in range(bounds[c], bounds[c + 1]):
            n = 0
            for j in range(n_features):
                if X[i, j] > 0:
                    columns[n], x[n] = j, X[i, j]
                    n += 1
            if n < n_features:
                copy_columns(buffer, columns[:n], Ht)
            visited = buffer if n < n_features else H
            used = in_use(sums, fixed, i)
            violations[c] += visit_row(W[i], x[:n], visited, y[:n], used, penalties, method)
    return violations


@parallel
def update_csr(W, indptr, indices, data, Ht, penalties, method, fixed, bounds):
    """Chunks of rows in parallel; the buffer is as long as the longest row of a chunk."""
    violations, sums = np.zeros(len(bounds) - 1), column_sums(Ht)
    for c in prange(len(bounds) - 1):
        longest = 0
        for i in range(bounds[c], bounds[c + 1]):
            longest = max(longest, indptr[i + 1] - indptr[i])
        H, y = lines(Ht.shape[1], longest, W), np.empty(longest, W.dtype)
        for i in range(bounds[c], bounds[c + 1]):
            begin, end = indptr[i], indptr[i + 1]
            copy_columns(H, indices[begin:end], Ht)
            used = in_use(sums, fixed, i)
            violations[c] += visit_row(W[i], data[begin:end], H, y[: end - begin], used, penalties, method)
    return violations


@parallel
def update_observed_dense(W, X, entry_weights, Ht, penalties, method, fixed, bounds):
    """Chunks of rows in parallel; a row visits the entries that count, whose columns of H are copied."""
    n_features, k = Ht.shape
    violations = np.zeros(len(bounds) - 1)
    for c in prange(len(bounds) - 1):
        columns, H, three = np.empty(n_features, np.int64), lines(k, n_features, W), lines(3, n_features, W)
        for i in range(bounds[c], bounds[c + 1]):
            n = observed_in(X, entry_weights, i, columns, three[0], three[2])
            stay = fixed[i] if len(fixed) > 0 else fixed.reshape(-1)
            x, m, y = three[0, :n], three[2, :n], three[1, :n]
            violations[c] += visit_observed_row(W[i], columns[:n], x, m, y, Ht, H, stay, penalties, method)
    return violations


@parallel
def update_observed_csr(W, indptr, indices, data, entry_weights, Ht, penalties, method, fixed, bounds):
    """The same with what X stores of each row."""
    violations = np.zeros(len(bounds) - 1)
    for c in prange(len(bounds) - 1):
        longest = 0
        for i in range(bounds[c], bounds[c + 1]):
            longest = max(longest, indptr[i + 1] - indptr[i])
        H, three = lines(Ht.shape[1], longest, W), lines(3, longest, W)
        for i in range(bounds[c], bounds[c + 1]):
            begin, n = indptr[i], indptr[i + 1] - indptr[i]
            x, m, y = three[0, :n], three[2, :n], three[1, :n]
            for j in range(n):
                x[j], m[j] = data[begin + j], entry_weights[begin + j] if len(entry_weights) > 0 else 1
            stay = fixed[i] if len(fixed) > 0 else fixed.reshape(-1)
            columns = indices[begin : begin + n]
            violations[c] += visit_observed_row(W[i], columns, x, m, y, Ht, H, stay, penalties, method)
    return violations
