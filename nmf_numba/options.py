"""Each parameter of a fit, once: its default, and its check."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from nmf_numba import validation
from nmf_numba.observations import Missing
from nmf_numba.problem import Problem
from nmf_numba.solvers import SOLVERS, choose
from nmf_numba.solvers.solver import Solver
from nmf_numba.validation import STOPPINGS, Engine, Every, Init, Stopping

AUTO = "auto"  # as a solver: chosen by the problem


def check_solver(value: object, also: str = "") -> Solver:
    """Return a solver, given by name or as an instance; `also` names what else is accepted."""
    if isinstance(value, Solver):
        return value
    if isinstance(value, type) and issubclass(value, Solver):
        raise TypeError(f"solver must be an instance. Found the class {value.__name__}: write {value.__name__}().")
    return SOLVERS[validation.check_choice("solver", value, SOLVERS, also=f"{also}, or an instance of a Solver")]


@dataclasses.dataclass(frozen=True)
class Options:
    """The parameters of a fit, as users pass them; `checked` returns them as the loop needs them."""

    n_components: Any = "warn"  # not given
    W: Any = None
    H: Any = None
    init: Init | None = "auto"
    update_H: bool = True
    solver: Any = AUTO
    beta_loss: Any = "frobenius"
    tol: float = 1e-4
    max_iter: int = 500
    stopping: Stopping = "kkt"
    alpha_W: float = 0.0
    alpha_H: Any = "same"
    l1_ratio: float = 0.0
    random_state: Any = None
    verbose: int = 0
    shuffle: bool = False
    engine: Engine = "numba"
    trace: Any = False
    callback: Callable[[Any], object] | None = None
    max_time: Any = None
    n_threads: int | None = None
    every: Every = "iteration"
    resume: Any = None  # a Factorization
    missing: Missing | None = None
    weights: Any = None
    fixed_W: Any = None
    fixed_H: Any = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any], **changes: Any) -> Options:
        """Take the parameters among a function's arguments; changes come first."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in {**arguments, **changes}.items() if name in names})

    def checked(self) -> Options:
        """Return them checked: alpha_H, the solver, beta and the trace's step as numbers and instances."""
        alpha_W, alpha_H, l1_ratio = validation.check_alphas(self.alpha_W, self.alpha_H, self.l1_ratio)
        engine: Any = validation.check_choice("engine", self.engine, validation.ENGINES)
        stopping: Any = validation.check_choice("stopping", self.stopping, STOPPINGS)
        shuffle, is_auto = validation.check_flag("shuffle", self.shuffle), self.solver in (AUTO,)
        n_threads = self.n_threads
        if n_threads is not None:
            from nmf_numba.compiled.threads import most_threads  # noqa: PLC0415  (imports Numba, which takes its time)

            n_threads = validation.check_n_threads(n_threads, most_threads())
        validation.check_random_state(self.random_state)
        return dataclasses.replace(
            self,
            init=validation.check_init(self.init),
            update_H=validation.check_flag("update_H", self.update_H),
            solver=None if is_auto else check_solver(self.solver, f", {AUTO!r}"),
            beta_loss=validation.check_beta(self.beta_loss),
            stopping=stopping,
            tol=validation.check_number("tol", self.tol, low=0, accepted="a number >= 0"),
            max_iter=validation.check_integer("max_iter", self.max_iter, low=1, accepted="an integer >= 1"),
            alpha_W=alpha_W,
            alpha_H=alpha_H,
            l1_ratio=l1_ratio,
            verbose=validation.check_verbose(self.verbose),
            shuffle=shuffle,
            engine=engine,
            trace=validation.check_trace(self.trace),
            callback=validation.check_callback(self.callback),
            max_time=validation.check_max_time(self.max_time),
            n_threads=n_threads,
            every=validation.check_every(self.every, engine),
        )

    def solver_for(self, problem: Problem) -> Solver:
        """Return the solver of checked options, chosen if it is None, with its options that are a fit's."""
        by_coordinate = SOLVERS["cd"] if self.every == "coordinate" else None
        solver: Solver = self.solver or by_coordinate or choose(problem)
        if self.shuffle and "shuffle" in {field.name for field in dataclasses.fields(solver)}:
            solver = dataclasses.replace(solver, shuffle=True)  # type: ignore[call-arg]
        return solver


DEFAULT = Options()
SKLEARN = dataclasses.replace(
    DEFAULT, n_components="auto", init=None, solver="cd", max_iter=200, stopping="scikit-learn"
)
