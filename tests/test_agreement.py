"""Every kernel agrees with its reference, rung by rung: the equation, the loops run by Python, the compiled loops.

The pairs are found, not listed: every folder of the package with both files. Arguments are drawn by their names.
"""

import functools
import importlib
import inspect
import pkgutil
import sys
import types

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import nmf_numba
from nmf_numba import _chunks, _elementary, _jit
from nmf_numba.objective import kernels

BETAS = (2.0, 1.0, 0.0, 0.5, 1.5, 1.3, 0.3, 3.0, 2.5, -1.0)
FLUSHES = (0.0, 2.0**-52)


def _twins():
    packages = [m.name for m in pkgutil.walk_packages(nmf_numba.__path__, "nmf_numba.") if m.ispkg]
    for package in packages:
        names = {m.name for m in pkgutil.iter_modules(importlib.import_module(package).__path__)}
        if {"reference", "kernels"} <= names:
            yield package


def _functions(module):
    """The functions that a module defines for others: no leading underscore."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__
    }


@functools.cache
def _objective():
    return _interpreted(kernels)


def _interpreted(module):
    """The same file with decorators that compile nothing, so that Python itself runs every loop of it."""
    copy = types.ModuleType(module.__name__ + "_interpreted")
    source = inspect.getsource(module)
    with pytest.MonkeyPatch.context() as patch:
        for decorator in ("serial", "inner", "exact", "inlined", "scalar"):
            patch.setattr(_jit, decorator, lambda function: function)
        patch.setattr(_chunks, "for_each_chunk", lambda work, n, *arguments: [work(c, *arguments) for c in range(n)])
        if module is not _elementary:  # what all kernels share is run by Python too
            for name, function in vars(ELEMENTARY).items():
                if callable(function):
                    patch.setattr(_elementary, name, function, raising=False)
        if "solvers" in module.__name__:  # and of the objective what a solver's row pass measures
            for name in ("_lines", "_sum_of_powers", "divergence_dense", "divergence_csr"):
                patch.setattr(kernels, name, getattr(_objective(), name))
        exec(compile(source, module.__file__, "exec"), vars(copy))
    return copy


ELEMENTARY = _interpreted(_elementary)


PACKAGES = tuple(_twins())
MODULES = {
    package: (
        importlib.import_module(f"{package}.reference"),
        _interpreted(importlib.import_module(f"{package}.kernels")),
        importlib.import_module(f"{package}.kernels"),
    )
    for package in PACKAGES
}
PAIRS = [
    pytest.param(package, name, id=f"{package.rpartition('.')[2]}.{name}")
    for package in PACKAGES
    for name in _functions(MODULES[package][2])
]


def make_arguments(names, rng, n_rows, n_features, n_components, dtype, positive=False):
    """Arguments for a twin by their names: entries 0 or in [1e-3, 1e3], zero rows and columns, exact zeros in W."""

    def matrix(n, m, zeros):
        A = 10.0 ** rng.uniform(-3, 3, (n, m)).astype(dtype)
        A[rng.random((n, m)) < zeros] = 0
        if zeros and rng.random() < 0.3:
            A[rng.integers(n)] = 0
        if zeros and rng.random() < 0.3:
            A[:, rng.integers(m)] = 0
        return A.astype(dtype)

    stored = matrix(n_rows, n_features, 0.0 if positive else 0.6)
    columns = [np.flatnonzero(row) for row in stored]
    a = {
        "W": matrix(n_rows, n_components, 0.2),
        "X": matrix(n_rows, n_features, 0.0 if positive else 0.2),
        "Ht": matrix(n_features, n_components, 0.2),
        "cross": matrix(n_rows, n_components, 0.2),
        "numerator": matrix(n_rows, n_components, 0.2),
        "denominator": matrix(n_rows, n_components, 0.2),
        "indptr": np.concatenate(([0], np.cumsum([len(c) for c in columns]))).astype(np.int32),
        "indices": np.concatenate(columns).astype(np.int32),
        "data": stored[stored != 0],
        "l1": float(rng.choice([0.0, 0.3])),
        "l2": float(rng.choice([0.0, 0.7])),
        "beta": float(rng.choice([b for b in BETAS if b > 0 or positive])),
        "flush": float(rng.choice(FLUSHES)),
        "order": rng.permutation(n_components),
        "update_H": bool(rng.random() < 0.8),
        "bounds": np.unique([0, *rng.integers(0, n_rows + 1, rng.integers(0, 4)), n_rows]).astype(np.intp),
    }
    a["gram"] = a["Ht"].T @ a["Ht"]
    a["of_X"] = np.full(n_rows, np.nan)
    a["measured"] = np.zeros((len(a["bounds"]) - 1, 5))
    unknown = set(names) - set(a)
    assert not unknown, f"make_arguments does not know how to draw {unknown}"
    for name in ("X", "indptr", "indices", "data"):
        a[name].flags.writeable = False
    return [a[name] for name in names]


def call(function, arguments):
    """What a twin returns and the array it changes, which comes first, as one flat list of float64 arrays."""
    arguments = [a.copy() if isinstance(a, np.ndarray) and a.flags.writeable else a for a in arguments]
    with np.errstate(all="ignore"):
        results = function(*arguments)
    results = results if isinstance(results, tuple) else () if results is None else (results,)
    return [np.asarray(r, dtype=np.float64) for r in (*results, arguments[0])]


def expect(reference, arguments, rng):
    """The results in float64, and the size of each: how many epsilons rounding to float32 moves an entry of it.

    So an error counts relative to the size of the terms that were summed, whatever the function. Arguments moved by a
    few roundings, a few times over, show that size.
    """
    epsilon = np.finfo(np.float32).eps

    def run(dtype, move=0.0):
        floats = [isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in arguments]
        moved = [
            (a * (1 + move * rng.uniform(-1, 1, a.shape))).astype(dtype) if is_float else a
            for a, is_float in zip(arguments, floats, strict=True)
        ]
        return call(reference, moved)

    expected = run(np.float64)
    sizes = [np.abs(e).max() for e in expected]
    sizes[-1] = max(sizes[-1], np.abs(arguments[0]).max())  # what changes in place: its old entries are terms too
    for _ in range(6):
        for i, (e, rounded) in enumerate(zip(expected, run(np.float32, 8 * epsilon), strict=True)):
            sizes[i] = max(sizes[i], np.abs(rounded - e).max() / epsilon)
    return expected, sizes


def compare(package, name, rng, sizes, dtype, rungs=(1, 2)):
    modules = MODULES[package]
    reference = getattr(modules[0], name)
    names = list(inspect.signature(reference).parameters)
    arguments = make_arguments(names, rng, *sizes, dtype, positive=rng.random() < 0.4)
    expected, sizes = expect(reference, arguments, rng)
    for rung in rungs:
        found = call(getattr(modules[rung], name), arguments)
        for e, f, size in zip(expected, found, sizes, strict=True):
            assert e.shape == f.shape
            assert np.isfinite(f).all()
            worst = float(np.abs(e - f).max() / (np.finfo(dtype).eps * size + 2.0**-52))
            assert worst < 10, f"rung {rung} is {worst:.3g} roundings off"


def test_the_known_pairs_are_found():
    assert {p.rpartition(".")[2] for p in PACKAGES} >= {"hals", "mu", "objective"}
    assert len(PAIRS) >= 10


@pytest.mark.parametrize("package", PACKAGES)
def test_twins_have_the_same_names_and_arguments(package):
    reference, _, kernels = MODULES[package]
    for name, kernel in _functions(kernels).items():
        assert name in _functions(reference), f"{package}.kernels.{name} has no reference"
        assert inspect.signature(kernel) == inspect.signature(getattr(reference, name))


@pytest.mark.parametrize(("package", "name"), PAIRS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.integers(1, 8),
    n_features=st.integers(1, 8),
    n_components=st.integers(1, 8),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_small(package, name, seed, n_rows, n_features, n_components, dtype):
    compare(package, name, np.random.default_rng(seed), (n_rows, n_features, n_components), dtype)


@pytest.mark.parametrize(("package", "name"), PAIRS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_several_blocks_and_chunks(package, name, dtype):
    """Compiled loops only: blocks of rows, chunks where only W is seen, and lanes that are not all used."""
    rng = np.random.default_rng(7)
    for sizes in ((2100, 5, 3), (3, 2100, 10), (150, 1100, 5)):
        compare(package, name, rng, sizes, dtype, rungs=(2,))


def test_references_do_not_import_what_they_check():
    """A reference is plain NumPy: importing it needs no Numba, and of the package only other references."""
    for package in PACKAGES:
        source = inspect.getsource(sys.modules[f"{package}.reference"])
        imports = {line.split()[1] for line in source.splitlines() if line.startswith(("import", "from"))}
        assert {name for name in imports if not name.endswith(".reference")} <= {"numpy", "itertools"}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_elementary_over_the_whole_range(dtype):
    """Powers and logarithms, compiled, against NumPy's in long double."""

    @numba.njit
    def power(x, a):
        _elementary.power(x, a)

    @numba.njit
    def logarithm(x):
        for j in range(len(x)):
            x[j] = _elementary.log(np.float64(x[j]))

    limits = np.finfo(dtype)
    for a in (-2.0, -1.5, -1.3, -1.0, -0.7, -0.5, 0.3, 0.5, 1.0, 1.7, 2.0, 3.5):
        reach = np.log10(float(limits.max)) / max(1, abs(a)) - 1
        x = (10.0 ** np.linspace(-reach, reach, 501)).astype(dtype)
        expected = x.astype(np.longdouble) ** np.longdouble(a)
        power(x, a)
        np.testing.assert_allclose(
            x.astype(np.longdouble), expected, rtol=8 * float(limits.eps), atol=0, err_msg=f"{a}"
        )
    for a in (0.3, 0.5, 1.7):
        x = np.array([0.0, 1.0], dtype)
        power(x, a)
        np.testing.assert_array_equal(x, [0, 1])
    x = np.concatenate([10.0 ** np.linspace(-30, 30, 501), 1 + np.linspace(-1e-3, 1e-3, 101)]).astype(dtype)
    expected = np.log(x.astype(np.longdouble))
    logarithm(x)
    np.testing.assert_allclose(x.astype(np.longdouble), expected, rtol=4 * float(limits.eps), atol=1e-16)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(7, 2500), (600, 40)], ids=["several tiles of columns", "several blocks of rows"])
@pytest.mark.parametrize("beta", [2.0, 1.0, 0.0, 0.5, 1.5, 1.3, 3.0, -1.0])
def test_row_passes_beyond_one_block(beta, shape, dtype):
    """What the small arrays above never reach: WH in several tiles and blocks, one and several chunks."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.1, 2, shape).astype(dtype)
    stored = sparse.csr_array(X * (rng.random(shape) < 0.05) if beta > 0 else X)
    for array in (X, stored.indptr, stored.indices, stored.data):  # as in a fit, so that it shares compiled kernels
        array.flags.writeable = False
    start, Ht = rng.uniform(0.1, 1, (shape[0], 3)).astype(dtype), rng.uniform(0.1, 1, (shape[1], 3)).astype(dtype)
    modules = [importlib.import_module(f"nmf_numba.solvers.{name}") for name in ("mu.kernels", "mu.reference")]
    more = [(beta, 0.1, 0.2, 1e-30)] * 2
    if beta == 2:
        hals = [importlib.import_module(f"nmf_numba.solvers.{name}") for name in ("hals.kernels", "hals.reference")]
        modules, more = modules + hals, [*more, *[(Ht.T @ Ht, 0.1, np.arange(3))] * 2]
    for name, arrays in {"dense": (X,), "csr": (stored.indptr, stored.indices, stored.data)}.items():
        for bounds in (np.array([0, shape[0]]), np.array([0, 2, 2, shape[0]])):
            found = []
            for module, arguments in zip(modules, more, strict=True):
                W = start.copy()
                row_pass = getattr(module, f"row_pass_{name}")
                found.append((W, *row_pass(W, *arrays, Ht, *arguments, True, bounds)))
            for ours, reference in zip(found[::2], found[1::2], strict=True):
                for a, b in zip(ours, reference, strict=True):
                    tolerance = 1e-11 if dtype == np.float64 else 2e-5
                    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(7, 2500), (600, 40)], ids=["several tiles of columns", "several blocks of rows"])
@pytest.mark.parametrize("beta", [1.0, 0.0, 0.5, 1.5, 1.3, 3.0])
@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_measured_row_passes(layout, beta, shape, dtype, monkeypatch):
    """They do what row passes do; the divergence is that before, and takes no look of its own."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.1, 2, shape).astype(dtype)
    stored = sparse.csr_array(X * (rng.random(shape) < 0.05) if beta > 0 else X)
    arrays = (X,) if layout == "dense" else (stored.indptr, stored.indices, stored.data)
    for array in arrays:
        array.flags.writeable = False
    W, Ht = rng.uniform(0.1, 1, (shape[0], 3)).astype(dtype), rng.uniform(0.1, 1, (shape[1], 3)).astype(dtype)
    reference, _, compiled = MODULES["nmf_numba.solvers.mu"]
    row_pass, measured_row_pass = (getattr(compiled, f"{name}row_pass_{layout}") for name in ("", "measured_"))
    if layout == "dense" or beta >= 1:  # else where WH is zero, the floor counts
        monkeypatch.setattr(compiled, f"divergence_{layout}", None)
    bounds, of_X = np.array([0, 2, 2, shape[0]]), np.full(shape[0], np.nan)
    for _ in range(3):
        measured, ours, reference_W = np.full((3, 5), np.nan), W.copy(), W.copy()
        arguments = beta, 0.1, 0.2, 1e-30, True, of_X, measured, bounds
        *_, expected = getattr(reference, measured_row_pass.__name__)(reference_W, *arrays, Ht, *arguments)
        found = measured_row_pass(W, *arrays, Ht, *arguments)
        numerator, denominator = row_pass(ours, *arrays, Ht, *arguments[:5], bounds)
        np.testing.assert_array_equal(W, ours)
        np.testing.assert_array_equal(found[0], numerator)
        np.testing.assert_array_equal(found[1], denominator)
        np.testing.assert_allclose(found[2], expected, rtol=1e-10 if dtype == np.float64 else 1e-5)
        if (layout, beta) != ("csr", 0.0):
            assert (measured[:, compiled.INSIDE] <= measured[:, compiled.WHOLE]).all()
            assert measured[:, compiled.WHOLE].sum() > 0


@pytest.mark.parametrize("beta", [1.0, 0.5, 1.5, 1.3])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("case", ["below the floor", "close"])
def test_measured_row_passes_look_again(case, layout, beta):
    """Where the sums do not tell the divergence: WH is raised to the floor, or so close to X that they cancel."""
    rng = np.random.default_rng(0)
    W, Ht = rng.uniform(0.1, 1, (20, 3)), rng.uniform(0.1, 1, (30, 3))
    X = W @ Ht.T
    if case == "close":
        W[0] *= 1 + 1e-5
    else:
        W[3] *= 1e-9
    arrays = (
        (X,)
        if layout == "dense"
        else (np.arange(0, 601, 30, np.int32), np.tile(np.arange(30, dtype=np.int32), 20), X.ravel())
    )
    for array in arrays:
        array.flags.writeable = False
    reference, _, compiled = MODULES["nmf_numba.solvers.mu"]
    found, expected = (
        getattr(module, f"measured_row_pass_{layout}")(
            W.copy(), *arrays, Ht, beta, 0.0, 0.0, 1e-30, True, np.full(20, np.nan), np.empty((1, 5)), np.array([0, 20])
        )[2]
        for module in (compiled, reference)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)
