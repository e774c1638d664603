"""Solvers that see X only through gram and cross: exact rows, gram matrices without full rank, components of zeros."""

import numpy as np
import pytest
from scipy.optimize import nnls

from nmf_numba import fit, non_negative_factorization
from nmf_numba.solvers.apg import kernels as apg
from nmf_numba.solvers.apg.solver import AcceleratedProjectedGradient


def test_bpp_solves_each_row_exactly():
    """One iteration with H kept is what SciPy's non-negative least squares finds, row by row."""
    rng = np.random.default_rng(0)
    X, H = rng.random((40, 15)), rng.random((6, 15))
    W, _, _ = non_negative_factorization(X, H=H, n_components=6, update_H=False, solver="bpp", tol=0, max_iter=1)
    expected = np.array([nnls(H.T, x)[0] for x in X])
    assert (expected == 0).any()
    np.testing.assert_allclose(W, expected, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scale", [1e-2, 1e-6])
def test_bpp_is_exact_whatever_the_scale_of_a_component(scale, dtype):
    rng = np.random.default_rng(0)
    H = rng.random((4, 12))
    X = rng.random((20, 4)) @ H + 0.02 * rng.random((20, 12))
    H[1] *= scale
    W = fit(X.astype(dtype), 4, H=H.astype(dtype), update_H=False, solver="bpp").W.astype(np.float64)
    best = sum(nnls(H.T, x)[1] ** 2 for x in X)
    assert ((X - W @ H) ** 2).sum() <= best * (1 + 1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("solver", ["apg", "bpp"])
def test_gram_without_full_rank(solver, dtype):
    """Equal components and a row of zeros: the objective reaches that of SciPy's least squares."""
    rng = np.random.default_rng(1)
    X, H = rng.random((30, 4)).astype(dtype), rng.random((7, 4)).astype(dtype)
    H[1], H[2] = H[0], 0
    options = {"H": H, "n_components": 7, "update_H": False, "tol": 0, "max_iter": 300}
    W, _, _ = non_negative_factorization(X, solver=solver, **options)
    best = sum(nnls(H.T, x)[1] ** 2 for x in X)
    assert ((X - W @ H) ** 2).sum() <= best + 1e-4 * (X**2).sum()


def test_bound_is_above_the_largest_eigenvalue():
    rng = np.random.default_rng(2)
    for k in range(1, 12):
        A = 10.0 ** rng.uniform(-3, 3, (5, k)) * (rng.random((5, k)) < 0.5)
        gram = A.T @ A
        largest = np.linalg.eigvalsh(gram)[-1]
        assert largest * (1 - 1e-12) <= apg.bound(gram) <= 1.5 * largest + 1e-300


def test_number_of_steps():
    with pytest.raises(ValueError, match=r"n_steps must be an integer >= 1\. Found 0"):
        AcceleratedProjectedGradient(n_steps=0)
    X = np.random.default_rng(3).random((20, 9))
    ends = [
        fit(X, 3, solver=AcceleratedProjectedGradient(n), init="random", random_state=0, tol=0, max_iter=5, trace=5)
        for n in (1, 8)
    ]
    assert ends[1].trace.objective[-1] < ends[0].trace.objective[-1]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_vanishes_becomes_zero(dtype):
    """A column of zeros in X: its entries of H shrink in each step, and subnormal numbers would take their time."""
    X = np.random.default_rng(4).random((30, 8)).astype(dtype)
    X[:, 3] = 0
    H = fit(X, 3, solver="apg", init="random", random_state=0, tol=0, max_iter=2000).H
    assert (H[H > 0] >= np.finfo(dtype).tiny).all()
    assert (H[:, 3] == 0).all()
