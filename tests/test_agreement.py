"""Every kernel agrees with its reference, rung by rung: the equation, the loops run by Python, the compiled loops.

The pairs are found, not listed: every folder of the package with both files. Arguments are drawn by their names.
"""

import importlib
import inspect
import pkgutil
import sys
import types

import numpy as np
import pytest
from scipy import sparse

import nmf_numba
from nmf_numba.compiled import chunks, elementary, jit, linear_algebra
from nmf_numba.losses import kernels as losses

BETAS = (2.0, 1.0, 0.0, 0.5, 1.5, 1.3, 0.3, 3.0, 2.5, -1.0)
LEAST = (0.0, 2.0**-52)


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


def _interpreted(module, *others):
    """The same file with decorators that compile nothing, so that Python itself runs every loop of it.

    others : what it imports from, interpreted
    """
    copy = types.ModuleType(module.__name__ + "_interpreted")
    with pytest.MonkeyPatch.context() as patch:
        for decorator in ("kernel", "parallel", "inlined"):
            patch.setattr(jit, decorator, lambda function: function)
        for original, replacement in others:
            for name, function in vars(replacement).items():
                if callable(function) and name in vars(original):
                    patch.setattr(original, name, function)
        exec(compile(inspect.getsource(module), module.__file__, "exec"), vars(copy))
    return copy


def _plain():
    """The plain loops of linear_algebra.py, also where it has vectors instead."""
    names = ("product", "gather", "scatter", "products")
    return types.SimpleNamespace(**{name: getattr(linear_algebra.PLAIN, name) for name in names})


SHARED = [(linear_algebra, _plain())]
for shared in (elementary, chunks, losses):
    SHARED.append((shared, _interpreted(shared, *SHARED)))

PACKAGES = tuple(_twins())
MODULES = {
    package: (
        importlib.import_module(f"{package}.reference"),
        _interpreted(importlib.import_module(f"{package}.kernels"), *SHARED),
        importlib.import_module(f"{package}.kernels"),
    )
    for package in PACKAGES
}
PAIRS = [
    pytest.param(package, name, id=f"{package.rpartition('.')[2]}.{name}")
    for package in PACKAGES
    for name in _functions(MODULES[package][0])
    if name in _functions(MODULES[package][2])
]


def make_arguments(names, rng, n_rows, n_features, n_components, dtype, positive=False, has_missing=False):
    """Arguments for a twin by their names: entries 0 or in [1e-3, 1e3], zero rows and columns, exact zeros in W.

    has_missing: NaN in X, and weights, some of them zero for a dense X
    """

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
    beta = float(rng.choice([b for b in BETAS if b > 0 or positive]))
    floor = float(rng.choice([2.0**-23, 0.01]))
    gamma = float(rng.choice([1 / max(1, 2 - beta, beta - 1), 1.0, 0.0]))
    a = {
        "W": matrix(n_rows, n_components, 0.2),
        "X": matrix(n_rows, n_features, 0.0 if positive else 0.2),
        "WH": matrix(n_rows, n_features, 0.2),
        "Ht": matrix(n_features, n_components, 0.2),
        "cross": matrix(n_rows, n_components, 0.2),
        "numerator": matrix(n_rows, n_components, 0.2),
        "denominator": matrix({2.0: n_components, 1.0: 1}.get(beta, n_rows), n_components, 0.2),
        "indptr": np.concatenate(([0], np.cumsum([len(c) for c in columns]))).astype(np.int32),
        "indices": np.concatenate(columns).astype(np.int32),
        "data": stored[stored != 0],
        "l1": float(rng.choice([0.0, 0.3])),
        "l2": float(rng.choice([0.0, 0.7])),
        "penalties": (float(rng.choice([0.0, 0.3])), float(rng.choice([0.0, 0.7])), gamma),
        "beta": beta,
        "floor": floor,
        "loss": (beta, floor),
        "least": float(rng.choice(LEAST)),
        "n_steps": int(rng.integers(1, 4)),
        "order": rng.permutation(n_components),
        "sweeps": (int(rng.integers(1, 4)), float(rng.choice([0.0, 0.8]))),
        "update_H": bool(rng.random() < 0.8),
        "bounds": np.unique([0, *rng.integers(0, n_rows + 1, rng.integers(0, 4)), n_rows]).astype(np.int64),
        "n_sweeps": int(rng.integers(1, 4)),
        "method": (float(rng.choice([1.0, 2.0])), int(rng.integers(1, 4)), floor),
        "fixed": rng.random((n_rows if rng.random() < 0.5 else 0, n_components)) < 0.3,
        "observed": bool(rng.random() < 0.5),
        "of_H": bool(rng.random() < 0.5),
    }
    if rng.random() < 0.3:
        a["order"] = a["order"][: rng.integers(1, n_components + 1)]  # the other components stay
    if "observed" in names and a["observed"]:
        a["denominator"] = matrix(n_rows, n_components, 0.2)
    shapes = ((n_rows, n_features), (n_rows, 1), (1, n_features), (1, 1))
    a["entry_weights"] = matrix(*shapes[rng.integers(4)], 0.2)
    a["shares"] = (a["entry_weights"] / max(a["entry_weights"].max(), 1)).astype(dtype)
    if "indptr" in names:
        a["entry_weights"] = 10.0 ** rng.uniform(-3, 3, len(a["data"]) if rng.random() < 0.5 else 0).astype(dtype)
    if has_missing:
        a["X"][rng.random(a["X"].shape) < 0.3] = np.nan
    a["gram"] = a["Ht"].T @ a["Ht"]
    unknown = set(names) - set(a)
    assert not unknown, f"make_arguments does not know how to draw {unknown}"
    for name in ("X", "indptr", "indices", "data"):
        a[name].flags.writeable = False
    return [a[name] for name in names]


def weights(function):
    """Of one line after the other, in buffers: the kernel in the terms of its reference."""

    def adapted(X, WH, beta, floor):
        P, Q = np.empty_like(WH), WH.copy()
        for p, q, x in zip(P, Q, X, strict=True):
            function(p, q, x, (beta, floor))
        return P, Q if beta != 1 else np.ones_like(Q)

    return adapted


ADAPTERS = {("nmf_numba.losses", "weights"): weights}  # kernels with scratch arguments


def twin_of(package, rung, name):
    """A function of a rung, with the arguments of its reference."""
    function = getattr(MODULES[package][rung], name)
    adapter = ADAPTERS.get((package, name))
    return function if adapter is None else adapter(function)


def call(function, arguments, n_changed):
    """What a twin returns and the arrays it changes, which come first, as one flat list of float64 arrays."""
    arguments = [a.copy() if isinstance(a, np.ndarray) and a.flags.writeable else a for a in arguments]
    with np.errstate(all="ignore"):
        results = function(*arguments)
    results = results if isinstance(results, tuple) else () if results is None else (results,)
    changed = [np.nan_to_num(array) for array in arguments[:n_changed]]
    return [np.asarray(r, dtype=np.float64) for r in (*results, *changed)]


def expect(reference, arguments, rng, n_changed):
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
        return call(reference, moved, n_changed)

    expected = run(np.float64)
    sizes = [np.abs(e).max(initial=0) for e in expected]
    # what changes in place: its old entries are terms of the new ones, and of what is made of these
    old, new = np.nan_to_num(np.abs(arguments[0])).max(initial=0), sizes[-1]
    sizes[-1] = max(new, old)
    shrinks = max(1.0, old / new) if new > 0 else 1.0
    for _ in range(6):
        for i, (e, rounded) in enumerate(zip(expected, run(np.float32, 8 * epsilon), strict=True)):
            sizes[i] = max(sizes[i], np.abs(rounded - e).max(initial=0) / epsilon)
    return expected, [size * shrinks for size in sizes[:-1]] + sizes[-1:]


def compare(package, name, rng, sizes, dtype, rungs=(1, 2)):
    modules = MODULES[package]
    reference = getattr(modules[0], name)
    names = list(inspect.signature(reference).parameters)
    has_missing = "observed_" in name or name.endswith("filled")
    arguments = make_arguments(names, rng, *sizes, dtype, positive=rng.random() < 0.4, has_missing=has_missing)
    n_changed = 1 + sum(argument.endswith("_old") for argument in names)  # the factor, and what is remembered of it
    expected, sizes = expect(reference, arguments, rng, n_changed)
    for rung in rungs:
        found = call(twin_of(package, rung, name), arguments, n_changed)
        for e, f, size in zip(expected, found, sizes, strict=True):
            assert e.shape == f.shape
            assert np.isfinite(f).all()
            worst = float(np.abs(e - f).max(initial=0) / (np.finfo(dtype).eps * size + 2.0**-52))
            assert worst < 10, f"rung {rung} is {worst:.3g} roundings off"


def test_the_known_pairs_are_found():
    assert {p.rpartition(".")[2] for p in PACKAGES} >= {"hals", "mu", "losses", "gradient"}
    assert len(PAIRS) >= 10


@pytest.mark.parametrize("package", PACKAGES)
def test_twins_have_the_same_names_and_arguments(package):
    """What a solver calls: pieces that only kernels call have the twin of the kernel that calls them."""
    reference, _, kernels = MODULES[package]
    for name in {name for name in _functions(reference) if name in _functions(kernels)}:
        names = list(inspect.signature(twin_of(package, 2, name)).parameters)
        assert names == list(inspect.signature(getattr(reference, name)).parameters)
    for name in _functions(kernels):
        if name.startswith(("row_pass", "update", "divergence")):
            assert name in _functions(reference), f"{package}.kernels.{name} has no reference"


@pytest.mark.parametrize(("package", "name"), PAIRS)
def test_small(package, name):
    for seed in range(40):
        rng, dtype = np.random.default_rng(seed), (np.float64, np.float32)[seed % 2]
        sizes = [int(size) for size in rng.integers(1, 9, 3)]
        try:
            compare(package, name, rng, sizes, dtype)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, sizes {sizes}, {dtype.__name__}: {error}") from error


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
    reference, _, kernels = MODULES["nmf_numba.solvers.mu"]
    gradient, loss = MODULES["nmf_numba.gradient"][0], (beta, 2.0**-23)
    denominator = gradient.common(Ht, beta) if beta in (1, 2) else gradient.denominators(start, Ht, loss)
    calls = [(reference, kernels, (denominator, loss, (0.1, 0.2, 1 / max(1, 2 - beta, beta - 1)), True))]
    if beta == 2:
        reference, _, kernels = MODULES["nmf_numba.solvers.hals"]
        calls.append((reference, kernels, ((Ht.T @ Ht), 0.1, np.arange(3))))
    for name, arrays in {"dense": (X,), "csr": (stored.indptr, stored.indices, stored.data)}.items():
        for bounds in (np.array([0, shape[0]]), np.array([0, 2, 2, shape[0]])):
            reference, _, kernels = MODULES["nmf_numba.gradient"]
            if beta == 2:
                found = [getattr(m, f"products_{name}")(*arrays, start, Ht, bounds) for m in (kernels, reference)]
            else:
                more = *arrays, start, Ht, loss, bounds
                found = [getattr(m, f"numerators_{name}")(*more) for m in (kernels, reference)]
            for a, b in zip(*found, strict=True):
                tolerance = 1e-11 if dtype == np.float64 else 2e-5
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(initial=0))
            for reference, kernels, arguments in calls:
                found = []
                for module in (kernels, reference):
                    W = start.copy()
                    results = getattr(module, f"row_pass_{name}")(W, *arrays, Ht, *arguments, bounds)
                    found.append((W, *(results if isinstance(results, tuple) else (results,))))
                for a, b in zip(*found, strict=True):
                    tolerance = 1e-11 if dtype == np.float64 else 2e-5
                    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(initial=0))
