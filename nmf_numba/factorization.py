"""fit, and non_negative_factorization, its thin sibling with scikit-learn's signature."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from nmf_numba.loop import Step, prepare
from nmf_numba.observations import Missing
from nmf_numba.options import DEFAULT, SKLEARN, Options
from nmf_numba.problem import Float
from nmf_numba.result import Factorization, Interrupted
from nmf_numba.solvers.solver import Solver
from nmf_numba.validation import Engine, Init, Loss, Rank, Same, SolverName, Stopping


def fit(
    X: Any,
    n_components: int | Rank | None = DEFAULT.n_components,
    *,
    W: Any = DEFAULT.W,
    H: Any = DEFAULT.H,
    init: Init | None = DEFAULT.init,
    update_H: bool = DEFAULT.update_H,
    solver: SolverName | Literal["auto"] | Solver = DEFAULT.solver,
    beta_loss: Loss | float = DEFAULT.beta_loss,
    tol: float = DEFAULT.tol,
    max_iter: int = DEFAULT.max_iter,
    alpha_W: float = DEFAULT.alpha_W,
    alpha_H: Same | float = DEFAULT.alpha_H,
    l1_ratio: float = DEFAULT.l1_ratio,
    random_state: Any = DEFAULT.random_state,
    verbose: int = DEFAULT.verbose,
    shuffle: bool = DEFAULT.shuffle,
    engine: Engine = DEFAULT.engine,
    trace: bool | int = DEFAULT.trace,
    callback: Callable[[Step], object] | None = DEFAULT.callback,
    max_time: float | None = DEFAULT.max_time,
    n_threads: int | None = DEFAULT.n_threads,
    resume: Factorization | None = DEFAULT.resume,
    stopping: Stopping = DEFAULT.stopping,
    missing: Missing | None = DEFAULT.missing,
    weights: Any = DEFAULT.weights,
    fixed_W: Any = DEFAULT.fixed_W,
    fixed_H: Any = DEFAULT.fixed_H,
) -> Factorization:
    """Return non-negative factors W and H whose product approximates X.

    They minimise, from a start, the regularised objective::

        L(W, H) = D_beta(X, WH)
                + alpha_W * l1_ratio * n_features * sum(W)  +  alpha_H * l1_ratio * n_samples * sum(H)
                + alpha_W * (1 - l1_ratio) * n_features / 2 * ||W||_F^2
                + alpha_H * (1 - l1_ratio) * n_samples / 2 * ||H||_F^2

    D_beta, the beta-divergence, is half the squared Frobenius norm of X - WH for beta = 2, the generalised
    Kullback-Leibler divergence for beta = 1 and the Itakura-Saito divergence for beta = 0 (see `beta_divergence`).

    Parameters
    ----------
    X : array-like or SciPy sparse, shape (n_samples, n_features)
        Finite and non-negative. float32 and float64 are kept, everything else becomes float64; a CSR stays one, other
        sparse formats are converted to it. An entry that is not stored is a zero. X is not changed.
    n_components : int, 'auto' or None
        Number of columns of W and of rows of H. 'auto': from H if one is used (init='custom' or update_H=False), else
        n_features. None: n_features. Left out: as 'auto', with a FutureWarning if that is n_features.
    W : array-like, shape (n_samples, n_components), or None, default None
        With init='custom', where W starts; else not used. It is not changed.
    H : array-like, shape (n_components, n_features), or None, default None
        With init='custom', where H starts; with update_H=False, the H to keep. It is not changed.
    init : {'auto', 'random', 'nndsvd', 'nndsvda', 'nndsvdar', 'custom'} or None, default 'auto'
        Where the fit starts: see `initialize`; 'custom' starts at the given W and H. 'auto' does not depend on the unit
        of X; None is scikit-learn's choice, which does.
    update_H : bool, default True
        False: keep the given H and find W. W then starts at sqrt(mean(X) / n_components) for 'mu', 'mm', 'mue' and
        'ccd', and at zero for the others.
    solver : {'auto', 'cd', 'ahals', 'ehals', 'mu', 'mm', 'mue', 'ccd', 'apg', 'bpp'} or Solver, default 'auto'
        'cd': HALS, coordinate descent, for the Frobenius loss; 'ahals' with inner sweeps, 'ehals' also with
        extrapolation. 'mu': multiplicative updates, for every loss; 'mm' with penalties majorised exactly, 'mue' with
        extrapolation. 'ccd': cyclic coordinate descent, for the Kullback-Leibler and the Frobenius loss. 'apg':
        accelerated projected gradient; 'bpp': each half exactly, by block principal pivoting; both for the Frobenius
        loss. 'auto': the one that needs least time by measurement, for this loss and layout. An instance has options of
        its own; it may be of a class that you write.
    beta_loss : {'frobenius', 'kullback-leibler', 'itakura-saito'} or float, default 'frobenius'
        The divergence to minimise: beta is 2, 1, 0, or the number given. beta <= 0 needs an X without zeros.
    tol : float >= 0, default 1e-4
        Of the stopping rule, see `stopping`. 0: the fit does not stop early, or only where nothing is left to do.
    max_iter : int >= 1, default 500
        Most iterations.
    alpha_W : float >= 0, default 0
        Strength of the penalty on W. If X has unit u, D_beta has unit u^beta, so alpha does not mean the same across
        losses.
    alpha_H : float >= 0 or 'same', default 'same'
        Strength of the penalty on H; 'same' is alpha_W.
    l1_ratio : float from 0 to 1, default 0
        How much of the penalty is L1; the rest is L2.
    random_state : int, numpy.random.RandomState or Generator, or None, default None
        Source of randomness for `init` and `shuffle`; an int gives the same result every time. None is NumPy's global
        stream.
    verbose : int >= 0 or bool, default 0
        Above 0: a progress bar on a terminal, else a line per ten iterations, with the seconds and the objective.
    shuffle : bool, default False
        'cd', 'ahals' and 'ehals' update the components in a random order, a new one for each half of an iteration.
    engine : {'numba', 'reference'}, default 'numba'
        Compiled kernels, or plain Python that reads like the equations: the same numbers to rounding, far slower.
    trace : bool or int >= 1, default False
        Record the objective and its five terms, the violation and the time, as `result.trace`: True at every iteration,
        10 at every tenth. Each evaluation is a pass over X, which the trace's clock does not count.
    callback : callable or None, default None
        Called after every iteration with a `Step`, whose W and H are copies. The fit ends if it returns something true.
    max_time : float >= 0 or None, default None
        Seconds: the fit ends after the iteration that passes them. Counted are the solver's steps, neither compilation
        nor evaluation of the objective.
    n_threads : int >= 1 or None, default None
        Threads of the kernels; None: as many as Numba uses, or fewer if OMP_NUM_THREADS or
        `threadpoolctl.threadpool_limits` say so, and one for a small X.
    resume : Factorization or None, default None
        A result to go on from, with its factors and what its solver keeps: 50 iterations and 50 more are 100. The
        stopping rule begins anew. X, the solver and its options must be the same, and so must what stays.
    stopping : {'kkt', 'scikit-learn'}, default 'kkt'
        'kkt': stop when the relative KKT residual, see `Step.kkt`, is at most tol; looked at after the first iteration
        and then every ten. It depends neither on the start nor on the unit of X. 'scikit-learn': 'cd', 'ahals',
        'ehals', 'apg' and 'bpp' stop when the violation of the optimality conditions is at most tol times that of the
        first iteration; the others when sqrt(2 L) has fallen by less than tol times its start within ten iterations.
    missing : {'nan', 'not stored'} or None, default None
        'nan': NaN in a dense X is a missing entry. 'not stored': what a sparse X does not store is missing, as in
        ratings, and not a zero. D_beta is then the sum over the other entries. None: nothing is missing, and NaN is an
        error.
    weights : array-like or SciPy sparse, shape (n_samples, n_features) or (n_samples,), or None, default None
        How much each entry of X counts in D_beta, or each row; >= 0. An entry of weight zero is missing. Sparse
        weights are zero where they store nothing. For a sparse X whose zeros count: sparse, or one for each row, with
        beta > 0 and alpha_W = 0. Data frames for weights, W and H must be named as X is, in its order.
    fixed_W, fixed_H : array-like of bool or of int, or None, default None
        What of W or H stays as it is in the W or H that is passed, while the rest starts where `init` says: a mask of
        the factor's shape, or a list of components. With a list, W or H may have these components only. An entry that
        stays at zero is a zero by design.

    Returns
    -------
    Factorization
        With `W`, `H`, `n_iter`, `converged`, `stop_reason`, `trace`; `objective`, `kkt` and `relative_error`, computed
        when asked for; `transform`, `top_features`, `save` and `load`; the names of rows and columns, if X is a data
        frame.

    Raises
    ------
    ValueError
        X has NaN, infinity, a negative entry, no samples or no features, or is not 2-D; it has a zero and beta <= 0; it
        is so large or so small that its factors leave the range of its dtype; W or H do not fit; the solver does not
        support the problem; a parameter is out of range.
    TypeError
        A parameter has the wrong type; the dtype of W or H is not X's.
    Interrupted
        Ctrl-C, a KeyboardInterrupt; its `result` is what the fit has reached.

    Warns
    -----
    FutureWarning
        n_components was not given, and no H gives it.
    ConvergenceWarning
        max_iter was reached before the stopping rule was met, and tol > 0; or scikit-learn's rule was met far from a
        stationary point, with a relative KKT residual above 0.01.
    RuntimeWarning
        W or H were given, but are not used.
    UserWarning
        init='nndsvd' has zeros, which 'mu' can't update. No entry of a row or column of X counts: W or H stays there
        where it starts.

    Notes
    -----
    With n stored entries of X (n_samples * n_features for a dense one) and k components, an iteration of 'cd' costs
    2 n k multiply-adds and (n_samples + n_features) k^2 for the sweeps, of which 'ahals' does five and 'ehals' one test
    more; 'apg' does eight gradient steps of that cost. Of 'mu', 'mm' and 'mue' it costs 2 n k for beta = 2, 4 n k for
    beta = 1 and 6 n k for any other beta, which needs WH at all entries of a CSR too, if only a few rows at a time.
    'ccd' visits the positive entries; for beta = 1 each costs 2 k divisions and 10 k multiply-adds a sweep.

    Beyond X, W and H, memory holds the sums that chunks of rows add up: 22 MiB for a dense X and 31 MiB for a CSR at
    most, or, for one chunk alone, as much as H or twice that. 'ccd', 'apg' and 'bpp' hold X transposed too, and so do
    'mu', 'mm' and 'mue' with fixed_W.

    The result does not depend on the number of threads, to the last bit.

    References
    ----------
    A. Cichocki and A.-H. Phan (2009), Fast local algorithms for large scale nonnegative matrix and tensor
    factorizations, IEICE Transactions on Fundamentals E92-A(3), 708-721. doi:10.1587/transfun.E92.A.708

    C. Fevotte and J. Idier (2011), Algorithms for nonnegative matrix factorization with the beta-divergence, Neural
    Computation 23(9), 2421-2456. doi:10.1162/NECO_a_00168

    Examples
    --------
    >>> import numpy as np
    >>> from nmf_numba import fit
    >>> X = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.2], [4.0, 1.0], [5.0, 0.8], [6.0, 1.0]])
    >>> result = fit(X, 2, init="random", random_state=0)
    >>> result.converged, result.W.shape, result.H.shape
    (True, (6, 2), (2, 2))
    >>> bool(np.abs(X - result.W @ result.H).max() < 0.05)
    True
    """
    run = prepare(X, Options.of(locals()))
    if run.options.trace:
        run.rows = []
    try:
        step = run.last()
    except KeyboardInterrupt:
        if run.reached is None:
            raise
        W = run.reached.W if run.state is None else run.problem.outside(run.state.W, run.start_W)  # as new as H
        reached = dataclasses.replace(run.reached, W=W, _objective=None, _kkt=None)
        raise Interrupted(Factorization.of(run, reached, X)) from None
    return Factorization.of(run, step, X)


def non_negative_factorization(
    X: Any,
    W: Any = None,
    H: Any = None,
    n_components: int | Rank | Literal["warn"] | None = "warn",
    *,
    init: Init | None = SKLEARN.init,
    update_H: bool = SKLEARN.update_H,
    solver: SolverName | Solver = SKLEARN.solver,
    beta_loss: Loss | float = SKLEARN.beta_loss,
    tol: float = SKLEARN.tol,
    max_iter: int = SKLEARN.max_iter,
    alpha_W: float = SKLEARN.alpha_W,
    alpha_H: Same | float = SKLEARN.alpha_H,
    l1_ratio: float = SKLEARN.l1_ratio,
    random_state: Any = SKLEARN.random_state,
    verbose: int = SKLEARN.verbose,
    shuffle: bool = SKLEARN.shuffle,
) -> tuple[Float, Float, int]:
    """Return W, H and the number of iterations: scikit-learn's function of this name, with its signature.

    The same call with the same seed gives the same factors.

    Parameters
    ----------
    X, W, H, update_H, solver, beta_loss, alpha_W, alpha_H, l1_ratio, random_state, verbose, shuffle
        As for `fit`.
    init : {'auto', 'random', 'nndsvd', 'nndsvda', 'nndsvdar', 'custom'} or None, default None
        Where the fit starts: see `initialize`.
    tol : float >= 0, default 1e-4
        Of scikit-learn's stopping rule, see `stopping` of `fit`.
    max_iter : int >= 1, default 200
        Most iterations.
    n_components : int, 'auto' or None
        As for `fit`.

    Returns
    -------
    W : ndarray, shape (n_samples, n_components)
    H : ndarray, shape (n_components, n_features)
    n_iter : int

    Raises
    ------
    ValueError, TypeError
        As for `fit`.

    Warns
    -----
    FutureWarning, ConvergenceWarning, RuntimeWarning, UserWarning
        As for `fit`, which also gives the objective, costs and references.

    Examples
    --------
    >>> import numpy as np
    >>> from nmf_numba import non_negative_factorization
    >>> X = np.array([[1, 1], [2, 1], [3, 1.2], [4, 1], [5, 0.8], [6, 1]])
    >>> W, H, n_iter = non_negative_factorization(X, n_components=2, init="random", random_state=0)
    >>> W.shape, H.shape
    ((6, 2), (2, 2))
    """
    step = prepare(X, Options.of(locals(), stopping=SKLEARN.stopping)).last()
    return step.W, np.ascontiguousarray(step.H), step.n_iter
