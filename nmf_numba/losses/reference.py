"""The beta-divergence as the equations have it.

    d(x | y) = (x^beta + (beta-1) y^beta - beta x y^(beta-1)) / (beta (beta-1))                     (1)
    beta = 2:  (x - y)^2 / 2        beta = 1:  x log(x/y) - x + y        beta = 0:  x/y - log(x/y) - 1

D(X, WH) is the sum of d(X_ij | (WH)_ij) over all entries. Computed as it stands, (1) loses its digits where x is close
to y, or beta to 0 or 1: nearly equal terms cancel. With m the larger of x and y, and s the smaller divided by m,

    d(x | y) = m^beta (q_beta(s) - q_(beta-1)(s))      if x >= y
               m^beta (s q_(beta-1)(s) - q_beta(s))    if x <= y                                    (2)
    q_a(s) = (s^a - 1) / a,     q_0(s) = log(s)

is the same, and the three named losses are no special cases. Near x = y its relative error is that of s over
|1 - s|, where that of (1) is the same over (1 - s)^2. The gradient of D in WH is the difference of two non-negative
parts, WH^(beta-1) and X WH^(beta-2): `weights` returns both.

Source of (1): Fevotte and Idier (2011), equation (2). Derivation of (2): notes.md beside this file.
"""

import numpy as np

FLOOR = 2.0**-23  # of y, for its logarithm and negative powers: float32's epsilon, for both dtypes


def q(s, a):
    """Return q_a(s) for s in [0, 1]; at s = 0, where it is infinite for a <= 0, some finite number."""
    log_s = np.log(np.where(s > 0, s, 1))
    return log_s if a == 0 else np.where(s > 0, np.expm1(a * log_s), -1) / a


def entry_divergence(x, y, beta, floor=FLOOR):
    """Return d(x | y) >= 0 for each entry; x and y are float64 arrays of one shape."""
    if beta <= 1:
        y = np.where(x > 0, np.maximum(y, floor), y)
    m = np.maximum(x, y)
    s = np.where(m > 0, np.minimum(x, y) / np.where(m > 0, m, 1), 1)
    share = np.where(x >= y, q(s, beta) - q(s, beta - 1), s * q(s, beta - 1) - q(s, beta))
    return np.where(share > 0, m**beta * share, 0)  # (2)


def weights(X, WH, beta, floor=FLOOR):
    """Return X WH^(beta-2) and WH^(beta-1), entry by entry, with WH clipped at floor where its power is negative."""
    low = np.maximum(WH, floor)
    return X * (low if beta < 2 else WH) ** (beta - 2), (low if beta < 1 else WH) ** (beta - 1)


def divergence_dense(X, W, Ht, loss, bounds):
    """Return D(X, WH).

    X : (n_rows, n_features)
    W : (n_rows, n_components)
    Ht : (n_features, n_components), H transposed
    loss : beta, and the floor of WH
    bounds : where chunks of rows begin, and where the last one ends; any split gives the same sum, to rounding
    """
    total = 0.0
    for i in range(bounds[0], bounds[-1]):
        total += entry_divergence(X[i].astype(np.float64), (Ht @ W[i]).astype(np.float64), *loss).sum()
    return total


def divergence_csr(indptr, indices, data, W, Ht, loss, bounds):
    """Return D(X, WH) for an X in compressed sparse row format; X and WH exist only a row at a time.

    Row i of X holds data[p] in column indices[p], for p from indptr[i] to indptr[i + 1]; its other entries are zero.
    """
    total = 0.0
    for i in range(bounds[0], bounds[-1]):
        x = np.zeros(len(Ht))
        x[indices[indptr[i] : indptr[i + 1]]] = data[indptr[i] : indptr[i + 1]]
        total += entry_divergence(x, (Ht @ W[i]).astype(np.float64), *loss).sum()
    return total


def divergence_observed_dense(X, entry_weights, W, Ht, loss, bounds):
    """Return the sum of m d(X_ij | (WH)_ij) over the entries that count.

    X : (n_rows, n_features); NaN is missing
    entry_weights : m, of X's shape, or with one row or one column that serve all. An entry of weight 0 is missing.
    """
    m = np.where(np.isnan(X), 0, entry_weights).astype(np.float64)
    return (m * entry_divergence(np.where(m > 0, X, 0).astype(np.float64), (W @ Ht.T).astype(np.float64), *loss)).sum()


def divergence_observed_csr(indptr, indices, data, entry_weights, W, Ht, loss, bounds):
    """The same for an X in compressed sparse row format; what it does not store is missing.

    entry_weights : one for each stored entry, or none: then all are 1
    """
    rows = np.repeat(np.arange(len(W)), np.diff(indptr))
    y = np.einsum("qt,qt->q", W[rows].astype(np.float64), Ht[indices].astype(np.float64))
    return ((entry_weights if len(entry_weights) else 1.0) * entry_divergence(data.astype(np.float64), y, *loss)).sum()
