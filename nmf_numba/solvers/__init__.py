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
    """Return the solver that suits such a problem: what solver="auto" takes.

    Frobenius: HALS with inner sweeps and extrapolation. Kullback-Leibler: cyclic coordinate descent for a CSR, which
    visits stored entries only. Both by coordinate descent if entries have weights: with a few large ones HALS takes
    short steps for all others. Every other problem: extrapolated multiplicative updates.
    """
    beta = problem.beta
    has_weights, is_csr = problem.weights is not None, problem.layout == "csr"
    if beta == 1 and (has_weights or is_csr):
        names = ["ccd"]
    else:
        names = (["ccd"] if has_weights else ["ehals", "ccd"]) if beta == 2 else []
    return next((SOLVERS[name] for name in names if SOLVERS[name].supports(problem) is None), SOLVERS["mue"])
