"""The same call gives the same factors as scikit-learn, and after as many iterations."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import make_X
from scipy import sparse
from sklearn.decomposition import non_negative_factorization as theirs
from sklearn.decomposition._nmf import _initialize_nmf

from nmf_numba import initialize, objective
from nmf_numba import non_negative_factorization as ours

# Both add up the same products in different orders. In float64 that is 1e-15 an iteration, and 1e-6 leaves room for
# ill-conditioned steps. In float32 it is 1e-6 after five iterations, times ten for other machines; over many iterations
# rounding decides which entries of W become exactly zero, and the factors part ways.
CLOSE = {"float64": 1e-6, "float32": 1e-5}
ITERATIONS = {"float64": 30, "float32": 5}

METHODS = [("cd", 2), *(("mu", beta) for beta in (2, 1, 0, 0.5, 1.5, 3, -1, 1.3))]
INITS = ["random", "nndsvd", "nndsvda", "nndsvdar", None, "custom", "update_H=False"]
PENALTIES: dict[str, dict[str, float]] = {
    "none": {},
    "L1": {"alpha_W": 0.004, "l1_ratio": 1.0},
    "L2": {"alpha_W": 0.004},
    "mixed": {"alpha_W": 0.003, "alpha_H": 0.005, "l1_ratio": 0.4},
    "W only": {"alpha_W": 0.006, "alpha_H": 0.0, "l1_ratio": 0.5},
    "H only": {"alpha_H": 0.006, "l1_ratio": 0.5},
}
FACTORS: dict[str, list[Any]] = {
    "method": METHODS,
    "layout": ["dense", "csr", "csc"],
    "dtype": ["float64", "float32"],
    "init": INITS,
    "penalty": list(PENALTIES),
    "tol": [0, 1e-3],
    "shape": [(30, 20), (25, 40), (12, 30)],
    "n_components": [1, 3, 5],
    "shuffle": [False, True],
    "seed": ["int", "RandomState"],
}


def pairwise_sample() -> list[dict[str, Any]]:
    """Cases in which every two levels of every two factors meet at least once, by a greedy choice without chance."""
    names = list(FACTORS)
    levels = {name: range(len(FACTORS[name])) for name in names}
    left = {((a, i), (b, j)) for a, b in itertools.combinations(names, 2) for i in levels[a] for j in levels[b]}
    cases = []
    while left:
        case = dict(min(left))
        for name in names:
            if name in case:
                continue

            def gain(level: int, name: str = name, case: dict[str, int] = case, left: set[Any] = left) -> int:
                met = [((other, i), (name, level)) for other, i in case.items()]
                return sum(pair in left or pair[::-1] in left for pair in met)

            start = len(cases) % len(levels[name])  # where two levels gain as much, not always the first
            case[name] = max([*levels[name][start:], *levels[name][:start]], key=gain)
        left -= {((a, case[a]), (b, case[b])) for a, b in itertools.combinations(names, 2)}
        cases.append({name: FACTORS[name][case[name]] for name in names})
    return cases


SAMPLE = pairwise_sample()


def make_factors(shape: tuple[int, int], n_components: int, dtype: str = "float64") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    W, H = rng.random((shape[0], n_components)), rng.random((n_components, shape[1]))
    return {"W": W.astype(dtype), "H": H.astype(dtype)}


def call(function: Callable[..., Any], X: Any, *args: Any, **kwargs: Any) -> Any:
    """Call with copies: scikit-learn changes a given W and H."""
    kwargs = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in kwargs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # max_iter reached, and nndsvd with mu
        return function(X.copy(), *args, **kwargs)


def assert_same(found: Any, expected: Any, close: float = CLOSE["float64"]) -> None:
    for name, A, B in zip("WH", found[:2], expected[:2], strict=True):
        assert A.shape == B.shape
        assert np.abs(A - B).max() <= close * np.abs(B).max(), name
    assert found[2] == expected[2], "n_iter"


def describe(case: dict[str, Any]) -> str:
    solver, beta = case["method"]
    flags = ("tol" if case["tol"] else "", "shuffle" if case["shuffle"] else "", f"k={case['n_components']}")
    shape = "x".join(map(str, case["shape"]))
    words = (solver, beta, case["layout"], case["dtype"], case["init"], case["penalty"], shape, *flags, case["seed"])
    return "-".join(str(word) for word in words if word != "")


def test_sample_covers_every_pair() -> None:
    for a, b in itertools.combinations(FACTORS, 2):
        met = {(str(case[a]), str(case[b])) for case in SAMPLE}
        assert len(met) == len(FACTORS[a]) * len(FACTORS[b]), (a, b)
    assert pairwise_sample() == SAMPLE


@pytest.mark.parametrize("case", SAMPLE, ids=describe)
def test_same_factors_and_iterations(case: dict[str, Any]) -> None:
    (solver, beta), dtype, penalty = case["method"], case["dtype"], PENALTIES[case["penalty"]]
    X = make_X(case["shape"], beta=beta).astype(dtype)
    tol = case["tol"]
    if solver == "mu" and penalty:
        tol = 0  # scikit-learn's stopping rule leaves the penalties out
    kwargs = {
        "n_components": case["n_components"],
        "init": case["init"],
        "solver": solver,
        "beta_loss": beta,
        "tol": tol,
        "max_iter": ITERATIONS[dtype],
        "shuffle": case["shuffle"],
        **penalty,
    }
    if case["init"] == "custom":
        kwargs |= make_factors(X.shape, case["n_components"], dtype)
    elif case["init"] == "update_H=False":
        kwargs |= {"init": None, "update_H": False, "H": make_factors(X.shape, case["n_components"], dtype)["H"]}
        if beta == 1 and penalty:
            kwargs["max_iter"] = 1  # scikit-learn adds the L1 penalty once more in every iteration: see below

    converted = X if case["layout"] == "dense" else sparse.csr_matrix(X)
    seeds = [7, 7] if case["seed"] == "int" else [np.random.RandomState(7), np.random.RandomState(7)]
    # scikit-learn's mu mixes up the entries of a CSC: see below. The CSR is the same matrix.
    expected = call(theirs, converted, random_state=seeds[0], **kwargs)
    if case["layout"] == "csc":
        converted = converted.tocsc()
    found = call(ours, converted, random_state=seeds[1], **kwargs)

    assert found[0].dtype == found[1].dtype == dtype
    assert_same(found, expected, CLOSE[dtype])
    penalties = {"beta_loss": beta, **penalty}
    totals = [objective(X, W, H, **penalties).total for W, H, _ in (found, expected)]
    assert totals[0] == pytest.approx(totals[1], rel=1e-9 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_same_after_many_iterations(method: tuple[str, float]) -> None:
    solver, beta = method
    X = make_X((25, 40), beta=beta)
    kwargs = {"n_components": 3, "solver": solver, "beta_loss": beta, "tol": 0, "max_iter": 300, "random_state": 0}
    assert_same(call(ours, X, **kwargs), call(theirs, X, **kwargs))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_stops_in_the_same_iteration(method: tuple[str, float]) -> None:
    solver, beta = method
    X = make_X((30, 20), beta=beta)
    n_iters = set()
    for tol in (1e-1, 1e-2, 1e-3, 1e-4):
        kwargs = {"n_components": 3, "solver": solver, "beta_loss": beta, "tol": tol, "random_state": 0}
        found, expected = (call(function, X, max_iter=500, init="random", **kwargs) for function in (ours, theirs))
        assert_same(found, expected)
        n_iters.add(found[2])
    assert len(n_iters) > 1


# Random numbers


@pytest.mark.parametrize("init", ["random", "nndsvdar", None])
@pytest.mark.parametrize("shuffle", [False, True])
def test_one_stream_runs_through_two_calls(init: str | None, shuffle: bool) -> None:
    X = make_X((30, 20))
    kwargs = {"n_components": 3, "init": init, "shuffle": shuffle, "max_iter": 5}
    results = []
    for function in (ours, theirs):
        rng = np.random.RandomState(11)
        results.append([call(function, X, random_state=rng, **kwargs) for _ in range(2)] + [rng.random_sample()])
    (first, second, after), (expected_first, expected_second, expected_after) = results
    assert_same(first, expected_first)
    assert_same(second, expected_second)
    assert not np.allclose(first[0], second[0], rtol=1e-9)
    assert after == expected_after


@pytest.mark.parametrize("init", ["random", "nndsvdar"])
def test_none_is_the_global_stream(init: str) -> None:
    X = make_X((30, 20))
    results = []
    for function in (ours, theirs):
        np.random.seed(5)  # noqa: NPY002 (what is tested)
        kwargs = {"n_components": 3, "init": init, "shuffle": True, "max_iter": 5, "random_state": None}
        results.append(call(function, X, **kwargs))
    assert_same(*results)


def test_a_seed_is_a_fresh_stream_every_time() -> None:
    X = make_X((30, 20))
    kwargs = {"n_components": 3, "init": "random", "shuffle": True, "max_iter": 5}
    assert_same(call(ours, X, random_state=3, **kwargs), call(ours, X, random_state=np.int64(3), **kwargs))


# Edges


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 3)])
def test_small_shapes_and_more_components_than_features(method: tuple[str, float], shape: tuple[int, int]) -> None:
    solver, beta = method
    X = make_X(shape, beta=0)
    for n_components in (1, 7, None, "auto"):
        kwargs = {"n_components": n_components, "init": "random", "solver": solver, "beta_loss": beta}
        kwargs |= {"max_iter": 10, "tol": 1e-6 if solver == "cd" else 0, "random_state": 0}
        assert_same(call(ours, X, **kwargs), call(theirs, X, **kwargs))


@pytest.mark.parametrize("method", [method for method in METHODS if method[1] > 0], ids=str)
def test_zero_rows_and_columns(method: tuple[str, float]) -> None:
    solver, beta = method
    X = make_X((30, 20))
    X[[0, 7]], X[:, [3, 19]] = 0, 0
    for layout in (np.asarray, sparse.csr_matrix):
        kwargs = {"n_components": 3, "solver": solver, "beta_loss": beta, "max_iter": 20, "random_state": 0}
        assert_same(call(ours, layout(X), **kwargs), call(theirs, layout(X), **kwargs))


@pytest.mark.parametrize("beta", [1, 0, 0.5, 1.5, -1, 1.3])
@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_floors(beta: float, layout: str) -> None:
    """A start at which WH lies below the floor at some entries, and entries of the factors that are flushed to zero."""
    X = make_X((12, 10), beta=0)
    factors = make_factors(X.shape, 3)
    factors["W"][:4] *= 1e-9
    factors["H"][:, :3] *= 1e-12
    factors["W"][5, 1] = factors["H"][0, 4] = 1e-30
    X = X if layout == "dense" else sparse.csr_matrix(X)
    for n_iter in (1, 2, 5):
        kwargs = {"n_components": 3, "init": "custom", "solver": "mu", "beta_loss": beta, "tol": 0, "max_iter": n_iter}
        found, expected = (call(function, X, **kwargs, **factors) for function in (ours, theirs))
        assert_same(found, expected)
        for A, B in zip(found[:2], expected[:2], strict=True):
            np.testing.assert_array_equal(A == 0, B == 0)
        assert (found[0][5, 1] == 0) == (beta < 1)
        assert (found[1][0, 4] == 0) == (beta <= 1)


def test_integers_and_lists() -> None:
    X = np.random.default_rng(0).integers(0, 9, (12, 10))
    kwargs = {"n_components": 3, "random_state": 0, "max_iter": 10}
    expected = call(theirs, X, **kwargs)
    assert_same(call(ours, X, **kwargs), expected)
    assert_same(call(ours, X.tolist(), **kwargs), expected)


# The start


@pytest.mark.parametrize("init", ["random", "nndsvd", "nndsvda", "nndsvdar", None])
@pytest.mark.parametrize("layout", ["dense", "csr", "csc"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_initialize(init: str | None, layout: str, dtype: str) -> None:
    for shape, n_components, seed in itertools.product([(30, 20), (25, 40), (20, 20)], [1, 3, 20], ["int", "stream"]):
        X = make_X(shape).astype(dtype)
        X = X if layout == "dense" else sparse.csr_matrix(X).asformat(layout)
        seeds = [2, 2] if seed == "int" else [np.random.RandomState(2), np.random.RandomState(2)]
        expected = _initialize_nmf(X, n_components, init=init, random_state=seeds[0])
        found = initialize(X, n_components, init=init, random_state=seeds[1])
        for A, B in zip(found, expected, strict=True):
            assert A.dtype == B.dtype == dtype
            assert A.flags.c_contiguous
            np.testing.assert_allclose(A, B, rtol=0, atol=B.max() * (1e-9 if dtype == "float64" else 1e-4))


@pytest.mark.parametrize("init", ["random", None])
def test_initialize_with_more_components_than_features(init: str | None) -> None:
    X = make_X((30, 20))
    expected = _initialize_nmf(X, 25, init=init, random_state=2)
    for A, B in zip(initialize(X, 25, init=init, random_state=2), expected, strict=True):
        np.testing.assert_allclose(A, B, rtol=1e-12)


def test_initialize_is_where_fit_starts() -> None:
    """One iteration from the given start, and one from a start that the call makes itself."""
    X = make_X((30, 20))
    for init in ("random", "nndsvd", "nndsvda", "nndsvdar", None):
        W, H = initialize(X, 3, init=init, random_state=4)
        kwargs = {"n_components": 3, "max_iter": 1}
        given = call(ours, X, W=W, H=H, init="custom", **kwargs)
        np.testing.assert_array_equal(given[0], call(ours, X, init=init, random_state=4, **kwargs)[0])


# Where scikit-learn does not minimise the objective it documents, and we do


@pytest.mark.parametrize("beta", [1, 1.5, 3, 0.5])
def test_csc_is_the_same_matrix_as_csr(beta: float) -> None:
    """scikit-learn's mu pairs the entries of a CSC, column after column, with those of WH, row after row."""
    X = make_X((30, 20))
    kwargs = {"n_components": 3, "init": "random", "solver": "mu", "beta_loss": beta, "tol": 0, "random_state": 0}
    csr, csc = (call(ours, layout(X), max_iter=30, **kwargs) for layout in (sparse.csr_matrix, sparse.csc_matrix))
    assert_same(csr, csc, 0)
    their_csc = call(theirs, sparse.csc_matrix(X), max_iter=30, **kwargs)
    totals = [objective(X, W, H, beta_loss=beta).total for W, H, _ in (csc, their_csc)]
    assert totals[0] < totals[1]


def test_the_l1_penalty_is_added_once() -> None:
    """With update_H=False and beta = 1 scikit-learn adds it to sums of H that it keeps, so that it grows and grows."""
    X, H = make_X((30, 20)), make_factors((30, 20), 3)["H"]
    kwargs = {"alpha_W": 0.02, "alpha_H": 0.0, "l1_ratio": 1.0}
    fixed = {"n_components": 3, "update_H": False, "solver": "mu", "beta_loss": 1, "tol": 0}
    one, many = ({"max_iter": n_iter, **fixed, **kwargs} for n_iter in (1, 100))
    assert_same(call(ours, X, H=H, **one), call(theirs, X, H=H, **one))
    totals = [
        objective(X, *call(function, X, H=H, **many)[:2], beta_loss=1, **kwargs).total for function in (ours, theirs)
    ]
    assert totals[0] < totals[1] * 0.999


@pytest.mark.parametrize("beta", [2, 1])
def test_penalties_count_in_the_stopping_rule(beta: float) -> None:
    """scikit-learn looks at the divergence alone, which may rise while the objective falls: it stops early."""
    X = make_X((30, 20))
    factors = make_factors(X.shape, 3)
    penalty = {"alpha_W": 0.1, "l1_ratio": 1.0}
    kwargs = {"n_components": 3, "init": "custom", "solver": "mu", "beta_loss": beta, "tol": 1e-2, "max_iter": 500}
    found, expected = (call(function, X, **kwargs, **penalty, **factors) for function in (ours, theirs))
    exact = call(theirs, X, **(kwargs | {"tol": 0, "max_iter": found[2]}), **penalty, **factors)
    assert_same(found, exact)
    totals = [objective(X, W, H, beta_loss=beta, **penalty).total for W, H, _ in (found, expected)]
    assert found[2] > expected[2]
    assert totals[0] < totals[1]
