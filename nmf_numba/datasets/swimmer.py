"""The swimmer: images made of known parts, drawn here."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from nmf_numba.datasets.dataset import Dataset

SIZE = 32
TORSO = (slice(10, 22), slice(15, 17))  # 12 lines, 2 columns
LIMB_LENGTH = 6

# For each limb: the pixel of the torso it hangs on, and the four directions (down, right) it can point to.
LIMBS = {
    "left arm": ((10, 15), [(-1, 0), (-1, -1), (0, -1), (1, -1)]),
    "right arm": ((10, 16), [(-1, 0), (-1, 1), (0, 1), (1, 1)]),
    "left leg": ((21, 15), [(-1, -1), (0, -1), (1, -1), (1, 0)]),
    "right leg": ((21, 16), [(-1, 1), (0, 1), (1, 1), (1, 0)]),
}

DESCRIPTION = """\
The swimmer: a torso and four limbs, each limb in one of four positions.
Rows: 256 images, one for each choice of positions. Columns: 32 x 32 pixels, line by line.
Unit of X: 1 on the figure, 0 on the background.
Source: drawn here after D. Donoho and V. Stodden (2003), When does non-negative matrix factorization give a correct
decomposition into parts?, Advances in Neural Information Processing Systems 16.
Licence: that of this package."""


def draw_parts() -> NDArray[np.float64]:
    """Return the 17 parts as images of 0 and 1, shape (17, 32, 32): the torso, then four positions of each limb."""
    parts = np.zeros((1 + 4 * len(LIMBS), SIZE, SIZE))
    parts[0][TORSO] = 1.0
    t = 1
    for (row, column), directions in LIMBS.values():
        for down, right in directions:
            for step in range(1, LIMB_LENGTH + 1):
                parts[t, row + step * down, column + step * right] = 1.0
            t += 1
    return parts


def make_swimmer() -> Dataset:
    """Return the 256 swimmer images, each exactly the sum of 5 of 17 known parts.

    Returns
    -------
    Dataset
        X : ndarray of shape (256, 1024)
            One image for each row, 32 x 32 pixels line by line: 1.0 on the figure, 0.0 on the background.
        row_names : list of 256 str
            The positions of left arm, right arm, left leg and right leg: "0000" to "3333".
        image_shape : (32, 32)
            Height and width of an image, in pixels.
        target : ndarray of int64, shape (256, 4)
            The same positions as numbers 0 to 3.
        details : dict
            parts : ndarray of shape (17, 1024)
                The torso, then the four positions of left arm, right arm, left leg and right leg. No two overlap.
            part_names : list of 17 str
                "torso", "left arm 0", ...
            weights : ndarray of shape (256, 17)
                0 or 1, five ones in each row. ``X == weights @ parts`` holds exactly.

    Notes
    -----
    The torso is in every image, so it can't be told from the limbs: one position of each limb is always present, and
    the torso may be drawn into the four positions of any limb. So 16 components are enough to give X exactly, and
    what a solver finds often has a torso, or a ghost of it, on its limbs. The rank of X is 13. The images are drawn
    after the paper, not copied from it: pixels and grey values differ.

    References
    ----------
    D. Donoho and V. Stodden (2003), When does non-negative matrix factorization give a correct decomposition into
    parts?, Advances in Neural Information Processing Systems 16.

    Examples
    --------
    >>> from nmf_numba.datasets import make_swimmer
    >>> swimmer = make_swimmer()
    >>> swimmer.X.shape, swimmer.details["parts"].shape
    ((256, 1024), (17, 1024))
    >>> bool((swimmer.X == swimmer.details["weights"] @ swimmer.details["parts"]).all())
    True
    """
    parts = draw_parts().reshape(-1, SIZE * SIZE)
    positions = np.array(list(product(range(4), repeat=len(LIMBS))), dtype=np.int64)  # (256, 4)
    weights = np.zeros((len(positions), len(parts)))
    weights[:, 0] = 1.0
    for limb in range(len(LIMBS)):
        weights[np.arange(len(positions)), 1 + 4 * limb + positions[:, limb]] = 1.0
    return Dataset(
        X=weights @ parts,  # sums of zeros and ones: exact in any order
        title="Swimmer",
        description=DESCRIPTION,
        row_names=["".join(map(str, row)) for row in positions],
        image_shape=(SIZE, SIZE),
        target=positions,
        details={
            "parts": parts,
            "part_names": ["torso"] + [f"{limb} {position}" for limb in LIMBS for position in range(4)],
            "weights": weights,
        },
    )
