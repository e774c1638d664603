"""The one table of cases: data, solver, loss, and how many times faster than scikit-learn an iteration must be."""

import dataclasses
import functools

import numpy as np
from scipy import sparse

from nmf_numba.datasets import load_digits, make_low_rank


@functools.cache
def make_X(kind, dtype, shrink=1):
    """The data of a case, the same at every call: each side of `shrink` times fewer rows and columns."""
    if kind == "digits":
        return load_digits().X.astype(dtype)
    layout, n_samples, n_features = {
        "dense": ("dense", 10000, 1000),
        "csr": ("csr", 20000, 10000),
        "small csr": ("csr", 4000, 3000),
    }[kind]
    n_samples, n_features = n_samples // shrink, n_features // shrink
    if layout == "dense":
        return make_low_rank(n_samples, n_features, 20, noise=0.3, dtype=dtype).X
    return make_low_rank(n_samples, n_features, 20, density=0.01, dtype=dtype).X


def loss_name(beta):
    return {2.0: "Frobenius", 1.0: "KL", 0.0: "Itakura-Saito"}.get(beta, f"beta {beta:g}")


def with_start(X, k):
    """X, and W and H to start from, the same at every call."""
    rng = np.random.default_rng(1)
    mean = X.mean()
    scale = np.sqrt((np.nanmean(X[:1000]) if np.isnan(mean) else mean) / k)
    W = scale * rng.gamma(4.0, 0.25, (X.shape[0], k))
    H = scale * rng.gamma(4.0, 0.25, (k, X.shape[1]))
    return X, W.astype(X.dtype), H.astype(X.dtype)


@dataclasses.dataclass(frozen=True)
class Case:
    """An iteration to time, from a given start."""

    kind: str
    dtype: str
    solver: str
    beta: float
    k: int
    bar: float | None = None

    @property
    def name(self):
        return f"{self.kind} {self.dtype} {self.solver} {loss_name(self.beta)} k={self.k}"

    def make(self, shrink=1):
        """X and a start."""
        return with_start(make_X(self.kind, self.dtype, shrink), self.k)

    def n_products(self):
        """How many products of X's shape an iteration needs: X Ht and W'X, and WH twice where it is needed at all."""
        return {2.0: 2, 1.0: 4}.get(self.beta, 6)


CASES = (
    Case("dense", "float64", "cd", 2.0, 20, 1.3),
    Case("dense", "float64", "cd", 2.0, 100, 2.0),
    Case("dense", "float64", "mu", 2.0, 20, 1.5),
    Case("dense", "float64", "mu", 1.0, 20, 4.5),
    Case("dense", "float64", "mu", 0.0, 20, 5.0),
    Case("dense", "float64", "mu", 0.5, 20, 12.0),
    Case("dense", "float64", "mu", 1.3, 20, 5.0),
    Case("dense", "float32", "cd", 2.0, 20, 1.6),
    Case("dense", "float32", "mu", 1.0, 20, 4.0),
    Case("csr", "float64", "cd", 2.0, 20, 2.0),
    Case("csr", "float64", "cd", 2.0, 100, 4.0),
    Case("csr", "float64", "mu", 2.0, 20, 1.8),
    Case("csr", "float64", "mu", 1.0, 20, 25.0),
    Case("csr", "float32", "cd", 2.0, 20, 1.5),
    Case("csr", "float32", "cd", 2.0, 100, 3.5),
    Case("small csr", "float64", "mu", 1.5, 20, 8.0),
    Case("digits", "float64", "cd", 2.0, 10, 1.2),
    Case("digits", "float64", "mu", 1.0, 10, 2.0),
)


def is_sparse(X):
    return sparse.issparse(X)
