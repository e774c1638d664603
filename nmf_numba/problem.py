"""The problem to solve: X, the loss and the penalties, as every solver sees them."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmf_numba._cached import cached_property
from nmf_numba.validation import Matrix

CHUNKS = 64  # at most: enough for as many cores
CHUNK_WORK = 1 << 19  # multiply-adds with X that are worth a chunk of their own: about 0.1 ms, ten times a launch
SUMS_SHARE = {"dense": 256, "csr": 16}  # a chunk's multiply-adds per entry of its sums, at least: else these cost more
BLOCK = 1 << 16  # entries of X that are squared together
# All chunks' sums together. What is larger than 32 MB, glibc returns and clears anew in every iteration.
SUMS_BYTES = {"dense": 22 << 20, "csr": 31 << 20}


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Minimise D_beta(X, WH) + l1_W sum(W) + l1_H sum(H) + l2_W/2 ||W||^2 + l2_H/2 ||H||^2 over W, H >= 0.

    X is what `validation.check_X` returns: a C-contiguous array or a canonical CSR, read-only. An entry that a CSR does
    not store is a zero.
    """

    X: Matrix
    beta: float = 2.0
    l1_W: float = 0.0
    l1_H: float = 0.0
    l2_W: float = 0.0
    l2_H: float = 0.0

    @classmethod
    def scaled(cls, X: Matrix, beta: float, alpha_W: float, alpha_H: float, l1_ratio: float) -> Problem:
        """Turn strengths into penalties: W's are multiplied by n_features, H's by n_samples."""
        n_samples, n_features = X.shape
        return cls(
            X,
            beta,
            l1_W=n_features * alpha_W * l1_ratio,
            l1_H=n_samples * alpha_H * l1_ratio,
            l2_W=n_features * alpha_W * (1 - l1_ratio),
            l2_H=n_samples * alpha_H * (1 - l1_ratio),
        )

    @cached_property
    def layout(self) -> str:
        """How X is stored, "dense" or "csr": the last part of a kernel's name."""
        return "csr" if sparse.issparse(self.X) else "dense"

    @cached_property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """X as a kernel's arguments."""
        return (self.X,) if self.layout == "dense" else (self.X.indptr, self.X.indices, self.X.data)

    @cached_property
    def largest(self) -> float:
        """The largest entry of X."""
        values = self.arrays[-1]
        return float(values.max()) if values.size else 0.0

    @cached_property
    def squared_norm(self) -> float:
        """The sum of the squares of X's entries, in float64, a block at a time."""
        values = self.arrays[-1].reshape(-1)
        blocks = (values[start : start + BLOCK] for start in range(0, len(values), BLOCK))
        return float(sum(np.square(block, dtype=np.float64).sum() for block in blocks))

    def tiny(self, n_features: int) -> Problem:
        """Return a problem of two rows with X's types, to compile for: it does not touch X."""
        X: Any = np.ones((2, n_features), self.X.dtype)
        if self.layout == "csr":
            X = sparse.csr_array(X)
            X.indices, X.indptr = X.indices.astype(self.X.indices.dtype), X.indptr.astype(self.X.indptr.dtype)
        problem = dataclasses.replace(self, X=X)
        for array in problem.arrays:
            array.flags.writeable = False
        return problem

    def bounds(self, n_components: int) -> NDArray[np.intp]:
        """Where chunks of rows begin, and the last one ends.

        They depend on X and n_components alone, so the sums, which each chunk adds up on its own, do not depend on the
        number of threads. They are bounded by stored entries, not rows: rows of a sparse X differ in length. Their
        number is a power of two, which 2, 4, 8, ... threads share evenly.
        """
        n_samples, n_features = self.X.shape
        whole = self.layout == "dense" or self.beta not in (1, 2)  # the other losses need WH at every entry of a CSR
        stored = np.arange(n_samples + 1) * n_features if whole else self.X.indptr
        cost = stored + np.arange(n_samples + 1) * n_components  # per component
        sums = (
            n_features * n_components * self.X.dtype.itemsize * (1 if self.beta in (1, 2) else 2)
        )  # bytes, each chunk
        n_chunks = min(
            CHUNKS,
            int(cost[-1] * n_components // CHUNK_WORK),
            int(cost[-1] // (SUMS_SHARE["dense" if whole else "csr"] * n_features)),
            int(SUMS_BYTES[self.layout] // sums),
        )
        if n_chunks < 2:
            return np.array([0, n_samples], np.intp)
        n_chunks = 1 << n_chunks.bit_length() - 1
        targets = cost[-1] * np.arange(1, n_chunks) / n_chunks
        return np.unique([0, *np.searchsorted(cost, targets), n_samples]).astype(np.intp)


def twin(package: str, engine: str) -> Any:
    """Return a package's compiled kernels, or their reference: the same names in plain Python."""
    return importlib.import_module(f"{package}.{'kernels' if engine == 'numba' else 'reference'}")
