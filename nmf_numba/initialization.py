"""Where a fit starts."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from scipy import linalg, sparse

from nmf_numba import validation
from nmf_numba.observations import Missing, observe
from nmf_numba.problem import Float, Problem
from nmf_numba.validation import Init

OVERSAMPLES = 10  # random vectors beyond the number of components
SMALLEST = 1e-6  # smaller entries of scikit-learn's SVD starts become zero
LEAST = 0.1  # of 'auto': the smallest entry of its factors, as a share of sqrt(mean(X) / n_components)


class _Filled:
    """X with the mean of a column in the place of its missing entries, for products. No such matrix is made."""

    __array_ufunc__ = None  # so that NumPy leaves Q @ this to __rmatmul__

    def __init__(self, problem: Problem) -> None:
        self.problem, X, self.is_transposed = problem, problem.X, False
        self.shape, self.dtype = X.shape, X.dtype
        sums, weights = np.zeros((2, X.shape[1]))
        if problem.layout == "csr":
            ((x, m),) = problem.blocks()
            sums, weights = (np.bincount(X.indices, values, X.shape[1]) for values in (m * x, m))
        else:
            for x, m in problem.blocks():
                sums, weights = sums + (m * x).sum(axis=0), weights + m.sum(axis=0)
        means = np.where(weights > 0, sums / np.where(weights > 0, weights, 1), problem.mean())
        self.means = means.astype(X.dtype)
        if problem.layout == "csr":
            self.beyond = sparse.csr_array((X.data - self.means[X.indices], X.indices, X.indptr), shape=X.shape)

    @property
    def T(self) -> _Filled:
        other = copy.copy(self)
        other.is_transposed, other.shape = not self.is_transposed, self.shape[::-1]
        return other

    def __matmul__(self, Q: Float) -> Float:
        if self.problem.layout == "csr" and self.is_transposed:
            return np.asarray(self.beyond.T @ Q + np.outer(self.means, Q.sum(axis=0)))
        if self.problem.layout == "csr":
            return np.asarray(self.beyond @ Q + self.means @ Q)
        blocks = (np.where(m > 0, x, self.means) for x, m in self.problem.blocks())
        if not self.is_transposed:
            return np.concatenate([block @ Q for block in blocks])
        total, start = np.zeros((self.shape[0], Q.shape[1]), self.dtype), 0
        for block in blocks:
            total += block.T @ Q[start : start + len(block)]
            start += len(block)
        return total

    def __rmatmul__(self, Q: Float) -> Float:
        return (self.T @ Q.T).T


def _randomized_svd(X: Any, n_components: int, rng: Any) -> tuple[Float, Float, Float]:
    """Return the leading singular triplets U, s, Vt of X (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1).

    Each column of U has its entry of largest magnitude positive.
    """
    wide = X.shape[0] < X.shape[1]
    A = X.T if wide else X
    Q = rng.normal(size=(A.shape[1], n_components + OVERSAMPLES)).astype(X.dtype, copy=False)
    for _ in range(7 if n_components < 0.1 * min(X.shape) else 4):
        Q, _ = linalg.lu(A @ Q, permute_l=True, overwrite_a=True, check_finite=False)
        Q, _ = linalg.lu(A.T @ Q, permute_l=True, overwrite_a=True, check_finite=False)
    Q, _ = linalg.qr(A @ Q, mode="economic", overwrite_a=True, check_finite=False)
    left, s, right = linalg.svd(Q.T @ A, full_matrices=False, overwrite_a=True, lapack_driver="gesdd")
    left, s, right = Q @ left[:, :n_components], s[:n_components], right[:n_components]
    U, Vt = (right.T, left.T) if wide else (left, right)
    for u, v in zip(U.T, Vt, strict=True):
        sign = np.sign(u[np.abs(u).argmax()])
        u *= sign
        v *= sign
    return U, s, Vt


def _nndsvd(X: Any, n_components: int, rng: Any) -> tuple[Float, Float]:
    """Return the non-negative double SVD of X (Boutsidis and Gallopoulos 2008).

    The first singular pair of a non-negative matrix is non-negative. Of each other pair, the positive parts or the
    negative parts are kept, whichever have the larger product of norms.
    """
    U, s, Vt = _randomized_svd(X, n_components, rng)
    W, H = np.zeros_like(U), np.zeros_like(Vt)
    W[:, 0], H[0] = np.sqrt(s[0]) * np.abs(U[:, 0]), np.sqrt(s[0]) * np.abs(Vt[0])
    for j in range(1, n_components):
        parts = [(np.maximum(sign * U[:, j], 0), np.maximum(sign * Vt[j], 0)) for sign in (1, -1)]
        norms = [(linalg.norm(u), linalg.norm(v)) for u, v in parts]
        products = [norm_u * norm_v for norm_u, norm_v in norms]
        chosen = 0 if products[0] > products[1] else 1
        if products[chosen] > 0:
            scale = np.sqrt(s[j] * products[chosen])
            W[:, j] = scale * (parts[chosen][0] / norms[chosen][0])
            H[j] = scale * (parts[chosen][1] / norms[chosen][1])
    return W, H


def make_start(problem: Problem, n_components: int, init: str | None, random_state: Any) -> tuple[Float, Float]:
    """Return W and H for the X of a problem and any init but 'custom'; refuse an X so large that they overflow."""
    X = problem.X
    validation.check_rank(n_components, X.shape, init)
    if init in (None, "auto") and n_components > min(X.shape):
        init = "random"
    with np.errstate(all="ignore"):  # underflow is harmless, and overflow is refused below
        try:
            W, H = _start(problem, n_components, init, random_state)
        except (linalg.LinAlgError, ValueError):  # what LAPACK says of infinities
            if 8 * sum(X.shape) * problem.largest < np.finfo(X.dtype).max:
                raise
            W = H = np.full((1, 1), math.inf, X.dtype)
    validation.check_start(W, H, init, X, problem.largest)
    return W, H


def _start(problem: Problem, n_components: int, init: str | None, random_state: Any) -> tuple[Float, Float]:
    """Return W and H, with infinities where they leave X's dtype."""
    rng, X = validation.check_random_state(random_state), problem.X
    mean = problem.mean()
    scale = np.sqrt(mean / n_components)
    if init == "random":
        H = rng.standard_normal(size=(n_components, X.shape[1])).astype(X.dtype, copy=False)
        W = rng.standard_normal(size=(X.shape[0], n_components)).astype(X.dtype, copy=False)
        for factor in (W, H):  # in place: a copy would be as large as they are
            np.multiply(factor, scale, out=factor, casting="same_kind")
            np.abs(factor, out=factor)
        return W, H

    W, H = _nndsvd(_Filled(problem) if problem.observed else X, n_components, rng)
    if init == "auto":  # in the unit of W and H, the square root of X's
        least = X.dtype.type(LEAST) * scale
        return np.maximum(W, least, out=W), np.maximum(H, least, out=H)
    if init == "nndsvdar":
        rng = validation.check_random_state(random_state)  # an int begins its stream again
    for factor in (W, H):
        zeros = factor < SMALLEST
        factor[zeros] = 0
        if init in (None, "nndsvda"):
            factor[zeros] = mean
        elif init == "nndsvdar":
            factor[zeros] = np.abs(mean * rng.standard_normal(size=np.count_nonzero(zeros)) / 100)
    return W, H


def initialize(
    X: Any,
    n_components: int,
    *,
    init: Init | None = "auto",
    random_state: Any = None,
    missing: Missing | None = None,
    weights: Any = None,
) -> tuple[Float, Float]:
    """Return the factors W and H at which a fit starts.

    Parameters
    ----------
    X : array-like or SciPy sparse, shape (n_samples, n_features)
        Finite and non-negative.
    n_components : int
        Number of columns of W and of rows of H.
    init : {'auto', 'random', 'nndsvd', 'nndsvda', 'nndsvdar'} or None, default 'auto'
        'auto': from a randomised singular value decomposition, with entries raised to at least a tenth of
        sqrt(mean(X) / n_components); 'random' if n_components > min(n_samples, n_features). Another unit of X changes
        both factors by the square root of it, and nothing else.
        'random': absolute values of normal numbers times sqrt(mean(X) / n_components).
        'nndsvd': from a randomised singular value decomposition; about half the entries are zero.
        'nndsvda': the same with zeros replaced by mean(X). 'nndsvdar': by small random numbers.
        None: scikit-learn's choice, 'nndsvda' if n_components <= min(n_samples, n_features), else 'random'.
    random_state : int, numpy.random.RandomState or Generator, or None, default None
        Source of randomness; an int gives the same start every time. None is NumPy's global stream.
    missing, weights
        As for `fit`. mean(X) is then that of the entries that count, and a singular value decomposition is that of X
        with the mean of a column in the place of its missing entries.

    Returns
    -------
    W : ndarray, shape (n_samples, n_components)
    H : ndarray, shape (n_components, n_features)
        Non-negative, of X's dtype if that is float32 or float64, else float64.

    Raises
    ------
    ValueError, TypeError
        X has NaN, infinity or a negative entry, or is so large that the factors leave its dtype; a parameter is out of
        range; an SVD start is asked for with more components than min(n_samples, n_features).

    Notes
    -----
    The SVD starts cost 10 (16 if n_components < 0.1 min(n_samples, n_features)) products of X with n_components + 10
    vectors.

    References
    ----------
    C. Boutsidis and E. Gallopoulos (2008), SVD based initialization: a head start for nonnegative matrix
    factorization, Pattern Recognition 41(4), 1350-1362. doi:10.1016/j.patcog.2007.09.010

    N. Halko, P.-G. Martinsson and J. A. Tropp (2011), Finding structure with randomness, SIAM Review 53(2), 217-288.
    doi:10.1137/090771806

    Examples
    --------
    >>> from nmf_numba import initialize
    >>> W, H = initialize([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], 2, init="nndsvda", random_state=0)
    >>> W.shape, H.shape
    ((3, 2), (2, 2))
    """
    problem = Problem(**observe(X, missing, weights))
    n_components = validation.check_integer("n_components", n_components, low=1, accepted="an integer >= 1")
    init = validation.check_init(init)
    if init == "custom":
        raise ValueError("init='custom' takes W and H from you: pass them to fit or iterate. There is nothing to make.")
    W, H = make_start(problem, n_components, init, random_state)
    return np.ascontiguousarray(W), np.ascontiguousarray(H)
