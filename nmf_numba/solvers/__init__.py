"""The solvers. A new one is a folder here, a line in SOLVERS and a name in `validation.SolverName`.

`choose` is what solver="auto" does.
"""

from __future__ import annotations

import numpy as np

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


MANY_ZEROS = 0.45  # of a dense X, or missing: from here on coordinate descent, which skips them, is sooner done
MOSTLY_MISSING = 0.88  # of a dense X: HALS visits what is missing too


def choose(problem: Problem) -> Solver:
    """Return the solver that suits such a problem: what solver="auto" takes.

    Frobenius: HALS with inner sweeps and extrapolation. Kullback-Leibler of a CSR, or of many zeros: cyclic coordinate
    descent, which visits the other entries only. Both by coordinate descent if nearly all entries are missing, or if
    they have weights: with a few large ones HALS takes short steps for all others. Every other problem: extrapolated
    multiplicative updates.
    """
    has_weights, is_csr = problem.weights is not None, problem.layout == "csr"
    names = []
    if problem.beta == 2:
        sparse = problem.missing and not is_csr and problem.share(np.isnan) >= MOSTLY_MISSING
        names = ["ccd"] if has_weights or sparse else ["ehals", "ccd"]
    elif problem.beta == 1 and (has_weights or is_csr or problem.share(lambda x: ~(x > 0)) >= MANY_ZEROS):
        names = ["ccd"]
    return next((SOLVERS[name] for name in names if SOLVERS[name].supports(problem) is None), SOLVERS["mue"])
