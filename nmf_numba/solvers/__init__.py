"""The solvers. A new one is one folder here and one line in SOLVERS."""

from __future__ import annotations

from nmf_numba.solvers.ccd.solver import CyclicCoordinateDescent
from nmf_numba.solvers.hals.solver import HALS, AcceleratedHALS, ExtrapolatedHALS
from nmf_numba.solvers.mu.solver import ExactUpdates, ExtrapolatedUpdates, MultiplicativeUpdates
from nmf_numba.solvers.solver import Solver

SOLVERS: dict[str, Solver] = {
    solver.name: solver
    for solver in (
        HALS(),
        AcceleratedHALS(),
        ExtrapolatedHALS(),
        MultiplicativeUpdates(),
        ExactUpdates(),
        ExtrapolatedUpdates(),
        CyclicCoordinateDescent(),
    )
}
