"""Figures of components and activations: images, spectra, words, curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nmf_numba import validation
from nmf_numba.plotting.styles import PALE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Names = Sequence[Any] | NDArray[Any]  # or whatever else NumPy makes a 1-D array of, a pandas Index for example

RANGE = 50.0  # dB that are shown below the maximum


def plot_components(
    H: ArrayLike,
    *,
    image_shape: tuple[int, int] | None = None,
    frequencies: ArrayLike | None = None,
    words: Names | None = None,
    labels: Names | None = None,
    n_words: int = 8,
    ax: Axes | None = None,
) -> Axes:
    """Return an Axes with every component, a row of H, as an image, a spectrum or a list of words.

    Exactly one of `image_shape`, `frequencies` and `words` says what the features are.

    Parameters
    ----------
    H : array-like, shape (n_components, n_features)
        Non-negative. Each component is shown relative to its own maximum.
    image_shape : tuple of int, (height, width), optional
        Features are pixels, line by line: a grid of images, from white (0) to black (the component's maximum).
    frequencies : array-like, shape (n_features,), optional
        In Hz. Features are powers at these frequencies: one curve for each component, in decibels.
    words : sequence or array of names, length n_features, optional
        Features are words: the heaviest ones, with bars as long as their weights.
    labels : sequence or array of names, length n_components, optional
        Name of each component; default: its number, and none above images.
    n_words : int, default 8
        Most words for each component.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Not exactly one kind of feature is given, or it does not fit the shape of H.

    Examples
    --------
    >>> import numpy as np
    >>> from nmf_numba.plotting import plot_components
    >>> ax = plot_components(np.eye(4), image_shape=(2, 2))
    >>> ax.figure.savefig("components.png")  # doctest: +SKIP
    """
    H = _matrix("H", H)
    n_components, n_features = H.shape
    if sum(given is not None for given in (image_shape, frequencies, words)) != 1:
        raise ValueError("Pass exactly one of image_shape, frequencies and words: it says what a row of H is.")
    names_of_words = [] if words is None else _strings("words", words)
    if image_shape is not None:
        found: int = math.prod(image_shape)
    else:
        found = np.size(frequencies) if frequencies is not None else len(names_of_words)
    if found != n_features:
        raise ValueError(f"H has {n_features} features, but what was passed to describe them has {found}.")

    largest = H.max(axis=1, keepdims=True)
    relative = H / np.where(largest > 0, largest, 1)
    if image_shape is not None:
        names = None if labels is None else _names(labels, n_components)
        return _plot_images(relative.reshape(n_components, *image_shape), names, ax)
    if words is not None:
        return _plot_words(relative, names_of_words, _names(labels, n_components), n_words, ax)
    ax = _plot_curves(np.asarray(frequencies, np.float64), relative, _names(labels, n_components), True, ax)
    ax.set_xlabel("frequency (Hz)")
    ax.set_title("Components: power spectra, relative to each one's maximum")
    return ax


def plot_activations(
    W: ArrayLike,
    positions: ArrayLike | None = None,
    *,
    labels: Names | None = None,
    xlabel: str = "row of X",
    title: str = "Activations, relative to the largest entry of W",
    decibels: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Return an Axes with one curve for every activation, a column of W, against the rows of X or their positions.

    Parameters
    ----------
    W : array-like, shape (n_samples, n_components)
        Non-negative. All are shown relative to the largest entry of W, so let the rows of H have equal sums.
    positions : array-like, shape (n_samples,), optional
        Where each row of X lies on the horizontal axis, for example its time; default: 0, 1, 2, ...
    labels : sequence or array of names, length n_components, optional
        Name of each component; default: its number.
    xlabel : str, default 'row of X'
        What `positions` are, with their unit: 'time (s)'.
    title : str
        What W is.
    decibels : bool, default False
        Entries of W are powers: show their levels in decibels, down to -50 dB. Otherwise the scale is linear, 0 to 1.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The shapes do not fit.

    Examples
    --------
    >>> from nmf_numba.plotting import plot_activations
    >>> W = [[1.0, 0.0], [0.1, 1.0]]
    >>> plot_activations(W).get_xlabel()
    'row of X'
    >>> ax = plot_activations(W, [0.0, 0.5], xlabel="time (s)", title="Power of each note", decibels=True)
    """
    validation.check_flag("decibels", decibels)
    W = _matrix("W", W)
    x = np.arange(len(W), dtype=np.float64) if positions is None else np.asarray(positions, np.float64)
    if x.shape != (len(W),):
        raise ValueError(f"positions must have one entry for each of the {len(W)} rows of W. Found shape {x.shape}.")
    largest = W.max()
    ax = _plot_curves(x, W.T / (largest if largest > 0 else 1), _names(labels, W.shape[1]), decibels, ax)
    ax.set_xlabel(xlabel)
    ax.set_title(title)
    return ax


def _matrix(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must be 2-D and not empty. Found the shape {array.shape}.")
    return array


def _names(labels: Names | None, n_components: int) -> list[str]:
    if labels is None:
        return [f"component {t}" for t in range(n_components)]
    names = _strings("labels", labels)
    if len(names) != n_components:
        raise ValueError(f"labels must be one for each of the {n_components} components. Found {len(names)}.")
    return names


def _strings(argument: str, names: Names) -> list[str]:
    """Return a list of the names in a list, tuple, array, pandas Index or Series, whatever their types are."""
    if isinstance(names, str) or np.ndim(names) != 1:
        raise ValueError(
            f"{argument} must be a 1-D sequence or array of names. Found {type(names).__name__}. "
            "Pass a list of one string for each."
        )
    return [str(name) for name in np.asarray(names, dtype=object)]


def _plot_images(images: NDArray[np.float64], labels: list[str] | None, ax: Axes | None) -> Axes:
    """Draw images with values from 0 to 1 in a grid, as one picture with gaps."""
    n_images, height, width = images.shape
    columns = math.ceil(math.sqrt(n_images))
    rows = math.ceil(n_images / columns)
    gap = max(1, round((0.1 if labels is None else 0.2) * max(height, width)))
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    corners = [((height + gap) * (t // columns), (width + gap) * (t % columns)) for t in range(n_images)]
    for image, (top, left) in zip(images, corners, strict=True):
        grid[top : top + height, left : left + width] = image
    ax = axes_or_new(ax, 5, 5 * grid.shape[0] / grid.shape[1] + 0.5)
    ax.imshow(grid, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    for t, (top, left) in enumerate(corners):
        frame = np.array([left, left, left + width, left + width, left]) - 0.5
        ax.plot(frame, np.array([top, top + height, top + height, top, top]) - 0.5, color="0.6", linewidth=0.8)
        if labels is not None:
            ax.text(left + (width - 1) / 2, top - 0.6, labels[t], ha="center", va="bottom", fontsize="small")
    ax.set_xlim(-0.5 - 0.1 * gap, grid.shape[1] - 0.5 + 0.1 * gap)  # so that the frames at the edges are whole
    ax.set_ylim(grid.shape[0] - 0.5 + 0.1 * gap, -0.5 - 0.1 * gap)
    ax.set_axis_off()
    return ax


def _plot_curves(
    x: NDArray[np.float64], relative: NDArray[np.float64], labels: list[str], decibels: bool, ax: Axes | None
) -> Axes:
    """Draw one curve for each row of `relative`, from 0 to 1 or in dB, each on a shelf of its own; 0 dB is 1."""
    height = RANGE if decibels else 1.0
    step = 1.15 * height
    ax = axes_or_new(ax, 7, 1 + 0.7 * len(relative))
    shelves = -step * np.arange(len(relative))
    curves = RANGE + 10 * np.log10(np.maximum(relative, 10 ** (-RANGE / 10))) if decibels else relative
    for curve, shelf in zip(curves, shelves, strict=True):
        ax.fill_between(x, shelf, shelf + curve, color=PALE, alpha=0.5, linewidth=0)
        ax.plot(x, shelf + curve, color="0.15", linewidth=0.9)
    ax.set_yticks(shelves, labels)
    ax.set_ylim(shelves[-1] - 0.1 * height, step + 0.1 * height)
    ax.set_xlim(x.min(), x.max() if x.max() > x.min() else None)
    ax.grid(axis="x", color="0.85")
    ax.set_axisbelow(True)
    scale = ax.secondary_yaxis("right")
    ticks = np.array([0, height / 2, height])
    scale.set_yticks(
        np.concatenate([shelf + ticks for shelf in shelves]),
        [f"{tick - RANGE:.0f}" if decibels else f"{tick:g}" for tick in ticks] * len(shelves),
        fontsize="xx-small",
    )
    scale.set_ylabel("level (dB)" if decibels else "relative to the largest (no unit)")
    return ax


def _plot_words(
    relative: NDArray[np.float64], words: list[str], labels: list[str], n_words: int, ax: Axes | None
) -> Axes:
    """Draw the heaviest words of each component below its label, on bars from 0 to 1."""
    columns = min(5, len(relative))
    rows = math.ceil(len(relative) / columns)
    n_words = min(n_words, relative.shape[1])
    ax = axes_or_new(ax, 2 * columns, 0.25 * rows * (n_words + 2))
    for t, row in enumerate(relative):
        left, top = 1.1 * (t % columns), (n_words + 2) * (t // columns)
        ax.text(left, top, labels[t], weight="bold", va="center")
        for place, feature in enumerate(np.argsort(-row, kind="stable")[:n_words], start=1):
            if row[feature] > 0:
                ax.barh(top + place, row[feature], left=left, height=0.85, color=PALE, alpha=0.5)
                ax.text(left + 0.02, top + place, words[feature], va="center", fontsize="small")
    ax.set_xlim(-0.05, 1.1 * columns)
    ax.set_ylim((n_words + 2) * rows - 1, -1)
    ax.set_axis_off()
    return ax
