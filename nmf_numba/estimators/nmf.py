"""NMF, the estimator."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from nmf_numba import validation
from nmf_numba.estimators.base import ConvergenceWarning, Factorizer
from nmf_numba.loop import Run, Step
from nmf_numba.observations import Missing
from nmf_numba.options import SKLEARN
from nmf_numba.problem import Float
from nmf_numba.solvers.solver import Solver
from nmf_numba.trace import Trace
from nmf_numba.validation import Engine, Init, Loss, Rank, Same, SolverName


class NMF(Factorizer):
    """Non-negative matrix factorization, X close to W @ H, as a scikit-learn estimator.

    It has the parameters, methods and attributes of `sklearn.decomposition.NMF`, and the same seed gives the same
    components. The objective is that of `fit`.

    Parameters
    ----------
    n_components : int, 'auto' or None, default 'auto'
        Number of components. 'auto': from H with init='custom', else n_features, with a FutureWarning. None:
        n_features.
    init, solver, beta_loss, tol, max_iter, random_state, alpha_W, alpha_H, l1_ratio, verbose, shuffle
        As for `fit`, with scikit-learn's defaults: solver='cd', init=None ('nndsvda', or 'random' if n_components
        exceeds a side of X), tol=1e-4, max_iter=200.
    engine : {'numba', 'reference'}, default 'numba'
        Compiled kernels, or plain Python that reads like the equations.
    n_threads : int >= 1 or None, default None
        Threads of the kernels; None: as many as Numba uses, one for a small X. They change nothing in the result.
    callback : callable or None, default None
        Called after every iteration of a fit with a `Step`. The fit ends if it returns something true.
    trace : bool or int >= 1, default False
        True: evaluate the objective at every iteration; 10: at every tenth. False: only where the stopping rule asks
        for it, and at the end.
    missing : {'nan', 'not stored'} or None, default None
        As for `fit`.

    Attributes
    ----------
    components_ : ndarray, shape (n_components_, n_features_in_)
        H.
    n_components_ : int
    reconstruction_err_ : float
        sqrt(2 D_beta(X, WH)): for the Frobenius loss the norm of X - WH.
    n_iter_ : int
        Iterations done.
    history_ : Trace
        The objective and its terms, the violation and the time: at the end, and as `trace` says; with solvers
        'mu', 'mm', 'mue' and 'ccd' and tol > 0 also at the start and every tenth iteration.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Only if X was a data frame with names.

    Warns
    -----
    FutureWarning, ConvergenceWarning, UserWarning, RuntimeWarning
        As for `fit`. This ConvergenceWarning is a `sklearn.exceptions.ConvergenceWarning` too.

    Notes
    -----
    Costs per iteration and memory are those of `fit`; `transform` costs an iteration's half for W.

    References
    ----------
    A. Cichocki and A.-H. Phan (2009), Fast local algorithms for large scale nonnegative matrix and tensor
    factorizations, IEICE Transactions on Fundamentals E92-A(3), 708-721. doi:10.1587/transfun.E92.A.708

    C. Fevotte and J. Idier (2011), Algorithms for nonnegative matrix factorization with the beta-divergence, Neural
    Computation 23(9), 2421-2456. doi:10.1162/NECO_a_00168

    Examples
    --------
    >>> import numpy as np
    >>> from nmf_numba.estimators import NMF
    >>> X = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.2], [4.0, 1.0], [5.0, 0.8], [6.0, 1.0]])
    >>> model = NMF(n_components=2, init="random", random_state=0)
    >>> W = model.fit_transform(X)
    >>> W.shape, model.components_.shape
    ((6, 2), (2, 2))
    >>> bool(np.abs(X - model.inverse_transform(W)).max() < 0.05)
    True
    """

    def __init__(
        self,
        n_components: int | Rank | None = SKLEARN.n_components,
        *,
        init: Init | None = SKLEARN.init,
        solver: SolverName | Literal["auto"] | Solver = SKLEARN.solver,
        beta_loss: Loss | float = SKLEARN.beta_loss,
        tol: float = SKLEARN.tol,
        max_iter: int = SKLEARN.max_iter,
        random_state: Any = SKLEARN.random_state,
        alpha_W: float = SKLEARN.alpha_W,
        alpha_H: Same | float = SKLEARN.alpha_H,
        l1_ratio: float = SKLEARN.l1_ratio,
        verbose: int = SKLEARN.verbose,
        shuffle: bool = SKLEARN.shuffle,
        engine: Engine = SKLEARN.engine,
        n_threads: int | None = SKLEARN.n_threads,
        callback: Callable[[Step], object] | None = SKLEARN.callback,
        trace: bool | int = SKLEARN.trace,
        missing: Missing | None = SKLEARN.missing,
    ) -> None:
        self.n_components = n_components
        self.init = init
        self.solver = solver
        self.beta_loss = beta_loss
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.verbose = verbose
        self.shuffle = shuffle
        self.engine = engine
        self.n_threads = n_threads
        self.callback = callback
        self.trace = trace
        self.missing = missing

    def _fit(self, X: Any, W: Any, H: Any, weights: Any) -> Float:
        X = self._checked(X, reset=True)
        run = self._prepare(X, W, H, weights=weights)
        run.options = dataclasses.replace(run.options, trace=validation.check_trace(self.trace))
        run.rows = []
        step = run.last(ConvergenceWarning)
        self.components_ = np.ascontiguousarray(step.H)
        self.n_components_ = len(self.components_)
        self.reconstruction_err_ = math.sqrt(2 * step.objective().data_fit)
        self.n_iter_ = step.n_iter
        self.history_ = Trace.of(run.rows)
        return step.W

    def _transform(self, run: Run) -> Float:
        return run.last(ConvergenceWarning).W
