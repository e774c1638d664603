"""Projected gradient as a solver: composes reference.py's or kernels.py's functions."""

from __future__ import annotations

import dataclasses

import numpy as np

from nmf_numba.problem import Problem, sum_of_chunks
from nmf_numba.solvers.solver import RowPassSolver, State, Sums


@dataclasses.dataclass(frozen=True)
class ProjectedGradient(RowPassSolver):
    """Gradient steps of a length that is safe for every row; what becomes negative is set to zero.

    Parameters
    ----------
    n_steps : int >= 1, default 1
        Steps for the same H, and for the same sums.
    """

    n_steps: int = 1

    name = "pg"
    title = "Projected gradient"
    sources = (
        "C.-J. Lin (2007), Projected gradient methods for nonnegative matrix factorization, Neural Computation "
        "19(10), 2756-2779. doi:10.1162/neco.2007.19.10.2756",
    )
    stopping = "violation"

    def supports(self, problem: Problem) -> str | None:
        """Only the Frobenius loss has the same curvature everywhere."""
        if problem.beta != 2:
            return f"beta_loss = {problem.beta}, only 'frobenius'. Use solver='mu'."
        return super().supports(problem)

    def descends(self, problem: Problem) -> bool:
        """Each step minimises a function that lies above the objective."""
        return self.supports(problem) is None

    def row_pass(self, problem: Problem, state: State) -> Sums:
        """Update W; the sums are H's cross X'W and gram W'W, without penalties."""
        functions, bounds = self.functions(problem), problem.bounds(state.W.shape[1])
        row_pass = functions.row_pass_dense if problem.layout == "dense" else functions.row_pass_csr
        gram = functions.gram(state.Ht, problem.l2_W)
        violations, *chunks = row_pass(state.W, *problem.arrays, state.Ht, gram, problem.l1_W, self.n_steps, bounds)
        cross_H, gram_H = (sum_of_chunks(sums, problem.engine) for sums in chunks)
        cross_H = np.ascontiguousarray(cross_H.T) if problem.layout == "dense" else cross_H
        return Sums(float(violations.sum()), (cross_H, gram_H))

    def update(self, problem: Problem, state: State, sums: Sums) -> float:
        """Update Ht by the same function that updates W."""
        cross, gram = sums.arrays
        gram = gram + np.diag(np.full(len(gram), problem.l2_H, gram.dtype))
        return float(self.functions(problem).update(state.Ht, gram, cross, problem.l1_H, self.n_steps))
