"""What a solver is: a row pass and an update, and what it says of itself."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from nmf_numba.problem import Problem
from nmf_numba.validation import Float

WARM_UP_ROWS = 4096  # of a factor: so many that they are renewed in chunks


@dataclasses.dataclass(frozen=True)
class Coordinate:
    """One entry as it was renewed: new = max(0, old - gradient / curvature).

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


class Solver(abc.ABC):
    """One method of minimising the objective. An instance holds its state for one fit; most have none.

    The two moves of every iteration:

    row pass
        Given H, walk once over the rows of X. Renew the rows of W that belong to them and, at once, add up what H
        needs.
    update
        Renew H from those sums: a small step that no longer sees X.

    Parameters
    ----------
    problem : Problem
    n_components : int
    functions : module
        The solver's kernels or their reference.
    shuffle : bool
        Renew components in random order, if the solver renews them one after the other.
    rng : numpy.random.RandomState or Generator
        Where that order comes from.
    """

    name: ClassVar[str]  #: what users pass as `solver`
    title: ClassVar[str]
    sources: ClassVar[tuple[str, ...]]
    stopping: ClassVar[str]  #: the stopping rule, a key of `iterate.STOPPING`

    def __init__(self, problem: Problem, n_components: int, functions: Any, *, shuffle: bool, rng: Any) -> None:
        self.problem = problem
        self.functions = functions
        self.n_components = n_components
        self.shuffle = shuffle
        self.rng = rng
        self.bounds = problem.bounds(n_components)
        self._row_pass = getattr(functions, f"row_pass_{problem.layout}")

    @classmethod
    @abc.abstractmethod
    def supports(cls, problem: Problem) -> str | None:
        """Return None, or why this solver can't solve the problem."""

    @classmethod
    @abc.abstractmethod
    def descends(cls, problem: Problem) -> bool:
        """Return whether it is proven that no iteration raises the objective of this problem."""

    @abc.abstractmethod
    def row_pass(self, W: Float, Ht: Float, *, update_H: bool) -> tuple[float, Any]:
        """Renew W in place and return the violation (NaN if the solver has none) and the sums that `update` needs."""

    @abc.abstractmethod
    def update(self, Ht: Float, sums: Any) -> float:
        """Renew Ht, which is H transposed, in place from the sums and return its violation."""

    @property
    def engine(self) -> str:
        """Whose functions these are: "numba" or "reference"."""
        return "numba" if self.functions.__name__.endswith(".kernels") else "reference"

    @property
    def measures(self) -> bool:
        """Whether `measured_row_pass` costs less than a row pass and a look at the objective."""
        return False

    def measured_row_pass(self, W: Float, Ht: Float, *, update_H: bool) -> tuple[float, Any, float, float]:
        """Do a row pass; return what it returns, the divergence before it, and the share of the time that took."""
        raise NotImplementedError

    def normal_equations(self, sums: Any) -> tuple[Float, Float] | None:
        """Return X'W and W'W if the sums have them, without penalties: the Frobenius loss then needs no pass over X."""
        return None

    def equations_of_W(self, Ht: Float) -> tuple[Float, Float] | None:
        """Return X Ht and Ht'Ht if `renew` needs no more of X and H: for an H that stays they are computed once."""
        return None

    def renew(self, W: Float, equations: tuple[Float, Float]) -> float:
        """Renew W in place as a row pass does, but without X, and return the violation."""
        raise NotImplementedError

    def coordinates(self, W: Float, Ht: Float, *, update_H: bool) -> Iterator[Coordinate]:
        """Do one iteration in plain Python and yield every entry as it is renewed, if the solver works that way."""
        raise NotImplementedError

    def warm_up(self, W: Float, Ht: Float, *, update_H: bool, measured: bool = False) -> None:
        """Compile what an iteration needs: do one on a tiny problem of the same types, in chunks if this one is."""
        problem = self.problem.tiny(min(len(Ht), WARM_UP_ROWS))
        rng = np.random.default_rng(0)
        small = type(self)(problem, self.n_components, self.functions, shuffle=self.shuffle, rng=rng)
        small.bounds = np.arange(3) if len(self.bounds) > 2 else np.array([0, 2])
        Ht = np.ones((problem.X.shape[1], self.n_components), W.dtype)
        equations = None if update_H else small.equations_of_W(Ht)
        if equations is not None:
            W = np.ones_like(W[:WARM_UP_ROWS])
            small.renew(W, (np.ones_like(W), *equations[1:]))
            return
        row_pass: Any = small.measured_row_pass if measured else small.row_pass
        _, sums, *_ = row_pass(np.ones((2, self.n_components), W.dtype), Ht, update_H=update_H)
        if update_H:
            small.update(Ht, sums)
