"""The loop over iterations, once for every solver."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import numbers
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Literal

import numpy as np

from nmf_numba import containers, validation
from nmf_numba.gradient.residual import kkt_residual
from nmf_numba.initialization import make_start
from nmf_numba.losses.objective import Objective, evaluate
from nmf_numba.names import refuse_other_factors
from nmf_numba.observations import Missing, check_entries, check_fixed, check_given, observe, with_scaled_rows
from nmf_numba.options import DEFAULT, Options
from nmf_numba.problem import CHUNK_WORK, Float, Problem
from nmf_numba.solvers.solver import Coordinate, Solver, State
from nmf_numba.stopping import FAR, STOPPING, TEST_EVERY
from nmf_numba.validation import Engine, Every, Init, Loss, Rank, Same, SolverName, Stopping

WARM_UP_ROWS = 4096  # of H transposed: so many that it is updated in chunks
SAY_AFTER = 1.0  # seconds of compilation

_compiled: set[tuple[Any, ...]] = set()  # kinds of problems that this process has compiled for
_said: list[str] = []


@dataclasses.dataclass(eq=False, slots=True)
class Step:
    """Where a fit stands after an iteration.

    Attributes
    ----------
    n_iter : int
        Iterations done; 0 is the start.
    W : ndarray, shape (n_samples, n_components)
    H : ndarray, shape (n_components, n_features)
    violation : float
        Of the optimality conditions, summed over the entries of W and H as they were updated. NaN at the start, and for
        solvers that do not measure it.
    seconds : float
        Wall clock of the solver's steps so far, in seconds.
    stop_reason : {None, 'tol', 'max_iter', 'max_time', 'callback'}
        Why this is the last step; None if it is not.
    half : {None, 'W', 'H'}
        With every='half': which factor was updated. After 'W', H is still that of the iteration before.
    coordinate : Coordinate or None
        With every='coordinate': the entry that was updated, with gradient, curvature, old and new value.
    """

    n_iter: int
    W: Float
    H: Float
    violation: float
    seconds: float
    stop_reason: str | None
    _problem: Problem = dataclasses.field(repr=False)
    half: str | None = None
    coordinate: Coordinate | None = None
    _objective: Objective | None = dataclasses.field(default=None, repr=False)
    _kkt: float | None = dataclasses.field(default=None, repr=False)

    def copy(self) -> Step:
        """Return the step with W and H of its own: a fit goes on in the arrays that it hands out."""
        return dataclasses.replace(self, W=self.W.copy(), H=self.H.copy(order="C"))

    def objective(self) -> Objective:
        """Return the regularised objective at W and H. Computed when first asked for: a pass over X."""
        if self._objective is None:
            self._objective = evaluate(self._problem, self._problem.inside(self.W), self.H.T)
        return self._objective

    def kkt(self) -> float:
        """Return the relative KKT residual at W and H, from 0, a stationary point, to 1. Computed when first asked for.

        The gradient of the objective is a difference P - N of non-negative parts. Its entries count as they are where
        an entry of W or H should grow, and where it should shrink in proportion to the entry, up to the mean of its
        column of W or row of H: at zero nothing is left. Their sum, divided by that of P + N, whose entries count
        alike, has no unit. A pass over X, which costs about as much as an iteration.
        """
        if self._kkt is None:
            self._kkt = kkt_residual(self._problem, self._problem.inside(self.W), self.H.T)
        return self._kkt


class Reporter:
    """What verbose shows: a progress bar on a terminal, else a line every ten iterations and at the end."""

    def __init__(self, max_iter: int) -> None:
        self.bar: Any = None
        if getattr(sys.stderr, "isatty", bool)():  # None in a program without a console
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
    rng: Any
    options: Options
    state: State | None = None  # where a resumed fit goes on
    start_W: Float | None = None  # the user's, if W is another
    rows: list[tuple[int, float, float, Objective, float]] | None = (
        None  # filled if it is a list: what a Trace is made of
    )

    seconds: float = 0.0
    held: bool = False  # whether the threads are set already
    reached: Step | None = None  # the last step, also if Ctrl-C comes

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Set the threads, and what NumPy does about overflow, for as long as no code of the user's runs."""
        if self.held:
            yield
            return
        from nmf_numba.compiled.threads import threads  # noqa: PLC0415  (imports Numba, which takes its time)

        k, n_threads = self.W.shape[1], self.options.n_threads
        one_chunk = len(self.problem.bounds(k)) == 2
        is_small = self.problem.cost(k) * k < self.solver.worth_threads * CHUNK_WORK
        number = 1 if one_chunk or (is_small and n_threads is None) else n_threads
        is_numba = self.problem.engine == "numba"
        # What overflows is refused by check_finite.
        with threads(number) if is_numba else contextlib.nullcontext(), np.errstate(all="ignore"):
            self.held = True
            try:
                yield
            finally:
                self.held = False

    def hold_all(self) -> contextlib.AbstractContextManager[None]:
        """Set them once for all iterations, or with a callback, which must not feel them, for each."""
        return self.hold() if self.options.callback is None else contextlib.nullcontext()

    def last(self, warning: type[Warning] = validation.ConvergenceWarning) -> Step:
        """Go through all iterations and return the last; warn if max_iter came before the stopping rule was met."""
        with self.hold_all():
            for step in self.steps():  # noqa: B007  (the last one is the result)
                pass
            far = step.stop_reason == "tol" and self.problem.update_H and step.kkt() > FAR
        if far and self.options.stopping != "kkt":
            validation.warn_far_from_stationary(step.n_iter, step.kkt(), warning)
        if step.stop_reason == "max_iter" and self.options.tol > 0:
            validation.warn_not_converged(self.options.max_iter, self.options.tol, warning)
        return step

    def timed(self, move: Callable[..., Any], *arguments: Any) -> Any:
        """Do a part of an iteration while the clock runs."""
        if not self.held:
            with self.hold():
                return self.timed(move, *arguments)
        before = time.perf_counter()
        result = move(*arguments)
        self.seconds += time.perf_counter() - before
        return result

    def warm_up(self) -> None:
        """Compile what an iteration needs: do one on a tiny problem of the same types, in chunks if this one is."""
        problem, k = self.problem, self.W.shape[1]
        if problem.engine == "reference":
            return
        several, n_features = len(problem.bounds(k)) > 2, min(len(self.Ht), WARM_UP_ROWS)
        types = problem.layout, problem.X.dtype, problem.arrays[0].dtype, problem.beta, problem.update_H
        counted = problem.missing, problem.weights is None, problem.fixed_W is None, problem.fixed_H is None
        kind = (repr(self.solver), *types, *counted, several, n_features == WARM_UP_ROWS)
        if kind in _compiled:
            return
        tiny = problem.tiny(n_features)
        for part, n_rows in ((tiny, 2), (tiny.transposed, n_features)):
            part.set_bounds(k, [0, 1, n_rows] if several else [0, n_rows])
        start = np.ones((2, k), self.W.dtype), np.ones((n_features, k), self.W.dtype)
        timer = threading.Timer(SAY_AFTER, _say_that_it_compiles)
        timer.start()
        try:
            self.timed(lambda: self.solver.step(tiny, self.solver.init(tiny, *start, np.random.RandomState(0))))
        finally:
            timer.cancel()
        _compiled.add(kind)

    def parts(self, n_iter: int, state: State) -> Generator[Step, None, tuple[State, str | None]]:
        """Do one iteration and yield a step for each part of it that `every` wants to see but the last.

        It returns the state after the iteration, and which half the last part was.
        """
        if self.options.every == "coordinate":
            entries, violation = self.solver.coordinates(self.problem, state), 0.0
            while (coordinate := self.timed(next, entries, None)) is not None:
                violation += coordinate.violation
                yield self.step(n_iter, state, violation, coordinate=coordinate)
            state.violation = violation
            return state, None
        halves, last = self.solver.halves(self.problem, state), "H" if self.problem.update_H else "W"
        half, state = self.timed(next, halves)
        while half not in (last, None):
            yield self.step(n_iter, state, state.violation, half=half)
            half, state = self.timed(next, halves)
        self.timed(list, halves)  # nothing is left but what a solver does after its last half
        return state, half

    def step(self, n_iter: int, state: State, violation: float, **more: Any) -> Step:
        """Return where the run stands; W and H are views of arrays that the next iteration changes."""
        W = self.problem.outside(state.W, self.start_W)
        return Step(n_iter, W, state.Ht.T, violation, self.seconds, None, self.problem, **more)

    def check_finite(self, n_iter: int, state: State) -> None:
        """Refuse factors that have overflowed."""
        validation.check_finite((state.W, state.Ht) if self.problem.update_H else (state.W,), n_iter)

    def why_last(self, step: Step, met: bool) -> str | None:
        """Return why this is the last step, if it is."""
        if met:
            return "tol"
        if step.n_iter > 0 and self.options.callback is not None and self.options.callback(step.copy()):
            return "callback"
        if step.n_iter == self.options.max_iter:
            return "max_iter"
        return "max_time" if step.n_iter > 0 and step.seconds >= self.options.max_time else None

    def record(self, step: Step) -> None:
        """Add a row to the trace: every so many iterations, for the last, and where the objective is known already."""
        due = self.options.trace and step.n_iter % self.options.trace == 0
        if self.rows is not None and (due or step.stop_reason is not None or step._objective is not None):
            kkt = step.kkt() if due or step.stop_reason is not None else math.nan
            self.rows.append((step.n_iter, step.seconds, step.violation, step.objective(), kkt))

    def steps(self) -> Iterator[Step]:
        """Yield the start and every iteration after it, or more often if `every` says so."""
        options, problem = self.options, self.problem
        rule = STOPPING["kkt" if options.stopping == "kkt" else self.solver.stopping](options.tol)
        reporter = Reporter(options.max_iter) if options.verbose else None
        self.warm_up()
        self.seconds = 0.0
        state = self.state or self.timed(self.solver.init, problem, self.W, self.Ht, self.rng)
        state.violation = math.nan
        for n_iter in range(options.max_iter + 1):
            half = None
            if n_iter > 0 and options.every == "iteration":
                state = self.timed(self.solver.step, problem, state)
            elif n_iter > 0:
                state, half = yield from self.parts(n_iter, state)
            self.state = state
            step = self.step(n_iter, state, state.violation, half=half)
            due = n_iter % TEST_EVERY == 0
            if due:
                self.check_finite(n_iter, state)
            with self.hold():
                met = rule.met(step)
            step.stop_reason = self.why_last(step, met)
            if step.stop_reason is not None and not due:
                self.check_finite(n_iter, state)
            if reporter is not None:
                reporter.report(step)
            self.record(step)
            self.reached = step
            yield step
            if step.stop_reason is not None:
                return


def _say_that_it_compiles() -> None:
    if not _said and sys.stderr is not None:
        _said.append(
            "nmf-numba compiles its loops for this kind of data, once on this machine; this takes some seconds."
        )
        print(_said[0], file=sys.stderr, flush=True)


def prepare(X: Any, options: Options) -> Run:
    """Check every argument, and make the problem, its solver and its start."""
    names = containers.column_names(X)
    refuse_other_factors(X, options.W, options.H)
    given, options = options, options.checked()
    beta = options.beta_loss
    alphas = options.alpha_W, options.alpha_H, options.l1_ratio
    observed = observe(X, options.missing, options.weights)
    X = observed.pop("X")
    problem = Problem.scaled(X, beta, *alphas, update_H=options.update_H, engine=options.engine, **observed)
    plain, options = _with_fixed(problem, options)
    if options.stopping == "kkt":
        plain = plain.in_its_unit()
    problem = with_scaled_rows(plain)
    solver = options.solver_for(problem)
    options = dataclasses.replace(options, solver=solver)
    refusal = solver.supports(problem)
    if refusal is not None:
        validation.refuse(solver.name, refusal)
    validation.check_zeros(X, beta, has_missing=problem.missing)
    if problem.observed or problem.row_scale is not None:
        check_entries(problem, names)
    largest, degree = problem.largest, solver.degree(problem)
    if largest > 0:
        validation.check_scale(largest, "X", X.dtype, degree)
        validation.check_above_floor(largest, solver.least_X(problem), solver.title)
    validation.check_penalties((problem.l1_W, problem.l1_H, problem.l2_W, problem.l2_H), X.dtype)
    if options.every == "coordinate" and not solver.by_coordinate():
        validation.refuse_coordinates(solver.name)
    if options.every == "coordinate" and (problem.observed or problem.row_scale is not None):
        raise ValueError(
            "every='coordinate' shows neither missing entries nor weights. Leave these out, or pass every='half'."
        )
    if options.resume is not None:
        state = options.resume.state_for(problem, solver, given)
        start_W = None if problem.row_scale is None else options.resume.W
        return Run(problem, solver, state.W, state.Ht, state.rng, options, state, start_W)

    with np.errstate(all="ignore"):  # underflow is harmless, and what overflows is refused
        start_W, H = _start(plain, options)
        W = problem.inside(start_W)
    if largest > 0 and W.max() > 0:
        start = float(W.max()) * float(H.max())
        validation.check_scale(start, f"W @ H at the start (init={options.init!r})", X.dtype, degree)
    rng = validation.check_random_state(options.random_state)
    W, Ht = np.ascontiguousarray(W), _transposed(H, options.engine)
    return Run(problem, solver, W, Ht, rng, options, start_W=None if problem.row_scale is None else start_W)


def _start(problem: Problem, options: Options) -> tuple[Float, Float]:
    """Return W and H to start from."""
    W, H = _free_start(problem, options)
    for factor, given, fixed in ((W, options.W, problem.fixed_W), (H.T, options.H, problem.fixed_H)):
        if fixed is not None:
            factor[fixed] = (given if factor is W else given.T)[fixed]
    return W, H


def _with_fixed(problem: Problem, options: Options) -> tuple[Problem, Options]:
    """Return the problem with masks of the entries that stay, and the options with the W or H that has them in full."""
    if options.fixed_W is None and options.fixed_H is None:
        return problem, options
    if options.fixed_H is not None and not options.update_H:
        raise ValueError("update_H=False keeps all of H already: leave fixed_H out.")
    if options.resume is not None:
        options = dataclasses.replace(options, W=options.resume.W, H=options.resume.H)
    for name in ("W", "H"):
        if getattr(options, f"fixed_{name}") is not None and getattr(options, name) is None:
            raise ValueError(f"fixed_{name} needs {name}, which has the entries that stay.")
    n_components, changes = options.n_components, dict[str, Any]()
    if not isinstance(n_components, numbers.Integral):
        n_components = np.shape(options.H)[0] if options.fixed_H is not None else np.shape(options.W)[-1]
    n_components = validation.check_n_components(n_components, problem.X.shape[1], given=None)
    shapes = {"W": (problem.X.shape[0], n_components), "H": (n_components, problem.X.shape[1])}
    for axis, name in ((1, "W"), (0, "H")):
        fixed, given = getattr(options, f"fixed_{name}"), getattr(options, name)
        mask = check_fixed(f"fixed_{name}", fixed, shapes[name], axis)
        if mask is None:
            continue
        given = check_given(name, given, fixed, shapes[name], axis, problem.X.dtype)
        changes |= {name: given, f"fixed_{name}": mask if name == "W" else np.ascontiguousarray(mask.T)}
    masks = {name: mask for name, mask in changes.items() if name.startswith("fixed")}
    return dataclasses.replace(problem, **masks), dataclasses.replace(options, n_components=n_components, **changes)


def _free_start(problem: Problem, options: Options) -> tuple[Float, Float]:
    """Return W and H to start from, without a look at what stays."""
    X, solver, init = problem.X, options.solver, options.init
    if init == "custom" or not options.update_H:
        given_W = options.W if options.update_H or options.fixed_W is None else None  # its fixed entries come later
        W, H, n_components = validation.check_custom(
            X, given_W, options.H, options.n_components, update_H=options.update_H
        )
        if W is None:
            W = np.full((X.shape[0], n_components), solver.start_of_W(problem, n_components), X.dtype)
        return W, H
    used = options.W is None or options.fixed_W is not None, options.H is None or options.fixed_H is not None
    if not all(used):
        validation.warn_ignored()
    n_components = validation.check_n_components(options.n_components, X.shape[1], given=None)
    if init == "nndsvd" and solver.keeps_zeros:
        validation.warn_zeros_stay(solver.name)
    return make_start(problem, n_components, init, options.random_state)


def _transposed(H: Float, engine: str) -> Float:
    """Return a copy of H transposed, C-contiguous, at the beginning of a cache line if kernels will read it."""
    if engine == "reference":
        return np.array(H.T, order="C")
    from nmf_numba.compiled.chunks import empty_sums  # noqa: PLC0415  (imports Numba, which takes its time)

    Ht: Float = empty_sums(1, H.shape[1], H.shape[0], H)[0]
    Ht[:] = H.T
    return Ht


def iterate(
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
    n_threads: int | None = DEFAULT.n_threads,
    max_time: float | None = DEFAULT.max_time,
    callback: Callable[[Step], object] | None = DEFAULT.callback,
    every: Every = DEFAULT.every,
    resume: Any = DEFAULT.resume,
    stopping: Stopping = DEFAULT.stopping,
    missing: Missing | None = DEFAULT.missing,
    weights: Any = DEFAULT.weights,
    fixed_W: Any = DEFAULT.fixed_W,
    fixed_H: Any = DEFAULT.fixed_H,
) -> Iterator[Step]:
    """Yield a `Step` for the start and for every iteration of a fit.

    Nothing is hidden: each step has W and H as they are then, and the last one says why it is the last.

    Parameters
    ----------
    X, n_components, W, H, init, update_H, solver, beta_loss, tol, max_iter, alpha_W, alpha_H, l1_ratio, random_state, \
verbose, shuffle, engine, n_threads, max_time, callback, resume, stopping, missing, weights, fixed_W, fixed_H
        As for `fit`.
    every : {'iteration', 'half', 'coordinate'}, default 'iteration'
        'half': there is a step after W is updated, and one after H is, if the solver has such halves. 'coordinate', for
        'cd' with engine='reference', which 'auto' takes then: also one after every single entry is updated, with its
        component, row, gradient, curvature, old and new value.

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
    FutureWarning, RuntimeWarning, UserWarning
        As for `fit`. There is no ConvergenceWarning: the last step's `stop_reason` says it.

    Notes
    -----
    An iteration costs what it costs in `fit`, and a copy of W and H.

    Examples
    --------
    >>> from nmf_numba import iterate
    >>> X = [[1.0, 2.0, 3.0], [2.0, 4.0, 7.0], [1.0, 0.0, 1.0]]
    >>> for step in iterate(X, 1, solver="cd", engine="reference", init="random", max_iter=3, random_state=0):
    ...     print(step.n_iter, f"{step.objective().total:.4f}", step.stop_reason)
    0 64.2618 None
    1 0.7479 None
    2 0.4396 None
    3 0.4396 max_iter

    The entries of W and H that HALS updates in its first iteration, one after the other:

    >>> steps = iterate(X, 1, engine="reference", init="random", max_iter=1, random_state=0, every="coordinate")
    >>> for step in steps:
    ...     entry = step.coordinate
    ...     if entry is not None and entry.factor == "W":
    ...         print(entry.row, entry.component, f"{entry.old:.3f} -> {entry.new:.3f}")
    0 0 3.423 -> 0.851
    1 0 2.853 -> 1.854
    2 0 1.493 -> 0.424
    """
    run = prepare(X, Options.of(locals()))
    return (step.copy() for step in run.steps())
