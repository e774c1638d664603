"""The loop over iterations, once for every solver, and the rules that end it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nmf_numba import validation
from nmf_numba._cached import cached_property
from nmf_numba._memory import aligned_empty
from nmf_numba.initialization import make_start, mean_of
from nmf_numba.objective import Objective, evaluate, squared_error
from nmf_numba.problem import Problem, twin
from nmf_numba.solvers import get_solver
from nmf_numba.solvers.solver import Coordinate, Solver
from nmf_numba.validation import Float

TEST_EVERY = 10  # iterations between two looks at the objective


@dataclasses.dataclass(eq=False)
class Step:
    """Where a fit stands after an iteration.

    Attributes
    ----------
    n_iter : int
        Iterations done; 0 is the start.
    W : ndarray, shape (n_samples, n_components)
    H : ndarray, shape (n_components, n_features)
    violation : float
        Of the optimality conditions, summed over the entries of W and H as they were renewed. NaN at the start, and for
        solvers that do not measure it.
    seconds : float
        Wall clock of the solver's steps so far, in seconds.
    stop_reason : {None, 'tol', 'max_iter', 'max_time', 'callback'}
        Why this is the last step; None if it is not.
    half : {None, 'W', 'H'}
        With every='half': which factor was renewed. After 'W', H is still that of the iteration before.
    coordinate : Coordinate or None
        With every='coordinate': the entry that was renewed, with gradient, curvature, old and new value.
    """

    n_iter: int
    W: Float
    H: Float
    violation: float
    seconds: float
    stop_reason: str | None
    _problem: Problem = dataclasses.field(repr=False)
    _engine: str = dataclasses.field(repr=False)
    half: str | None = None
    coordinate: Coordinate | None = None
    _equations: tuple[Float, Float] | None = dataclasses.field(default=None, repr=False)

    @cached_property
    def _objective(self) -> Objective:
        data_fit = None
        if self._equations is not None and self.W.dtype == np.float64:
            data_fit = squared_error(self._problem, self.W, *self._equations, self._engine)
        return evaluate(self._problem, self.W, self.H.T, self._engine, data_fit)

    def copy(self) -> Step:
        """Return the step with W and H of its own: a fit goes on in the arrays that it hands out."""
        return dataclasses.replace(self, W=self.W.copy(), H=self.H.copy(order="C"))

    def objective(self) -> Objective:
        """Return the regularised objective at W and H. Computed when first asked for: a pass over X."""
        return self._objective


class ViolationRule:
    """Stop when the violation has fallen to tol times that of the first iteration, or was zero there."""

    def __init__(self, tol: float) -> None:
        self.tol = tol
        self.first = math.nan

    def met(self, step: Step) -> bool:
        """Look at a step, in order from the start on."""
        if step.n_iter == 1:
            self.first = step.violation
        return step.n_iter > 0 and (self.first == 0 or step.violation / self.first <= self.tol)


class ObjectiveRule:
    """Every ten iterations, stop if sqrt(2 L) has fallen by less than tol times its start. L: the whole objective."""

    def __init__(self, tol: float) -> None:
        self.tol = tol
        self.start = self.previous = math.nan

    def met(self, step: Step) -> bool:
        """Look at a step, in order from the start on."""
        if self.tol == 0 or step.n_iter % TEST_EVERY:
            return False
        now = math.sqrt(2 * step.objective().total)
        if step.n_iter == 0:
            self.start = self.previous = now
            return False
        fall, self.previous = self.previous - now, now
        return self.start == 0 or fall / self.start < self.tol


STOPPING: dict[str, type[ViolationRule] | type[ObjectiveRule]] = {
    "violation": ViolationRule,
    "objective": ObjectiveRule,
}


class Reporter:
    """What verbose shows: a progress bar on a terminal, else a line every ten iterations and at the end."""

    def __init__(self, max_iter: int) -> None:
        self.bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm  # noqa: PLC0415

            self.bar = tqdm(total=max_iter, unit="iteration")

    def report(self, step: Step) -> None:
        """Show a step."""
        due = step.n_iter % TEST_EVERY == 0 or step.stop_reason is not None
        if self.bar is not None:
            self.bar.update(step.n_iter - self.bar.n)
            if due:
                self.bar.set_postfix(objective=f"{step.objective().total:.6g}")
            if step.stop_reason is not None:
                self.bar.close()
        elif due:
            print(f"iteration {step.n_iter:4d}   {step.seconds:8.3f} s   objective {step.objective().total:.6g}")


@dataclasses.dataclass(eq=False)
class Run:
    """A validated problem, its solver and its start: all that the loop needs."""

    problem: Problem
    solver: Solver
    W: Float
    Ht: Float
    update_H: bool
    tol: float
    max_iter: int
    verbose: int
    engine: str
    n_threads: int | None
    max_time: float
    callback: Callable[[Step], object] | None
    every: str = "iteration"
    rows: list[tuple[int, float, float, Objective]] | None = None  # filled if it is a list: what a Trace is made of
    every_row: bool = True  # False: only the start, and iterations whose objective is known without a pass over X

    seconds: float = 0.0
    held: bool = False  # whether the threads are set already

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Set the threads once for all iterations: for whoever gives nobody else the word in between."""
        from nmf_numba._jit import threads  # noqa: PLC0415  (imports Numba, which takes its time)

        with threads(self.n_threads):
            self.held = True
            try:
                yield
            finally:
                self.held = False

    def last(self, warning: type[Warning] = validation.ConvergenceWarning) -> Step:
        """Go through all iterations and return the last; warn if max_iter came before the stopping rule was met."""
        with self.hold():
            for step in self.steps():  # noqa: B007  (the last one is the result)
                pass
        if step.stop_reason == "max_iter" and self.tol > 0:
            validation.warn_not_converged(self.max_iter, self.tol, warning)
        return step

    def step(self, n_iter: int, violation: float, **more: Any) -> Step:
        """Return where the run stands; W and H are views of arrays that the next iteration changes."""
        return Step(n_iter, self.W, self.Ht.T, violation, self.seconds, None, self.problem, self.engine, **more)

    def timed(self, move: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """Do a part of an iteration while the clock runs."""
        if not self.held:
            with self.hold():
                return self.timed(move, *arguments, **more)
        before = time.perf_counter()
        with np.errstate(all="ignore"):  # what overflows is refused by check_finite
            result = move(*arguments, **more)
        self.seconds += time.perf_counter() - before
        return result

    def measured_row_pass(self) -> tuple[float, Any]:
        """Do a row pass that measures the divergence before it, for the trace's last row, off the clock."""
        before = self.seconds
        violation, sums, divergence, share = self.timed(
            self.solver.measured_row_pass, self.W, self.Ht, update_H=self.update_H
        )
        self.seconds -= share * (self.seconds - before)
        rows = self.rows or []
        n_iter, seconds, last_violation, terms = rows[-1]
        if math.isnan(terms.data_fit):
            known = Objective(divergence, terms.l1_W, terms.l1_H, terms.l2_W, terms.l2_H)
            rows[-1] = (n_iter, seconds, last_violation, known)
        return violation, sums

    def why_last(self, step: Step, met: bool) -> str | None:
        """Return why this is the last step, if it is."""
        if met:
            return "tol"
        if step.n_iter > 0 and self.callback is not None and self.callback(step.copy()):
            return "callback"
        if step.n_iter == self.max_iter:
            return "max_iter"
        return "max_time" if step.n_iter > 0 and step.seconds >= self.max_time else None

    def shortcut(self, sums: Any) -> float | None:
        """Return the divergence if it takes no pass over X: the Frobenius loss, from sums that update H."""
        if self.problem.beta != 2 or not self.update_H:
            return None
        equations = self.solver.normal_equations(sums)
        return None if equations is None else squared_error(self.problem, self.Ht, *equations, self.engine)

    def measured(self, step: Step, data_fit: float | None) -> Objective:
        """Return the objective for the trace: from what is known, or in X's precision."""
        if "_objective" in vars(step):  # the stopping rule has asked for it
            return step.objective()
        return evaluate(self.problem, self.W, self.Ht, self.engine, data_fit, self.problem.X.dtype)

    def is_row(self, step: Step, data_fit: float | None) -> bool:
        """Return whether the trace has a row for a step."""
        return self.every_row or step.n_iter == 0 or data_fit is not None or "_objective" in vars(step)

    def steps(self) -> Iterator[Step]:
        """Yield the start and every iteration after it, or more often if `every` says so."""
        rule = STOPPING[self.solver.stopping](self.tol)
        reporter = Reporter(self.max_iter) if self.verbose else None
        solver, W, Ht, violation, data_fit = self.solver, self.W, self.Ht, math.nan, None
        measures = self.rows is not None and self.every_row and self.engine == "numba" and solver.measures
        if self.engine == "numba":
            self.timed(solver.warm_up, W, Ht, update_H=self.update_H, measured=measures)
        self.seconds = 0.0
        equations = None if self.update_H else self.timed(solver.equations_of_W, Ht)
        for n_iter in range(self.max_iter + 1):
            if n_iter > 0 and self.every == "coordinate":
                violation = 0.0
                entries = solver.coordinates(W, Ht, update_H=self.update_H)
                while (coordinate := self.timed(next, entries, None)) is not None:
                    violation += coordinate.violation
                    yield self.step(n_iter, violation, coordinate=coordinate)
            elif n_iter > 0:
                if measures:
                    violation, sums = self.measured_row_pass()
                elif equations is None:
                    violation, sums = self.timed(solver.row_pass, W, Ht, update_H=self.update_H)
                else:
                    violation, sums = self.timed(solver.renew, W, equations), None
                if self.every == "half":
                    yield self.step(n_iter, violation, half="W")
                if self.update_H:
                    violation += self.timed(solver.update, Ht, sums)
                data_fit = self.shortcut(sums) if self.rows is not None else None
                del sums  # its memory is used again
            validation.check_finite((W, Ht) if self.update_H else (W,), n_iter)
            half = "H" if self.every == "half" and self.update_H and n_iter > 0 else None
            step = self.step(n_iter, violation, half=half, _equations=equations)
            step.stop_reason = self.why_last(step, rule.met(step))
            if reporter is not None:
                reporter.report(step)
            if self.rows is not None and self.is_row(step, data_fit):
                if measures and step.stop_reason is None and "_objective" not in vars(step):
                    data_fit = math.nan  # the next row pass finds it
                self.rows.append((n_iter, step.seconds, violation, self.measured(step, data_fit)))
            yield step
            if step.stop_reason is not None:
                return


def prepare(
    X: Any,
    n_components: Any,
    *,
    W: Any,
    H: Any,
    init: Any,
    update_H: Any,
    solver: Any,
    beta_loss: Any,
    tol: Any,
    max_iter: Any,
    alpha_W: Any,
    alpha_H: Any,
    l1_ratio: Any,
    random_state: Any,
    verbose: Any,
    shuffle: Any,
    engine: Any,
    n_threads: Any,
    max_time: Any,
    callback: Any,
    every: Any = "iteration",
) -> Run:
    """Check every argument, and make the problem, its solver and its start."""
    solver_class = get_solver(solver)
    beta = validation.check_beta(beta_loss)
    alphas = validation.check_alphas(alpha_W, alpha_H, l1_ratio)
    tol = validation.check_number("tol", tol, low=0, accepted="a number >= 0")
    max_iter = validation.check_integer("max_iter", max_iter, low=1, accepted="an integer >= 1")
    verbose = validation.check_verbose(verbose)
    update_H, shuffle = validation.check_flag("update_H", update_H), validation.check_flag("shuffle", shuffle)
    init = validation.check_init(init)
    engine = validation.check_choice("engine", engine, validation.ENGINES)
    if n_threads is not None:
        from nmf_numba._jit import most_threads  # noqa: PLC0415  (imports Numba, which takes its time)

        n_threads = validation.check_n_threads(n_threads, most_threads())
    max_time, callback = validation.check_max_time(max_time), validation.check_callback(callback)
    every = validation.check_every(every, engine)
    validation.check_random_state(random_state)

    problem = Problem.scaled(validation.check_X(X), beta, *alphas)
    refusal = solver_class.supports(problem)
    if refusal is not None:
        validation.refuse(solver, refusal)
    validation.check_zeros(problem.X, beta)
    largest = problem.largest
    if largest > 0:
        validation.check_scale(largest, "X", problem.X.dtype, beta, solver)
        validation.check_above_floor(largest, beta, solver)
    validation.check_penalties((problem.l1_W, problem.l1_H, problem.l2_W, problem.l2_H), problem.X.dtype)

    X = problem.X
    if init == "custom" or not update_H:
        W, H, n_components = validation.check_custom(X, W, H, n_components, update_H=update_H)
        if W is None:
            fill = 0.0 if solver == "cd" else math.sqrt(mean_of(X) / n_components)
            W = np.full((X.shape[0], n_components), fill, X.dtype)
    else:
        if W is not None or H is not None:
            validation.warn_ignored()
        n_components = validation.check_n_components(n_components, X.shape[1], given=None)
        if init == "nndsvd" and solver == "mu":
            validation.warn_zeros_stay()
        W, H = make_start(X, n_components, init, random_state)

    if largest > 0 and (update_H or solver != "cd"):  # else W starts at zero
        start = float(W.max()) * float(H.max())
        validation.check_scale(start, f"W @ H at the start (init={init!r})", X.dtype, beta, solver)

    rng = validation.check_random_state(random_state)
    functions = twin(solver_class.__module__.rpartition(".")[0], engine)
    instance = solver_class(problem, n_components, functions, shuffle=shuffle, rng=rng)
    W, Ht = np.ascontiguousarray(W), aligned_empty(H.T.shape, H.dtype)
    Ht[:] = H.T
    if every == "coordinate" and solver_class.coordinates is Solver.coordinates:
        validation.refuse_coordinates(solver)
    return Run(problem, instance, W, Ht, update_H, tol, max_iter, verbose, engine, n_threads, max_time, callback, every)


def iterate(
    X: Any,
    n_components: int | str | None = "auto",
    *,
    W: Any = None,
    H: Any = None,
    init: str | None = None,
    update_H: bool = True,
    solver: str = "cd",
    beta_loss: float | str = "frobenius",
    tol: float = 1e-4,
    max_iter: int = 200,
    alpha_W: float = 0.0,
    alpha_H: float | str = "same",
    l1_ratio: float = 0.0,
    random_state: Any = None,
    verbose: int = 0,
    shuffle: bool = False,
    engine: str = "numba",
    n_threads: int | None = None,
    max_time: float | None = None,
    callback: Callable[[Step], object] | None = None,
    every: str = "iteration",
) -> Iterator[Step]:
    """Yield a `Step` for the start and for every iteration of a fit.

    Nothing is hidden: each step has W and H as they are then, and the last one says why it is the last.

    Parameters
    ----------
    X, n_components, W, H, init, update_H, solver, beta_loss, tol, max_iter, alpha_W, alpha_H, l1_ratio, random_state, \
verbose, shuffle, engine, n_threads, max_time, callback
        As for `fit`.
    every : {'iteration', 'half', 'coordinate'}, default 'iteration'
        'half': there is a step after W is renewed, and one after H is. 'coordinate', for 'cd' with engine='reference':
        also one after every single entry is renewed, with its component, row, gradient, curvature, old and new value.

    Yields
    ------
    Step
        With `n_iter` (0 is the start), `W`, `H`, `violation`, `seconds`, `stop_reason`, `half`, `coordinate` and the
        method `objective`, which computes nothing before it is asked. W and H are copies, yours to keep.

    Raises
    ------
    ValueError, TypeError
        As for `fit`, when `iterate` is called, not later.

    Warns
    -----
    RuntimeWarning, UserWarning
        As for `fit`. There is no ConvergenceWarning: the last step's `stop_reason` says it.

    Notes
    -----
    An iteration costs what it costs in `fit`, and a copy of W and H.

    Examples
    --------
    >>> from nmf_numba import iterate
    >>> X = [[1.0, 2.0, 3.0], [2.0, 4.0, 7.0], [1.0, 0.0, 1.0]]
    >>> for step in iterate(X, 1, engine="reference", init="random", max_iter=3, random_state=0):
    ...     print(step.n_iter, f"{step.objective().total:.4f}", step.stop_reason)
    0 64.2618 None
    1 0.7479 None
    2 0.4396 None
    3 0.4396 max_iter

    The entries of W and H that HALS renews in its first iteration, one after the other:

    >>> steps = iterate(X, 1, engine="reference", init="random", max_iter=1, random_state=0, every="coordinate")
    >>> for step in steps:
    ...     entry = step.coordinate
    ...     if entry is not None and entry.factor == "W":
    ...         print(entry.row, entry.component, f"{entry.old:.3f} -> {entry.new:.3f}")
    0 0 3.423 -> 0.851
    1 0 2.853 -> 1.854
    2 0 1.493 -> 0.424
    """
    run = prepare(
        X,
        n_components,
        W=W,
        H=H,
        init=init,
        update_H=update_H,
        solver=solver,
        beta_loss=beta_loss,
        tol=tol,
        max_iter=max_iter,
        alpha_W=alpha_W,
        alpha_H=alpha_H,
        l1_ratio=l1_ratio,
        random_state=random_state,
        verbose=verbose,
        shuffle=shuffle,
        engine=engine,
        n_threads=n_threads,
        max_time=max_time,
        callback=callback,
        every=every,
    )
    return (step.copy() for step in run.steps())
