"""Cyclic coordinate descent as a solver: composes functions of reference.py or kernels.py, and HALS's."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from nmf_numba import validation
from nmf_numba.problem import Float, Problem
from nmf_numba.solvers.gram import GramState, gram_and_cross
from nmf_numba.solvers.hals.solver import HALS
from nmf_numba.solvers.solver import AlternatingSolver, State

_HALS = HALS()


@dataclasses.dataclass(frozen=True)
class CyclicCoordinateDescent(AlternatingSolver):
    """Cyclic coordinate descent: one entry after the other, several sweeps a row, for Kullback-Leibler and Frobenius.

    Parameters
    ----------
    sweeps : int >= 1, default 2
        How often to go through the components of a row before the next row.
    """

    sweeps: int = 2

    name = "ccd"
    title = "Cyclic coordinate descent"
    sources = (
        "C.-J. Hsieh and I. S. Dhillon (2011), Fast coordinate descent methods with variable selection for "
        "non-negative matrix factorization, KDD 2011, 1064-1072. doi:10.1145/2020408.2020577",
        "X. Lin and P. C. Boutros (2020), Optimization and expansion of non-negative matrix factorization, BMC "
        "Bioinformatics 21, 7. doi:10.1186/s12859-019-3312-5",
    )
    stopping = "objective"

    def __post_init__(self) -> None:
        validation.check_integer("sweeps", self.sweeps, low=1, accepted="an integer >= 1")

    def supports(self, problem: Problem) -> str | None:
        """The other losses have no closed form for the zeros of X, and no proof that a step descends."""
        if problem.beta == 2 and not problem.observed:
            return _HALS.supports(problem)
        if problem.beta in (1, 2):
            return None
        return f"beta_loss = {problem.beta}, only 'kullback-leibler' and 'frobenius'. Use solver='mu'."

    def descends(self, problem: Problem) -> bool:
        """No step goes beyond the minimum; near zero the floor of WH can break it."""
        return self.supports(problem) is None

    def least_X(self, problem: Problem) -> float:
        """WH can't be smaller than its floor."""
        return problem.floor if problem.beta == 1 else 0.0

    def init(self, problem: Problem, W: Float, Ht: Float, rng: Any = None) -> State:
        """For the Frobenius loss and an H that stays, multiply X with it once, as HALS does."""
        return GramState.start(problem, W, Ht, rng) if problem.beta == 2 else State(W, Ht, rng)

    def update(self, problem: Problem, W: Float, Ht: Float, state: State) -> float:
        """Update W by `sweeps` sweeps and return the violation in the first."""
        if problem.beta == 2 and not problem.observed:
            return self._update_by_gram(problem, W, Ht, state)
        functions, penalties = self.functions(problem), (problem.l1_W, problem.l2_W)
        fixed = np.zeros((0, W.shape[1]), np.bool_) if problem.fixed_W is None else problem.fixed_W
        more = fixed, problem.bounds(W.shape[1], sums=False)
        method = float(problem.beta), int(self.sweeps), float(problem.floor)
        if problem.observed:
            update = functions.update_observed_dense if problem.layout == "dense" else functions.update_observed_csr
            violations = update(W, *problem.observed_arrays, Ht, penalties, method, *more)
        else:
            update = functions.update_dense if problem.layout == "dense" else functions.update_csr
            violations = update(W, *problem.arrays, Ht, penalties, method, *more)
        return float(sum(violations.tolist()))

    def _update_by_gram(self, problem: Problem, W: Float, Ht: Float, state: State) -> float:
        """Sweep with HALS's own update: where every entry counts, gram and cross say all of the residual."""
        gram, cross = gram_and_cross(problem, Ht, state)
        order = _HALS.order(state, problem.fixed_W)
        return float(_HALS.functions(problem).update(W, gram, cross, problem.l1_W, order, (self.sweeps, 0.0)))
