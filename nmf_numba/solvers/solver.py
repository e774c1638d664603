"""What a solver is, and three ways to write one.

- `Solver`, any method: `init` makes its state, `step` does one iteration.
- `RowPassSolver`: given H, one pass over the rows of X updates W and adds up what H needs; its update does not see X.
- `AlternatingSolver`: both halves are one function, the second on X transposed.
"""

from __future__ import annotations

import abc
import contextlib
import copy
import dataclasses
import functools
import importlib.util
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from nmf_numba.problem import Float, Problem, twin


@contextlib.contextmanager
def unchanged(factor: Float, fixed: Any) -> Iterator[None]:
    """Put back, at the end, the entries of W or Ht that are to stay; None: there are none.

    That is no worse than their update where a majoriser has no products of different entries.
    """
    if fixed is None:
        yield
        return
    before = factor[fixed]
    yield
    factor[fixed] = before


@dataclasses.dataclass(frozen=True)
class Coordinate:
    """One entry as it was updated: new = max(0, old - gradient / curvature).

    Attributes
    ----------
    factor : {'W', 'H'}
    component, row : int
        For H, row is the row of H transposed: a feature.
    gradient, curvature : float
        First and second derivative of the objective with respect to the entry.
    old, new : float
    """

    factor: str
    component: int
    row: int
    gradient: float
    curvature: float
    old: float
    new: float

    @property
    def violation(self) -> float:
        """Of the optimality conditions, before: at zero only a negative gradient can help."""
        return abs(min(self.gradient, 0.0) if self.old == 0 else self.gradient)


@dataclasses.dataclass(eq=False)
class State:
    """Where a solver stands. A solver that keeps more than this derives a class from it.

    Attributes
    ----------
    W : ndarray, shape (n_samples, n_components)
    Ht : ndarray, shape (n_features, n_components)
        H transposed. A step may change W and Ht in place.
    rng : numpy.random.RandomState or Generator
        Where a solver takes random numbers from.
    violation : float
        Of the optimality conditions, summed over the entries as the last step updated them; NaN if it is not measured.
    """

    W: Float
    Ht: Float
    rng: Any = None
    violation: float = np.nan

    def copy(self) -> State:
        """Return a state that shares no array with this one."""
        return copy.deepcopy(self)


@dataclasses.dataclass(eq=False)
class Sums:
    """What a row pass adds up over some rows of X, for `update`. Sums of different rows add: sums_a + sums_b.

    Attributes
    ----------
    violation : float
        Of the rows of W; NaN if it is not measured.
    arrays : tuple of ndarray
    """

    violation: float
    arrays: tuple[Float, ...]

    def __add__(self, other: Sums) -> Sums:
        pairs = zip(self.arrays, other.arrays, strict=True)
        return Sums(self.violation + other.violation, tuple(a + b for a, b in pairs))


@dataclasses.dataclass(frozen=True)
class Solver(abc.ABC):
    """One method of minimising the objective. Its options are its fields; what changes during a fit is in a `State`.

    `fit(X, 10, solver=...)` takes an instance, also of a class that is written in a notebook, or a name in `SOLVERS`.
    """

    name: ClassVar[str]  #: what users pass as `solver`
    title: ClassVar[str]
    sources: ClassVar[tuple[str, ...]] = ()
    stopping: ClassVar[str] = "objective"  #: the stopping rule, a key of `stopping.STOPPING`
    keeps_zeros: ClassVar[bool] = False  #: whether an entry that is zero stays zero
    worth_threads: ClassVar[int] = 4  #: chunks' worth of work from which on a fit takes several threads by itself

    @abc.abstractmethod
    def step(self, problem: Problem, state: State) -> State:
        """Do one iteration and return the state after it, which may be the same object, changed."""

    def init(self, problem: Problem, W: Float, Ht: Float, rng: Any = None) -> State:
        """Return the state at the start. W and Ht, C-contiguous, belong to the solver from here on."""
        return State(W, Ht, rng)

    def supports(self, problem: Problem) -> str | None:
        """Return None, or why this solver can't solve the problem and what to use instead.

        A solver that does not say otherwise takes all of X alike and updates all of W and H.
        """
        if problem.observed or problem.fixed_W is not None or problem.fixed_H is not None:
            return "missing entries, weights or entries that stay. Use solver='mu'."
        return None

    def descends(self, problem: Problem) -> bool:
        """Return whether it is proven that no iteration raises the objective of this problem."""
        return False

    def halves(self, problem: Problem, state: State) -> Iterator[tuple[str | None, State]]:
        """Do one iteration and yield, after each part of it, which factor it has updated: here both at once."""
        yield None, self.step(problem, state)

    def coordinates(self, problem: Problem, state: State) -> Iterator[Coordinate]:
        """Do one iteration in plain Python and yield every entry as it is updated, if the solver works that way."""
        raise NotImplementedError

    def by_coordinate(self) -> bool:
        """Return whether `coordinates` can show an iteration."""
        return type(self).coordinates is not Solver.coordinates

    def start_of_W(self, problem: Problem, n_components: int) -> float:
        """Return the value that W has everywhere at the start of a fit with a given H that stays."""
        return math.sqrt(problem.mean() / n_components)

    def degree(self, problem: Problem) -> float:
        """Return the largest power of X's entries that a step computes: it must stay within X's dtype."""
        return 2.0

    def least_X(self, problem: Problem) -> float:
        """Return what the largest entry of X must reach."""
        return 0.0

    def functions(self, problem: Problem) -> Any:
        """Return the module of this solver's kernels or their reference, beside the file of its class or of a base."""
        return _twin_of(type(self), problem.engine)


@functools.cache
def _twin_of(solver: type[Solver], engine: str) -> Any:
    packages = (base.__module__.rpartition(".")[0] for base in solver.__mro__)
    for package in packages:
        if package and importlib.util.find_spec(f"{package}.reference") is not None:
            return twin(package, engine)
    raise TypeError(f"{solver.__name__} has neither kernels nor a reference: do without `functions` in its step.")


@dataclasses.dataclass(frozen=True)
class RowPassSolver(Solver):
    """A solver whose iteration is two moves.

    row pass
        Given H, walk once over the rows of X. Update the rows of W that belong to them and, at once, add up what H
        needs.
    update
        Update H from those sums: a small step that no longer sees X.

    Rows of W do not depend on each other given H, so a row pass may see any rows of X: the problem and the state are
    then those of these rows (`Problem.rows`), and sums of different rows add.
    """

    @abc.abstractmethod
    def row_pass(self, problem: Problem, state: State) -> Sums:
        """Update state.W in place and return the violation and the sums that `update` needs."""

    @abc.abstractmethod
    def update(self, problem: Problem, state: State, sums: Sums) -> float:
        """Update state.Ht in place from the sums and return its violation, NaN if it is not measured."""

    def halves(self, problem: Problem, state: State) -> Iterator[tuple[str | None, State]]:
        """Yield after the row pass, and after the update of H."""
        sums = self.row_pass(problem, state)
        state.violation = sums.violation
        yield "W", state
        if problem.update_H:
            state.violation += self.update(problem, state, sums)
            yield "H", state

    def step(self, problem: Problem, state: State) -> State:
        """Do a row pass and an update."""
        for _ in self.halves(problem, state):
            pass
        return state


@dataclasses.dataclass(frozen=True)
class AlternatingSolver(Solver):
    """A solver whose halves are one function, the second on X transposed, which it keeps beside X."""

    worth_threads = 2  # it does more with each entry of X

    @abc.abstractmethod
    def update(self, problem: Problem, W: Float, Ht: Float, state: State) -> float:
        """Update W in place for this Ht and return the violation, NaN if it is not measured."""

    def halves(self, problem: Problem, state: State) -> Iterator[tuple[str | None, State]]:
        """Yield after W is updated, and after H is."""
        state.violation = self.update(problem, state.W, state.Ht, state)
        yield "W", state
        if problem.update_H:
            state.violation += self.update(problem.transposed, state.Ht, state.W, state)
            yield "H", state

    def step(self, problem: Problem, state: State) -> State:
        """Update W, then H."""
        for _ in self.halves(problem, state):
            pass
        return state
