"""The kernels' matrix product against NumPy's: every remainder of a tile, every layout that kernels use."""

from __future__ import annotations

import numpy as np
import pytest

from nmf_numba import _jit
from nmf_numba._product import product


@_jit.serial
def compiled(C, A, B, add):
    product(C, A, B, add)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_product(dtype, add, transposed):
    rng = np.random.default_rng(0)
    for n_rows in (0, 1, 5, 6, 8, 17):
        for depth in (0, 1, 7):
            for n_columns in (0, 1, 2, 3, 7, 16, 31, 33, 71):
                A = rng.random((depth, n_rows) if transposed else (n_rows, depth), dtype)
                A = A.T if transposed else A
                wide = rng.random((depth + n_rows, n_columns + 3), dtype)  # rows of B and C are parts of longer ones
                B, C = wide[:depth, 1 : n_columns + 1], wide[depth:, 2 : n_columns + 2]
                around, expected = wide.copy(), A @ B + (C if add else 0)
                compiled(C, A, B, add)
                np.testing.assert_allclose(C, expected, rtol=20 * np.finfo(dtype).eps)
                around[depth:, 2 : n_columns + 2] = C
                np.testing.assert_array_equal(wide, around)  # nothing else was written


def test_what_python_runs_is_the_same():
    rng = np.random.default_rng(0)
    A, B, C = rng.random((4, 3)), rng.random((3, 5)), rng.random((4, 5))
    for add in (False, True):
        ours, theirs = C.copy(), C.copy()
        product(ours, A, B, add)
        compiled(theirs, A, B, add)
        np.testing.assert_allclose(ours, theirs, rtol=1e-15)
