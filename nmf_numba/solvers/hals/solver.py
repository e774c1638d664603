"""HALS as a solver: composes reference.py's or kernels.py's functions into a row pass and an update."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmf_numba.problem import Problem
from nmf_numba.solvers.solver import Coordinate, Solver
from nmf_numba.validation import Float


class HALS(Solver):
    """Hierarchical alternating least squares: exact coordinate descent for the Frobenius loss."""

    name = "cd"
    title = "HALS, coordinate descent"
    sources = (
        "A. Cichocki and A.-H. Phan (2009), Fast local algorithms for large scale nonnegative matrix and tensor "
        "factorizations, IEICE Transactions on Fundamentals E92-A(3), 708-721. doi:10.1587/transfun.E92.A.708",
        "N. Gillis and F. Glineur (2012), Accelerated multiplicative updates and hierarchical ALS algorithms for "
        "nonnegative matrix factorization, Neural Computation 24(4), 1085-1105. doi:10.1162/NECO_a_00256",
    )
    stopping = "violation"

    @classmethod
    def supports(cls, problem: Problem) -> str | None:
        """Only the Frobenius loss is quadratic in one entry."""
        return None if problem.beta == 2 else f"beta_loss = {problem.beta}, only 'frobenius'. Use solver='mu'."

    @classmethod
    def descends(cls, problem: Problem) -> bool:
        """Every step is an exact minimisation."""
        return cls.supports(problem) is None

    def _order(self) -> NDArray[np.intp]:
        if self.shuffle:
            return np.asarray(self.rng.permutation(self.n_components), np.intp)
        return np.arange(self.n_components, dtype=np.intp)

    def row_pass(self, W: Float, Ht: Float, *, update_H: bool) -> tuple[float, Any]:
        """Sweep W; the sums are H's cross X'W and gram W'W, without penalties."""
        gram = self.functions.gram(Ht, self.problem.l2_W)
        violation, *sums = self._row_pass(
            W, *self.problem.arrays, Ht, gram, self.problem.l1_W, self._order(), update_H, self.bounds
        )
        return violation, sums

    def update(self, Ht: Float, sums: Any) -> float:
        """Sweep Ht by the same function that sweeps W."""
        cross, gram = sums
        cross, gram = self._penalised(cross, gram, self.problem.l1_H, self.problem.l2_H)
        return float(self.functions.update(Ht, gram, cross, self._order()))

    def _penalised(self, cross: Float, gram: Float, l1: float, l2: float) -> tuple[Float, Float]:
        return cross - cross.dtype.type(l1) if l1 else cross, gram + np.diag(np.full(len(gram), l2, gram.dtype))

    def normal_equations(self, sums: Any) -> tuple[Float, Float]:
        """The sums themselves."""
        cross, gram = sums
        return cross, gram

    def equations_of_W(self, Ht: Float) -> tuple[Float, Float]:
        """W's cross and gram, without penalties."""
        return np.asarray(self.problem.X @ Ht), self.functions.gram(Ht, 0.0)

    def renew(self, W: Float, equations: tuple[Float, Float]) -> float:
        """Sweep W."""
        cross, gram = self._penalised(*equations, self.problem.l1_W, self.problem.l2_W)
        return float(self.functions.update(W, gram, cross, self._order()))

    def coordinates(self, W: Float, Ht: Float, *, update_H: bool) -> Iterator[Coordinate]:
        """(1) of reference.py, entry by entry: components outside, so in the order of its equations."""
        problem = self.problem
        gram: Float = Ht.T @ Ht + problem.l2_W * np.eye(self.n_components)
        yield from self._entries("W", W, gram, problem.X @ Ht - problem.l1_W)
        if update_H:
            cross, gram = self._penalised(problem.X.T @ W, W.T @ W, problem.l1_H, problem.l2_H)
            yield from self._entries("H", Ht, gram, cross)

    def _entries(self, factor: str, W: Float, gram: Float, cross: Float) -> Iterator[Coordinate]:
        for t in self._order():
            for i in range(len(W)):
                gradient = float(W[i] @ gram[:, t] - cross[i, t])
                curvature, old = float(gram[t, t]), float(W[i, t])
                if curvature != 0:
                    W[i, t] = max(old - gradient / curvature, 0)
                yield Coordinate(factor, int(t), i, gradient, curvature, old, float(W[i, t]))
