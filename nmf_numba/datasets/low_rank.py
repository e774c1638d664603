"""Random matrices of known rank: dense with gamma noise, or sparse like word counts."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.optimize import brentq
from scipy.sparse import coo_array, csr_array, vstack

from nmf_numba.datasets.dataset import Dataset

SHAPE = 0.5  # of the gamma distribution of the factors: below 1, so many entries are near zero and components differ
MAX_DENSITY = 0.5
WORDS_AT_ONCE = 2**22  # bounds the memory of `draw_counts`
CALIBRATION_SIZE = 2**21  # entries of the sample in `words_per_row`

DENSE_DESCRIPTION = """\
Random matrix of low rank: X = W H times noise.
Rows and columns: samples and features without a meaning. W and H have gamma-distributed entries.
Unit of X: none; the mean is about 1.
Source: drawn here.
Licence: that of this package."""

SPARSE_DESCRIPTION = """\
Random word counts: X is Poisson-distributed with mean W H.
Rows: documents. Columns: words, from common to rare: the mean count of word j falls like 1 / (j + 1).
Unit of X: how often the word occurs in the document.
Source: drawn here.
Licence: that of this package."""


def make_low_rank(
    n_samples: int = 1000,
    n_features: int = 500,
    n_components: int = 10,
    *,
    noise: float = 0.1,
    density: float | None = None,
    random_state: int | np.random.Generator | None = 0,
    dtype: DTypeLike = np.float64,
) -> Dataset:
    """Return a random non-negative matrix of low rank, dense or sparse, with its true factors.

    Parameters
    ----------
    n_samples, n_features, n_components : int, default=1000, 500, 10
        Size of X, and number of columns of W and rows of H. At least 1.
    noise : float, default=0.1
        Relative standard deviation of the noise of a dense X: 0, or from 1e-6 to 3. Each entry of W H is multiplied
        by its own gamma variable of mean 1. 0: X is exactly W H. Not used when `density` is given: counts have
        Poisson noise.
    density : float, optional
        Share of stored entries, above 0 and at most 0.5. None: X is dense. A number: X is sparse and holds counts,
        and about this share of its entries is positive (within some percent for large X).
    random_state : int, numpy.random.Generator or None, default=0
        Seed. The same int gives the same data. A generator is used and moves on. None: other data at each call.
    dtype : data type, default=numpy.float64
        float32 or float64, of X, W and H.

    Returns
    -------
    Dataset
        X : ndarray or csr_array of shape (n_samples, n_features)
            Dense: positive everywhere. Sparse: whole numbers.
        details : dict
            W : ndarray of shape (n_samples, n_components)
                The true factor.
            H : ndarray of shape (n_components, n_features)
                The true factor. X has mean W H. Sparse: each row of H sums to 1, so that `W[i, t]` is the mean number
                of words of topic t in document i.

    Raises
    ------
    ValueError
        If an argument is out of its range, or of the wrong type. The message names it, and says what is accepted.

    Notes
    -----
    Entries of W and H are gamma-distributed with shape 0.5. For a dense X the mean of X is about 1. For a sparse X,
    column j of H is multiplied by 1 / (j + 1), as word frequencies are, and the length of the documents is chosen to
    reach `density`. Gamma noise is what the Itakura-Saito divergence expects, Poisson noise what Kullback-Leibler
    expects.

    A sparse X is drawn word by word: time and memory grow with the number of words, not with n_samples n_features.
    20000 x 10000 with density 0.01 takes about 1 second. A row or column may be empty.

    Examples
    --------
    >>> from nmf_numba.datasets import make_low_rank
    >>> data = make_low_rank(6, 4, 2, noise=0)
    >>> data.X.shape, bool((data.X == data.details["W"] @ data.details["H"]).all())
    ((6, 4), True)
    >>> make_low_rank(200, 100, 5, density=0.05).X.shape
    (200, 100)
    """
    for name, size in (("n_samples", n_samples), ("n_features", n_features), ("n_components", n_components)):
        if not is_number(size, Integral) or size < 1:
            raise ValueError(f"{name} is {size!r}. It must be a whole number, at least 1.")
    if not is_number(noise, Real) or not (noise == 0 or 1e-6 <= noise <= 3):
        raise ValueError(f"noise is {noise!r}. It must be a number from 1e-6 to 3, or 0 for X = W H exactly.")
    if density is not None and (not is_number(density, Real) or not 0 < density <= MAX_DENSITY):
        raise ValueError(
            f"density is {density!r}. It must be above 0 and at most {MAX_DENSITY}, or None for a dense X."
        )
    try:
        accepted = dtype is not None and np.dtype(dtype) in (np.dtype(np.float32), np.dtype(np.float64))
    except TypeError:  # no data type at all
        accepted = False
    if not accepted:
        raise ValueError(f"dtype is {dtype!r}. It must be numpy.float32 or numpy.float64.")
    try:
        rng = np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"random_state is {random_state!r}. It must be a whole number, at least 0, a numpy Generator or None."
        ) from error
    title = f"{n_samples} x {n_features}, rank {n_components}"

    X: NDArray[np.floating[Any]] | csr_array
    W = rng.gamma(SHAPE, 1 / SHAPE, (n_samples, n_components))
    H = rng.gamma(SHAPE, 1 / SHAPE, (n_components, n_features))
    if density is None:
        W = (W / n_components).astype(dtype)
        H = H.astype(dtype)
        X = W @ H
        if noise > 0:
            X *= rng.gamma(noise**-2, noise**2, X.shape).astype(dtype, copy=False)
        return Dataset(X, f"Low rank, {title}", DENSE_DESCRIPTION, details={"W": W, "H": H})

    H /= np.arange(1, n_features + 1)
    H /= H.sum(axis=1, keepdims=True)
    W *= words_per_row(W, H, density)
    X = draw_counts(W, H, rng).astype(dtype)
    W, H = W.astype(dtype), H.astype(dtype)
    return Dataset(X, f"Random word counts, {title}", SPARSE_DESCRIPTION, details={"W": W, "H": H})


def is_number(value: object, kind: type) -> bool:
    """Return whether `value` is a number of this kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool | np.bool_)


def words_per_row(W: NDArray[np.float64], H: NDArray[np.float64], density: float) -> float:
    """Return the factor by which W must grow so that a share `density` of Poisson(W H) is expected to be positive.

    An entry of mean m is positive with probability 1 - exp(-m). The mean over all entries is estimated from some
    rows, which are drawn alike.
    """
    n_rows = max(16, CALIBRATION_SIZE // H.shape[1])
    mean = W[:n_rows] @ H

    def excess(log_factor: float) -> float:
        return float(-np.expm1(-np.exp(log_factor) * mean).mean()) - density

    low = high = 0.0
    while excess(low) > 0:
        low -= 2
    while excess(high) < 0:
        high += 2
    return float(np.exp(brentq(excess, low, high, xtol=1e-4)))


def draw_counts(W: NDArray[np.float64], H: NDArray[np.float64], rng: np.random.Generator) -> csr_array:
    """Return a CSR matrix of Poisson counts with mean W H, where the rows of H sum to 1.

    Document i has Poisson(W[i, t]) words of topic t, and each of them is word j with probability H[t, j]. So the
    counts are independent Poisson variables with mean (W H)[i, j], and zeros cost nothing.
    """
    n_words = rng.poisson(W)  # (n_samples, n_components)
    ends = np.cumsum(n_words.sum(axis=1))
    cuts = np.searchsorted(ends, np.arange(0, ends[-1], WORDS_AT_ONCE))  # rows at which a new block begins
    starts = np.unique([0, *cuts])
    upper = np.cumsum(H, axis=1)
    blocks = []
    for start, stop in zip(starts, [*starts[1:], len(W)], strict=True):
        rows = [np.repeat(np.arange(stop - start, dtype=np.int32), n_words[start:stop, t]) for t in range(len(H))]
        columns = [
            np.minimum(np.searchsorted(upper[t], upper[t, -1] * rng.random(len(rows[t])), side="right"), H.shape[1] - 1)
            for t in range(len(H))
        ]
        row, column = np.concatenate(rows), np.concatenate(columns).astype(np.int32)
        block = coo_array((np.ones(len(row)), (row, column)), shape=(stop - start, H.shape[1])).tocsr()
        block.sum_duplicates()
        block.sort_indices()
        blocks.append(block)
    return csr_array(vstack(blocks, format="csr"))
