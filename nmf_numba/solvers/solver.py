"""What a solver is: a row pass and an update, and what it says of itself."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from nmf_numba.problem import Problem
from nmf_numba.validation import Float


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

    def step(self, W: Float, Ht: Float, *, update_H: bool) -> float:
        """Do one iteration: W, then H with the new W. Return the violation of both."""
        violation, sums = self.row_pass(W, Ht, update_H=update_H)
        if update_H:
            violation += self.update(Ht, sums)
        return violation
