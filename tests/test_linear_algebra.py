"""Products, powers and logarithms of kernels against NumPy's: every remainder of a tile, every layout in use."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from nmf_numba import fit
from nmf_numba.compiled import linear_algebra
from nmf_numba.compiled.chunks import empty_sums
from nmf_numba.compiled.elementary import expm1, log, powers
from nmf_numba.compiled.jit import kernel
from nmf_numba.compiled.linear_algebra import gather, product, products, scatter

plain = linear_algebra.PLAIN


@kernel
def compiled(C, A, B, add):
    product(C, A, B, add)


@kernel
def compiled_gather(row, columns, x, Ht):
    gather(row, columns, x, Ht)


@kernel
def compiled_scatter(sums, columns, x, w):
    scatter(sums, columns, x, w)


@kernel
def compiled_products(w, columns, Ht, wh):
    products(w, columns, Ht, wh)


@kernel
def compiled_log(x):
    for j in range(len(x)):
        x[j] = log(np.float64(x[j]))


@kernel
def compiled_expm1(x):
    for j in range(len(x)):
        x[j] = expm1(x[j])


@pytest.mark.parametrize("a", [-2.6, -1.5, -1, -0.7, -0.5, 0.3, 0.5, 1, 1.7, 4.3])
def test_powers(a):
    """To the last digits, over all exponents, near 1, and at 0."""
    rng = np.random.default_rng(0)
    x = np.concatenate([2.0 ** rng.uniform(-1000 / 4.3, 1000 / 4.3, 1001), rng.uniform(0.7, 1.5, 1001)])
    y = np.empty_like(x)
    powers(y, x, a)
    np.testing.assert_allclose(y, x**a, rtol=9e-16)
    if a > 0:
        y = np.ones(9)
        powers(y, np.zeros(9), a)
        assert not y.any()


def test_powers_beyond_float64():
    """Infinity and zero, not some number in between."""
    x = np.array([1e300, 1e-300, 1e200, 1e-200])
    powers(x, x.copy(), 1.7)
    np.testing.assert_array_equal(x, [np.inf, 0, np.inf, 0])


def test_expm1():
    """Near 0, over all exponents, and beyond them: the largest number, and -1."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-700, 700, 1001), rng.uniform(-1, 1, 1001), 10.0 ** rng.uniform(-18, -1, 1001)])
    y = x.copy()
    compiled_expm1(y)
    np.testing.assert_allclose(y, np.expm1(x), rtol=9e-16)
    y = np.array([-1e300, -800.0, 0.0, 800.0, 1e300])
    compiled_expm1(y)
    np.testing.assert_array_equal(y[:3], [-1, -1, 0])
    assert (y[3:] > 1e307).all()


def test_logarithms():
    rng = np.random.default_rng(0)
    x = np.concatenate([2.0 ** rng.uniform(-1000, 1000, 1001), rng.uniform(0.9, 1.1, 1001)])
    y = x.copy()
    compiled_log(y)
    np.testing.assert_allclose(y, np.log(x), rtol=9e-16)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 3, 5), (3, 50, 20)])
def test_sums_begin_with_a_cache_line(shape, dtype):
    arrays = [empty_sums(*shape, np.zeros((1, 1), dtype)) for _ in range(5)]  # all there at once, so in five places
    for array in arrays:
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert (array.shape, array.dtype) == (shape, dtype)


def test_which_processor(monkeypatch):
    """Numba's settings decide, not the processor that is there."""
    vectors = pytest.importorskip("nmf_numba.compiled.vectors")
    for name, features, expected in [
        ("haswell", "+avx2,+fma", False),
        ("generic", None, False),
        ("znver5", "+avx2,+avx512f", True),
    ]:
        monkeypatch.setattr(vectors.config, "CPU_NAME", name)
        monkeypatch.setattr(vectors.config, "CPU_FEATURES", features)
        assert vectors._has_avx512() is expected


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
            for run in (plain.gather, compiled_gather):
                row = w.copy()
                run(row, columns, x, Ht)
                np.testing.assert_allclose(row, w + x @ Ht[columns], rtol=20 * np.finfo(dtype).eps)
            expected = Ht.copy()
            expected[columns] += np.outer(x, w)
            for run in (plain.scatter, compiled_scatter):
                sums = Ht.copy()
                run(sums, columns, x, w)
                np.testing.assert_allclose(sums, expected, rtol=4 * np.finfo(dtype).eps)
            for run in (plain.products, compiled_products):
                wh = np.full(n_stored + 3, 7, dtype)
                run(w, columns, Ht, wh)
                np.testing.assert_allclose(wh[:n_stored], Ht[columns] @ w, rtol=20 * np.finfo(dtype).eps)
                np.testing.assert_array_equal(wh[n_stored:], 7)


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


@pytest.mark.parametrize("add", [False, True])
def test_plain_product(add):
    """The loops that say what is meant, run by Python."""
    rng = np.random.default_rng(0)
    A, B, C = rng.random((4, 3)), rng.random((3, 5)), rng.random((4, 5))
    expected = A @ B + (C if add else 0)
    plain.product(C, A, B, add)
    np.testing.assert_allclose(C, expected, rtol=1e-15)


OTHERS = {
    "any processor": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "plain loops": {"NMF_NUMBA_PLAIN_LOOPS": "1"},
}


@pytest.mark.parametrize("which", OTHERS)
def test_in_another_way(tmp_path, which):
    """With the vectors of a processor that has no more than the least, and where there are only plain loops."""
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)} | OTHERS[which]
    tests = [f"{__file__}::{name}" for name in ("test_product", "test_rows_of_a_csr", "test_a_fit")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_fit():
    X = np.random.default_rng(0).random((30, 20))
    for solver in ("cd", "mu"):
        found, expected = (
            fit(X, 3, solver=solver, init="random", random_state=0, tol=0, max_iter=5, engine=engine)
            for engine in ("numba", "reference")
        )
        np.testing.assert_allclose(found.W, expected.W, rtol=1e-9)
