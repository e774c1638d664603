"""The kernels' matrix product and powers against NumPy's: every remainder of a tile, every layout in use."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from nmf_numba import _jit, _product
from nmf_numba._elementary import any_power, log, power, split
from nmf_numba._memory import aligned_empty
from nmf_numba._product import FLOOR, gather, product, products, ratio_to_product, root_of_product, scatter


@_jit.serial
def compiled(C, A, B, add):
    product(C, A, B, add)


@_jit.serial
def compiled_root(C, A, B):
    root_of_product(C, A, B)


@_jit.serial
def compiled_ratio(C, A, B, X):
    ratio_to_product(C, A, B, X)


@_jit.serial
def compiled_gather(row, columns, x, Ht):
    gather(row, columns, x, Ht)


@_jit.serial
def compiled_scatter(sums, columns, x, w):
    scatter(sums, columns, x, w)


@_jit.serial
def compiled_products(w, columns, Ht, wh):
    products(w, columns, Ht, wh)


@_jit.serial
def compiled_power(x, a):
    power(x, a)


@_jit.serial
def compiled_any_power(x, a):
    high, low = split(a)
    for j in range(len(x)):
        x[j] = any_power(x[j], high, low)


@_jit.serial
def compiled_log(x):
    for j in range(len(x)):
        x[j] = log(x[j])


@pytest.mark.parametrize("a", [-2.6, -1.5, -0.7, -0.5, 0.3, 0.5, 1.7, 4.3])
def test_powers(a):
    """To the last digits, over all exponents, near 1, and at 0."""
    rng = np.random.default_rng(0)
    x = np.concatenate([2.0 ** rng.uniform(-1000 / 4.3, 1000 / 4.3, 1001), rng.uniform(0.7, 1.5, 1001)])
    for run in (compiled_power, compiled_any_power):
        y = x.copy()
        run(y, a)
        np.testing.assert_allclose(y, x**a, rtol=9e-16)
    if a > 0:
        zero = np.zeros(9)
        compiled_any_power(zero, a)
        assert not zero.any()


def test_powers_beyond_float64():
    """Infinity and zero, not some number in between."""
    x = np.array([1e300, 1e-300, 1e200, 1e-200])
    compiled_any_power(x, 1.7)
    np.testing.assert_array_equal(x, [np.inf, 0, np.inf, 0])


def test_logarithms():
    rng = np.random.default_rng(0)
    x = np.concatenate([2.0 ** rng.uniform(-1000, 1000, 1001), rng.uniform(0.9, 1.1, 1001)])
    y = x.copy()
    compiled_log(y)
    np.testing.assert_allclose(y, np.log(x), rtol=9e-16)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1,), (7, 3), (3, 50, 20)])
def test_arrays_begin_with_a_cache_line(shape, dtype):
    arrays = [aligned_empty(shape, dtype) for _ in range(5)]  # all there at once, so in five places
    for array in arrays:
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert (array.shape, array.dtype) == (shape, dtype)


def test_which_processor(monkeypatch):
    """Numba's settings decide, not the processor that is there."""
    for name, features, expected in [
        ("haswell", "+avx2,+fma", False),
        ("generic", None, False),
        ("znver5", "+avx2,+avx512f", True),
    ]:
        monkeypatch.setattr(_product.config, "CPU_NAME", name)
        monkeypatch.setattr(_product.config, "CPU_FEATURES", features)
        assert _product._has_avx512() is expected


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_rows_of_a_csr(dtype, index):
    """With every remainder of a vector and of the entries that go side by side."""
    rng = np.random.default_rng(0)
    for n_components in (1, 2, 3, 5, 8, 20, 31, 64, 100, 300):
        for n_stored in (0, 1, 2, 3, 4, 7, 21):
            Ht, x = rng.random((23, n_components), dtype), rng.random(n_stored, dtype)
            columns, w = np.sort(rng.permutation(23)[:n_stored]).astype(index), rng.random(n_components, dtype)
            x.flags.writeable = columns.flags.writeable = False
            for run in (gather, compiled_gather):
                row = w.copy()
                run(row, columns, x, Ht)
                np.testing.assert_allclose(row, w + x @ Ht[columns], rtol=20 * np.finfo(dtype).eps)
            expected = Ht.copy()
            expected[columns] += np.outer(x, w)
            for run in (scatter, compiled_scatter):
                sums = Ht.copy()
                run(sums, columns, x, w)
                np.testing.assert_allclose(sums, expected, rtol=4 * np.finfo(dtype).eps)
            for run in (products, compiled_products):
                wh = np.full(n_stored + 3, 7, dtype)
                run(w, columns, Ht, wh)
                np.testing.assert_allclose(wh[:n_stored], Ht[columns] @ w, rtol=20 * np.finfo(dtype).eps)
                np.testing.assert_array_equal(wh[n_stored:], 7)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_root_and_ratio(dtype):
    """Of every remainder of a tile; where the product is less than FLOOR too."""
    rng = np.random.default_rng(0)
    for n_rows in (0, 1, 5, 8, 17):
        for n_columns in (0, 1, 3, 7, 16, 33):
            A, B = rng.random((n_rows, 4), dtype), rng.random((4, n_columns), dtype)
            A[::3] *= dtype(1e-9)
            X = rng.random((n_rows, n_columns + 2), dtype)
            X.flags.writeable = False
            C, tolerance = np.full((n_rows, n_columns), np.nan, dtype), 20 * np.finfo(dtype).eps
            expected = X[:, 1:-1] / np.maximum(A @ B, dtype(FLOOR))
            for run in (ratio_to_product, compiled_ratio):
                run(C, A, B, X[:, 1:-1])
                np.testing.assert_allclose(C, expected, rtol=tolerance)
            for run in (root_of_product, compiled_root):
                run(C, A, B)
                np.testing.assert_allclose(C, np.sqrt(A @ B), rtol=tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_product(dtype, add, transposed):
    rng = np.random.default_rng(0)
    for n_rows in (0, 1, 5, 6, 8, 17):
        for depth in (0, 1, 7, 37):
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


def test_on_any_processor(tmp_path):
    """The same with the vectors of a processor that has no more than the least, whatever this one has."""
    env = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    tests = [f"{__file__}::{name}" for name in ("test_product", "test_root_and_ratio", "test_rows_of_a_csr")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
