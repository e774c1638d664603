"""Multiplicative updates as a solver: composes reference.py's or kernels.py's functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nmf_numba.problem import Problem
from nmf_numba.solvers.solver import Solver
from nmf_numba.validation import Float

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
        return FLUSH if small_beta else float(np.finfo(self.problem.X.dtype).tiny)

    def row_pass(self, W: Float, Ht: Float, *, update_H: bool) -> tuple[float, Any]:
        """Renew W; the sums are H's numerator and denominator."""
        sums = self._row_pass(
            W,
            *self.problem.arrays,
            Ht,
            self.problem.beta,
            self.problem.l1_W,
            self.problem.l2_W,
            self._flush(self.problem.beta < 1),
            update_H,
            self.bounds,
        )
        return math.nan, (W, *sums)

    def update(self, Ht: Float, sums: Any) -> float:
        """Renew Ht by the same function that renews W."""
        problem = self.problem
        _, numerator, denominator = sums
        flush = self._flush(problem.beta <= 1)
        self.functions.update(Ht, numerator, denominator, problem.l1_H, problem.l2_H, problem.beta, flush)
        return math.nan

    def normal_equations(self, sums: Any) -> tuple[Float, Float] | None:
        """For beta = 2 the numerator is X'W."""
        W, numerator, _ = sums
        return (numerator, W.T @ W) if self.problem.beta == 2 else None
