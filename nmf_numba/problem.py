"""The problem to solve: X, the loss and the penalties, as every solver sees them."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Float = NDArray[np.floating[Any]]
Matrix = Any  # a C-contiguous Float, or a scipy.sparse.csr_array of floats in canonical format

CHUNKS = 64  # at most: enough for as many cores
CHUNK_WORK = 1 << 19  # multiply-adds with X that are worth a chunk of their own: about 0.1 ms, ten times a launch
SUMS_SHARE = {"dense": 256, "csr": 16}  # a chunk's multiply-adds per entry of its sums, at least: else these cost more
# All chunks' sums together. What is larger than 32 MB, glibc returns and clears anew in every iteration.
SUMS_BYTES = {"dense": 22 << 20, "csr": 31 << 20}

FLOOR = 2.0**-23  # of WH: float32's epsilon; in `fit` times the mean of X, see `in_its_unit`
TINY = float(np.finfo(np.float64).tiny)
BLOCK_ENTRIES = 1 << 18  # of X that are looked at together in NumPy


def mean_of(X: Matrix) -> Any:
    """Return the mean of all entries, without a copy of them, which a SciPy matrix's own mean makes."""
    if not sparse.issparse(X):
        return X.mean()
    return X.dtype.type(X.data.sum(dtype=np.float64) / (X.shape[0] * X.shape[1]))


@functools.cache
def twin(package: str, engine: str) -> Any:
    """Return a package's compiled kernels, or their reference: the same names in plain Python."""
    return importlib.import_module(f"{package}.{'kernels' if engine == 'numba' else 'reference'}")


def sum_of_chunks(sums: Float, engine: str) -> Float:
    """Return the sum over chunks of rows, the first axis, in order."""
    if engine == "reference" or len(sums) == 1 or sums.size == 0:
        return np.asarray(sums.sum(axis=0) if len(sums) > 1 else sums[0])
    from nmf_numba.compiled.chunks import in_order  # noqa: PLC0415  (imports Numba, which takes its time)

    total: Float = in_order(sums.reshape(len(sums), -1, sums.shape[-1]))  # type: ignore[no-untyped-call]
    return total.reshape(sums.shape[1:])


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Minimise D_beta(X, WH) + l1_W sum(W) + l1_H sum(H) + l2_W/2 ||W||^2 + l2_H/2 ||H||^2 over W, H >= 0.

    Where only some entries of X count, or not all alike, D_beta is the sum of m_ij d_beta(X_ij | (WH)_ij) over them.

    Attributes
    ----------
    X : ndarray or scipy.sparse.csr_array
        What `validation.check_X` returns: C-contiguous, or a canonical CSR, read-only. An entry that a CSR does not
        store is a zero, or missing.
    beta, l1_W, l1_H, l2_W, l2_H : float
    update_H : bool
        False: H is given and stays.
    missing : bool
        Whether NaN in a dense X, and what a CSR does not store, is missing: it does not count.
    weights : ndarray or None
        m_ij >= 0. For a dense X of its shape, or one row or one column that serve all; for a CSR one for each stored
        entry, and what is not stored is missing. None: 1.
    largest_weight : float
        Of the whole X, also in a problem of some of its rows.
    row_weights : ndarray or None
        One for each row of a CSR of which all entries count, until `with_scaled_rows` makes them a part of X.
    row_scale : ndarray or None
        What the rows of X, and of a W for it, have been multiplied by then.
    fixed_W, fixed_H : ndarray of bool or None
        Entries that stay as they are at the start; of W's shape, and of H's transposed.
    floor : float
        WH is raised to it where its logarithm or a negative power is taken.
    engine : {'numba', 'reference'}
        Whether solvers run their compiled kernels or their reference.
    layout : {'dense', 'csr'}
        How X is stored: the last part of a kernel's name.
    arrays : tuple of ndarray
        X as a kernel's arguments: X itself, or indptr, indices and data.
    """

    X: Matrix
    beta: float = 2.0
    l1_W: float = 0.0
    l1_H: float = 0.0
    l2_W: float = 0.0
    l2_H: float = 0.0
    update_H: bool = True
    engine: str = "numba"
    missing: bool = False
    weights: NDArray[Any] | None = None
    largest_weight: float = 1.0
    row_weights: NDArray[Any] | None = None
    row_scale: NDArray[Any] | None = None
    fixed_W: NDArray[np.bool_] | None = None
    fixed_H: NDArray[np.bool_] | None = None
    floor: float = FLOOR
    layout: str = dataclasses.field(init=False)
    arrays: tuple[NDArray[Any], ...] = dataclasses.field(init=False, repr=False)
    _bounds_of: dict[tuple[int, bool], NDArray[np.int64]] = dataclasses.field(
        init=False, repr=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        is_sparse = sparse.issparse(self.X)
        object.__setattr__(self, "layout", "csr" if is_sparse else "dense")
        object.__setattr__(
            self, "arrays", (self.X.indptr, self.X.indices, self.X.data) if is_sparse else (np.asarray(self.X),)
        )

    @classmethod
    def scaled(cls, X: Matrix, beta: float, alpha_W: float, alpha_H: float, l1_ratio: float, **more: Any) -> Problem:
        """Turn strengths into penalties: W's are multiplied by n_features, H's by n_samples."""
        n_samples, n_features = X.shape
        return cls(
            X,
            beta,
            l1_W=n_features * alpha_W * l1_ratio,
            l1_H=n_samples * alpha_H * l1_ratio,
            l2_W=n_features * alpha_W * (1 - l1_ratio),
            l2_H=n_samples * alpha_H * (1 - l1_ratio),
            **more,
        )

    def with_scaled_rows(self) -> Problem:
        """Return the problem without weights of rows, which become a part of X: its kernels need not know of them.

        With a factor a > 0, d(a x | a y) = a^beta d(x | y). So a row of X that counts m times is that row times
        a = m^(1/beta) that counts once, and W's row is multiplied by a too: see `inside` and `outside`.
        """
        if self.row_weights is None:
            return self
        with np.errstate(all="ignore"):  # what overflows is refused as an X that is too large
            scale = self.row_weights ** self.X.dtype.type(1 / self.beta)
        X, floor = self.X.copy(), self.floor * float(scale[scale > 0].min(initial=1))
        X.data *= np.repeat(scale, np.diff(X.indptr))
        return dataclasses.replace(self, X=_read_only(X), row_weights=None, row_scale=scale, floor=floor)

    def inside(self, W: Float) -> Float:
        """Return a W of the user's as it belongs to this X, whose rows may have been scaled."""
        return W if self.row_scale is None else W * self.row_scale[:, None].astype(W.dtype)

    def outside(self, W: Float, where_not: Float | None) -> Float:
        """Return such a W as the user knows it; rows of weight zero, and what stays, are those of where_not."""
        if self.row_scale is None or where_not is None:
            return W
        scale = self.row_scale[:, None]
        moves = scale > 0 if self.fixed_W is None else (scale > 0) & ~self.fixed_W
        result: Float = np.divide(W, scale, out=where_not.copy(), where=moves)
        return result

    def in_its_unit(self) -> Problem:
        """Return the problem with a floor of WH that has X's unit, as a share of its mean.

        Else where a fit ends would depend on the unit of X: entries of X below the floor would not be fitted; and for
        0 < beta < 1 the pull of a zero of X on WH grows without a bound as WH falls, down to the floor. Only for these
        beta a large X raises the floor too: the divergence of a WH far below X stays what it is.
        """
        if self.beta >= 2:  # no logarithm and no negative power
            return self
        with np.errstate(all="ignore"):  # an X whose sum overflows is refused later
            mean = float(self.mean())
        floor = FLOOR * (mean if 0 < self.beta < 1 else min(1.0, mean))
        return dataclasses.replace(self, floor=floor) if 0 < floor < math.inf else self

    @property
    def loss(self) -> tuple[float, float]:
        """How kernels take a loss: beta and the floor of WH."""
        return float(self.beta), float(self.floor)

    @property
    def largest(self) -> float:
        """The largest entry of X, found by a pass over it."""
        values = self.arrays[-1]
        largest = np.fmax.reduce(values, axis=None) if self.missing else values.max(initial=0)
        return float(largest) if values.size else 0.0

    @property
    def observed(self) -> bool:
        """Whether only some entries of X count, or not all alike: kernels with `observed` in their names do that."""
        return self.missing or self.weights is not None

    @property
    def observed_arrays(self) -> tuple[NDArray[Any], ...]:
        """X and the weights as arguments of such kernels."""
        none = np.ones((1, 1) if self.layout == "dense" else 0, self.X.dtype)
        return (*self.arrays, none if self.weights is None else self.weights)

    @functools.cached_property
    def shares(self) -> Float:
        """The weights of a dense X divided by the largest."""
        weights = self.observed_arrays[-1]
        return weights if self.largest_weight == 1 else weights / weights.dtype.type(self.largest_weight)

    def mean(self) -> Any:
        """Return the mean of X, over the entries that count, by their weights."""
        if self.row_weights is not None:
            sums = np.asarray(self.X.sum(axis=1, dtype=np.float64)).reshape(-1)
            weights = self.row_weights.astype(np.float64)
            return self.X.dtype.type(sums @ weights / max(weights.sum(), TINY) / self.X.shape[1])
        if not self.observed:
            return mean_of(self.X)
        total = weight = 0.0
        for x, m in self.blocks():
            total, weight = total + float((m * x).sum(dtype=np.float64)), weight + float(m.sum(dtype=np.float64))
        return self.X.dtype.type(total / weight if weight > 0 else 0)

    def blocks(self) -> Iterator[tuple[Float, Float]]:
        """Yield X and its weights some rows at a time, with zeros where X is missing; of a CSR all that is stored."""
        if self.layout == "csr":
            yield self.X.data, np.ones_like(self.X.data) if self.weights is None else self.weights
            return
        n_rows = max(1, BLOCK_ENTRIES // self.X.shape[1])
        for start in range(0, len(self.X), n_rows):
            x = self.X[start : start + n_rows]
            m = self.observed_arrays[1]
            m = np.broadcast_to(m if len(m) == 1 else m[start : start + n_rows], x.shape)
            is_missing = np.isnan(x)
            yield np.where(is_missing, 0, x), np.where(is_missing, 0, m)

    def share(self, of: Callable[[Float], NDArray[np.bool_]]) -> float:
        """Return of which share of the entries of a dense X something is true: a pass over X, some rows at a time."""
        n_rows = max(1, BLOCK_ENTRIES // self.X.shape[1])
        blocks = (self.X[start : start + n_rows] for start in range(0, len(self.X), n_rows))
        return float(sum(np.count_nonzero(of(x)) for x in blocks) / self.X.size)

    @functools.cached_property
    def without_entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The rows and the columns of X of which nothing counts: W and H stay there as they are."""
        if self.row_scale is not None:
            return np.flatnonzero(self.row_scale == 0), np.empty(0, np.intp)
        columns = np.zeros(self.X.shape[1], np.int64)
        if self.layout == "csr":
            rows = np.diff(self.X.indptr)
            np.add.at(columns, self.X.indices, 1)
        else:
            counts = []
            for _, m in self.blocks():
                counts.append(np.count_nonzero(m, axis=1))
                columns += np.count_nonzero(m, axis=0)
            rows = np.concatenate(counts)
        return np.flatnonzero(rows == 0), np.flatnonzero(columns == 0)

    def times(self, Ht: Float) -> Float:
        """Return X Ht, on the threads of kernels if X has rows for them."""
        bounds = self.bounds(Ht.shape[1], sums=False)
        if self.engine == "reference" or len(bounds) == 2:
            return np.ascontiguousarray(self.X @ Ht)
        from nmf_numba.compiled.chunks import times, times_csr  # noqa: PLC0415  (imports Numba, which takes its time)

        product: Float = times(self.X, Ht) if self.layout == "dense" else times_csr(*self.arrays, Ht, bounds)
        return product

    @functools.cached_property
    def transposed(self) -> Problem:
        """The problem of X transposed, with W and H in each other's place."""
        X, weights = self.X.T, self.weights
        if self.layout == "csr":
            X = sparse.csr_array(X)
            if weights is not None:
                weights = sparse.csr_array(
                    sparse.csr_array((weights, self.X.indices, self.X.indptr), shape=self.X.shape).T
                ).data
        elif weights is not None:
            weights = np.ascontiguousarray(weights.T)
        other = dataclasses.replace(
            self,
            X=_read_only(X if self.layout == "csr" else np.ascontiguousarray(X)),
            weights=weights,
            l1_W=self.l1_H,
            l1_H=self.l1_W,
            l2_W=self.l2_H,
            l2_H=self.l2_W,
            fixed_W=self.fixed_H,
            fixed_H=self.fixed_W,
            row_scale=None,
        )
        other.__dict__["transposed"] = self
        return other

    def rows(self, start: int, stop: int) -> Problem:
        """Return the problem of some rows, with the penalties of the whole; no entry of X is copied."""
        weights, fixed_W = self.weights, None if self.fixed_W is None else self.fixed_W[start:stop]
        if self.layout == "dense":
            weights = weights if weights is None or len(weights) == 1 else weights[start:stop]
            return dataclasses.replace(self, X=self.X[start:stop], weights=weights, fixed_W=fixed_W)
        row_scale = None if self.row_scale is None else self.row_scale[start:stop]
        X, stop = self.X, min(stop, self.X.shape[0])
        stored = slice(X.indptr[start], X.indptr[stop])
        weights = None if weights is None else weights[stored]
        part = sparse.csr_array((stop - start, X.shape[1]), dtype=X.dtype)
        part.data, part.indices, part.indptr = (
            X.data[stored],
            X.indices[stored],
            X.indptr[start : stop + 1] - stored.start,
        )
        return dataclasses.replace(self, X=_read_only(part), weights=weights, row_scale=row_scale, fixed_W=fixed_W)

    def tiny(self, n_features: int) -> Problem:
        """Return a problem of two rows with X's types, to compile for: it does not touch X."""
        X: Any = np.ones((2, n_features), self.X.dtype)
        weights = None if self.weights is None else np.ones((1, 1), self.X.dtype)
        if self.layout == "csr":
            X = sparse.csr_array(X)
            X.indices, X.indptr = X.indices.astype(self.X.indices.dtype), X.indptr.astype(self.X.indptr.dtype)
            weights = None if weights is None else np.ones(X.nnz, X.dtype)
        fixed_W = None if self.fixed_W is None else self.fixed_W[:1].repeat(2, axis=0)
        fixed_H = None if self.fixed_H is None else self.fixed_H[:n_features]
        return dataclasses.replace(self, X=_read_only(X), weights=weights, fixed_W=fixed_W, fixed_H=fixed_H)

    def bounds(self, n_components: int, *, sums: bool = True) -> NDArray[np.int64]:
        """Return where chunks of rows begin, and where the last one ends. sums: whether a chunk adds up sums for H.

        They depend on X and n_components alone, so the sums, which each chunk adds up on its own, do not depend on the
        number of threads. Chunks have equal numbers of stored entries, not of rows: rows of a sparse X differ in
        length. Their number is a power of two, which 2, 4, 8, ... threads share evenly.
        """
        key = n_components, sums
        if key not in self._bounds_of:
            self._bounds_of[key] = self._bounds(n_components, sums)
        return self._bounds_of[key]

    def set_bounds(self, n_components: int, bounds: list[int]) -> None:
        """Choose other chunks, to compile for several or for one."""
        self._bounds_of[n_components, True] = self._bounds_of[n_components, False] = np.array(bounds, np.int64)

    @property
    def _visits_all(self) -> bool:
        """Whether every entry of X is visited: of a CSR too where the loss needs WH there, unless these are missing."""
        return self.layout == "dense" or not (self.beta in (1, 2) or self.observed)

    def cost(self, n_components: int) -> int:
        """Return the multiply-adds of X with a factor, and of what else an iteration does with W, per component."""
        n_samples, n_features = self.X.shape
        visited = n_samples * n_features if self._visits_all else int(self.X.indptr[-1])
        return int(visited + n_samples * n_components)

    def _bounds(self, n_components: int, with_sums: bool) -> NDArray[np.int64]:
        n_samples, n_features = self.X.shape
        whole, cost = self._visits_all, self.cost(n_components)
        sums = n_features * n_components * self.X.dtype.itemsize  # bytes, a chunk
        sums *= 1 if self.beta in (1, 2) and not self.observed else 2
        n_chunks = min(CHUNKS, cost * n_components // CHUNK_WORK)
        if with_sums:
            share = SUMS_SHARE["dense" if whole else "csr"]
            n_chunks = min(n_chunks, cost // (share * n_features), SUMS_BYTES[self.layout] // sums)
        if n_chunks < 2:
            return np.array([0, n_samples], np.int64)
        n_chunks = 1 << int(n_chunks).bit_length() - 1
        stored = np.arange(n_samples + 1) * n_features if whole else self.X.indptr
        targets = cost * np.arange(1, n_chunks) / n_chunks
        splits = np.searchsorted(stored + np.arange(n_samples + 1) * n_components, targets)
        return np.unique([0, *splits, n_samples]).astype(np.int64)


def _read_only(X: Any) -> Any:
    """Mark the arrays of a matrix read-only, as all that kernels get: they are compiled once for both kinds."""
    for array in (X.data, X.indices, X.indptr) if sparse.issparse(X) else (X,):
        array.flags.writeable = False
    return X
