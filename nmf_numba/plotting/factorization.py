"""The figure of a factorization: X beside WH, W and H."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from nmf_numba import validation
from nmf_numba.plotting.styles import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PIXELS = 256  # most rows and columns of a matrix that are drawn; larger ones by the means of blocks


def plot_factorization(X: Any, W: Any, H: Any, *, ax: Axes | None = None) -> Axes:
    """Return an Axes with X beside WH, and WH beside its factors W and H, as images from white (0) to black.

    X and WH share one scale, up to the largest entry of either; W and H have one each. The scales are written below.

    Parameters
    ----------
    X : array-like or SciPy sparse, shape (n_samples, n_features)
        Finite and non-negative.
    W : array-like, shape (n_samples, n_components)
        Finite and non-negative.
    H : array-like, shape (n_components, n_features)
        Finite and non-negative.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        One Axes without ticks; its `images` are X, WH, W and H, in this order.

    Raises
    ------
    ValueError
        W @ H has not the shape of X; an entry is negative, infinite or NaN.

    Notes
    -----
    Of more than 256 rows or columns, blocks are drawn, by their means, and a line below says so. Neither WH nor a dense
    copy of a sparse X is made in full: the mean of a block of WH is the mean row of W times the mean column of H.

    Examples
    --------
    >>> from nmf_numba.plotting import plot_factorization
    >>> ax = plot_factorization([[1.0, 2.0], [2.0, 4.0], [0.0, 1.0]], [[1.0], [2.0], [0.3]], [[1.0, 2.0]])
    >>> [image.get_array().shape for image in ax.images]
    [(3, 2), (3, 2), (3, 1), (1, 2)]
    """
    X = validation.check_X(X)
    W, H = validation.check_product(X, W, H)
    sizes = {"X": X.shape, "WH": X.shape, "W": W.shape, "H": H.shape}
    rows, columns, components = (_averages(size) for size in (*X.shape, len(H)))
    blocks, tops, ends = rows @ X @ columns.T, rows @ W, H @ columns.T
    images = {
        "X": blocks.toarray() if sparse.issparse(blocks) else blocks,
        "WH": tops @ ends,
        "W": tops @ components.T,
        "H": components @ ends,
    }
    largest = {name: float(image.max()) for name, image in images.items()}
    largest["X"] = largest["WH"] = max(largest["X"], largest["WH"])

    # Sides in units of the longer side of X; to scale, but none so short that it can't be seen.
    (n_samples, n_features), n_components, longer = sizes["X"], sizes["H"][0], max(sizes["X"])
    tall, wide = max(n_samples / longer, 0.3), max(n_features / longer, 0.3)
    narrow, low = (min(max(n_components / longer, 0.1), side) for side in (wide, tall))
    sides = {"X": (wide, tall), "WH": (wide, tall), "W": (narrow, tall), "H": (wide, low)}
    between = 0.35
    ax = axes_or_new(ax, 10, 10 * tall / (3 * wide + narrow + 3 * between) + 1.2)
    left = 0.0
    for name, sign in (("X", "\N{ALMOST EQUAL TO}"), ("WH", "="), ("W", "\N{MULTIPLICATION SIGN}"), ("H", "")):
        right, top, bottom = left + sides[name][0], sides[name][1] / 2, -sides[name][1] / 2
        ax.imshow(
            images[name],
            cmap="gray_r",
            vmin=0,
            vmax=largest[name],
            interpolation="nearest",
            extent=(left, right, bottom, top),
        )
        ax.plot([left, left, right, right, left], [bottom, top, top, bottom, bottom], color="0.6", linewidth=0.8)
        label = f"{name}\n{sizes[name][0]} x {sizes[name][1]}"
        ax.annotate(label, ((left + right) / 2, top), (0, 4), textcoords="offset points", ha="center", va="bottom")
        ax.text(right + between / 2, 0, sign, ha="center", va="center", fontsize="xx-large")
        left = right + between
    scales = f"white: 0; black: {largest['X']:.3g} in X and WH, {largest['W']:.3g} in W, {largest['H']:.3g} in H"
    if max(n_samples, n_features, n_components) > PIXELS:
        scales += f"\nmeans of blocks of up to {-(-n_samples // PIXELS)} x {-(-n_features // PIXELS)} entries of X"
    right = left - between
    ax.annotate(scales, (right / 2, -tall / 2), (0, -6), textcoords="offset points", ha="center", va="top")
    ax.set_xlim(-0.02, right + 0.02)
    ax.set_ylim(-tall / 2 - 0.02, tall / 2 + 0.02)
    ax.set_axis_off()
    return ax


def _averages(size: int) -> Any:
    """Return the sparse matrix that takes means of PIXELS blocks of rows, or the rows themselves if these are fewer."""
    n_blocks = min(size, PIXELS)
    starts = np.arange(n_blocks + 1) * size // n_blocks
    lengths = np.diff(starts)
    return sparse.csr_array((np.repeat(1 / lengths, lengths), np.arange(size), starts), shape=(n_blocks, size))
