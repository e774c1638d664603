"""The solvers. A new one is one folder here and one line in SOLVERS; `choose` is what solver="auto" does."""

from __future__ import annotations

from nmf_numba.problem import Problem
from nmf_numba.solvers.apg.solver import AcceleratedProjectedGradient
from nmf_numba.solvers.bpp.solver import BlockPrincipalPivoting
from nmf_numba.solvers.ccd.solver import CyclicCoordinateDescent
from nmf_numba.solvers.hals.solver import HALS, AcceleratedHALS, ExtrapolatedHALS
from nmf_numba.solvers.mu.solver import ExactUpdates, ExtrapolatedUpdates, MultiplicativeUpdates
from nmf_numba.solvers.solver import Solver

SOLVERS: dict[str, Solver] = {
    solver.name: solver
    for solver in (
        HALS(),
        MultiplicativeUpdates(),
        AcceleratedHALS(),
        ExtrapolatedHALS(),
        ExactUpdates(),
        ExtrapolatedUpdates(),
        CyclicCoordinateDescent(),
        AcceleratedProjectedGradient(),
        BlockPrincipalPivoting(),
    )
}


def choose(problem: Problem) -> Solver:
    """Return the solver that `python -m benchmarks convergence` finds fastest for such a problem.

    Frobenius: HALS with inner sweeps and extrapolation. Kullback-Leibler: cyclic coordinate descent for a CSR, which
    visits stored entries only, else extrapolated multiplicative updates, as for every other loss: with exact penalties
    where the ratio can rise. Not with exponent 1: extrapolated, it oscillates under an L1 penalty.
    """
    beta = problem.beta
    by_coordinate = beta in (1, 2) and problem.weights is not None  # of a few large weights HALS sees the others late
    by_coordinate = by_coordinate or (beta == 1 and problem.layout == "csr")
    for name in ("ccd",) if by_coordinate else ("ehals", "ccd") if beta == 2 else ():
        if SOLVERS[name].supports(problem) is None:
            return SOLVERS[name]
    has_l2 = problem.l2_W > 0 or problem.l2_H > 0
    return ExtrapolatedUpdates(exact=has_l2)
