"""Several solvers on one problem, from one start, by one clock."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import numbers
import statistics
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nmf_numba import factorization, validation
from nmf_numba.factorization import fit
from nmf_numba.gradient.residual import kkt_residual
from nmf_numba.loop import Run, prepare
from nmf_numba.losses.objective import evaluate
from nmf_numba.observations import Missing, observe
from nmf_numba.options import DEFAULT, Options, check_solver
from nmf_numba.plotting import plot_convergence
from nmf_numba.problem import Problem
from nmf_numba.result import Factorization
from nmf_numba.solvers import SOLVERS
from nmf_numba.solvers.solver import Solver
from nmf_numba.table import Table
from nmf_numba.trace import Trace
from nmf_numba.validation import Engine, Init, Loss, Rank, Same, SolverName, Stopping

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SKLEARN, SKLEARN_SOLVERS = "scikit-learn", ("cd", "mu")
WITHIN = (0.1, 0.01, 0.001)  # of the best objective found


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    results : dict of str to Factorization
        By the name of the run; each has its factors and its trace.
    refusals : dict of str to str
        Runs that can't be done, and why.
    """

    results: dict[str, Factorization]
    refusals: dict[str, str]

    @property
    def traces(self) -> dict[str, Trace]:
        """The trace of each run."""
        return {name: result.trace for name, result in self.results.items() if result.trace is not None}

    @property
    def best(self) -> float:
        """The lowest objective that any run has reached."""
        return min((float(trace.objective.min()) for trace in self.traces.values()), default=math.nan)

    def reached(self, name: str, share: float) -> tuple[int, float] | None:
        """Return the iterations and seconds until a run is near the best objective found, or None if it never is.

        Near: at most 1 + share times the best of all runs.
        """
        trace = self.traces[validation.check_choice("name", name, self.traces)]
        near = np.flatnonzero(trace.objective <= (1 + share) * self.best)
        return (int(trace.iteration[near[0]]), float(trace.seconds[near[0]])) if len(near) else None

    def table(self) -> Table:
        """Return a table: for each run the iterations and seconds until it is near the best objective found.

        "To 1 %": until the objective is at most 1.01 times the best of all runs. A dash: the run never got there.
        Seconds are wall clock of solver steps. A better run moves the goal for all others.
        """
        header = ["run", "iterations", "seconds", "objective", "KKT residual", "stopped by"]
        for share in WITHIN:
            header += [f"{what} to {100 * share:g} %" for what in ("iterations", "seconds")]
        rows: list[list[str]] = []
        for name, trace in self.traces.items():
            last = [f"{trace.iteration[-1]}", f"{trace.seconds[-1]:.3g}", f"{trace.objective.min():.6g}"]
            last.append(f"{trace.kkt[-1]:.1e}")
            rows.append([name, *last, self.results[name].stop_reason])
            for share in WITHIN:
                there = self.reached(name, share)
                rows[-1] += ["-", "-"] if there is None else [f"{there[0]}", f"{there[1]:.3g}"]
        rows += [[name, f"refused: {reason}"] for name, reason in self.refusals.items()]
        return Table(header, rows)

    def plot(self, x: str = "seconds", *, y: str = "objective", ax: Axes | None = None) -> Axes:
        """Return an Axes with one line per run: see `plot_convergence`. `plot_comparison` draws four panels."""
        return plot_convergence(self.traces, x=x, y=y, ax=ax)

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def compare(
    X: Any,
    n_components: int | Rank | None = DEFAULT.n_components,
    *,
    solvers: Iterable[SolverName | Solver] | None = None,
    beta_loss: Loss | float = DEFAULT.beta_loss,
    engines: Iterable[Engine | Literal["scikit-learn"]] = ("numba",),
    W: Any = DEFAULT.W,
    H: Any = DEFAULT.H,
    init: Init | None = DEFAULT.init,
    max_time: float | None = DEFAULT.max_time,
    max_iter: int = 200,
    tol: float = 0.0,
    alpha_W: float = DEFAULT.alpha_W,
    alpha_H: Same | float = DEFAULT.alpha_H,
    l1_ratio: float = DEFAULT.l1_ratio,
    random_state: Any = DEFAULT.random_state,
    shuffle: bool = DEFAULT.shuffle,
    n_threads: int | None = DEFAULT.n_threads,
    trace: bool | int = True,
    stopping: Stopping = DEFAULT.stopping,
    missing: Missing | None = DEFAULT.missing,
    weights: Any = DEFAULT.weights,
) -> Comparison:
    """Return how several solvers converge on one problem, from one start, by one clock.

    All minimise the same regularised objective, see `fit`. The clock runs during the solvers' steps only: compilation
    comes before, and while the objective is evaluated it stands still.

    Parameters
    ----------
    X, n_components, beta_loss, W, H, init, alpha_W, alpha_H, l1_ratio, random_state, shuffle, n_threads, \
stopping, missing, weights
        As for `fit`. The start is made once, and every run starts from a copy of it, and shuffles by a copy of what is
        then left of random_state.
    solvers : iterable of str or Solver, or None, default None
        Names of solvers, or instances; None: all of `SOLVERS`. One that does not support the problem is listed with its
        reason.
    engines : iterable of {'numba', 'reference', 'scikit-learn'}, default ('numba',)
        Every solver runs once with each. 'scikit-learn', where it is installed, is fitted anew for 1, 2, 3, 5, 8, 13,
        ... iterations, since it keeps no history; each of these fits is timed as a whole, checks included.
    max_time : float >= 0 or None, default None
        Seconds for each run.
    max_iter : int >= 1, default 200
        Most iterations of each run.
    tol : float >= 0, default 0
        Tolerance of the stopping rules. 0: a run ends by max_time or max_iter.
    trace : True or int >= 1, default True
        Evaluate the objective at every iteration, or every so many.

    Returns
    -------
    Comparison
        With `results`, `traces`, `refusals`, `best`, `table()` and `plot()`.

    Raises
    ------
    ValueError, TypeError
        As for `fit`; an engine or a solver is not known; every run is refused.

    Warns
    -----
    FutureWarning, RuntimeWarning, UserWarning
        As for `fit`.

    Notes
    -----
    Time on a machine that does other work is not a property of a solver: compare the iterations too, and repeat.

    Examples
    --------
    >>> from nmf_numba import compare
    >>> from nmf_numba.datasets import load_digits
    >>> comparison = compare(load_digits().X[:50], 4, solvers=["cd", "mu"], max_iter=20, random_state=0)
    >>> list(comparison.traces)
    ['cd', 'mu']
    >>> compare(load_digits().X[:50], 4, solvers=["cd", "mu"], beta_loss=1, max_iter=5, random_state=0).refusals
    {'cd': "beta_loss = 1.0, only 'frobenius'. Use solver='mu'."}
    """
    options = Options.of(locals(), solver=DEFAULT.solver)
    names, engines = _names("solvers", SOLVERS if solvers is None else solvers), _names("engines", engines)
    validation.refuse_engines_as_solvers(names, (*validation.ENGINES, SKLEARN))
    for engine in engines:
        validation.check_choice("engines", engine, (*validation.ENGINES, SKLEARN))
    if validation.check_trace(trace) == 0:
        raise ValueError("trace must be True or an integer >= 1: a comparison is made of traces. Found False.")
    problem = Problem(beta=validation.check_beta(beta_loss), **observe(X, missing, weights))
    chosen: dict[str, Solver] = {}
    for solver in map(check_solver, names):
        chosen[repr(solver) if chosen.get(solver.name, solver) != solver else solver.name] = solver
    refusals = {name: solver.supports(problem) for name, solver in chosen.items()}
    able = {name: solver for name, solver in chosen.items() if refusals[name] is None}
    reasons = {name: reason for name, reason in refusals.items() if reason is not None}
    if not able:
        raise ValueError("No solver can do this: " + " ".join(f"{name}: {why}" for name, why in reasons.items()))
    first, *others = able.values()
    if init == "nndsvd":
        for solver in others:
            if solver.keeps_zeros:
                validation.warn_zeros_stay(solver.name)

    run = prepare(X, dataclasses.replace(options, solver=first))
    options = dataclasses.replace(
        options, W=run.problem.outside(run.W, run.start_W), H=np.ascontiguousarray(run.Ht.T), init="custom"
    )
    if not isinstance(random_state, numbers.Integral):  # all runs shuffle alike: each has a copy of the stream
        options = dataclasses.replace(options, random_state=validation.check_random_state(random_state))
    results = {}
    for solver_name, solver in able.items():
        for engine in engines:
            name = solver_name if len(engines) == 1 else f"{solver_name}, {engine}"
            reason = _sklearn_supports(problem, solver) if engine == SKLEARN else None
            if reason is not None:
                reasons[name] = reason
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that max_iter was reached is what is asked for here
                if engine == SKLEARN:
                    results[name] = _fit_sklearn(run, dataclasses.replace(options, solver=solver.name))
                else:
                    stream = copy.deepcopy(options.random_state)
                    chosen_options = dataclasses.replace(options, solver=solver, engine=engine, random_state=stream)
                    fields = {f.name: getattr(chosen_options, f.name) for f in dataclasses.fields(chosen_options)}
                    del fields["every"]
                    results[name] = fit(X, **fields)
    return Comparison(results, reasons)


def table_of_starts(
    comparisons: Mapping[str, Sequence[Comparison]], shares: Iterable[float] = (0.01, 0.001, 0.0001)
) -> Table:
    """Return a table of how soon, and from how many starts, each run is near the best objective found.

    A line for each case and share: "3.1 ms (4)" is the median of the times, over the four starts from which the run got
    there, and those only; "-" that it never did. Before them is the run that got there from most starts, and the first
    of them if there are several.

    Parameters
    ----------
    comparisons : mapping of str to sequence of Comparison
        For each case, by its name, what `compare` returned for several starts.
    shares : iterable of float, default (0.01, 0.001, 0.0001)
        Near: at most 1 + share times the best objective of all runs from that start.

    Returns
    -------
    Table

    Examples
    --------
    >>> from nmf_numba import compare, table_of_starts
    >>> from nmf_numba.datasets import load_digits
    >>> X, options = load_digits().X[:50], {"solvers": ["cd", "mu"], "max_iter": 30}
    >>> starts = [compare(X, 4, init="random", random_state=seed, **options) for seed in range(3)]
    >>> table = table_of_starts({"50 digits": starts}, [0.001])
    >>> table.header
    ['case', 'near', 'most starts, then first', 'cd', 'mu']
    >>> table.rows[0][2], table.rows[0][4]
    ('cd', '-')
    """
    names = list(dict.fromkeys(name for starts in comparisons.values() for each in starts for name in each.traces))
    rows = []
    for (case, starts), share in itertools.product(comparisons.items(), shares):
        found = {name: [each.reached(name, share) for each in starts if name in each.traces] for name in names}
        seconds = {name: [there[1] for there in each if there is not None] for name, each in found.items()}
        medians = {name: statistics.median(each) for name, each in seconds.items() if each}
        cells = [f"{1000 * medians[name]:.3g} ms ({len(seconds[name])})" if name in medians else "-" for name in names]
        first = min(medians, key=lambda name: (-len(seconds[name]), medians[name]), default="-")
        rows.append([case, f"{100 * share:g} %", first, *cells])
    return Table(["case", "near", "most starts, then first", *names], rows)


def _names(argument: str, names: Any) -> list[Any]:
    listed = [names] if isinstance(names, (str, Solver)) else list(names)
    if not listed:
        raise ValueError(f"{argument} is empty. Name at least one.")
    return listed


def _sklearn_supports(problem: Problem, solver: Solver) -> str | None:
    """Return None if scikit-learn has this, else why not: see `Solver.supports`."""
    if solver.name not in SKLEARN_SOLVERS:
        return f"scikit-learn has no solver {solver.name!r}."
    if problem.observed or problem.row_weights is not None:
        return "scikit-learn has neither missing entries nor weights."
    return None


def _fit_sklearn(run: Run, options: Options) -> Factorization:
    """Fit scikit-learn's function for more and more iterations, and evaluate what it returns."""
    validation.check_installed("sklearn", "engines = 'scikit-learn'")
    from sklearn.decomposition import non_negative_factorization  # noqa: PLC0415  (an extra)

    if non_negative_factorization is factorization.non_negative_factorization:
        raise RuntimeError(
            "engines = 'scikit-learn' would compare this package with itself: nmf_numba.patch() has replaced "
            "scikit-learn's function. Call its undo() first, or leave the engine out."
        )
    names = ["init", "solver", "beta_loss", "tol", "alpha_W", "alpha_H", "l1_ratio", "shuffle"]
    keywords = {name: getattr(options, name) for name in names}
    rows = [(0, 0.0, math.nan, evaluate(run.problem, run.W, run.Ht), kkt_residual(run.problem, run.W, run.Ht))]
    n_iter, following, seconds = 1, 2, 0.0
    while True:
        start = {"W": options.W.copy(), "H": options.H.copy()}  # they are changed in place
        stream = copy.deepcopy(options.random_state)  # each of these fits is the beginning of the next
        if isinstance(stream, np.random.Generator):  # which scikit-learn does not take
            stream = np.random.RandomState(stream.bit_generator)
        before = time.perf_counter()
        with np.errstate(all="ignore"):  # as for our own solvers
            W, H, done = non_negative_factorization(
                run.problem.X,
                **start,
                n_components=options.W.shape[1],
                max_iter=n_iter,
                random_state=stream,
                **keywords,
            )
        seconds = max(seconds, time.perf_counter() - before)
        rows.append((done, seconds, math.nan, evaluate(run.problem, W, H.T), kkt_residual(run.problem, W, H.T)))
        if done < n_iter or n_iter == options.max_iter or seconds >= run.options.max_time:
            break
        n_iter, following = min(following, options.max_iter), n_iter + following
    reason = "tol" if done < n_iter else "max_iter" if n_iter == options.max_iter else "max_time"
    parameters = {"solver": f"{options.solver}, {SKLEARN}"} | {name: getattr(options, name) for name in names[2:7]}
    return Factorization(W, np.ascontiguousarray(H), done, reason, Trace.of(rows), parameters, _problem=run.problem)
