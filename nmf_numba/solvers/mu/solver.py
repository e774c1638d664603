"""Multiplicative updates as a solver: composes reference.py's or kernels.py's functions."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from nmf_numba.problem import Float, Problem, twin
from nmf_numba.solvers.solver import RowPassSolver, State, Sums

SMALLEST_WH = 2.0**-23  # WH is raised to this where it has a negative power
FLUSH = 2.0**-52  # float64's epsilon, for both dtypes: smaller entries of H become 0 for beta <= 1, of W for beta < 1

TINIEST = {np.dtype(kind).char: float(np.finfo(kind).tiny) for kind in (np.float32, np.float64)}  # normal numbers


@dataclasses.dataclass(eq=False)
class MultiplicativeState(State):
    """For an H that stays, what each iteration needs of X and H is computed once.

    Attributes
    ----------
    numerator : ndarray, shape (n_samples, n_components), or None
        X H', for the Frobenius loss.
    common : ndarray, or None
        What `common` of reference.py returns.
    """

    numerator: Float | None = None
    common: Float | None = None


def _gradient(problem: Problem) -> Any:
    return twin("nmf_numba.gradient", problem.engine)


@dataclasses.dataclass(frozen=True)
class MultiplicativeUpdates(RowPassSolver):
    """Majorise and minimise: every entry is multiplied by a ratio of non-negative sums, for every beta-divergence."""

    name = "mu"
    title = "Multiplicative updates"
    sources = (
        "D. D. Lee and H. S. Seung (2001), Algorithms for non-negative matrix factorization, Advances in Neural "
        "Information Processing Systems 13.",
        "C. Fevotte and J. Idier (2011), Algorithms for nonnegative matrix factorization with the beta-divergence, "
        "Neural Computation 23(9), 2421-2456. doi:10.1162/NECO_a_00168",
    )
    stopping = "objective"
    keeps_zeros = True

    def descends(self, problem: Problem) -> bool:
        """No L2 penalty, or beta <= 0, or beta >= 2; near zero the floors can break it."""
        return not 0 < problem.beta < 2 or problem.l2_W == problem.l2_H == 0

    def degree(self, problem: Problem) -> float:
        """Of X WH^(beta-2) and WH^(beta-1)."""
        return max(2.0, abs(problem.beta - 2), abs(problem.beta - 1) + 0.5)

    def least_X(self, problem: Problem) -> float:
        """WH can't be smaller than its floor."""
        return SMALLEST_WH if problem.beta < 2 else 0.0

    def init(self, problem: Problem, W: Float, Ht: Float, rng: Any = None) -> MultiplicativeState:
        """For an H that stays, compute once what depends on X and H alone."""
        state = MultiplicativeState(W, Ht, rng)
        if not problem.update_H:
            state.common = _gradient(problem).common(Ht, problem.beta)
            state.numerator = problem.times(Ht) if problem.beta == 2 else None
        return state

    def row_pass(self, problem: Problem, state: State) -> Sums:
        """Update W; the sums are H's numerator and denominator, as `update` of reference.py takes them."""
        functions, penalties, beta = self.functions(problem), (problem.l1_W, problem.l2_W), problem.beta
        gradient = _gradient(problem)
        W, Ht, is_general = state.W, state.Ht, beta not in (1, 2)
        kept = state if isinstance(state, MultiplicativeState) else MultiplicativeState(W, Ht)
        if kept.numerator is not None:
            functions.update(W, kept.numerator, kept.common, penalties, beta, TINIEST[W.dtype.char])
            return Sums(math.nan, ())
        common = gradient.common(Ht, beta) if kept.common is None else kept.common
        more = beta, penalties, problem.update_H, problem.bounds(W.shape[1])
        if problem.layout == "dense":
            found = functions.row_pass_dense(W, *problem.arrays, Ht, common, *more)
        else:
            given = gradient.denominators(W, Ht, beta) if is_general else common
            found = functions.row_pass_csr(W, *problem.arrays, Ht, given, *more)
        if not problem.update_H:
            return Sums(math.nan, ())
        numerator, denominator = Sums.of_chunks(math.nan, problem.engine, *found).arrays
        if problem.layout == "dense":  # these lie like H
            numerator, denominator = numerator.T, denominator.T if is_general else denominator
        elif is_general:
            denominator = gradient.denominators(Ht, W, beta)
        return Sums(math.nan, (numerator, gradient.common(W, beta) if beta == 1 else denominator))

    def update(self, problem: Problem, state: State, sums: Sums) -> float:
        """Update Ht by the same function that updates W."""
        numerator, denominator = sums.arrays
        least = FLUSH if problem.beta <= 1 else TINIEST[state.Ht.dtype.char]
        penalties = problem.l1_H, problem.l2_H
        self.functions(problem).update(state.Ht, numerator, denominator, penalties, problem.beta, least)
        return math.nan

    def update_with_past(
        self, problem: Problem, state: State, sums: Sums, past: tuple[Float, Float], weight: float
    ) -> None:
        """Update Ht from the sums of some rows and of all rows before them (Lefevre, Bach and Fevotte 2011).

        Sums that were made with different Ht do not add, but their majorisers (notes.md) do. In the new H, one is a
        function of numerator * Ht^(1/gamma) and denominator, and (1) of reference.py is where it is least. So with
        past = (A, B), changed in place, and the weight that is left to them::

            A <- weight A + numerator * Ht^(1/gamma),   B <- weight B + denominator + l1 + l2 Ht,   Ht <- (A/B)^gamma
        """
        (A, B), beta, Ht = past, problem.beta, state.Ht
        numerator, denominator = sums.arrays
        if beta == 2:
            denominator = Ht @ denominator
        elif beta == 1:  # where no row has a component: scikit-learn's
            denominator = np.where(denominator == 0, denominator.dtype.type(1), denominator)
        A *= weight
        A += numerator * Ht ** max(1.0, 2 - beta, beta - 1)  # 1/gamma
        B *= weight
        B += denominator + problem.l1_H + problem.l2_H * Ht
        gamma = 1 / max(1.0, 2 - beta, beta - 1)
        with np.errstate(all="ignore"):
            Ht[:] = (A / np.where(B == 0, B.dtype.type(SMALLEST_WH), B)) ** gamma
        Ht[Ht < (FLUSH if beta <= 1 else TINIEST[Ht.dtype.char])] = 0
