"""Projected gradient as a solver: composes reference.py's or kernels.py's functions into a row pass and an update."""

from __future__ import annotations

from typing import Any

import numpy as np

from nmf_numba.problem import Problem
from nmf_numba.solvers.solver import Solver
from nmf_numba.validation import Float


class ProjectedGradient(Solver):
    """A gradient step of safe length, then negative entries become zero."""

    name = "pg"
    title = "Projected gradient"
    sources = (
        "C.-J. Lin (2007), Projected gradient methods for nonnegative matrix factorization, Neural Computation "
        "19(10), 2756-2779. doi:10.1162/neco.2007.19.10.2756",
    )
    stopping = "violation"

    @classmethod
    def supports(cls, problem: Problem) -> str | None:
        """Only the Frobenius loss has the same curvature everywhere."""
        return None if problem.beta == 2 else f"beta_loss = {problem.beta}, only 'frobenius'. Use solver='mu'."

    @classmethod
    def descends(cls, problem: Problem) -> bool:
        """The step is the minimiser of a function above the objective."""
        return cls.supports(problem) is None

    def row_pass(self, W: Float, Ht: Float, *, update_H: bool) -> tuple[float, Any]:
        """Renew W; the sums are X'W and W'W."""
        problem = self.problem
        gram = self.functions.gram(Ht, problem.l2_W)
        violation, *sums = self._row_pass(W, *problem.arrays, Ht, gram, problem.l1_W, update_H, self.bounds)
        return violation, sums

    def update(self, Ht: Float, sums: Any) -> float:
        """Renew Ht by the function that renews W."""
        cross, gram = sums
        l2 = np.diag(np.full(len(gram), self.problem.l2_H, gram.dtype))
        return float(self.functions.update(Ht, gram + l2, cross - cross.dtype.type(self.problem.l1_H)))

    def normal_equations(self, sums: Any) -> tuple[Float, Float]:
        """The sums themselves: the objective then needs no pass over X."""
        cross, gram = sums
        return cross, gram
