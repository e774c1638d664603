"""Solvers for the Frobenius loss that see X only as X H' and X'W, each half with the small matrix of its curvature."""

from __future__ import annotations

import dataclasses
from typing import Any

from nmf_numba.problem import Float, Problem, twin
from nmf_numba.solvers.solver import AlternatingSolver, State


@dataclasses.dataclass(eq=False)
class GramState(State):
    """For an H that stays, what each iteration needs of X and H is computed once.

    Attributes
    ----------
    gram : ndarray, shape (n_components, n_components), or None
        H H' + l2_W I.
    cross : ndarray, shape (n_samples, n_components), or None
        X H'.
    """

    gram: Float | None = None
    cross: Float | None = None

    @classmethod
    def start(cls, problem: Problem, W: Float, Ht: Float, rng: Any) -> GramState:
        """Return the state at the start; it keeps gram and cross if H stays and all of X counts alike."""
        if problem.update_H or problem.observed:
            return cls(W, Ht, rng)
        gram, cross = gram_and_cross(problem, Ht)
        return cls(W, Ht, rng, gram=gram, cross=cross)


def gram_and_cross(problem: Problem, Ht: Float, state: State | None = None) -> tuple[Float, Float]:
    """Return H H' + l2_W I and X H': those that the state keeps, or else new ones."""
    if isinstance(state, GramState) and state.gram is not None and state.cross is not None:
        return state.gram, state.cross
    return twin("nmf_numba.solvers.hals", problem.engine).gram(Ht, problem.l2_W), problem.times(Ht)


@dataclasses.dataclass(frozen=True)
class GramSolver(AlternatingSolver):
    """A solver whose twins have one function, `update(W, gram, cross, l1, *options)`, which serves both halves.

    Its options are the fields of the class, in their order. X transposed is kept beside X.
    """

    stopping = "violation"

    def supports(self, problem: Problem) -> str | None:
        """Only the Frobenius loss has the same curvature everywhere."""
        if problem.beta != 2:
            return f"beta_loss = {problem.beta}, only 'frobenius'. Use solver='mu'."
        return super().supports(problem)

    def descends(self, problem: Problem) -> bool:
        """No row's update raises the objective: proven in the notes of each."""
        return self.supports(problem) is None

    def start_of_W(self, problem: Problem, n_components: int) -> float:
        """At zero every entry can still move."""
        return 0.0

    def init(self, problem: Problem, W: Float, Ht: Float, rng: Any = None) -> GramState:
        """For an H that stays, multiply X with it once."""
        return GramState.start(problem, W, Ht, rng)

    def update(self, problem: Problem, W: Float, Ht: Float, state: State) -> float:
        """Update W, or with the transposed problem Ht, by the same function."""
        gram, cross = gram_and_cross(problem, Ht, state)
        options = [getattr(self, field.name) for field in dataclasses.fields(self)]
        return float(self.functions(problem).update(W, gram, cross, problem.l1_W, *options))
