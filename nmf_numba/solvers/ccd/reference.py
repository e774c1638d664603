"""Cyclic coordinate descent for the Kullback-Leibler loss: one entry after the other, with the product kept.

With H fixed, x a row of X, w its row of W, y = w H and s = H's row sums, the objective as a function of one entry w_t
has these derivatives (1), where u_j = h_tj / y_j and the sums run over the entries with x_j > 0:

    slope = S - N,     curvature = Q + l2,     S = s_t + l1 + l2 w_t,     N = sum_j x_j u_j,     Q = sum_j x_j u_j^2

Newton's step is -slope / curvature. Downwards it can overshoot, so the steps are these two. Both agree with Newton's to
second order, and neither goes beyond the minimum:

    slope > 0:  w_t <- w_t / (1 + slope / (w_t curvature)),  or 0 if the slope is not negative there            (2)
    slope < 0:  w_t <- w_t + d,  where d > 0 solves  (S + l2 d) (1 + d Q/N) = N                                (3)

For squared errors the step is exact, with r_j = y_j - x_j:

    w_t <- max(0, w_t - slope / curvature),   slope = sum_j r_j h_tj + l1 + l2 w_t,   curvature = sum_j h_tj^2 + l2 (4)

y changes by (change of w_t) h_t, so a sweep multiplies w with H once, when it begins. H is updated by the same
function, with X transposed. Here Ht is H transposed, (n_features, n_components).

Source: Hsieh and Dhillon (2011), Lin and Boutros (2020), who take Newton's step. Derivation: notes.md beside this file,
where (1) is (2), (2) is (6), (3) is (4) and (4) is (7).
"""

from itertools import pairwise

import numpy as np

MARGIN = 1 + 2.0**-10  # what is left of y without a component is rounding where it is less than a thousandth of y


def down(w, slope, curvature, slope_at_zero):
    """Return the entry after (2), for slope > 0."""
    reach = w * curvature  # by at least so much the slope falls on the way to zero
    if w == 0 or (slope >= reach and slope_at_zero >= 0):
        return 0.0
    return w / (1 + slope / reach) if reach > 0 else w


def up(w, S, N, Q, l2):
    """Return the entry after (3), for S < N: the positive root of a quadratic."""
    b = S * (Q / N) + l2
    return w + 2 * (N - S) / (b + np.sqrt(b**2 + 4 * l2 * (Q / N) * (N - S))) if b > 0 else w


def visit(w, x, H, sums, penalties, method):
    """Update a row of W in place by sweeps of (2) and (3) and return the violation in the first of them.

    The first sweep visits all components, the others those that are positive when they begin.

    w : (n_components,), changed in place, non-negative
    x : (n_visited,), the positive entries of the row of X
    H : (n_components, n_visited), the columns of H that belong to them
    sums : (n_components,), the row sums of the whole H. Where one is zero, the component is not in use: w_t stays.
    penalties : l1 and l2
    method : beta, which is 1 here, the number of sweeps, and the floor of y
    """
    violation, (l1, l2), (_, n_sweeps, floor) = 0.0, penalties[:2], method
    for sweep in range(n_sweeps):
        y = w @ H  # anew: changes of y leave rounding errors of the size that y had before
        for t in np.flatnonzero((sums > 0) & ((sweep == 0) | (w > 0))):
            u = H[t] / np.maximum(y, floor)
            N, Q, S = x @ u, x @ u**2, sums[t] + l1 + l2 * w[t]  # (1)
            slope = S - N
            if sweep == 0:
                violation += abs(float(min(slope, 0) if w[t] == 0 else slope))  # at zero only a negative one can help
            if slope > 0:
                rest = np.maximum(y - MARGIN * w[t] * H[t], floor)  # y without component t
                new = down(w[t], slope, Q + l2, sums[t] + l1 - x @ (H[t] / rest))
            else:
                new = up(w[t], S, N, Q, l2) if slope < 0 else w[t]
            y += (new - w[t]) * H[t]
            w[t] = new
    return violation


def visit_squares(w, x, H, used, penalties, method):
    """Update a row of W in place by sweeps of (4), for squared errors; the arguments are those of `visit`.

    used : (n_components,), zero where w_t stays
    """
    violation, (l1, l2), (_, n_sweeps, _) = 0.0, penalties[:2], method
    for sweep in range(n_sweeps):
        residual = w @ H - x
        for t in np.flatnonzero(used):
            slope, curvature = residual @ H[t] + l1 + l2 * w[t], H[t] @ H[t] + l2
            if sweep == 0:
                violation += abs(float(min(slope, 0) if w[t] == 0 else slope))
            if curvature > 0:
                new = max(w[t] - slope / curvature, 0)  # (4)
                residual += (new - w[t]) * H[t]
                w[t] = new
    return violation


def visit_observed(w, x, m, H, fixed, penalties, method):
    """Visit the entries of a row that count: their weights m go into x, and into the row sums of H or into H."""
    if method[0] == 1:  # m d(x | y) has the part m y, and m x for x
        return visit(w, m * x, H, np.where(fixed, 0, H @ m), penalties, method)
    x, H = np.sqrt(m) * x, np.sqrt(m) * H  # as m (x - y)^2 says
    return visit_squares(w, x, H, np.where(fixed, 0, H.sum(axis=1)), penalties, method)


def update_dense(W, X, Ht, penalties, method, fixed, bounds):
    """Update W in place, row by row, and return the violation of each chunk of rows.

    W : (n_rows, n_components), changed in place, non-negative
    X : (n_rows, n_features)
    Ht : (n_features, n_components)
    penalties : l1 and l2 of W
    method : beta, which is 1 here, how often to go through the components of a row before the next row, and the floor
        of WH
    fixed : the entries of W that stay, (n_rows, n_components), or without rows: none
    bounds : where chunks of rows begin, and where the last one ends. Rows do not depend on each other.
    """
    sums, violations = Ht.sum(axis=0), np.zeros(len(W))
    for i in range(len(W)):
        positive = X[i] > 0
        used = np.where(fixed[i], 0, sums) if len(fixed) else sums
        violations[i] = visit(W[i], X[i, positive], Ht[positive].T, used, penalties, method)
    return np.array([violations[start:stop].sum() for start, stop in pairwise(bounds)])


def update_csr(W, indptr, indices, data, Ht, penalties, method, fixed, bounds):
    """Do the same for an X in compressed sparse row format, which stores data[p] of row i in column indices[p], for p
    from indptr[i] to indptr[i + 1].
    """
    sums, violations = Ht.sum(axis=0), np.zeros(len(W))
    for i in range(len(W)):
        stored = slice(indptr[i], indptr[i + 1])
        used = np.where(fixed[i], 0, sums) if len(fixed) else sums
        violations[i] = visit(W[i], data[stored], Ht[indices[stored]].T, used, penalties, method)
    return np.array([violations[start:stop].sum() for start, stop in pairwise(bounds)])


def update_observed_dense(W, X, entry_weights, Ht, penalties, method, fixed, bounds):
    """Do the same where only some entries of X count; NaN is missing.

    entry_weights : of X's shape, or with one row or one column that serve all. An entry of weight 0 is missing.
    method : beta, which is 1 or 2, the number of sweeps, and the floor of WH
    """
    m, violations = np.where(np.isnan(X), 0, entry_weights), np.zeros(len(W))
    for i in range(len(W)):
        counts = m[i] > 0
        stay = fixed[i] if len(fixed) else False
        violations[i] = visit_observed(W[i], X[i, counts], m[i, counts], Ht[counts].T, stay, penalties, method)
    return np.array([violations[start:stop].sum() for start, stop in pairwise(bounds)])


def update_observed_csr(W, indptr, indices, data, entry_weights, Ht, penalties, method, fixed, bounds):
    """The same for an X in compressed sparse row format, whose entries that are not stored are missing.

    entry_weights : one for each stored entry, or nothing: then all are 1
    """
    violations = np.zeros(len(W))
    for i in range(len(W)):
        stored = slice(indptr[i], indptr[i + 1])
        m = entry_weights[stored] if len(entry_weights) else np.ones_like(data[stored])
        stay = fixed[i] if len(fixed) else False
        violations[i] = visit_observed(W[i], data[stored], m, Ht[indices[stored]].T, stay, penalties, method)
    return np.array([violations[start:stop].sum() for start, stop in pairwise(bounds)])
