"""The solvers. A new one is one folder here and one line in SOLVERS."""

from __future__ import annotations

from nmf_numba.solvers.hals.solver import HALS
from nmf_numba.solvers.mu.solver import MultiplicativeUpdates
from nmf_numba.solvers.solver import Solver

SOLVERS: dict[str, Solver] = {
    solver.name: solver
    for solver in (
        HALS(),
        MultiplicativeUpdates(),
        MultiplicativeUpdates(exact=True),
        MultiplicativeUpdates(extrapolation=True),
    )
}
