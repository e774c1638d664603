"""The beta-divergence and the penalties, as the equations have them.

    d(x | y) = (x^beta + (beta-1) y^beta - beta x y^(beta-1)) / (beta (beta-1))                     (1)
    beta = 2:  (x - y)^2 / 2        beta = 1:  x log(x/y) - x + y        beta = 0:  x/y - log(x/y) - 1

D(X, WH) is the sum of d(X_ij | (WH)_ij) over all entries. Computed as it stands, (1) loses its digits where y is close
to x or beta close to 0 or 1: nearly equal terms cancel. With the ratio r = x/y, the relative residual z = (x - y)/y,
which is r - 1, and q_a = (r^a - 1)/a, which is log(r) for a = 0, the same d is

    d(x | y) = y^beta (r q_{beta-1} - z) / beta          for beta >= 1/2                            (2)
    d(x | y) = y^beta (q_beta - z) / (beta-1)            for beta < 1/2                             (3)

where nothing cancels, and the three named losses are no special cases.
Source of (1): Fevotte and Idier (2011), section 2.1.
"""

import numpy as np

FLOOR = 2.0**-23  # float32's epsilon, for both dtypes: for beta <= 1, what WH is raised to where X > 0
FAR = 1e-8  # y below FAR * x: no terms are nearly equal, and r could overflow, so (1) it is


def q(log_r, a):
    """Return q_a = (r^a - 1) / a, and its limit log(r) for a = 0."""
    return log_r if a == 0 else np.expm1(a * log_r) / a


def entry_divergence(x, y, beta):
    """Return d(x | y) >= 0 for each entry; x and y are float64 arrays of one shape."""
    d = np.zeros_like(x)
    zero = x == 0
    d[zero] = y[zero] ** beta / beta if beta > 0 else np.inf  # (1) for x = 0
    if beta <= 1:
        y = np.maximum(y, FLOOR)
    far = ~zero & (y < FAR * x) & (beta > 1)
    d[far] = (x[far] ** beta + (beta - 1) * y[far] ** beta - beta * x[far] * y[far] ** (beta - 1)) / (
        beta * (beta - 1)
    )  # (1)
    rest = ~zero & ~far & (x != y)
    x, y = x[rest], y[rest]
    r, z = x / y, (x - y) / y
    log_r = np.where(np.abs(z) < 0.5, np.log1p(np.maximum(z, -0.5)), np.log(x) - np.log(y))  # all digits kept
    d[rest] = y**beta * ((r * q(log_r, beta - 1) - z) / beta if beta >= 0.5 else (q(log_r, beta) - z) / (beta - 1))
    return np.maximum(d, 0)


def divergence_dense(X, W, Ht, beta, bounds):
    """Return D(X, WH).

    X : (n_rows, n_features)
    W : (n_rows, n_components)
    Ht : (n_features, n_components), H transposed
    bounds : the rows' range; the first and the last count
    """
    total = 0.0
    for i in range(bounds[0], bounds[-1]):
        total += entry_divergence(X[i].astype(np.float64), (Ht @ W[i]).astype(np.float64), beta).sum()
    return total


def divergence_csr(indptr, indices, data, W, Ht, beta, bounds):
    """Return D(X, WH) for an X in compressed sparse row format; X and WH exist only a row at a time.

    Row i of X holds data[p] in column indices[p], for p from indptr[i] to indptr[i + 1]; its other entries are zero.
    """
    total = 0.0
    for i in range(bounds[0], bounds[-1]):
        x = np.zeros(len(Ht))
        x[indices[indptr[i] : indptr[i + 1]]] = data[indptr[i] : indptr[i + 1]]
        total += entry_divergence(x, (Ht @ W[i]).astype(np.float64), beta).sum()
    return total


def penalties(W, l1, l2):
    """Return l1 * sum(W) and l2/2 * ||W||_F^2, of a non-negative W."""
    l1_term = l1 * W.sum(dtype=np.float64) if l1 > 0 else 0.0
    l2_term = 0.5 * l2 * np.square(W, dtype=np.float64).sum() if l2 > 0 else 0.0
    return l1_term, l2_term
