"""Missing entries, weights, and parts that stay, for every solver that supports them."""

from __future__ import annotations

import itertools
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from numpy.typing import NDArray
from scipy import sparse

from nmf_numba import (
    Factorization,
    beta_divergence,
    compare,
    fit,
    initialize,
    iterate,
    non_negative_factorization,
    objective,
)
from nmf_numba.__main__ import main
from nmf_numba.estimators import NMF, MiniBatchNMF
from nmf_numba.observations import observe
from nmf_numba.problem import Problem
from nmf_numba.solvers import SOLVERS
from nmf_numba.solvers.hals.solver import HALS
from nmf_numba.solvers.mu.solver import MultiplicativeUpdates
from nmf_numba.solvers.solver import State

Array = NDArray[Any]
BETAS = (2.0, 1.0, 0.0, 0.5, 1.5, 3.0, -1.0)
PENALTY: dict[str, Any] = {"alpha_W": 0.01, "l1_ratio": 0.5}
START: dict[str, Any] = {"init": "random", "random_state": 0}
KINDS = ("nan", "not stored", "weights", "rows", "sparse weights")

RNG = np.random.default_rng(0)
FULL = RNG.gamma(2, 1, (40, 4)) @ RNG.gamma(2, 1, (4, 30)) + 0.1
GONE = RNG.random(FULL.shape) < 0.3
WEIGHTS = np.where(GONE, 0, RNG.uniform(0.2, 2, FULL.shape))


def data(kind: str, dtype: Any = np.float64) -> tuple[Any, dict[str, Any], Array]:
    """X, how it is to be fitted, and m: how much each entry counts."""
    X = FULL.astype(dtype)
    if kind == "nan":
        return np.where(GONE, np.nan, X).astype(dtype), {"missing": "nan"}, (~GONE).astype(float)
    if kind == "not stored":
        return sparse.csr_array(np.where(GONE, 0, X)), {"missing": "not stored"}, (~GONE).astype(float)
    if kind == "weights":
        return X, {"weights": WEIGHTS}, WEIGHTS
    if kind == "rows":
        return X, {"weights": WEIGHTS[:, 1] + 0.1}, np.broadcast_to(WEIGHTS[:, 1:2] + 0.1, X.shape)
    return sparse.csr_array(X), {"weights": sparse.csr_array(WEIGHTS)}, WEIGHTS


def able(kind: str, beta: float) -> list[str]:
    X, counted, _ = data(kind)
    problem = Problem(beta=beta, **observe(X, counted.get("missing"), counted.get("weights")))
    return [name for name, solver in SOLVERS.items() if solver.supports(problem) is None]


CASES = [
    pytest.param(kind, beta, solver, id=f"{solver}-{beta:g}-{kind}")
    for kind, beta in itertools.product(KINDS, BETAS)
    for solver in able(kind, beta)
]
each_case = pytest.mark.parametrize(("kind", "beta", "solver"), CASES)


def divergence(m: Array, Y: Array, beta: float) -> float:
    """The sum of m d(x | y), as NumPy computes it from the formula."""
    X = FULL
    if beta == 2:
        d = (X - Y) ** 2 / 2
    elif beta == 1:
        d = X * np.log(X / Y) - X + Y
    elif beta == 0:
        d = X / Y - np.log(X / Y) - 1
    else:
        d = (X**beta + (beta - 1) * Y**beta - beta * X * Y ** (beta - 1)) / (beta * (beta - 1))
    return float((m * d).sum())


def options(solver: str, beta: float, **more: Any) -> dict[str, Any]:
    return {"solver": solver, "beta_loss": beta, "tol": 0, "max_iter": 12, **START, **more}


def test_who_supports_what() -> None:
    """The multiplicative family everything; coordinate descent its losses; HALS a dense X with NaN."""
    family = {"mu", "mm", "mue"}
    for kind, beta in itertools.product(KINDS, BETAS):
        extra = ({"ccd"} if beta in (1, 2) else set()) | (
            {"cd", "ahals", "ehals"} if beta == 2 and kind in ("nan", "weights", "rows") else set()
        )
        assert set(able(kind, beta)) == family | extra


@each_case
def test_objective_is_that_of_masked_sums(kind: str, beta: float, solver: str) -> None:
    X, counted, m = data(kind)
    result = fit(X, 3, **options(solver, beta), **counted)
    expected = divergence(m, result.W @ result.H, beta)
    assert result.objective.data_fit == pytest.approx(expected, rel=1e-10)
    assert beta_divergence(X, result.W, result.H, beta, **counted) == pytest.approx(expected, rel=1e-10)
    assert objective(X, result.W, result.H, beta_loss=beta, engine="reference", **counted).total == pytest.approx(
        expected, rel=1e-10
    )


@each_case
def test_objective_falls_and_the_reference_agrees(kind: str, beta: float, solver: str) -> None:
    X, counted, _ = data(kind)
    results = [
        fit(X, 3, engine=engine, trace=True, **options(solver, beta), **PENALTY, **counted)
        for engine in ("numba", "reference")
    ]
    for result in results:
        assert result.trace is not None
        fall = -np.diff(result.trace.objective)
        if solver != "mue" and not (solver == "mu" and 0 < beta < 2):  # where it is proven
            assert fall.min() > -1e-12 * result.trace.objective[0]
    np.testing.assert_allclose(results[0].W, results[1].W, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(results[0].H, results[1].H, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("beta", BETAS)
def test_one_step_of_mu_is_that_of_masked_sums(beta: float) -> None:
    """W times ((m X Y^(beta-2)) H' / (m Y^(beta-1)) H')^gamma, in NumPy."""
    gamma = 1 / max(1, 2 - beta, beta - 1)
    for kind in KINDS:
        X, counted, m = data(kind)
        start, after = itertools.islice(iterate(X, 3, every="half", **options("mu", beta), **counted), 2)
        Y = start.W @ start.H
        ratio = ((m * FULL * Y ** (beta - 2)) @ start.H.T) / ((m * Y ** (beta - 1)) @ start.H.T)
        np.testing.assert_allclose(after.W, start.W * ratio**gamma, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("l2", [0.0, 0.7])
def test_one_sweep_of_ccd_is_that_of_masked_sums(kind: str, l2: float) -> None:
    from nmf_numba.solvers.ccd.solver import CyclicCoordinateDescent  # noqa: PLC0415

    X, counted, m = data(kind)
    more = {"alpha_W": l2 / FULL.shape[1], "alpha_H": 0.0, "every": "half", **START, **counted}
    start, after = itertools.islice(iterate(X, 3, solver=CyclicCoordinateDescent(sweeps=1), tol=0, **more), 2)
    W, H = start.W.copy(), start.H
    for t in range(3):
        gradient = ((m * (W @ H - FULL)) @ H.T)[:, t] + l2 * W[:, t]
        W[:, t] = np.maximum(W[:, t] - gradient / (m @ H[t] ** 2 + l2), 0)
    np.testing.assert_allclose(after.W, W, rtol=1e-10, atol=1e-12)


def test_one_step_of_hals_is_that_of_a_filled_matrix() -> None:
    X, counted, _ = data("nan")
    start, after = itertools.islice(iterate(X, 3, every="half", **options("cd", 2), **counted), 2)
    filled = np.where(GONE, start.W @ start.H, FULL)
    expected = next(
        itertools.islice(
            iterate(filled, 3, W=start.W, H=np.ascontiguousarray(start.H), every="half", solver="cd", init="custom"),
            1,
            2,
        )
    )
    np.testing.assert_allclose(after.W, expected.W, rtol=1e-12)


@pytest.mark.parametrize("beta", [2.0, 1.0, 0.5])
@pytest.mark.parametrize("solver", ["mu", "mm", "mue", "ccd"])
def test_dense_with_nan_is_a_csr_that_stores_the_rest(beta: float, solver: str) -> None:
    if solver == "ccd" and beta == 0.5:
        pytest.skip("not for this loss")
    results = [fit(data(kind)[0], 3, **options(solver, beta), **data(kind)[1]) for kind in ("nan", "not stored")]
    np.testing.assert_allclose(results[0].W, results[1].W, rtol=1e-10)
    np.testing.assert_allclose(results[0].kkt, results[1].kkt, rtol=1e-8)


@pytest.mark.parametrize("init", ["random", "nndsvd", "nndsvda", "nndsvdar", "auto", None])
def test_starts_are_those_of_observed_means(init: Any) -> None:
    found = [initialize(data(k)[0], 3, init=init, random_state=0, missing=data(k)[1]["missing"]) for k in KINDS[:2]]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    if init == "nndsvda":
        means = np.nanmean(data("nan")[0], axis=0)
        filled = initialize(np.where(GONE, means, FULL), 3, init="nndsvd", random_state=0)
        expected = np.where(filled[1] == 0, FULL[~GONE].mean(), filled[1])
        np.testing.assert_allclose(found[0][1], expected, atol=1e-9)


@pytest.mark.parametrize(
    ("beta", "solver"), [(2.0, "ccd"), (2.0, "cd"), (1.0, "ccd"), (2.0, "mu"), (1.0, "mu"), (0.0, "mm")]
)
def test_equal_weights_change_nothing(beta: float, solver: str) -> None:
    plain = fit(FULL, 3, **options(solver, beta))
    given = [np.full(FULL.shape, 1.0), np.ones(len(FULL)), sparse.csr_array(np.ones(FULL.shape))]
    for weights in given[: 2 if solver == "cd" else 3]:
        weighted = fit(FULL, 3, weights=weights, **options(solver, beta))
        np.testing.assert_allclose(weighted.W, plain.W, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("beta", [2.0, 1.0, 0.5])
@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.filterwarnings("ignore:X has no entry that counts")
def test_weights_of_what_is_stored(beta: float, by_rows: bool) -> None:
    """Dense or sparse, for a sparse X with missing entries or a dense one with NaN: one problem. Zeros are left out."""
    weights = np.where(RNG.random(FULL.shape) < 0.2, 0, RNG.uniform(0.5, 2, FULL.shape))
    weights = np.broadcast_to(weights[:, :1], FULL.shape).copy() if by_rows else weights
    stored = sparse.csr_array(weights + 1)
    stored.data -= 1  # with explicit zeros
    kwargs = options("mu", beta)
    expected = fit(data("nan")[0], 3, weights=weights, missing="nan", **kwargs)
    X = data("not stored")[0]
    for given in (weights, stored, *([weights[:, 0]] if by_rows else [])):
        found = fit(X, 3, weights=given, missing="not stored", **kwargs)
        np.testing.assert_allclose(found.W, expected.W, rtol=1e-9, atol=1e-12)
        assert found.kkt == pytest.approx(expected.kkt)
    found = fit(data("nan")[0], 3, weights=stored, missing="nan", **kwargs)  # a dense X that becomes sparse
    np.testing.assert_allclose(found.W, expected.W, rtol=1e-9, atol=1e-12)


def test_weights_are_repetitions() -> None:
    """A row of weight 2 is the same row twice, where W starts alike."""
    counts = np.arange(len(FULL)) % 3 + 1
    W, H = initialize(FULL, 3, **START)
    repeated, W_repeated = FULL.repeat(counts, axis=0), W.repeat(counts, axis=0)
    kwargs: dict[str, Any] = options("mu", 1) | {"init": "custom"}
    a = fit(FULL, 3, W=W, H=H, weights=counts.astype(float), **kwargs)
    b = fit(repeated, 3, W=W_repeated, H=H, **kwargs)
    np.testing.assert_allclose(a.H, b.H, rtol=1e-10)


@pytest.mark.parametrize("kind", ["nan", "not stored"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_threads(kind: str, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    X = rng.gamma(1, 1, (3000, 300)).astype(dtype)
    gone = rng.random(X.shape) < 0.5
    given = np.where(gone, np.nan, X).astype(dtype) if kind == "nan" else sparse.csr_array(np.where(gone, 0, X))
    for solver in ("ehals", "ccd", "mu") if kind == "nan" else ("ccd", "mu"):
        kwargs: dict[str, Any] = {"solver": solver, "missing": kind, "tol": 0, "max_iter": 3, **START}
        one, two = (fit(given, 5, n_threads=n, **kwargs) for n in (1, 2))
        assert np.array_equal(one.W, two.W)
        assert np.array_equal(one.H, two.H)
        assert one.W.dtype == dtype


@pytest.mark.parametrize("solver", ["cd", HALS(sweeps=4, extrapolation=0.7), "ccd", "mu", "mue"])
def test_rows_and_columns_without_entries_stay(solver: Any) -> None:
    X = data("nan")[0].copy()
    X[3], X[:, 7] = np.nan, np.nan
    W, H = initialize(X, 3, missing="nan", **START)
    kwargs = options(solver, 2, missing="nan", **PENALTY) | {"init": "custom"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = fit(X, 3, W=W, H=H, **kwargs)
    messages = [str(w.message) for w in caught]
    assert any("in row 3: there W stays where it starts" in message for message in messages)
    assert any("in column 7: there H stays where it starts" in message for message in messages)
    assert np.array_equal(result.W[3], W[3])
    assert np.array_equal(result.H[:, 7], H[:, 7])
    kept = np.delete(np.delete(X, 3, axis=0), 7, axis=1)  # and do not move the others
    alone = fit(kept, 3, W=np.delete(W, 3, axis=0), H=np.delete(H, 7, axis=1), **(kwargs | {"alpha_W": 0.0}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = fit(X, 3, W=W, H=H, **(kwargs | {"alpha_W": 0.0}))
    np.testing.assert_allclose(np.delete(both.W, 3, axis=0), alone.W, rtol=1e-8, atol=1e-10)


def test_imputation_is_as_good_as_the_true_factors_nearly() -> None:
    """30 % of a rank-5 gamma matrix with 5 % noise: within 1.2 times the error of the matrix without noise."""
    rng = np.random.default_rng(0)
    true = rng.gamma(2, 1, (300, 5)) @ rng.gamma(2, 1, (5, 120))
    X = true * (1 + 0.05 * rng.standard_normal(true.shape)).clip(0)
    gone = rng.random(X.shape) < 0.3
    for solver in ("auto", "ccd"):
        result = fit(np.where(gone, np.nan, X), 5, missing="nan", solver=solver, random_state=0)
        error = np.linalg.norm((result.W @ result.H - X)[gone])
        assert error < 1.2 * np.linalg.norm((true - X)[gone])
        assert result.relative_error == pytest.approx(
            np.linalg.norm((result.W @ result.H - X)[~gone]) / np.linalg.norm(X[~gone])
        )


def test_predict_and_complete() -> None:
    X = data("nan")[0]
    result = fit(X, 3, missing="nan", random_state=0)
    filled = result.complete(X)
    assert np.array_equal(filled[~GONE], FULL[~GONE])
    np.testing.assert_allclose(filled[GONE], (result.W @ result.H)[GONE])
    np.testing.assert_allclose(result.predict(*np.nonzero(GONE)), filled[GONE])
    assert result.predict(0, np.arange(30)).shape == (30,)
    with pytest.raises(ValueError, match="must be positions: the fit has no names of rows"):
        result.predict("a", 0)
    with pytest.raises(ValueError, match=r"must have the shape of the fit, \(40, 30\)"):
        result.complete(X[:3])
    with pytest.raises(ValueError, match="must be dense"):
        result.complete(sparse.csr_array(FULL))


def test_names_and_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    names = [f"item {j}" for j in range(30)]
    table = pandas.DataFrame(data("nan")[0], columns=names, index=[f"user {i}" for i in range(40)])
    result = fit(table, 3, missing="nan", random_state=0)
    assert result.predict("user 2", "item 4") == pytest.approx((result.W @ result.H)[2, 4])
    with pytest.raises(ValueError, match="no columns 'item 99'"):
        result.predict("user 2", "item 99")
    nullable = table.convert_dtypes().astype("Float64")
    np.testing.assert_allclose(fit(nullable, 3, missing="nan", random_state=0).W, result.W)
    assert NMF(3, missing="nan", random_state=0, tol=0).fit(nullable).feature_names_in_[0] == "item 0"
    masked = np.ma.masked_array(FULL, GONE)
    np.testing.assert_allclose(fit(masked, 3, missing="nan", random_state=0).W, result.W)


@pytest.mark.parametrize("kind", ["nan", "not stored"])
def test_transform_sees_observed_entries_only(kind: str, tmp_path: Path) -> None:
    X, counted, _ = data(kind)
    result = fit(X, 3, random_state=0, tol=1e-6, max_iter=3000, **counted)
    again = result.transform(X, tol=1e-6, max_iter=3000)
    np.testing.assert_allclose(again @ result.H, result.W @ result.H, rtol=0.03)
    result.save(tmp_path / "model.npz")
    for loaded in (Factorization.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(result))):
        np.testing.assert_allclose(loaded.transform(X, tol=1e-6, max_iter=3000), again, rtol=1e-6, atol=1e-8)
        assert loaded.kkt == result.kkt


@pytest.mark.parametrize("kind", ["nan", "not stored"])
def test_estimators(kind: str) -> None:
    X, counted, _ = data(kind)
    nmf = NMF(3, solver="mu", max_iter=300, tol=0, **START, **counted).fit(X)
    expected = fit(X, 3, **options("mu", 2, max_iter=300), **counted)
    np.testing.assert_allclose(nmf.components_, expected.H)
    assert nmf.reconstruction_err_ == pytest.approx(np.sqrt(2 * expected.objective.data_fit))
    online = MiniBatchNMF(4, batch_size=10, max_iter=300, tol=0, max_no_improvement=None, **START, **counted).fit(X)
    found = online.transform(X) @ online.components_
    assert np.linalg.norm((found - FULL)[GONE]) < 0.15 * np.linalg.norm(FULL[GONE])
    part = MiniBatchNMF(4, **START, **counted).partial_fit(X[:20]).partial_fit(X[20:])
    assert np.isfinite(part.transform(X)).all()


# One weight a row, for a sparse X whose zeros count

COUNTS = sparse.csr_array(np.random.default_rng(1).poisson(0.7, (40, 30)).astype(float))
TIMES = np.random.default_rng(2).integers(1, 4, 40)
BEGIN = RNG.random((40, 4)) + 0.1, RNG.random((4, 30)) + 0.1
ON_H = {"alpha_H": 0.01, "l1_ratio": 0.5}
ABLE = [(name, b) for name in SOLVERS for b in (2, 1, 1.5) if SOLVERS[name].supports(Problem(COUNTS, b)) is None]


@pytest.mark.parametrize("engine", ["numba", "reference"])
@pytest.mark.parametrize(("solver", "beta"), ABLE)
def test_a_row_of_weight_three_is_three_rows(solver: str, beta: float, engine: str) -> None:
    """The same W, H, objective and error as with every row so many times, by each solver."""
    rows, (W, H) = np.repeat(np.arange(40), TIMES), BEGIN
    options: dict[str, Any] = {"solver": solver, "beta_loss": beta, "init": "custom", "tol": 0, "engine": engine}
    options |= {"max_iter": 3 if engine == "reference" else 20, "trace": True}
    weighted = fit(COUNTS, 4, W=W, H=H, weights=TIMES, **options, **ON_H)
    less = ON_H | {"alpha_H": 0.01 * 40 / len(rows)}  # it is multiplied by the number of rows
    repeated = fit(COUNTS[rows], 4, W=W[rows], H=H, **options, **less)
    np.testing.assert_allclose(weighted.H, repeated.H, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weighted.W[rows], repeated.W, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weighted.trace.objective, repeated.trace.objective, rtol=1e-11)
    assert weighted.relative_error == pytest.approx(repeated.relative_error, rel=1e-11)
    again = objective(COUNTS, weighted.W, weighted.H, beta_loss=beta, weights=TIMES, engine=engine, **ON_H)
    assert again.total == pytest.approx(weighted.objective.total, rel=1e-12)


@pytest.mark.parametrize("beta", [2, 1, 0.5])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_weights_of_sparse_rows_are_those_of_dense_rows(beta: float, dtype: Any) -> None:
    """Also with rows that do not count, whose W stays at its start; steps show the user's W; a fit can go on."""
    X, weights, tolerance = COUNTS.astype(dtype), TIMES.astype(float), 1e-6 if dtype == np.float64 else 1e-3
    weights[3] = 0
    W, H = (factor.astype(dtype) for factor in BEGIN)
    options: dict[str, Any] = {"solver": "mu", "beta_loss": beta, "weights": weights, "tol": 0} | ON_H
    found = []
    for A in (X, X.toarray()):
        with pytest.warns(UserWarning, match="no entry that counts in row 3: there W stays"):
            found.append(list(iterate(A, 4, W=W, H=H, init="custom", max_iter=10, **options)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.W, b.W, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(a.H, b.H, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(a.W[3], W[3])
        assert a.objective().total == pytest.approx(b.objective().total, rel=tolerance)
    with pytest.warns(UserWarning, match="row 3"):
        half = fit(X, 4, W=W, H=H, init="custom", max_iter=5, **options)
    with pytest.warns(UserWarning, match="row 3"):
        whole = fit(X, 4, resume=half, max_iter=5, **options)
    np.testing.assert_allclose(whole.W, found[0][-1].W, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(whole.W[3], W[3])


@pytest.mark.parametrize(("solver", "beta"), [("mu", 1), ("ccd", 1), ("mu", 0.5), ("mu", 1.5), ("mu", 2)])
@pytest.mark.parametrize("light", [0.0, 1e-8, 1e-3])
def test_light_rows_are_fitted_as_well(light: float, solver: str, beta: float) -> None:
    """Floors are those of the lightest row, and the KKT residual, where a fit ends, is that of the user's W."""
    rows, (W, H) = np.arange(40) < 10, BEGIN
    weights = np.where(rows, light, 1.0)
    options: dict[str, Any] = {"solver": solver, "beta_loss": beta, "init": "custom", "W": W, "H": H, "tol": 1e-3}
    found = []
    for X in (COUNTS, COUNTS.toarray()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # rows that do not count
            found.append(fit(X, 4, weights=weights, max_iter=200, trace=10, **options))
    a, b = found
    assert a.n_iter == b.n_iter
    np.testing.assert_allclose(a.trace.kkt, b.trace.kkt, rtol=0.2 if light == 0 else 1e-4)  # 0: means have W's start
    np.testing.assert_allclose(a.W @ a.H, b.W @ b.H, rtol=1e-4, atol=1e-6)


def test_what_stays_and_what_goes_on_is_exact_with_weights_of_sparse_rows() -> None:
    (W, H), weights, stays = BEGIN, TIMES + 0.3, RNG.random((40, 4)) < 0.3
    options: dict[str, Any] = {"weights": weights, "tol": 0}
    result = fit(COUNTS, 4, W=W, H=H, init="custom", fixed_W=stays, solver="mu", max_iter=5, **options)
    np.testing.assert_array_equal(result.W[stays], W[stays])
    half = fit(COUNTS, 4, W=W, H=H, init="custom", solver="ehals", max_iter=5, **options)
    whole = fit(COUNTS, 4, W=W, H=H, init="custom", solver="ehals", max_iter=10, **options)
    np.testing.assert_array_equal(fit(COUNTS, 4, resume=half, solver="ehals", max_iter=5, **options).W, whole.W)
    as_column = fit(
        COUNTS,
        4,
        W=W,
        H=H,
        init="custom",
        solver="ehals",
        max_iter=10,
        tol=0,
        weights=sparse.csr_array(weights[:, None]),
    )
    np.testing.assert_array_equal(as_column.W, whole.W)


def test_coordinates_keep_what_stays_and_refuse_what_they_do_not_show() -> None:
    X, rng = COUNTS.toarray()[:8, :7], np.random.default_rng(0)
    options = {"init": "custom", "W": rng.random((8, 3)), "H": rng.random((3, 7)), "max_iter": 2, "tol": 0}
    options |= {"engine": "reference", "solver": "cd", "alpha_W": 0.01, "fixed_H": [0], "fixed_W": [2]}
    *_, whole = iterate(X, 3, **options)
    start, *others = iterate(X, 3, every="coordinate", **options)
    assert len(others) == 2 * (2 * 8 + 2 * 7) + 2  # and one after each iteration
    np.testing.assert_array_equal(others[-1].H[0], start.H[0])
    np.testing.assert_array_equal(others[-1].W[:, 2], start.W[:, 2])
    np.testing.assert_allclose(others[-1].W, whole.W, rtol=1e-12)
    np.testing.assert_allclose(others[-1].H, whole.H, rtol=1e-12)
    row_weights = np.arange(1.0, 9)
    for Y, more in (
        (X, {"missing": "nan"}),
        (X, {"weights": row_weights}),
        (sparse.csr_array(X), {"weights": row_weights}),
    ):
        with pytest.raises(ValueError, match="every='coordinate' shows neither missing entries nor weights"):
            iterate(Y, 3, every="coordinate", engine="reference", **more)


def test_ctrl_c_gives_W_and_H_of_one_moment_with_weights_of_sparse_rows() -> None:
    class Stops(MultiplicativeUpdates):
        def step(self, problem: Problem, state: State) -> State:
            state = super().step(problem, state)
            done.append(1)
            if len(done) == 6:
                raise KeyboardInterrupt
            return state

    (W, H), found = BEGIN, []
    for X in (COUNTS, COUNTS.toarray()):
        done: list[int] = []
        with pytest.raises(KeyboardInterrupt) as caught:
            fit(X, 4, W=W, H=H, init="custom", weights=TIMES + 0.5, solver=Stops(), tol=0)
        found.append(caught.value.result.objective.total)  # type: ignore[attr-defined]
    assert found[0] == pytest.approx(found[1], rel=1e-10)


def test_a_row_that_does_not_count_does_not_count_in_the_start() -> None:
    weights, large = np.where(np.arange(40) == 3, 0.0, 1.0), COUNTS.toarray()
    large[3] = 1e5
    for init in ("auto", "nndsvda", "random"):
        H = [
            initialize(sparse.csr_array(X), 4, init=init, weights=weights, random_state=0)[1]
            for X in (COUNTS.toarray(), large)
        ]
        np.testing.assert_array_equal(*H)


@pytest.mark.parametrize("make", [NMF, MiniBatchNMF])
def test_estimators_weigh_sparse_samples(make: Any) -> None:
    options: dict[str, Any] = {"solver": "mu"} if make is NMF else {"batch_size": 10, "max_no_improvement": None}
    model = make(4, beta_loss=1, max_iter=20, tol=0, init="custom", **options)
    found, (W, H) = [], BEGIN
    for X in (COUNTS, COUNTS.toarray()):
        fitted = model.fit_transform(X, W=W, H=H, sample_weight=TIMES)
        found.append((fitted, model.components_, model.reconstruction_err_, model.transform(X)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0.02 if make is MiniBatchNMF else 1e-8, atol=1e-8)


def test_compare_and_initialize_take_weights_of_sparse_rows() -> None:
    W, H = initialize(COUNTS, 4, weights=TIMES, random_state=0)
    for init in ("auto", "random"):
        found = [initialize(X, 4, init=init, weights=TIMES, random_state=0) for X in (COUNTS, COUNTS.toarray())]
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)
    more: dict[str, Any] = {"max_iter": 5, "weights": TIMES}
    comparison = compare(COUNTS, 4, solvers=["cd", "ehals"], engines=["numba", "scikit-learn"], random_state=0, **more)
    assert set(comparison.results) == {"cd, numba", "ehals, numba"}
    expected = fit(COUNTS, 4, solver="cd", W=W, H=H, init="custom", tol=0, **more)
    np.testing.assert_allclose(comparison.results["cd, numba"].W, expected.W, rtol=1e-10)


@pytest.mark.parametrize("more", [{"fixed_H": [0]}, {"fixed_W": [1], "weights": np.arange(1.0, 41)}])
def test_a_fit_with_parts_that_stay_goes_on(more: dict[str, Any]) -> None:
    (W, H), same = BEGIN, {"solver": "ehals", "tol": 0} | more
    X, start = COUNTS.toarray(), {"W": W, "H": H, "init": "custom"}
    half, whole = (fit(X, 4, **start, max_iter=n_iter, **same) for n_iter in (5, 10))
    found = fit(X, 4, resume=half, max_iter=5, **same)
    np.testing.assert_array_equal(found.W, whole.W)
    np.testing.assert_array_equal(found.H, whole.H)
    name = next(iter(more))
    for other in ({}, {name: [3]}):
        with pytest.raises(ValueError, match=f"resume comes from a fit with another {name}. Pass the same one again"):
            fit(X, 4, resume=half, **{"solver": "ehals", "weights": more.get("weights")} | other)
    with pytest.raises(ValueError, match=r"resume comes from a fit with n_components=4. Found n_components=3"):
        fit(X, 3, resume=fit(X, 4, solver="ehals", max_iter=1, tol=0), solver="ehals")


def test_what_a_sparse_X_can_not_say_is_refused() -> None:
    X = COUNTS.copy()
    X.data[0] = np.nan
    with pytest.raises(ValueError, match="do not store it, and pass missing='not stored'"):
        fit(X, 4)
    with pytest.raises(ValueError, match="not for a DIA matrix"):
        fit(sparse.dia_array(np.eye(4)), 2, missing="not stored")
    light = np.where(np.arange(COUNTS.shape[0]) < 5, 1e-3, 1.0)
    with pytest.raises(ValueError, match=r"must be from 9e-19 to 1e\+18. Found 1e-30 to 1e\+00, for beta_loss = 0.1"):
        fit(COUNTS, 4, beta_loss=0.1, weights=light)


@pytest.mark.parametrize("fresh_restarts", [False, True])
def test_mini_batches_of_light_rows_have_a_light_floor(fresh_restarts: bool) -> None:
    (W, H), options = BEGIN, {"init": "custom", "beta_loss": 1, "batch_size": 8, "max_iter": 5, "tol": 0}
    model = MiniBatchNMF(4, **options, forget_factor=0.0, fresh_restarts=fresh_restarts)  # nothing past: no unit of it
    found = []
    for weight in (1.0, 1e-7):
        sample_weight = np.full(COUNTS.shape[0], weight)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(
                model.fit_transform(COUNTS, W=W.copy(), H=H.copy(), sample_weight=sample_weight) @ model.components_
            )
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6, atol=1e-9)


def test_sample_weight_and_metadata_routing() -> None:
    weights = np.arange(1.0, 41)
    nmf = NMF(3, solver="mu", max_iter=5, tol=0, **START)
    H = nmf.fit(FULL, sample_weight=weights).components_
    np.testing.assert_allclose(H, fit(FULL, 3, weights=weights, **options("mu", 2, max_iter=5)).H)
    with sklearn.config_context(enable_metadata_routing=True):
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415

        model = make_pipeline(nmf.set_fit_request(sample_weight=True))
        np.testing.assert_allclose(model.fit(FULL, sample_weight=weights)[-1].components_, H)


def test_compare_and_the_trace() -> None:
    X, counted, m = data("nan")
    comparison = compare(X, 3, max_iter=5, engines=["numba", "scikit-learn"], **START, **counted)
    assert set(comparison.refusals) >= {"apg", "bpp", "cd, scikit-learn"}
    result = comparison.results["ehals, numba"]
    expected = divergence(m, result.W @ result.H, 2)
    assert comparison.traces["ehals, numba"].data_fit[-1] == pytest.approx(expected)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "X.npy", data("nan")[0])
    out = tmp_path / "model.npz"
    assert main(["fit", str(tmp_path / "X.npy"), "-k", "3", "--random-state", "0", "--out", str(out)]) == 2
    assert "missing='nan'" in capsys.readouterr().err
    arguments = [
        "fit",
        str(tmp_path / "X.npy"),
        "-k",
        "3",
        "--missing",
        "nan",
        "--random-state",
        "0",
        "--out",
        str(out),
    ]
    assert main(arguments) == 0
    assert Factorization.load(out).parameters["missing"] == "nan"
    assert main(["transform", str(out), str(tmp_path / "X.npy"), "--out", str(tmp_path / "W.npy")]) == 0
    sparse.save_npz(tmp_path / "X.npz", data("not stored")[0])
    assert main(["fit", str(tmp_path / "X.npz"), "-k", "3", "--missing", "not-stored", "--random-state", "0"]) == 0


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (FULL, {"missing": "NaN"}, "missing must be one of 'nan', 'not stored' or None.*Did you mean 'nan'"),
    (sparse.csr_array(FULL), {"missing": "nan"}, "is for a dense X.*missing='not stored'"),
    (FULL, {"missing": "not stored"}, "is for a sparse X.*missing='nan'"),
    (np.full((4, 3), np.nan), {"missing": "nan"}, "no entry that counts"),
    (sparse.csr_array((4, 3)), {"missing": "not stored"}, "no entry that counts"),
    (np.where(GONE, np.nan, FULL), {}, "X contains NaN.*missing='nan'"),
    (np.where(GONE, np.inf, FULL), {"missing": "nan"}, "X contains infinity"),
    (np.where(GONE, -1.0, FULL), {"missing": "nan"}, "Negative values"),
    (np.where(GONE, -1.0, FULL), {"weights": WEIGHTS}, "Negative values"),
    (np.where(GONE, np.inf, FULL), {"weights": WEIGHTS}, "X contains infinity"),
    (FULL, {"weights": -WEIGHTS}, "input weights"),
    (FULL, {"weights": np.where(GONE, np.nan, 1)}, "weights contains NaN"),
    (FULL, {"weights": 0 * WEIGHTS}, "weights are all zero"),
    (
        FULL,
        {"weights": np.ones(3)},
        r"weights must have X's shape, \(40, 30\), or one value for each of the 40 rows. Found shape \(3,\)",
    ),
    (
        sparse.csr_array(FULL),
        {"weights": WEIGHTS},
        "whose zeros count must be one for each row, or a sparse matrix.*csr_array\\(weights\\), missing=",
    ),
    (
        sparse.csr_array(FULL),
        {"weights": np.ones(40), "alpha_W": 0.1},
        "of rows.*need beta_loss > 0 and alpha_W = 0. Found a penalty on W",
    ),
    (
        sparse.csr_array(FULL),
        {"weights": np.ones(40), "beta_loss": 0},
        r"of rows.*Found beta_loss = 0.0. Pass X.toarray",
    ),
    (data("not stored")[0], {"missing": "not stored", "solver": "ehals"}, "not all entries count.*ccd"),
    (data("nan")[0], {"missing": "nan", "solver": "bpp"}, "'bpp' does not handle missing.*mu"),
    (np.where(GONE, 0, FULL), {"beta_loss": 0, "weights": np.ones(FULL.shape)}, "X contains zeros"),
]


@pytest.mark.parametrize(("X", "kwargs", "message"), REFUSED)
def test_refusals(X: Any, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(X, 3, **kwargs)


def test_scikit_learns_signature_stays() -> None:
    with pytest.raises(TypeError, match="missing"):
        non_negative_factorization(FULL, n_components=3, missing="nan")  # type: ignore[call-arg]


# --- parts that stay -----------------------------------------------------------------------------------------------

KNOWN = np.random.default_rng(5).gamma(2, 1, (2, 30))


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("solver", ["auto", "cd", "ehals", "ccd", "mu", "mm", "mue"])
@pytest.mark.parametrize("beta", [2.0, 1.0])
def test_known_components_stay(layout: Any, solver: str, beta: float) -> None:
    if beta == 1 and solver in ("cd", "ehals"):
        pytest.skip("not for this loss")
    X = layout(np.where(GONE, 0, FULL))
    results = [
        fit(X, 4, H=KNOWN, fixed_H=[0, 1], engine=engine, trace=True, **options(solver, beta, **PENALTY))
        for engine in ("numba", "reference")
    ]
    assert np.array_equal(results[0].H[:2], KNOWN)
    np.testing.assert_allclose(results[0].W, results[1].W, rtol=1e-7, atol=1e-9)
    trace = results[0].trace
    assert trace is not None
    if solver in ("cd", "ehals", "ccd", "mm"):
        assert np.diff(trace.objective).max() <= 1e-12 * trace.objective[0]


@pytest.mark.parametrize("kind", ["nan", "not stored", None])
@pytest.mark.parametrize("solver", ["ccd", "mu", "mm", "mue"])
def test_masks_stay(kind: str | None, solver: str) -> None:
    X, counted = (FULL, {}) if kind is None else data(kind)[:2]
    mask = np.random.default_rng(2).random((40, 3)) < 0.3
    W = np.random.default_rng(3).random((40, 3))
    beta = 1.0 if solver == "ccd" else 2.0
    results = [
        fit(X, 3, W=W, fixed_W=mask, engine=engine, trace=True, **options(solver, beta), **counted)
        for engine in ("numba", "reference")
    ]
    assert np.array_equal(results[0].W[mask], W[mask])
    assert (results[0].W[~mask] != W[~mask]).all()
    np.testing.assert_allclose(results[0].W, results[1].W, rtol=1e-7, atol=1e-9)
    trace = results[0].trace
    assert trace is not None
    if solver != "mue":
        assert np.diff(trace.objective).max() <= 1e-12 * trace.objective[0]
    halves = [
        step.W.copy() for step in iterate(X, 3, W=W, fixed_W=mask, every="half", **options(solver, beta), **counted)
    ]
    np.testing.assert_allclose(halves[-1], results[0].W, rtol=1e-10)


def test_zeros_by_design_and_residual() -> None:
    mask = np.zeros((3, 30), bool)
    mask[0, :15] = True
    result = fit(FULL, 3, H=np.zeros((3, 30)), fixed_H=mask, solver="mu", tol=1e-4, max_iter=5000, **START)
    assert (result.H[0, :15] == 0).all()
    assert (result.H[0, 15:] > 0).any()
    assert result.kkt <= 1e-4  # entries that stay do not count in it


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"fixed_H": [0]}, "fixed_H needs H"),
        ({"fixed_W": [0], "n_components": None}, "fixed_W needs W"),
        ({"fixed_H": [3], "H": KNOWN}, "a list of components below 3"),
        ({"fixed_H": [-1], "H": KNOWN}, "a list of components below 3"),
        ({"fixed_H": np.ones((2, 2), bool), "H": KNOWN}, r"Found a mask of shape \(2, 2\)"),
        ({"fixed_H": [0], "H": KNOWN}, r"H must have the shape \(3, 30\), or \(1, 30\) with a list"),
        ({"fixed_H": [0], "H": KNOWN, "update_H": False}, "leave fixed_H out"),
        ({"fixed_H": [0, 1], "H": KNOWN, "solver": "bpp"}, "'bpp' does not handle"),
    ],
)
def test_refusals_of_parts(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        fit(FULL, **({"n_components": 3} | kwargs))


def test_entries_of_W_stay_with_a_given_H() -> None:
    """And the W that has them is used, so nothing says that it is not."""
    W, mask = np.full((40, 2), 7.0), np.zeros((40, 2), bool)
    mask[3] = True
    result = fit(FULL, H=KNOWN, update_H=False, W=W, fixed_W=mask, solver="mu", tol=1e-3, max_iter=3000)
    assert (result.W[3] == 7).all()
    assert (result.W[4] != 7).any()


def test_none_among_objects_is_missing() -> None:
    objects = np.where(GONE, None, FULL).tolist()
    found = fit(objects, 3, missing="nan", random_state=0)
    np.testing.assert_array_equal(found.W, fit(data("nan")[0], 3, missing="nan", random_state=0).W)
    with pytest.raises(ValueError, match="missing='nan'"):
        fit(objects, 3)
    with pytest.raises(ValueError, match="W contains NaN") as caught:
        fit(FULL, 3, W=np.full((40, 3), np.nan), H=np.ones((3, 30)), init="custom")
    assert "missing='nan'" not in str(caught.value)  # a factor has no missing entries


def test_weights_of_some_rows_are_shares_of_the_largest_of_all() -> None:
    """So a row pass may be split anywhere."""
    weights = np.where(np.arange(40)[:, None] < 20, 1.0, 5.0) * np.ones(FULL.shape)
    problem = Problem.scaled(**observe(FULL, None, weights), beta=2.0, alpha_W=0.01, alpha_H=0.0, l1_ratio=0.5)
    solver, (W, H) = HALS(), initialize(FULL, 3, **START)
    states = [solver.init(problem, W.copy(), np.ascontiguousarray(H.T)) for _ in range(2)]
    whole = solver.row_pass(problem, states[0])
    parts = []
    for rows in (slice(0, 20), slice(20, 40)):
        state = solver.init(problem.rows(rows.start, rows.stop), states[1].W[rows], states[1].Ht)
        parts.append(solver.row_pass(problem.rows(rows.start, rows.stop), state))
    np.testing.assert_allclose(states[1].W, states[0].W, rtol=1e-12)
    for a, b in zip((parts[0] + parts[1]).arrays, whole.arrays, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_what_auto_took_is_loaded_again(tmp_path: Path) -> None:
    result = fit(FULL, 3, beta_loss=1.5, alpha_W=0.1, random_state=0, max_iter=5, tol=0)
    result.save(tmp_path / "model.npz")
    loaded = Factorization.load(tmp_path / "model.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(loaded.transform(FULL), result.transform(FULL))


def test_inputs_are_unchanged() -> None:
    for kind in KINDS:
        X, counted, _ = data(kind)
        before = pickle.dumps((X, counted))
        fit(X, 3, **options("mu", 1), **counted)
        assert pickle.dumps((X, counted)) == before
