"""Inputs nobody should pass and somebody will: a right result or a clear error, and what was passed stays as it was."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import tracemalloc
import warnings
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from conftest import make_X
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from nmf_numba import beta_divergence, compare, fit, initialize, iterate, non_negative_factorization, objective
from nmf_numba.estimators import NMF, MiniBatchNMF
from nmf_numba.problem import Problem
from nmf_numba.validation import check_X

METHODS = [
    ("cd", 2),
    ("apg", 2),
    ("bpp", 2),
    ("mu", 2),
    ("mu", 1),
    ("mu", 1.5),
    ("mu", 0.5),
    ("mu", 3),
]  # those that take zeros
POSITIVE = [("mu", 0), ("mu", -1)]  # those that need X > 0
LAYOUTS = {"dense": np.asarray, "csr": sparse.csr_array}

each_method = pytest.mark.parametrize(("solver", "beta"), METHODS)
each_solver = pytest.mark.parametrize("solver", ["cd", "mu", "apg", "bpp"])
each_layout = pytest.mark.parametrize("layout", LAYOUTS)
each_engine = pytest.mark.parametrize("engine", ["numba", "reference"])


def snapshot(A: Any) -> Any:
    """Everything that a matrix holds, to the last bit."""
    if isinstance(A, np.ndarray):
        return A.dtype.str, A.shape, A.strides, A.tolist() if A.dtype == object else A.tobytes()
    if sparse.issparse(A) and A.format == "dok":
        return sorted(A.items())
    if sparse.issparse(A):
        return {name: snapshot(value) for name, value in vars(A).items() if isinstance(value, (np.ndarray, tuple))}
    return [snapshot(item) for item in A] if isinstance(A, (list, tuple)) else A


def arrays_of(A: Any) -> list[np.ndarray]:
    """Every array that a matrix holds."""
    if isinstance(A, np.ndarray):
        return [A]
    if isinstance(A, tuple):
        return [array for item in A for array in arrays_of(item)]
    return [array for value in vars(A).values() for array in arrays_of(value)] if sparse.issparse(A) else []


def solve(X: Any, n_components: int = 2, **kwargs: Any) -> list[Any]:
    """All steps of a short fit, checked: sound factors that share nothing, a falling objective, X as it was."""
    kwargs = {"init": "random", "random_state": 0, "tol": 0, "max_iter": 4} | kwargs
    before = snapshot(X)
    result = list(iterate(X, n_components, **kwargs))
    assert snapshot(X) == before
    shape = np.shape(X) if not sparse.issparse(X) else X.shape
    found = getattr(X, "dtype", np.dtype(float))
    dtype = found.newbyteorder("=") if found.kind == "f" and found.itemsize in (4, 8) else np.dtype(float)
    for step in result:
        assert type(step.n_iter) is int
        for factor, expected in ((step.W, (shape[0], n_components)), (step.H, (n_components, shape[1]))):
            assert type(factor) is np.ndarray
            assert factor.shape == expected
            assert factor.dtype == dtype
            assert factor.flags.c_contiguous
            assert np.all(np.isfinite(factor))
            assert np.all(factor >= 0)
            assert not any(np.shares_memory(factor, array) for array in arrays_of(X))
    return result


def assert_falls(steps: list[Any], rounding: float = 1e-10) -> None:
    """The objective never rises, but for rounding; an exact fit has nothing but rounding left."""
    totals = [step.objective().total for step in steps]
    assert not np.any(np.isnan(totals))
    for before, after in pairwise(totals):
        assert after <= before * (1 + rounding) + 1e-13 * totals[0], totals


def assert_same(steps: list[Any], expected: list[Any], close: float = 1e-9) -> None:
    for name in ("W", "H"):
        A, B = getattr(steps[-1], name), getattr(expected[-1], name)
        np.testing.assert_allclose(A, B, rtol=0, atol=close * B.max())


# Shapes


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 9), (9, 2)])
@pytest.mark.parametrize("n_components", [1, 2, 11])
@each_method
@each_layout
def test_small_shapes(shape: tuple[int, int], n_components: int, solver: str, beta: float, layout: str) -> None:
    X = LAYOUTS[layout](make_X(shape) + 0.5)
    assert_falls(solve(X, n_components, solver=solver, beta_loss=beta))


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1)])
@each_solver
def test_reference_on_small_shapes(shape: tuple[int, int], solver: str) -> None:
    for layout in LAYOUTS.values():
        assert_falls(solve(layout(make_X(shape) + 0.5), 3, solver=solver, engine="reference"))


@pytest.mark.parametrize("n_components", [1, 3])
@each_solver
def test_steps_are_yours_to_keep(n_components: int, solver: str) -> None:
    """W and H of a step don't change when the next one is computed."""
    for shape in ((7, 5), (7, 1), (1, 5)):
        kwargs = {"solver": solver, "init": "random", "random_state": 0, "tol": 0, "max_iter": 4}
        kept, copies = [], []
        for step in iterate(make_X(shape) + 0.5, n_components, **kwargs):
            kept.append((step.W, step.H))
            copies.append((step.W.copy(), step.H.copy()))
        for (W, H), (W_then, H_then) in zip(kept, copies, strict=True):
            np.testing.assert_array_equal(W, W_then)
            np.testing.assert_array_equal(H, H_then)


@each_solver
def test_a_kept_step_may_be_written(solver: str) -> None:
    expected = solve(make_X((7, 5)), 1, solver=solver)
    for step in iterate(make_X((7, 5)), 1, solver=solver, init="random", random_state=0, tol=0, max_iter=4):
        last = step.W.copy(), step.H.copy()
        step.W[:], step.H[:] = 9, 9
    np.testing.assert_array_equal(last[0], expected[-1].W)
    np.testing.assert_array_equal(last[1], expected[-1].H)


# Zeros


@pytest.mark.parametrize("init", ["random", "nndsvda", "nndsvdar", None])
@each_method
@each_layout
def test_zero_rows_and_columns(init: str | None, solver: str, beta: float, layout: str) -> None:
    X = make_X((7, 5))
    X[[0, 3, 6]], X[:, [1, 4]] = 0, 0
    solve(LAYOUTS[layout](X), 2, init=init, solver=solver, beta_loss=beta)
    assert_falls(solve(LAYOUTS[layout](X), 3, solver=solver, beta_loss=beta))


@pytest.mark.parametrize("init", ["random", "nndsvd", "nndsvda", "nndsvdar", None])
@each_method
@each_layout
@each_engine
def test_all_zero(init: str | None, solver: str, beta: float, layout: str, engine: str) -> None:
    if init == "nndsvd" and solver == "mu":
        init = "random"  # nndsvd would warn
    last = solve(LAYOUTS[layout](np.zeros((4, 3))), 2, init=init, solver=solver, beta_loss=beta, engine=engine)[-1]
    assert last.objective().total == 0


@each_method
@each_layout
def test_all_zero_and_custom_factors(solver: str, beta: float, layout: str) -> None:
    kwargs = {"init": "custom", "W": np.ones((4, 2)), "H": np.ones((2, 3)), "solver": solver, "beta_loss": beta}
    assert_falls(solve(LAYOUTS[layout](np.zeros((4, 3))), **kwargs))


@pytest.mark.parametrize("init", ["random", "nndsvd", "nndsvda", "nndsvdar"])
@each_layout
def test_initialize_of_zeros_and_low_rank(init: str, layout: str) -> None:
    rng = np.random.default_rng(0)
    matrices = [np.zeros((5, 4)), np.ones((5, 4)), np.eye(5, 4), np.outer(np.arange(5), [0, 1, 0, 2])]
    matrices += [np.diag([0.0, 0, 0, 1]), np.array([[0.0, 0], [1, 0]])]  # singular vectors of opposite signs
    matrices += [(rng.random((6, 5)) < 0.2) * 1.0 for _ in range(20)]
    for X in matrices:
        for A in initialize(LAYOUTS[layout](X), min(X.shape), init=init, random_state=0):
            assert np.all(np.isfinite(A))
            assert np.all(A >= 0)


@each_method
def test_custom_factors_with_zeros(solver: str, beta: float) -> None:
    W, H = np.ones((7, 3)), np.ones((3, 5))
    W[:, 0], H[1], W[2], H[:, 3] = 0, 0, 0, 0
    for layout in LAYOUTS.values():
        solve(layout(make_X((7, 5))), 3, init="custom", W=W, H=H, solver=solver, beta_loss=beta)


# Sparse formats


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("format", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
@each_solver
def test_every_sparse_format(kind: str, format: str, solver: str) -> None:
    X = make_X((6, 4))
    converted = getattr(sparse, f"{format}_{kind}")(X)
    assert_same(solve(converted, solver=solver), solve(sparse.csr_array(X), solver=solver), 0)
    W, H = np.ones((6, 2)), np.ones((2, 4))
    assert objective(converted, W, H) == objective(sparse.csr_array(X), W, H)


def messy(dtype: Any = float) -> sparse.csr_array:
    """Columns out of order, one twice, one explicit zero, an empty row."""
    data = np.array([1, 2, 3, 0, 4, 5, 6], dtype)
    indices, indptr = np.array([3, 0, 3, 1, 2, 0, 1], np.int32), np.array([0, 3, 3, 5, 7], np.int32)
    return sparse.csr_array((data, indices, indptr), shape=(4, 5))


@each_method
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_messy_csr_is_the_cleaned_matrix(solver: str, beta: float, dtype: str) -> None:
    cleaned = sparse.csr_array(messy(dtype).toarray())
    assert not messy().has_canonical_format
    kwargs = {"solver": solver, "beta_loss": beta}
    assert_same(solve(messy(dtype), **kwargs), solve(cleaned, **kwargs), 1e-9 if dtype != "float32" else 1e-5)
    W, H = np.ones((4, 2)), np.ones((2, 5))
    totals = [objective(X, W, H, beta_loss=beta).total for X in (messy(dtype), cleaned)]
    assert totals[0] == pytest.approx(totals[1], rel=1e-13)


def test_messy_coo_and_csc() -> None:
    row, column, data = [3, 0, 0, 3, 1], [1, 2, 2, 1, 0], [1.0, 2.0, 3.0, 4.0, 0.0]
    coo = sparse.coo_array((data, (row, column)), shape=(4, 3))
    csc = sparse.csc_array((coo.T.tocsr().data, *coo.T.tocsr().indices[np.newaxis], coo.T.tocsr().indptr), shape=(4, 3))
    for X in (coo, csc):
        assert_same(solve(X), solve(sparse.csr_array(coo.toarray())))


def test_duplicates_that_cancel() -> None:
    """An entry is the sum of what is stored for it, so a stored negative may be part of a zero."""
    X = sparse.csr_array(([2.0, -2.0, 3.0], [0, 0, 1], [0, 2, 3]), shape=(2, 2))
    assert_same(solve(X, 1), solve(sparse.csr_array(X.toarray()), 1))
    X = sparse.csr_array(([2.0, -3.0, 3.0], [0, 0, 1], [0, 2, 3]), shape=(2, 2))
    with pytest.raises(ValueError, match=r"X\[0, 0\] = -1"):
        solve(X, 1)


def test_bool_duplicates() -> None:
    """True and True is True, as SciPy has it."""
    X = sparse.csr_array((np.array([True, True, True]), [0, 0, 1], [0, 2, 3]), shape=(2, 2))
    assert_same(solve(X, 1), solve(sparse.csr_array(X.toarray().astype(float)), 1))


@pytest.mark.parametrize("beta", [2, 1, 0.5])
def test_int64_indices(beta: float) -> None:
    X = sparse.csr_array(make_X((7, 5)))
    wide = X.copy()
    wide.indices, wide.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    for solver in ("cd", "mu") if beta == 2 else ("mu",):
        kwargs = {"solver": solver, "beta_loss": beta}
        assert_same(solve(wide, **kwargs), solve(X, **kwargs), 0)
    assert {array.dtype for array in Problem(check_X(wide)).arrays[:2]} == {np.dtype(np.int32)}  # nothing to compile
    assert wide.indices.dtype == np.int64


@each_solver
def test_read_only_csr(solver: str) -> None:
    X = sparse.csr_array(make_X((7, 5)))
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    assert_falls(solve(X, solver=solver))


def corrupt(name: str) -> sparse.csr_array:
    X = sparse.csr_array(make_X((6, 4)) + 0.5)
    if name == "index too large":
        X.indices[3] = 4
    elif name == "index far too large":
        X.indices[-1] = 2**30
    elif name == "negative index":
        X.indices[0] = -1
    elif name == "indptr falls":
        X.indptr[2], X.indptr[3] = X.indptr[3], X.indptr[2]
    elif name == "indptr does not begin at 0":
        X.indptr[0] = 1
    elif name == "indptr ends beyond the data":
        X.indptr[-1] += 3
    elif name == "indptr too short":
        X.indptr = X.indptr[:-1]
    elif name == "data too short":
        X.data = X.data[:-2]
    return X


CORRUPT = [
    "index too large",
    "index far too large",
    "negative index",
    "indptr falls",
    "indptr does not begin at 0",
    "indptr ends beyond the data",
    "indptr too short",
    "data too short",
]


@pytest.mark.parametrize("name", CORRUPT)
def test_corrupt_csr(name: str) -> None:
    X = corrupt(name)
    for call in (fit, lambda X: fit(X, 2, solver="mu", beta_loss=1), lambda X: objective(X, [[1.0]], [[1.0]])):
        with pytest.raises(ValueError, match="X is not a valid"):
            call(X)


@pytest.mark.parametrize("format", ["csc", "coo", "bsr"])
def test_corrupt_other_formats(format: str) -> None:
    """In a process of its own: SciPy's conversion to CSR trusts the indices."""
    code = textwrap.dedent(f"""
        import numpy as np
        from scipy import sparse
        from nmf_numba import initialize
        X = sparse.{format}_array(np.arange(1.0, 4001.0).reshape(1000, 4))
        index = X.row if "{format}" == "coo" else X.indices
        for wrong in (-1, -3000000, 2**30):
            index[7] = wrong
            try:
                initialize(X, 2, init="random")
            except ValueError as error:
                assert "X is not a valid" in str(error), error
            else:
                raise AssertionError("accepted")
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-500:] or f"died with {done.returncode}"


def test_one_dimensional_sparse() -> None:
    X = sparse.coo_array(make_X((7, 5))[0])
    if X.ndim == 2:
        pytest.skip("this SciPy has no 1-D sparse arrays")
    for call in (fit, lambda X: initialize(X, 1), lambda X: objective(X, [[1.0]], [[1.0]])):
        with pytest.raises(ValueError, match="must be 2-D"):
            call(X)


# Dense arrays of every kind


DTYPES = ["?", "i1", "u1", "<i2", "u8", "<f4", "<f8", "longdouble"]
DENSE_ONLY = ["f2", ">i4", ">f4", ">f8", "O"]  # SciPy has no sparse matrices of these


@pytest.mark.parametrize(
    ("layout", "dtype"),
    [*(("dense", dtype) for dtype in DTYPES + DENSE_ONLY), *(("csr", dtype) for dtype in DTYPES)],
)
@each_solver
def test_dtypes(dtype: str, solver: str, layout: str) -> None:
    X = (4 * make_X((7, 5))).astype(dtype)
    kept = X.dtype.newbyteorder("=") if X.dtype.kind == "f" and X.itemsize in (4, 8) else np.float64
    assert_same(solve(LAYOUTS[layout](X), solver=solver), solve(LAYOUTS[layout](X.astype(kept)), solver=solver), 1e-5)


def test_fractions_and_python_integers() -> None:
    X = [[Fraction(1, 2), 2], [3, 10**30]]
    assert_same(solve(X, 1), solve(np.array([[0.5, 2], [3, 1e30]]), 1))


@pytest.mark.parametrize("dtype", [">f4", ">f8"])
def test_big_endian_factors(dtype: str) -> None:
    X = make_X((7, 5)).astype(dtype)
    result = fit(X, 2, init="custom", W=np.ones((7, 2), dtype), H=np.ones((2, 5), dtype), tol=0, max_iter=3)
    assert result.W.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="long double is a double here")
@each_layout
def test_longdouble_beyond_float64(layout: str) -> None:
    X = np.ones((3, 2), np.longdouble)
    X[1, 1] = np.finfo(np.longdouble).max
    with pytest.raises(ValueError, match="X"):
        fit(LAYOUTS[layout](X), 1)


def dense_arrays(tmp_path: Path) -> dict[str, Any]:
    """The same X, held in many ways."""
    X = make_X((7, 5))
    wide = np.full((14, 15), np.nan)
    wide[::2, ::3] = X
    reverse = np.ascontiguousarray(X[::-1, ::-1])
    file = np.memmap(tmp_path / "X", dtype=float, mode="w+", shape=X.shape)
    file[:] = X
    file.flush()
    read_only = X.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(bytearray(b"\0" + X.tobytes()), np.float64, offset=1).reshape(X.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix(X)
    return {
        "Fortran": np.asfortranarray(X),
        "transposed": np.ascontiguousarray(X.T).T,
        "strided": wide[::2, ::3],
        "reversed": reverse[::-1, ::-1],
        "broadcast": np.broadcast_to(X[0], X.shape),
        "read-only": read_only,
        "memmap": np.memmap(tmp_path / "X", dtype=float, mode="r", shape=X.shape),
        "unaligned": unaligned,
        "matrix": matrix,
        "list": X.tolist(),
        "tuples": tuple(map(tuple, X)),
    }


@each_solver
@each_engine
def test_however_X_is_held(solver: str, engine: str, tmp_path: Path) -> None:
    for name, X in dense_arrays(tmp_path).items():
        plain = np.array(X, order="C")
        kwargs = {"solver": solver, "engine": engine}
        assert_same(solve(X, **kwargs), solve(plain, **kwargs), 1e-12)
        assert objective(X, np.ones((7, 1)), np.ones((1, 5))).total > 0, name


@each_solver
@each_layout
def test_factors_stay_as_they_were(solver: str, layout: str) -> None:
    X = LAYOUTS[layout](make_X((7, 5)))
    W, H = make_X((7, 2), seed=1) + 0.5, make_X((2, 5), seed=2) + 0.5
    expected = fit(X, 2, init="custom", W=W, H=H, solver=solver, tol=0, max_iter=3)
    wide = np.ones((14, 4))
    wide[::2, ::2] = W
    read_only = [W.copy(), H.copy()]
    for array in read_only:
        array.flags.writeable = False
    held = [
        (W, H),
        read_only,
        (np.asfortranarray(W), np.asfortranarray(H)),
        (wide[::2, ::2], H[::-1][::-1]),
        (W.tolist(), H.tolist()),
    ]
    for factors in held:
        before = snapshot(list(factors))
        result = fit(X, 2, init="custom", W=factors[0], H=factors[1], solver=solver, tol=0, max_iter=3)
        fixed = fit(X, 2, H=factors[1], update_H=False, solver=solver, tol=0, max_iter=3)
        objective(X, *factors)
        assert snapshot(list(factors)) == before
        np.testing.assert_array_equal(result.W, expected.W)
        np.testing.assert_array_equal(result.H, expected.H)
        np.testing.assert_array_equal(fixed.H, np.asarray(factors[1]))
        for array in (result.W, result.H, fixed.W, fixed.H):
            assert array.flags.c_contiguous
            assert array.flags.writeable
            for given_factor in factors:
                assert not np.shares_memory(array, np.asarray(given_factor))


@pytest.mark.parametrize("n_components", [1, 2])
@each_solver
def test_results_share_no_memory(n_components: int, solver: str) -> None:
    for shape in ((7, 5), (7, 1), (1, 5), (1, 1)):
        X = make_X(shape) + 0.5
        W, H = np.ones((shape[0], n_components)), np.ones((n_components, shape[1]))
        for kwargs in ({"init": "custom", "W": W, "H": H}, {"update_H": False, "H": H}, {"init": "random"}):
            found = non_negative_factorization(
                X, n_components=n_components, solver=solver, tol=0, max_iter=2, random_state=0, **kwargs
            )
            assert type(found[2]) is int
            for array in found[:2]:
                assert array.flags.c_contiguous
                assert not any(np.shares_memory(array, other) for other in (X, W, H))
            assert not np.shares_memory(found[0], found[1])


# Frames with sparse columns


def sparse_frame(S: Any, **kwargs: Any) -> Any:
    return pandas.DataFrame.sparse.from_spmatrix(S, **kwargs)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_a_sparse_frame_stays_sparse(dtype: str) -> None:
    """Everywhere: 2 MB of counts are 256 MB of zeros and counts."""
    S = sparse.random(60, 40, 0.1, random_state=0, format="csr")
    S.data = np.ceil(4 * S.data)
    S = S.astype(dtype)
    frame = sparse_frame(S)
    found = check_X(frame)
    assert found.format == "csr"
    np.testing.assert_array_equal(found.toarray(), S.toarray())
    assert found.dtype == (dtype if dtype == "float32" else "float64")
    W, H = np.ones((60, 3)), np.ones((3, 40))
    kwargs: dict[str, Any] = {"init": "random", "random_state": 0, "tol": 0, "max_iter": 3}
    calls: list[Any] = [
        lambda X: fit(X, 3, **kwargs).H,
        lambda X: fit(X, 3, **kwargs, solver="mu", beta_loss=1).H,
        lambda X: fit(X, 3, **kwargs, engine="reference").H,
        lambda X: list(iterate(X, 3, **kwargs))[-1].W,
        lambda X: non_negative_factorization(X, n_components=3, **kwargs)[0],
        lambda X: initialize(X, 3, random_state=0)[0],
        lambda X: objective(X, W, H).total,
        lambda X: beta_divergence(X, W, H, 1),
        lambda X: compare(X, 3, **kwargs).best,
    ]
    for call in calls:
        np.testing.assert_array_equal(call(frame), call(S))
    for Estimator in (NMF, MiniBatchNMF):  # scikit-learn reads a sparse frame in double precision
        found, expected = (Estimator(3, **kwargs).fit(A).components_ for A in (frame, S.astype(float)))
        np.testing.assert_array_equal(found, expected)


def test_a_frame_is_sparse_only_where_zeros_are_left_out() -> None:
    S = sparse.random(6, 4, 0.5, random_state=0, format="csr")
    mixed = sparse_frame(S).assign(more=1.0)
    ones = pandas.DataFrame({"a": pandas.arrays.SparseArray([1.0, 1.0, 2.0], fill_value=1.0)})
    for frame in (mixed, ones):
        found = check_X(frame)
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, np.asarray(frame))


def test_a_sparse_frame_is_never_dense_in_memory() -> None:
    S = sparse.random(4000, 1000, 0.002, random_state=0, format="csr")
    frame = sparse_frame(S)
    tracemalloc.start()
    try:
        initialize(frame, 2, init="random", random_state=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4000 * 1000 * 8 / 8


def test_pandas_is_not_imported() -> None:
    code = """
import sys
import numpy as np
from nmf_numba import fit
fit(np.eye(3), 2, engine="reference", max_iter=1, tol=0)
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# What NumPy does about underflow


def underflowing() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    wide = 10.0 ** rng.uniform(-12, 3, (20, 15))
    few = np.where(rng.random((20, 15)) < 0.5, 1e-310, 1.0)
    return {
        "sparse": sparse.random(60, 40, 0.1, random_state=0, format="csr"),
        "sparse float32": sparse.random(60, 40, 0.1, random_state=0, format="csr", dtype="f4"),
        "wide": wide,
        "wide float32": wide.astype("f4"),
        "denormal": few,
        "denormal float32": np.where(few < 1, 1e-40, 1).astype("f4"),
    }


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("X", underflowing().values(), ids=underflowing())
@pytest.mark.parametrize("init", ["auto", "random", "nndsvd", "nndsvda", "nndsvdar", None])
@pytest.mark.parametrize(("solver", "beta"), [("cd", 2), ("mu", 2), ("mu", 1), ("mu", 0.5), ("mu", 3)])
def test_underflow_is_harmless(X: Any, init: str | None, solver: str, beta: float) -> None:
    """In every place that computes, and with a callback, around which the caller's settings are back."""
    common: Any = {"init": init, "beta_loss": beta, "random_state": 0}
    with np.errstate(all="ignore"):
        W, H = (factor.astype(float) ** 9 for factor in initialize(X, 3, init="random", random_state=0))
        other = X.astype("f8" if X.dtype == "f4" else "f4")

    def seen(step: Any) -> None:
        assert set(np.geterr().values()) == {"raise"}

    with np.errstate(all="raise"):
        initialize(X, 3, init=init, random_state=0)
        for engine in ("numba", "reference"):
            for callback in (None, seen):
                result = fit(X, 3, solver=solver, engine=engine, callback=callback, max_iter=12, trace=True, **common)
            assert result.relative_error >= 0
            assert result.kkt >= 0
            assert np.isfinite(result.objective.total)
            for new in (X, other):
                result.transform(new, max_iter=3, tol=0)
        for step in iterate(X, 3, solver=solver, max_iter=3, **common):
            seen(step)
            step.objective()
            step.kkt()
        non_negative_factorization(X, n_components=3, solver=solver, max_iter=12, **common)
        objective(X, W, H, beta_loss=beta, alpha_W=0.1)
        beta_divergence(X, W, H, beta)
        compare(X, 3, solvers=[solver], engines=["numba", "scikit-learn"], max_iter=3, **common)
        model = NMF(3, solver=solver, max_iter=12, callback=seen, **common).fit(X)
        model.inverse_transform(model.transform(X))
        model.transform(other)
        if solver == "mu":
            for fresh in (False, True):
                mini = MiniBatchNMF(3, batch_size=8, max_iter=3, fresh_restarts=fresh, callback=seen, **common).fit(X)
                mini.partial_fit(X).partial_fit(other).transform(X)


# Magnitudes


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(5, 4), (4, 5), (300, 7)])
@pytest.mark.parametrize("init", ["auto", "random", "nndsvd", "nndsvda", "nndsvdar", None])
@each_layout
def test_a_start_is_finite_or_refused(init: Any, shape: tuple[int, int], dtype: str, layout: str) -> None:
    """Near the largest number of the dtype: never infinities, and advice as `fit` gives it."""
    refused = []
    for share in (1e-8, 1e-4, 0.1, 0.25, 0.5, 1.0):
        X = np.full(shape, np.finfo(dtype).max, dtype) * np.dtype(dtype).type(share)
        try:
            factors = initialize(LAYOUTS[layout](X), 2, init=init, random_state=0)
        except ValueError as error:
            assert "X is too large" in str(error), error  # noqa: PT017
            assert "X / X.max()" in str(error)  # noqa: PT017
            refused.append(share)
            continue
        assert all(np.isfinite(factor).all() for factor in factors)
    assert 1e-8 not in refused


# the exponents of 4 at which X lies within the range of the dtype, denormals at its ends included
POWERS = {
    "float64": [-536, -510, -300, -100, -60, -35, -10, 10, 30, 60, 100, 300, 500, 511],
    "float32": [-73, -60, -35, -10, 10, 26, 30, 50, 60, 63],
}


@pytest.mark.parametrize(("dtype", "power"), [(dtype, power) for dtype in POWERS for power in POWERS[dtype]])
@pytest.mark.parametrize(("solver", "beta"), METHODS + POSITIVE)
def test_scale(power: int, solver: str, beta: float, dtype: str) -> None:
    """X times 4^power has W and H times 2^power, or a clear error. Powers of two do not round."""
    X = (0.5 + np.random.default_rng(0).random((6, 5))).astype(dtype)
    scaled = np.ldexp(X, 2 * power)
    kwargs = {"solver": solver, "beta_loss": beta}
    expected = solve(X, **kwargs)[-1]
    for layout in LAYOUTS.values():
        try:
            last = solve(layout(scaled), **kwargs)[-1]
        except ValueError as error:
            assert "X is too" in str(error) or "contains zeros" in str(error), error  # noqa: PT017
            continue
        for A, B in ((last.W, expected.W), (last.H, expected.H)):
            np.testing.assert_allclose(np.ldexp(A.astype(float), -power), B, rtol=1e-6 if dtype == "float64" else 1e-3)


@pytest.mark.parametrize(
    ("dtype", "power"),
    [*(("float64", power) for power in (-300, -30, -10, 30, 60, 250, 300, 500)), ("float32", -30), ("float32", 26)],
)
@pytest.mark.parametrize("init", ["nndsvda", "nndsvdar"])
@pytest.mark.parametrize(("solver", "beta"), [("cd", 2), ("mu", 2), ("mu", 1), ("mu", 0)])
def test_scale_of_svd_starts(dtype: str, power: int, init: str, solver: str, beta: float) -> None:
    """Filled with mean(X), not its root, such a start may lie far from X: it falls and leaves zero, or says so."""
    X = np.ldexp(0.5 + np.random.default_rng(0).random((6, 5)), 2 * power).astype(dtype)
    try:
        steps = solve(X, solver=solver, beta_loss=beta, init=init)
    except ValueError as error:
        assert "X is too" in str(error), error  # noqa: PT017
        return
    assert_falls(steps, 1e-10 if dtype == "float64" else 1e-5)
    assert steps[-1].W.max() > 0
    assert steps[-1].H.max() > 0


@pytest.mark.parametrize("top", [1e38, 3.4e38])
def test_largest_float32(top: float) -> None:
    """Their mean overflows if it is summed in float32."""
    X = np.full((6, 5), top, np.float32)
    for init in ("random", "nndsvda"):
        for layout in LAYOUTS.values():
            try:
                solve(layout(X), init=init)
            except ValueError as error:
                assert "X is too large" in str(error), error  # noqa: PT017


@pytest.mark.parametrize("alpha", [1e-300, 1e30, 1e300, 1e308])
@pytest.mark.parametrize("l1_ratio", [0, 0.5, 1])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@each_solver
def test_extreme_penalties(alpha: float, l1_ratio: float, dtype: str, solver: str) -> None:
    X = make_X((7, 5)).astype(dtype)
    try:
        solve(X, alpha_W=alpha, l1_ratio=l1_ratio, solver=solver)
    except ValueError as error:
        assert "overflowed" in str(error), error  # noqa: PT017


@pytest.mark.parametrize("beta", [2, 1, 0, 0.5, 1.5, 3, -1, 1.3])
@each_engine
def test_objective_of_extremes_is_a_number(beta: float, engine: str) -> None:
    """Infinity if it is beyond float64, but not NaN, and not negative."""
    values = [1e-150, 1e-20, 1e-10, 1.0, 1e10]
    if engine == "numba":  # where NumPy would warn of an overflow, rightly
        values += [1e-320, 1e-300, 1e150, 1e300]
    for x in values:
        for y in [0.0, *values]:
            for layout in LAYOUTS.values():
                terms = objective(layout([[x]]), [[y]], [[1.0]], beta_loss=beta, engine=engine)
                assert terms.data_fit >= 0, (x, y)
                assert terms.total >= 0, (x, y)


# Anything at all

ENTRIES = st.one_of(
    st.just(0.0),
    st.floats(0.1, 10),
    st.floats(0, allow_nan=False, allow_infinity=False),
    st.sampled_from([5e-324, 1e-310, 2.3e-308, 1e-200, 1e-16, 1e-7, 1e16, 1e154, 1e200, 1.7e308]),
)


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    n_samples, n_features = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    entries = draw(st.lists(ENTRIES, min_size=n_samples * n_features, max_size=n_samples * n_features))
    return np.array(entries).reshape(n_samples, n_features)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    X=matrices(),
    method=st.sampled_from([*METHODS, *POSITIVE, ("cd", 2), ("mu", 1.3)]),
    n_components=st.integers(1, 4),
    init=st.sampled_from(["random", "nndsvda", "nndsvdar", None]),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_any_floats(X: np.ndarray, method: tuple[str, float], n_components: int, init: str | None, layout: str) -> None:
    solver, beta = method
    n_components = min(n_components, *X.shape) if init not in ("random", None) else n_components
    try:
        steps = solve(LAYOUTS[layout](X), n_components, solver=solver, beta_loss=beta, init=init)
    except ValueError as error:
        assert any(text in str(error) for text in ("X is too", "X contains zeros")), error  # noqa: PT017
        return
    totals = [step.objective().total for step in steps]
    assert not np.any(np.isnan(totals))
    if solver == "cd":  # the floors of mu may raise it
        assert_falls(steps)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    X=matrices(),
    method=st.sampled_from(METHODS),
    engine=st.sampled_from(["numba", "reference"]),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_any_floats_of_moderate_size(X: np.ndarray, method: tuple[str, float], engine: str, layout: str) -> None:
    """Where nothing overflows the objective falls, zeros and tiny entries or not."""
    solver, beta = method
    X = np.minimum(np.where(X < 1e-3, 0, X), 1e3)
    assert_falls(solve(LAYOUTS[layout](X), 2, solver=solver, beta_loss=beta, engine=engine), 1e-6)
