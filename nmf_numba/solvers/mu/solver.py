"""Multiplicative updates as a solver: composes reference.py's or kernels.py's functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nmf_numba._cached import cached_property
from nmf_numba.objective import gram_matrix
from nmf_numba.problem import Problem
from nmf_numba.solvers.solver import Solver
from nmf_numba.validation import Float

LEAST_NORMAL = {np.dtype(kind).char: float(np.finfo(kind).tiny) for kind in (np.float32, np.float64)}

FLUSH = 2.0**-52  # float64's epsilon, for both dtypes


class MultiplicativeUpdates(Solver):
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

    @classmethod
    def supports(cls, problem: Problem) -> str | None:
        """Every loss, layout and penalty."""
        return None

    @classmethod
    def descends(cls, problem: Problem) -> bool:
        """No L2 penalty, or beta <= 0, or beta >= 2; near zero the floors can break it."""
        return not 0 < problem.beta < 2 or problem.l2_W == problem.l2_H == 0

    def _flush(self, small_beta: bool) -> float:
        """Below this an entry becomes 0, and stays so: FLUSH for small beta, else what would be a denormal.

        Powers of WH need it for beta < 1. For beta = 1 only H is flushed: an entry of W that has shrunk to 1e-16 can
        still grow back, and does on the digits.
        """
        return FLUSH if small_beta else LEAST_NORMAL[self.problem.X.dtype.char]

    def _arguments(self, W: Float, Ht: Float, update_H: bool) -> tuple[Any, ...]:
        problem = self.problem
        flush = self._flush(problem.beta < 1)
        return W, *problem.arrays, Ht, problem.beta, problem.l1_W, problem.l2_W, flush, update_H

    def row_pass(self, W: Float, Ht: Float, *, update_H: bool) -> tuple[float, Any]:
        """Renew W; the sums are H's numerator and denominator."""
        return math.nan, (W, *self._row_pass(*self._arguments(W, Ht, update_H), self.bounds))

    @property
    def measures(self) -> bool:
        """Where the kernel makes what the divergence needs, and has a clock to say how long measuring took."""
        from nmf_numba._jit import HAS_CLOCK  # noqa: PLC0415  (imports Numba, which takes its time)

        return HAS_CLOCK and self.problem.beta != 2 and (self.problem.layout == "dense" or self.problem.beta != 0)

    @cached_property
    def _of_X(self) -> Float:
        """The sum of each row's X^beta: found in the first measured row pass."""
        return np.full(self.problem.X.shape[0], np.nan)

    def measured_row_pass(self, W: Float, Ht: Float, *, update_H: bool) -> tuple[float, Any, float, float]:
        """Renew W, and measure the divergence before."""
        measured = np.empty((len(self.bounds) - 1, 5))
        row_pass = getattr(self.functions, f"measured_row_pass_{self.problem.layout}")
        *sums, divergence = row_pass(*self._arguments(W, Ht, update_H), self._of_X, measured, self.bounds)
        inside, whole = measured.sum(axis=0)[3:]
        return math.nan, (W, *sums), float(divergence), float(inside / whole)

    def update(self, Ht: Float, sums: Any) -> float:
        """Renew Ht by the same function that renews W."""
        problem = self.problem
        _, numerator, denominator = sums
        flush = self._flush(problem.beta <= 1)
        self.functions.update(Ht, numerator, denominator, problem.l1_H, problem.l2_H, problem.beta, flush)
        return math.nan

    def update_with_past(self, Ht: Float, sums: Any, past: tuple[Float, Float], weight: float) -> None:
        """Renew Ht from the sums of some rows and of all rows before them (Lefevre, Bach and Fevotte 2011).

        Sums that were made with different Ht do not add, but their majorisers (notes.md) do. In the new H, one is a
        function of numerator * Ht^(1/gamma) and denominator, and (1) of reference.py is where it is least. So with
        past = (A, B), changed in place, and the weight that is left to them::

            A <- weight A + numerator * Ht^(1/gamma),   B <- weight B + denominator + l1 + l2 Ht,   Ht <- (A/B)^gamma
        """
        (A, B), problem, beta = past, self.problem, self.problem.beta
        _, numerator, denominator = sums
        if beta == 1:  # where no row has a component: scikit-learn's
            denominator = np.where(denominator == 0, denominator.dtype.type(1), denominator)
        A *= weight
        A += numerator * Ht ** max(1.0, 2 - beta, beta - 1)  # 1/gamma
        B *= weight
        B += denominator + problem.l1_H + problem.l2_H * Ht
        Ht.fill(1)
        self.functions.update(Ht, A, B, 0.0, 0.0, beta, self._flush(beta <= 1))

    def equations_of_W(self, Ht: Float) -> tuple[Float, Float] | None:
        """For beta = 2 the numerator is X Ht, and the denominator W Ht'Ht."""
        return (np.asarray(self.problem.X @ Ht), Ht.T @ Ht) if self.problem.beta == 2 else None

    def renew(self, W: Float, equations: tuple[Float, Float]) -> float:
        """Renew W by (1)."""
        problem, (numerator, gram) = self.problem, equations
        self.functions.update(W, numerator, W @ gram, problem.l1_W, problem.l2_W, 2.0, self._flush(False))
        return math.nan

    def normal_equations(self, sums: Any) -> tuple[Float, Float] | None:
        """For beta = 2 the numerator is X'W."""
        W, numerator, _ = sums
        return (numerator, gram_matrix(W, self.engine)) if self.problem.beta == 2 else None
