"""The beta-divergence as the equations have it.

    d(x | y) = (x^beta + (beta-1) y^beta - beta x y^(beta-1)) / (beta (beta-1))                     (1)
    beta = 2:  (x - y)^2 / 2        beta = 1:  x log(x/y) - x + y        beta = 0:  x/y - log(x/y) - 1

D(X, WH) is the sum of d(X_ij | (WH)_ij) over all entries. Computed as it stands, (1) loses its digits where x is close
to y, or beta to 0 or 1: nearly equal terms cancel. With m the larger of x and y, s = (the smaller) / m, u = s - 1 and
q_a = (s^a - 1) / a, whose limit for a = 0 is log(s), the same d is

    beta >= 1/2, q = q_(beta-1):   d = m^beta / beta     * (s q - u                       if x <= y
                                                            u - q (1 - (beta-1) u)        if x > y)         (2)
    beta <  1/2, q = q_beta:       d = m^beta / (beta-1) * (q - u                         if x <= y
                                                            (u - q (1 - (beta-1) u)) / s  if x > y)         (3)

where nothing is lost, and the three named losses are no special cases. The gradient of D in WH is the difference of
two non-negative parts, WH^(beta-1) and X WH^(beta-2): `weights` returns both.

Source of (1): Fevotte and Idier (2011), equation (2). Derivation of (2) and (3): notes.md beside this file.
"""

import numpy as np

FLOOR = 2.0**-23  # float32's epsilon, for both dtypes: what y is raised to where it has a negative power


def entry_divergence(x, y, beta):
    """Return d(x | y) >= 0 for each entry; x and y are float64 arrays of one shape."""
    if beta <= 1:
        y = np.where(x > 0, np.maximum(y, FLOOR), y)
    m = np.maximum(x, y)
    s = np.where(m > 0, np.minimum(x, y) / np.where(m > 0, m, 1), 1)
    u, a = s - 1, beta - 1 if beta >= 0.5 else beta
    log_s = np.log(np.where(s > 0, s, 1))
    q = np.where(s > 0, log_s if a == 0 else np.expm1(a * log_s) / a, -1 / a if a != 0 else 0)
    more = u - q * (1 - (beta - 1) * u)
    if beta >= 0.5:
        d = m**beta / beta * np.where(x <= y, s * q - u, more)  # (2)
    else:
        d = m**beta / (beta - 1) * np.where(x <= y, q - u, more / np.where(s > 0, s, 1))  # (3)
    return np.maximum(d, 0)


def weights(X, WH, beta):
    """Return X WH^(beta-2) and WH^(beta-1), entry by entry, with WH raised to FLOOR where its power is negative."""
    low = np.maximum(WH, FLOOR)
    return X * (low if beta < 2 else WH) ** (beta - 2), (low if beta < 1 else WH) ** (beta - 1)


def divergence_dense(X, W, Ht, beta, bounds):
    """Return D(X, WH).

    X : (n_rows, n_features)
    W : (n_rows, n_components)
    Ht : (n_features, n_components), H transposed
    bounds : where chunks of rows begin, and where the last one ends; any split gives the same sum, to rounding
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
