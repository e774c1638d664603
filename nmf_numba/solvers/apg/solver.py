"""Accelerated projected gradient as a solver."""

from __future__ import annotations

import dataclasses

from nmf_numba import validation
from nmf_numba.solvers.gram import GramSolver


@dataclasses.dataclass(frozen=True)
class AcceleratedProjectedGradient(GramSolver):
    """Nesterov's method on each half, with a restart of each row that would rise.

    Parameters
    ----------
    n_steps : int >= 1, default 8
        Steps of each half, for the same other factor.

    Raises
    ------
    ValueError, TypeError
        n_steps is not an integer >= 1.
    """

    n_steps: int = 8

    name = "apg"
    title = "Accelerated projected gradient"
    sources = (
        "N. Guan, D. Tao, Z. Luo and B. Yuan (2012), NeNMF: an optimal gradient method for nonnegative matrix "
        "factorization, IEEE Transactions on Signal Processing 60(6), 2882-2898. doi:10.1109/TSP.2012.2190406",
        "B. O'Donoghue and E. Candes (2015), Adaptive restart for accelerated gradient schemes, Foundations of "
        "Computational Mathematics 15(3), 715-732. doi:10.1007/s10208-013-9150-3",
    )

    def __post_init__(self) -> None:
        validation.check_integer("n_steps", self.n_steps, low=1, accepted="an integer >= 1")
