"""What tests share: one small matrix, in every layout and dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

LAYOUTS: dict[str, Any] = {"dense": np.asarray, "csr": sparse.csr_array}


def make_X(
    shape: tuple[int, int] = (40, 15),
    *,
    beta: float = 2,
    layout: str = "dense",
    dtype: Any = np.float64,
    seed: int = 8,
) -> Any:
    """Four components and noise; two fifths zeros where the loss allows them.

    With this seed no component of HALS dies. A dead one is 0 or 1e-17 by rounding, and may grow back from 1e-17.
    """
    rng = np.random.default_rng(seed)
    X = rng.random((shape[0], 4)) @ rng.random((4, shape[1])) + rng.random(shape) / 4
    if beta > 0:
        X[rng.random(shape) < 0.4] = 0
    return LAYOUTS[layout](X.astype(dtype))
