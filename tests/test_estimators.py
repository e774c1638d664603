"""The estimators: scikit-learn's checks, scikit-learn's results, and what they have beyond."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import itertools
import pickle
import sys
import warnings
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn.decomposition as theirs
import sklearn.exceptions
from conftest import LAYOUTS, make_X
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import nmf_numba
from nmf_numba import estimators, fit, objective
from nmf_numba.estimators import NMF, MiniBatchNMF

CLOSE = 1e-6  # as in test_parity.py
METHODS = [("cd", 2), *(("mu", beta) for beta in (2, 1, 0, 0.5, 1.5, 3, -1))]
BETAS = [beta for _, beta in METHODS[1:]]
PENALTIES: dict[str, dict[str, float]] = {
    "none": {},
    "L1": {"alpha_W": 0.004, "l1_ratio": 1.0},
    "L2": {"alpha_W": 0.004},
    "mixed": {"alpha_W": 0.003, "alpha_H": 0.005, "l1_ratio": 0.4},
}

each_estimator = pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF])
each_layout = pytest.mark.parametrize("layout", LAYOUTS)
each_penalty = pytest.mark.parametrize("penalty", PENALTIES)
ignore_convergence = pytest.mark.filterwarnings("ignore:Maximum number of iterations:UserWarning")


def make_factors(shape: tuple[int, int], n_components: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {"W": rng.random((shape[0], n_components)), "H": rng.random((n_components, shape[1]))}


def pair(name: str, **kwargs: Any) -> tuple[Any, Any]:
    """Our estimator and scikit-learn's."""
    return getattr(estimators, name)(**kwargs), getattr(theirs, name)(**kwargs)


def assert_close(A: Any, B: Any, close: float = CLOSE) -> None:
    assert A.shape == B.shape
    assert np.abs(A - B).max() <= close * np.abs(B).max()


def assert_same(ours: Any, other: Any, close: float = CLOSE) -> None:
    """All public attributes of theirs are ours."""
    for name, expected in vars(other).items():
        if name.endswith("_") and not name.startswith("_"):
            found = getattr(ours, name)
            assert type(found) is type(expected) or isinstance(found, (int, float)), name
            if name == "reconstruction_err_":
                assert found == pytest.approx(expected, rel=close)
            elif isinstance(found, np.ndarray):
                assert_close(found, expected, close)
            else:
                assert found == expected, name


# scikit-learn's checks


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        NMF(max_iter=500),  # as scikit-learn checks its own
        MiniBatchNMF(batch_size=10, max_iter=20, fresh_restarts=True),
        NMF(solver="mu", max_iter=5000, tol=1e-7),
    ]
)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    """All but one kind: a start is not made of repeated rows, so only the objective is the same for weights."""
    if check.func.__name__.startswith(("check_sample_weight_equivalence", "check_sample_weights_invariance")):
        pytest.skip(
            "a fit has local minima, and a start for repeated rows is another: see test_weights_are_repetitions"
        )
    check(estimator)


@ignore_convergence
@pytest.mark.parametrize("name", ["NMF", "MiniBatchNMF"])
def test_nothing_of_theirs_is_missing(name: str) -> None:
    ours, other = pair(name)
    signatures = [inspect.signature(type(model)).parameters for model in (ours, other)]
    for parameter in signatures[1].values():
        found = signatures[0][parameter.name]
        assert found.kind is parameter.kind
        if parameter.name != "n_components":  # until 1.6 its default was None
            assert found.default == parameter.default
    assert set(dir(other)) - set(dir(ours)) <= {name for name in dir(other) if name.startswith("_")}
    for model in (ours, other):
        model.set_params(n_components=3, max_iter=2).fit(make_X())
    assert {name for name in vars(other) if name.endswith("_")} <= set(vars(ours))


# The same results


@ignore_convergence
@each_layout
@each_penalty
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_nmf_is_the_same(method: tuple[str, float], penalty: str, layout: str) -> None:
    (solver, beta), penalties = method, PENALTIES[penalty]
    X = LAYOUTS[layout](make_X(beta=beta))
    tol = 0 if solver == "mu" and penalties else 1e-4  # their rule leaves the penalties out
    for init, shuffle in ((None, True), ("random", False), ("custom", False)):
        kwargs = {"n_components": 3, "init": init, "solver": solver, "beta_loss": beta, "tol": tol, "shuffle": shuffle}
        ours, other = pair("NMF", max_iter=30, random_state=0, **kwargs, **penalties)
        factors = make_factors(X.shape, 3) if init == "custom" else {}
        found = ours.fit_transform(X, **factors)
        expected = other.fit_transform(X.copy(), **{name: A.copy() for name, A in factors.items()})
        assert_close(found, expected)
        assert_same(ours, other)
        if beta == 1 and "l1_ratio" in penalties:
            for model in (ours, other):  # they add the L1 penalty once more in every iteration
                model.set_params(max_iter=1)
        assert_close(ours.transform(X[:20]), other.transform(X[:20].copy()))


@ignore_convergence
@each_layout
@each_penalty
@pytest.mark.parametrize("beta", BETAS)
def test_minibatch_is_the_same(beta: float, penalty: str, layout: str) -> None:
    X = LAYOUTS[layout](make_X(beta=beta))
    for fresh, (init, forget) in itertools.product((False, True), (("random", 0.7), (None, 1.0))):
        kwargs = {"n_components": 3, "init": init, "beta_loss": beta, "forget_factor": forget, "fresh_restarts": fresh}
        kwargs |= {"batch_size": 19, "max_iter": 5, "random_state": 0}  # the last mini-batch has two rows
        ours, other = pair("MiniBatchNMF", **kwargs, **PENALTIES[penalty])
        assert_close(ours.fit_transform(X), other.fit_transform(X.copy()))
        assert_same(ours, other)
        assert_close(ours.transform(X[:20]), other.transform(X[:20].copy()))
        for rows in (slice(5, 25), slice(0, 3)):  # goes on from there
            ours.partial_fit(X[rows])
            other.partial_fit(X[rows].copy())
            assert_close(ours.components_, other.components_)
        assert ours.n_steps_ == other.n_steps_


@each_layout
@pytest.mark.parametrize("beta", BETAS)
def test_partial_fit_is_the_same(beta: float, layout: str) -> None:
    X = LAYOUTS[layout](make_X(beta=beta))
    for init, batch_size in (("random", 5), (None, 1024), ("custom", 10)):
        kwargs = {"n_components": 3, "init": init, "beta_loss": beta, "batch_size": batch_size, "random_state": 0}
        ours, other = pair("MiniBatchNMF", **kwargs, alpha_W=0.003, l1_ratio=0.5)
        factors = make_factors((10, 15), 3) if init == "custom" else {}
        for start in range(0, 40, 10):
            ours.partial_fit(X[start : start + 10], **factors)
            other.partial_fit(X[start : start + 10], **{name: A.copy() for name, A in factors.items()})
            assert_same(ours, other)
        assert_close(ours.transform(X), other.transform(X))


@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-3, 1e-4, 0])
@pytest.mark.parametrize("max_no_improvement", [1, 3, None])
def test_minibatches_stop_at_the_same_one(tol: float, max_no_improvement: int | None) -> None:
    X = make_X((60, 20))
    kwargs = {"n_components": 4, "batch_size": 13, "tol": tol, "max_no_improvement": max_no_improvement}
    ours, other = pair("MiniBatchNMF", max_iter=20, random_state=0, alpha_W=0.002, **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert_same(ours.fit(X), other.fit(X))


@ignore_convergence
def test_minibatches_stop_for_the_same_lack_of_improvement() -> None:
    """Seeds at which the L2 penalties, and the one that scikit-learn adds to the number of rows, decide."""
    X, stops = make_X((7, 8)), set()
    for seed, patience in itertools.product(range(20), (2, 4)):
        kwargs = {"n_components": 2, "init": "random", "batch_size": 3, "tol": 0, "max_no_improvement": patience}
        ours, other = pair("MiniBatchNMF", alpha_W=0.05, max_iter=15, random_state=seed, **kwargs)
        assert ours.fit(X).n_steps_ == other.fit(X).n_steps_, (seed, patience)
        stops.add(ours.n_steps_)
    assert len(stops) > 4


@each_estimator
def test_float32(Estimator: Any) -> None:
    X = make_X().astype(np.float32)
    ours, other = pair(Estimator.__name__, n_components=3, init="random", random_state=0, max_iter=5, tol=0)
    assert_close(ours.fit_transform(X), other.fit_transform(X), 1e-4)
    assert_same(ours, other, 1e-4)
    assert ours.components_.dtype == ours.transform(X).dtype == np.float32


@ignore_convergence
def test_a_component_that_no_row_of_a_minibatch_has() -> None:
    X = np.kron(np.eye(3), make_X((10, 6), beta=0))  # rows 10 to 19 know nothing of the first six features
    for beta in (2, 1, 1.5):
        start = {"W": np.kron(np.eye(3), np.ones((10, 1))), "H": np.kron(np.eye(3), np.ones((1, 6)))}
        kwargs = {"n_components": 3, "init": "custom", "beta_loss": beta, "batch_size": 10, "max_iter": 5}
        ours, other = pair("MiniBatchNMF", **kwargs)
        ours.fit(X, **start)
        assert_same(ours, other.fit(X, **{name: A.copy() for name, A in start.items()}))


@pytest.mark.parametrize("beta", [2, 1, 0.5, 3])
def test_partial_fit_is_fit_with_fresh_restarts(beta: float) -> None:
    X, start = make_X((40, 12)), make_factors((40, 12), 3)
    kwargs = {"n_components": 3, "init": "custom", "beta_loss": beta, "tol": 0, "batch_size": 10}
    # fit's weight is for a mini-batch that is a quarter of X, partial_fit's for one that is all there is
    whole = MiniBatchNMF(fresh_restarts=True, max_iter=2, max_no_improvement=None, forget_factor=0.7**4, **kwargs)
    parts = MiniBatchNMF(**kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole.fit(X, **start)
    for first in [0, 10, 20, 30] * 2:
        parts.partial_fit(X[first : first + 10], W=start["W"][:10], H=start["H"])
    assert whole.n_steps_ == parts.n_steps_ == 8
    assert_close(parts.components_, whole.components_, 1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_one_minibatch_that_forgets_is_nmf(beta: float) -> None:
    X = make_X(beta=beta)
    kwargs = {"n_components": 3, "beta_loss": beta, "tol": 0, "random_state": 0, "max_iter": 20}
    batch = MiniBatchNMF(forget_factor=0.0, max_no_improvement=None, **kwargs).fit(X)
    assert_close(batch.components_, NMF(solver="mu", **kwargs).fit(X).components_)


@ignore_convergence
def test_the_estimator_is_the_function() -> None:
    X = make_X()
    kwargs = {"init": "nndsvdar", "shuffle": True, "random_state": 3, "alpha_W": 0.001}
    model, result = NMF(3, **kwargs), fit(X, 3, solver="cd", max_iter=200, stopping="scikit-learn", **kwargs)
    np.testing.assert_array_equal(model.fit_transform(X), result.W)
    np.testing.assert_array_equal(model.components_, result.H)
    assert model.n_iter_ == result.n_iter


# In scikit-learn's company


@ignore_convergence
def test_pipeline_and_grid_search() -> None:
    X = make_X((60, 12))
    y = X @ np.arange(12.0)
    for model in (NMF(tol=1e-2, random_state=0), MiniBatchNMF(batch_size=20, tol=1e-2, random_state=0)):
        pipeline = make_pipeline(model, Ridge(1e-3))
        name = type(model).__name__.lower()
        search = GridSearchCV(pipeline, {f"{name}__n_components": [1, 4], f"{name}__beta_loss": ["frobenius", 2]})
        search.fit(X, y)
        assert search.best_params_[f"{name}__n_components"] == 4
        assert search.best_score_ > 0.5


@each_estimator
def test_clone_and_pickle(Estimator: Any) -> None:
    X = make_X()
    model = Estimator(3, tol=1e-2, random_state=0, engine="reference", n_threads=1)
    assert clone(model).get_params() == model.get_params()
    model.fit(X)
    assert not hasattr(clone(model), "components_")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    np.testing.assert_array_equal(again.history_.objective, model.history_.objective)
    if Estimator is MiniBatchNMF:
        np.testing.assert_array_equal(again.partial_fit(X).components_, model.partial_fit(X).components_)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_joblib(backend: str) -> None:
    X = make_X()
    shared: Any = {
        "init": "random",
        "tol": 0,
        "max_iter": 20,
        "random_state": 0,
    }  # the last bits of an SVD depend on BLAS's threads
    models = [NMF(3, **shared), MiniBatchNMF(3, batch_size=10, **shared)]
    with joblib.parallel_backend(backend, n_jobs=2):
        results = joblib.Parallel()(joblib.delayed(clone(model).fit_transform)(X) for model in models * 2)
    tolerance = 0 if backend == "threading" else 1e-11  # BLAS has one thread in loky's processes: other last bits
    for model, W in zip(models * 2, results, strict=True):
        np.testing.assert_allclose(W, model.fit_transform(X), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@each_estimator
def test_data_frames(Estimator: Any, library: str) -> None:
    frames = pytest.importorskip(library)
    X = make_X((30, 3))
    frame = frames.DataFrame({name: X[:, j] for j, name in enumerate("abc")})
    model = Estimator(2, tol=1e-2, random_state=0).set_output(transform=library)
    W = model.fit_transform(frame)
    names = [f"{Estimator.__name__.lower()}{t}" for t in range(2)]
    assert isinstance(W, frames.DataFrame)
    assert isinstance(model.transform(frame), frames.DataFrame)
    assert list(W.columns) == list(model.get_feature_names_out()) == names
    np.testing.assert_array_equal(W.to_numpy(), Estimator(2, tol=1e-2, random_state=0).fit_transform(X))
    assert model.inverse_transform(W).shape == X.shape
    if hasattr(theirs.NMF(2, tol=1e-2).fit(frame), "feature_names_in_"):  # old versions do not know new data frames
        assert list(model.feature_names_in_) == ["a", "b", "c"]
        with pytest.raises(ValueError, match="feature names"):
            model.transform(frame[["b", "a", "c"]])


# What is beyond


@pytest.mark.parametrize("beta", [2, 1])
def test_history(beta: float) -> None:
    X = make_X(beta=beta)
    kwargs = {"n_components": 3, "solver": "mu", "beta_loss": beta, "random_state": 0, "alpha_W": 1e-3}
    model = NMF(**kwargs)
    W = model.fit_transform(X)
    few, every = model.history_, NMF(trace=True, **kwargs).fit(X).history_
    assert isinstance(few, nmf_numba.Trace)
    np.testing.assert_array_equal(every.iteration, np.arange(model.n_iter_ + 1))
    np.testing.assert_array_equal(few.iteration, [*range(0, model.n_iter_, 10), model.n_iter_])
    tenth = NMF(trace=7, **kwargs).fit(X).history_.iteration
    assert set(range(0, model.n_iter_, 7)) <= set(tenth)
    np.testing.assert_allclose(few.objective, every.objective[few.iteration], rtol=1e-9)
    terms = objective(X, W, model.components_, beta_loss=beta, alpha_W=1e-3)
    assert few.objective[-1] == pytest.approx(terms.total)
    assert model.reconstruction_err_ == pytest.approx(np.sqrt(2 * terms.data_fit))


def test_history_of_minibatches_estimates_the_objective() -> None:
    X = make_X((60, 20))
    start, penalties = make_factors(X.shape, 3), {"alpha_W": 0.01, "alpha_H": 0.02, "l1_ratio": 0.3}
    model = MiniBatchNMF(3, init="custom", batch_size=20, max_iter=1, tol=0, max_no_improvement=None, **penalties)
    W = model.fit_transform(X, **start)
    history = model.history_
    np.testing.assert_array_equal(history.iteration, [1, 2, 3])
    assert (np.diff(history.seconds) > 0).all()
    kwargs = {"beta_loss": 2, **penalties}
    first = objective(X[:20], W[:20], start["H"], **kwargs)
    for name in ("data_fit", "l1_W", "l1_H", "l2_W", "l2_H"):
        assert getattr(history, name)[0] == pytest.approx(3 * getattr(first, name))
    assert history.l1_H[0] == pytest.approx(objective(X, W, start["H"], **kwargs).l1_H)


@each_estimator
def test_callback_ends_a_fit(Estimator: Any) -> None:
    X, seen = make_X(), []

    def callback(step: Any) -> bool:
        seen.append((step.n_iter, step.W.shape, step.H.shape, step.objective().total))
        return len(seen) == 5

    model = Estimator(3, tol=0, random_state=0, callback=callback)
    if Estimator is MiniBatchNMF:
        model.set_params(batch_size=15)
    model.fit(X)
    assert [n for n, *_ in seen] == [1, 2, 3, 4, 5]
    assert seen[2][1:3] == ((40 if Estimator is NMF else 10, 3), (3, 15))
    assert model.history_.iteration[-1] == 5
    assert (model.n_iter_ if Estimator is NMF else model.n_steps_) == 5
    model.transform(X)
    assert len(seen) == 5


@each_layout
@each_estimator
def test_engines_and_threads(Estimator: Any, layout: str) -> None:
    X = LAYOUTS[layout](make_X())
    kwargs = {"tol": 1e-2, "random_state": 0, "alpha_W": 1e-3}
    for more in [{"beta_loss": 1}, {}] if Estimator is MiniBatchNMF else [{}, {"solver": "mu", "beta_loss": 1}]:
        one, some = (Estimator(3, n_threads=n, **kwargs, **more).fit(X) for n in (1, None))
        np.testing.assert_array_equal(one.components_, some.components_)
        slow = Estimator(3, engine="reference", **kwargs, **more).fit(X)
        assert_close(slow.components_, some.components_, 1e-9)
        assert_close(slow.transform(X), some.transform(X), 1e-9)
        if Estimator is MiniBatchNMF:
            assert_close(slow.partial_fit(X).components_, some.partial_fit(X).components_, 1e-9)


@each_estimator
def test_verbose(Estimator: Any, capsys: Any) -> None:
    Estimator(3, tol=1e-2, random_state=0, verbose=1).fit(make_X())
    assert "objective" in capsys.readouterr().out


@each_estimator
def test_the_warning_is_both_packages(Estimator: Any) -> None:
    with pytest.warns(nmf_numba.ConvergenceWarning, match="Maximum number of iterations 1 reached") as caught:
        Estimator(3, max_iter=1).fit(make_X())
    assert issubclass(caught[0].category, sklearn.exceptions.ConvergenceWarning)
    assert caught[0].filename == __file__
    Estimator(3, max_iter=1, tol=0).fit(make_X())


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("nmf_numba.estimators")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "nmf-numba\[sklearn\]".*pip install -e "\.\[sklearn\]"\.$'):
        importlib.import_module("nmf_numba.estimators")


# What goes in, and what comes out


@each_estimator
def test_nothing_that_is_passed_or_returned_changes(Estimator: Any) -> None:
    X, start = make_X(), make_factors((40, 15), 3)
    before = X.copy(), start["W"].copy(), start["H"].copy()
    model = Estimator(3, init="custom", tol=1e-2)
    W = model.fit_transform(X, **start)
    H, kept = model.components_, model.components_.copy()
    assert W.flags.c_contiguous
    assert H.flags.c_contiguous
    assert not any(np.shares_memory(A, B) for A in (W, H) for B in (X, *start.values()))
    model.transform(X)
    if Estimator is MiniBatchNMF:
        model.partial_fit(X)
    for A, B in zip((X, start["W"], start["H"], H), (*before, kept), strict=True):
        np.testing.assert_array_equal(A, B)


@pytest.mark.parametrize("container", ["matrix", "array"])
@each_estimator
def test_every_sparse_format(Estimator: Any, container: str) -> None:
    X = make_X()
    model = Estimator(3, tol=1e-2, random_state=0, beta_loss=1, **({"solver": "mu"} if Estimator is NMF else {}))
    expected = clone(model).fit_transform(sparse.csr_array(X))
    assert_close(clone(model).fit_transform(X), expected)
    for name in ("csr", "csc", "coo", "bsr", "lil", "dok", "dia"):
        np.testing.assert_array_equal(model.fit_transform(getattr(sparse, f"{name}_{container}")(X)), expected)


@each_estimator
def test_dtype_of_other_data(Estimator: Any) -> None:
    X = make_X()
    model = Estimator(3, tol=1e-2, random_state=0).fit(X)
    found = model.transform(X.astype(np.float32))
    assert found.dtype == np.float32
    assert_close(found, model.transform(X), 1e-2)
    if Estimator is MiniBatchNMF:
        assert model.partial_fit(X.astype(np.float32)).components_.dtype == np.float64


@each_estimator
def test_errors_of_this_package(Estimator: Any) -> None:
    X = make_X()
    model = Estimator(3, tol=1e-2).fit(X)
    for bad, match in ((np.nan, r"X\[2, 3\] = nan"), (-1.0, r"X\[2, 3\] = -1.0"), (np.inf, "infinity")):
        broken = X.copy()
        broken[2, 3] = bad
        for method in (model.fit, model.transform):
            with pytest.raises(ValueError, match=match):
                method(broken)
    with pytest.raises(ValueError, match="masked"):
        model.fit(np.ma.masked_less(X, 0.1))
    with pytest.raises(ValueError, match="3 components"):
        model.inverse_transform(np.ones((5, 4)))
    assert_close(model.inverse_transform(sparse.csr_array(model.transform(X))), model.transform(X) @ model.components_)
    with pytest.raises(ValueError, match="engine must be one of"):
        Estimator(3, engine="fortran").fit(X)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("batch_size", [0, None]),
        ("max_no_improvement", [0, 1.5]),
        ("forget_factor", [-0.1, 1.1, None]),
        ("fresh_restarts", [1]),
        ("fresh_restarts_max_iter", [0, None]),
        ("transform_max_iter", [0, "ten"]),
    ],
)
def test_errors_of_minibatch_parameters(name: str, values: list[Any]) -> None:
    X = make_X()
    fitted = MiniBatchNMF(3, tol=1e-2).fit(X)
    for value in values:
        for call in (MiniBatchNMF(3, **{name: value}).fit, fitted.set_params(**{name: value}).partial_fit):
            with pytest.raises((ValueError, TypeError), match=f"{name} must be"):
                call(X)


@each_layout
@pytest.mark.parametrize("beta", [2, 1, 1.5])
def test_a_minibatch_of_zeros(beta: float, layout: str) -> None:
    X = make_X((30, 6))
    X[10:20] = 0
    for fresh in (False, True):
        model = MiniBatchNMF(2, batch_size=10, beta_loss=beta, fresh_restarts=fresh, tol=1e-2, random_state=0)
        assert np.isfinite(model.fit_transform(LAYOUTS[layout](X))).all()
        assert np.isfinite(model.partial_fit(LAYOUTS[layout](X[10:20])).components_).all()
        np.testing.assert_array_equal(model.transform(LAYOUTS[layout](X[10:20])), 0)


# What joblib makes of an estimator, and what was forgotten


@pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_layout
def test_read_only_attributes(Estimator: Any, dtype: str, layout: str, tmp_path: Any) -> None:
    """joblib's memory maps make every array of an estimator read-only, in its workers too."""
    X = LAYOUTS[layout](make_X().astype(dtype))
    fitted = Estimator(3, tol=1e-2, random_state=0).fit(X)
    joblib.dump(fitted, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert not mapped.components_.flags.writeable
    before = mapped.components_.copy()
    np.testing.assert_array_equal(mapped.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(mapped.inverse_transform(np.ones((1, 3))), fitted.inverse_transform(np.ones((1, 3))))
    start = {"W": np.ones((X.shape[0], 3), dtype), "H": mapped.components_}
    start["W"].flags.writeable = False
    Estimator(3, init="custom", tol=1e-2).fit(X, **start)
    if Estimator is MiniBatchNMF:
        for _ in range(2):
            np.testing.assert_array_equal(mapped.partial_fit(X).components_, fitted.partial_fit(X).components_)
        assert mapped.components_.flags.writeable
    np.testing.assert_array_equal(start["H"], before)


@ignore_convergence
@each_estimator
def test_n_components_left_out(Estimator: Any) -> None:
    """As loud as in the functions; None keeps all features without a word, and so does 'auto' with an H."""
    X = make_X()
    kwargs = {"max_iter": 2, "init": "random", "random_state": 0}
    calls = [Estimator(**kwargs).fit, Estimator(**kwargs).fit_transform]
    calls += [Estimator(**kwargs).partial_fit] if Estimator is MiniBatchNMF else []
    for call in calls:
        with pytest.warns(FutureWarning, match="n_components was not given, so all 15 features"):
            call(X)
    assert Estimator(None, **kwargs).fit(X).n_components_ == 15
    model = Estimator(max_iter=2, init="custom").fit(X, **make_factors(X.shape, 3))
    assert model.n_components_ == 3
    model.transform(X)


@each_estimator
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_messages_name_a_frames_column(Estimator: Any, library: str) -> None:
    make = pytest.importorskip(library).DataFrame
    good = {"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]}
    for bad, text in (
        ([1.0, float("nan"), 2.0], r"NaN: X\[1, 2\] \(column 'c'\)"),
        ([1.0, 2.0, -3.0], r"X\[2, 2\] \(column 'c'\) = -3.0"),
        (["x", "y", "z"], r"text: X\[0, 2\] \(column 'c'\) = 'x'"),
    ):
        with pytest.raises(ValueError, match=text):
            Estimator(2).fit(make(good | {"c": bad}))
    fitted = Estimator(2, tol=1e-2, random_state=0).fit(make(good))
    with pytest.raises(ValueError, match=r"X\[0, 1\] \(column 'b'\) = -1.0"):
        fitted.transform(make({"a": [1.0], "b": [-1.0]}))


@each_estimator
def test_containers_that_are_no_matrix(Estimator: Any) -> None:
    lazy = pytest.importorskip("polars").DataFrame({"a": [1.0, 2.0]}).lazy()
    for X, text in ((lazy, r"X\.collect\(\)"), ("counts.csv", "read the file first")):
        with pytest.raises(ValueError, match=text):
            Estimator(1).fit(X)
