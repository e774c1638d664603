"""The solvers. A new one is one folder here and one name in SOLVERS."""

from __future__ import annotations

from nmf_numba import validation
from nmf_numba.solvers.hals.solver import HALS
from nmf_numba.solvers.mu.solver import MultiplicativeUpdates
from nmf_numba.solvers.solver import Solver

SOLVERS: tuple[type[Solver], ...] = (HALS, MultiplicativeUpdates)


def get_solver(name: object) -> type[Solver]:
    """Return the solver of that name."""
    by_name = {solver.name: solver for solver in SOLVERS}
    return by_name[validation.check_choice("solver", name, by_name)]
