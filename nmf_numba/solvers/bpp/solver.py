"""Block principal pivoting as a solver."""

from __future__ import annotations

import dataclasses

from nmf_numba.solvers.gram import GramSolver


@dataclasses.dataclass(frozen=True)
class BlockPrincipalPivoting(GramSolver):
    """Alternating non-negative least squares: each half is solved exactly, row by row."""

    name = "bpp"
    title = "Block principal pivoting"
    sources = (
        "J. Kim and H. Park (2011), Fast nonnegative matrix factorization: an active-set-like method and comparisons, "
        "SIAM Journal on Scientific Computing 33(6), 3261-3281. doi:10.1137/110821172",
    )
