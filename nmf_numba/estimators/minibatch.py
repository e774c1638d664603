"""MiniBatchNMF, the estimator: the row pass of multiplicative updates, a mini-batch at a time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nmf_numba import validation
from nmf_numba.estimators.base import ConvergenceWarning, Factorizer
from nmf_numba.loop import Reporter, Run, Step
from nmf_numba.losses.objective import Objective, evaluate
from nmf_numba.observations import Missing
from nmf_numba.options import SKLEARN
from nmf_numba.problem import Float, Problem
from nmf_numba.solvers.solver import State
from nmf_numba.trace import Trace
from nmf_numba.validation import Engine, Init, Loss, Rank, Same


class _Improvement:
    """When a mini-batch fit stops: H barely moves, or the smoothed cost of mini-batches has not fallen for a while."""

    def __init__(self, tol: float, patience: int | None) -> None:
        self.tol, self.patience = tol, patience
        self.smoothed: float | None = None
        self.least, self.n_without = math.inf, 0

    def met(self, n_step: int, cost: float, share: float, moved: float) -> bool:
        """Look at a mini-batch: its cost, its share of the rows, and how far it moved H."""
        if n_step == 1:  # its cost is that of the start
            return False
        share = min(share, 1.0)
        self.smoothed = cost if self.smoothed is None else (1 - share) * self.smoothed + share * cost
        if self.tol > 0 and moved <= self.tol:
            return True
        self.n_without = 0 if self.smoothed < self.least else self.n_without + 1
        self.least = min(self.least, self.smoothed)
        return self.patience is not None and self.n_without >= self.patience


def _norm(A: Float) -> float:
    """Return ||A||, not by BLAS, whose threads would go on spinning against those of kernels."""
    return math.sqrt(float(np.einsum("it,it->", A, A)))


def _distance(A: Float, B: Float) -> float:
    """Return ||A - B|| relative to ||A||."""
    norm = _norm(A)
    return _norm(A - B) / norm if norm > 0 else 0.0


class MiniBatchNMF(Factorizer):
    """Non-negative matrix factorization from mini-batches of rows, by multiplicative updates.

    It has the parameters, methods and attributes of `sklearn.decomposition.MiniBatchNMF`, and the same seed gives the
    same components. After each mini-batch H is updated from its sums and those of all before, which count less and less
    (Lefevre, Bach and Fevotte 2011). The objective is that of `fit`.

    Parameters
    ----------
    n_components : int, 'auto' or None, default 'auto'
        As for `NMF`.
    init, beta_loss, max_iter, alpha_W, alpha_H, l1_ratio, random_state, verbose
        As for `fit`; max_iter counts passes over X. In a mini-batch, alpha_H is multiplied by the number of its rows.
    batch_size : int >= 1, default 1024
        Rows in a mini-batch.
    tol : float >= 0, default 1e-4
        A fit stops when a mini-batch moves H by at most tol times its norm. 0: never.
    max_no_improvement : int >= 1 or None, default 10
        It also stops when the smoothed cost has not fallen for so many mini-batches. None: never.
    forget_factor : float from 0 to 1, default 0.7
        What past sums count after one more pass over X. 1 forgets nothing.
    fresh_restarts : bool, default False
        Solve for W anew in every mini-batch, instead of one update from where the last pass left it.
    fresh_restarts_max_iter : int >= 1, default 30
        Most updates of W then, and in `partial_fit`.
    transform_max_iter : int >= 1 or None, default None
        Most updates of W in `transform`. None: max_iter.
    engine, n_threads
        As for `NMF`.
    callback : callable or None, default None
        Called after every mini-batch of a fit with a `Step`: `n_iter` counts mini-batches, W and the objective are
        those of the mini-batch. The fit ends if it returns something true.
    missing : {'nan', 'not stored'} or None, default None
        As for `fit`.

    Attributes
    ----------
    components_, n_components_, reconstruction_err_, n_features_in_, feature_names_in_
        As for `NMF`; `partial_fit` does not measure reconstruction_err_.
    n_iter_ : int
        Passes over X begun.
    n_steps_ : int
        Mini-batches seen.
    history_ : Trace
        A row for each mini-batch of a fit: its objective divided by its share of the rows, an estimate of the whole,
        with its new W and the H before its update. `iteration` counts mini-batches.

    Warns
    -----
    FutureWarning, ConvergenceWarning, UserWarning, RuntimeWarning
        As for `NMF`.

    Notes
    -----
    A pass over X costs what an iteration of `fit` with 'mu' costs, and the evaluation of the objective.

    References
    ----------
    A. Lefevre, F. Bach and C. Fevotte (2011), Online algorithms for nonnegative matrix factorization with the
    Itakura-Saito divergence, IEEE Workshop on Applications of Signal Processing to Audio and Acoustics, 313-316.
    doi:10.1109/ASPAA.2011.6082314

    Examples
    --------
    >>> import numpy as np
    >>> from nmf_numba.estimators import MiniBatchNMF
    >>> X = np.random.default_rng(0).random((60, 2)) @ np.random.default_rng(1).random((2, 5))
    >>> model = MiniBatchNMF(n_components=2, batch_size=20, tol=1e-2, random_state=0).fit(X)
    >>> model.components_.shape, model.n_steps_ == len(model.history_)
    ((2, 5), True)
    >>> for rows in (X[:30], X[30:]):
    ...     model = model.partial_fit(rows)
    >>> model.transform(X).shape
    (60, 2)
    """

    def __init__(
        self,
        n_components: int | Rank | None = SKLEARN.n_components,
        *,
        init: Init | None = SKLEARN.init,
        batch_size: int = 1024,
        beta_loss: Loss | float = SKLEARN.beta_loss,
        tol: float = SKLEARN.tol,
        max_no_improvement: int | None = 10,
        max_iter: int = SKLEARN.max_iter,
        alpha_W: float = SKLEARN.alpha_W,
        alpha_H: Same | float = SKLEARN.alpha_H,
        l1_ratio: float = SKLEARN.l1_ratio,
        forget_factor: float = 0.7,
        fresh_restarts: bool = False,
        fresh_restarts_max_iter: int = 30,
        transform_max_iter: int | None = None,
        random_state: Any = SKLEARN.random_state,
        verbose: int = SKLEARN.verbose,
        engine: Engine = SKLEARN.engine,
        n_threads: int | None = SKLEARN.n_threads,
        callback: Callable[[Step], object] | None = SKLEARN.callback,
        missing: Missing | None = SKLEARN.missing,
    ) -> None:
        self.n_components = n_components
        self.init = init
        self.batch_size = batch_size
        self.beta_loss = beta_loss
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.max_iter = max_iter
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.forget_factor = forget_factor
        self.fresh_restarts = fresh_restarts
        self.fresh_restarts_max_iter = fresh_restarts_max_iter
        self.transform_max_iter = transform_max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.engine = engine
        self.n_threads = n_threads
        self.callback = callback
        self.missing = missing

    def _check_own(self) -> None:
        """Check the parameters that `prepare` does not know."""
        for name in ("batch_size", "fresh_restarts_max_iter", "max_no_improvement", "transform_max_iter"):
            value, or_none = getattr(self, name), name in ("max_no_improvement", "transform_max_iter")
            if value is not None or not or_none:
                accepted = "an integer >= 1, or None" if or_none else "an integer >= 1"
                validation.check_integer(name, value, low=1, accepted=accepted)
        validation.check_number("forget_factor", self.forget_factor, low=0, high=1, accepted="a number from 0 to 1")
        validation.check_flag("fresh_restarts", self.fresh_restarts)

    def _remember(self, run: Run) -> None:
        """Begin the sums that all mini-batches add to, so that the start counts as one of them."""
        n_rows = len(run.W)
        self._past = run.Ht.copy(), np.ones_like(run.Ht)
        self._weight = self.forget_factor ** (min(self.batch_size, n_rows) / n_rows)

    def _parts(self, run: Run) -> list[tuple[Problem, Float]]:
        """Return the problem of each mini-batch's rows, and their W; a mini-batch has its own penalty on H."""
        alphas = validation.check_alphas(self.alpha_W, self.alpha_H, self.l1_ratio)
        parts = []
        for start in range(0, len(run.W), self.batch_size):
            W = run.W[start : start + self.batch_size]
            rows = run.problem.rows(start, start + len(W))
            own = Problem.scaled(rows.X, rows.beta, *alphas)
            parts.append((dataclasses.replace(rows, l1_H=own.l1_H, l2_H=own.l2_H), W))
        return parts

    def _solve(self, run: Run, problem: Problem, W: Float, max_iter: int, *, with_sums: bool = False) -> Any:
        """Update W from a flat start until it barely moves; return H's sums if asked for them."""
        solver: Any = run.solver
        W.fill(solver.start_of_W(problem, W.shape[1]))
        keeps_H = dataclasses.replace(problem, update_H=False)
        state = run.timed(solver.init, keeps_H, W, run.Ht)
        for _ in range(max_iter):
            before = W.copy()
            run.timed(solver.row_pass, keeps_H, state)
            if run.options.tol > 0 and _distance(W, before) <= run.options.tol:
                break
        if not with_sums:
            return None
        W[:] = before  # the last pass once more, which now adds up H's sums
        return self._row_pass(run, problem, W)

    def _row_pass(self, run: Run, problem: Problem, W: Float) -> Any:
        """Update W once and return H's sums."""
        solver: Any = run.solver
        problem = dataclasses.replace(problem, update_H=True)
        return run.timed(solver.row_pass, problem, solver.init(problem, W, run.Ht))

    def _update(self, run: Run, problem: Problem, sums: Any) -> None:
        """Update H from the sums of a mini-batch and of those before."""
        solver: Any = run.solver
        run.timed(solver.update_with_past, problem, State(run.W, run.Ht), sums, self._past, self._weight)

    def _fit(self, X: Any, W: Any, H: Any, weights: Any) -> Float:
        X = self._checked(X, reset=True)
        self._check_own()
        run = self._prepare(X, W, H, weights=weights)
        with run.hold_all():
            return self._fit_run(run)

    def _fit_run(self, run: Run) -> Float:
        """Go through the mini-batches until a rule says to stop, and set the attributes."""
        self._remember(run)
        parts, rule = self._parts(run), _Improvement(run.options.tol, self.max_no_improvement)
        run.options = dataclasses.replace(run.options, max_iter=run.options.max_iter * len(parts))
        reporter = Reporter(run.options.max_iter) if run.options.verbose else None
        run.warm_up()
        rows, n_step, stop_reason = [], 0, None
        run.seconds = 0.0
        while stop_reason is None:
            problem, W = parts[n_step % len(parts)]
            n_step, share, before = n_step + 1, len(W) / len(run.W), run.Ht.copy()
            if self.fresh_restarts:
                sums = self._solve(run, problem, W, self.fresh_restarts_max_iter, with_sums=True)
            else:
                sums = self._row_pass(run, problem, W)
            terms = evaluate(problem, W, run.Ht)
            self._update(run, problem, sums)
            validation.check_finite((W, run.Ht), n_step)
            cost = (terms.total + terms.l2_W + terms.l2_H) / len(W)  # scikit-learn counts L2 penalties twice here
            met = rule.met(n_step, cost, len(W) / (len(run.W) + 1), _distance(run.Ht, before))
            step = Step(n_step, problem.outside(W, W), run.Ht.T, math.nan, run.seconds, None, problem)
            step.stop_reason = stop_reason = run.why_last(step, met)
            if reporter is not None:
                reporter.report(step)
            scaled = Objective(*(term / share for term in dataclasses.astuple(terms)))
            rows.append((n_step, run.seconds, math.nan, scaled, math.nan))
        if stop_reason == "max_iter" and run.options.tol > 0:
            validation.warn_not_converged(self.max_iter, run.options.tol, ConvergenceWarning)
        if self.fresh_restarts:
            self._solve(run, run.problem, run.W, self.transform_max_iter or self.max_iter)
        self.components_ = np.ascontiguousarray(run.Ht.T)
        self.n_components_ = len(self.components_)
        self.reconstruction_err_ = math.sqrt(2 * evaluate(run.problem, run.W, run.Ht).data_fit)
        self.n_steps_, self.n_iter_ = n_step, -(-n_step // len(parts))
        self.history_ = Trace.of(rows)
        return run.problem.outside(run.W, run.start_W)

    def partial_fit(
        self, X: Any, y: Any = None, W: Any = None, H: Any = None, sample_weight: Any = None
    ) -> MiniBatchNMF:
        """Update the components from one more mini-batch, the rows of X, and return the estimator itself.

        Parameters
        ----------
        X, y, W, H, sample_weight
            As for `fit`. W and H only count in the first call, and of W only the shape.

        Returns
        -------
        MiniBatchNMF
            The estimator itself.

        Notes
        -----
        The weight of the past is set by the first call, or by `fit`.
        """
        first = not hasattr(self, "components_")
        X = self._checked(X, reset=first)
        self._check_own()
        if first:
            run = self._prepare(X, W, H, callback=None, weights=self._weights(sample_weight))
            self._remember(run)
            self.n_steps_ = 0
        else:
            with np.errstate(over="ignore", under="ignore"):
                X = X.astype(self.components_.dtype, copy=False)
            numerator, denominator = (np.require(sums, requirements="W") for sums in self._past)
            self._past = numerator, denominator  # they were read-only in a memory map
            run = self._prepare_transform(X, self._weights(sample_weight))
        with run.hold():
            sums = self._solve(run, run.problem, run.W, self.fresh_restarts_max_iter, with_sums=True)
            self._update(run, run.problem, sums)
        self.n_steps_ += 1
        validation.check_finite((run.W, run.Ht), self.n_steps_)
        self.components_ = np.ascontiguousarray(run.Ht.T)
        self.n_components_ = len(self.components_)
        return self

    def _transform(self, run: Run) -> Float:
        self._check_own()
        with run.hold():
            self._solve(run, run.problem, run.W, self.transform_max_iter or run.options.max_iter)
        return run.W
