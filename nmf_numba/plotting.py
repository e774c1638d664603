"""Figures of components, activations and convergence. Each function draws on one Axes and returns it.

Colours are Okabe and Ito's, and every line has its own dash and marker too, so that figures read in black and white.
Nothing here uses pyplot or needs a display. Matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")  # Okabe and Ito
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 2, 2, 2, 2, 2)))
MARKERS = "os^Dv*X"
RANGE = 50.0  # dB that are shown below the maximum


def _axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return ax, or the Axes of a new figure of that size in inches."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure  # noqa: PLC0415  (takes its time)

    return Figure(figsize=(width, height), layout="constrained").subplots()


def _matrix(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must be 2-D and not empty. Found the shape {array.shape}.")
    return array


def _names(labels: Sequence[str] | None, n_components: int) -> list[str]:
    if labels is None:
        return [f"component {t}" for t in range(n_components)]
    if len(labels) != n_components:
        raise ValueError(f"labels must be one for each of the {n_components} components. Found {len(labels)}.")
    return list(labels)


def plot_components(
    H: ArrayLike,
    *,
    image_shape: tuple[int, int] | None = None,
    frequencies: ArrayLike | None = None,
    words: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
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
    words : sequence of str, length n_features, optional
        Features are words: the heaviest ones, with bars as long as their weights.
    labels : sequence of str, length n_components, optional
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
    if image_shape is not None:
        found: int = math.prod(image_shape)
    else:
        found = np.size(frequencies) if frequencies is not None else len(words or ())
    if found != n_features:
        raise ValueError(f"H has {n_features} features, but what was passed to describe them has {found}.")

    largest = H.max(axis=1, keepdims=True)
    relative = H / np.where(largest > 0, largest, 1)
    if image_shape is not None:
        names = None if labels is None else _names(labels, n_components)
        return _plot_images(relative.reshape(n_components, *image_shape), names, ax)
    if words is not None:
        return _plot_words(relative, words, _names(labels, n_components), n_words, ax)
    ax = _plot_levels(np.asarray(frequencies, np.float64), relative, _names(labels, n_components), ax)
    ax.set_xlabel("frequency (Hz)")
    ax.set_title("Components: power spectra, relative to each one's maximum")
    return ax


def plot_activations(
    W: ArrayLike, times: ArrayLike, *, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Return an Axes with every activation, a column of W, over time, in decibels.

    Parameters
    ----------
    W : array-like, shape (n_samples, n_components)
        Non-negative. All are shown relative to the largest entry of W, so let the rows of H have equal sums.
    times : array-like, shape (n_samples,)
        In s.
    labels : sequence of str, length n_components, optional
        Name of each component; default: its number.
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
    >>> plot_activations([[1.0, 0.0], [0.1, 1.0]], [0.0, 0.5]).get_xlabel()
    'time (s)'
    """
    W = _matrix("W", W)
    times = np.asarray(times, np.float64)
    if times.shape != (len(W),):
        raise ValueError(f"times must have one entry for each of the {len(W)} rows of W. Found shape {times.shape}.")
    largest = W.max()
    ax = _plot_levels(times, W.T / (largest if largest > 0 else 1), _names(labels, W.shape[1]), ax)
    ax.set_xlabel("time (s)")
    ax.set_title("Activations: power, relative to the loudest")
    return ax


def plot_convergence(
    runs: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    ax: Axes | None = None,
    x_label: str = "iteration",
    y_label: str = "objective",
) -> Axes:
    """Return an Axes with the objective of each run, on a logarithmic scale, one line for each.

    Parameters
    ----------
    runs : mapping of str to (iterations, objectives)
        Name of each run, and two sequences of equal length. Seconds will do as well as iterations.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.
    x_label, y_label : str
        Labels of the axes; give the units.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        There is no run, or a run's two sequences differ in length.

    Examples
    --------
    >>> from nmf_numba.plotting import plot_convergence
    >>> plot_convergence({"cd": ([0, 1, 2], [9.0, 3.0, 2.5])}).get_yscale()
    'log'
    """
    if not runs:
        raise ValueError("runs is empty: there is nothing to plot.")
    ax = _axes(ax, 6, 4)
    whole = True
    for number, (name, (iterations, objectives)) in enumerate(runs.items()):
        x, y = np.asarray(iterations, np.float64), np.asarray(objectives, np.float64)
        if x.shape != y.shape or x.ndim != 1:
            raise ValueError(f"Run {name!r} must be two sequences of equal length. Found shapes {x.shape}, {y.shape}.")
        whole &= bool((x == np.floor(x)).all())
        ax.plot(
            x,
            y,
            label=name,
            color=COLOURS[number % len(COLOURS)],
            linestyle=DASHES[number % len(DASHES)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=5,
            markevery=(0.03 * number, 0.2),  # a share of the figure's diagonal, so that markers stay apart
        )
    ax.set_yscale("log")
    ax.locator_params(axis="x", integer=whole)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.grid(which="both", color="0.9")
    ax.set_axisbelow(True)
    ax.legend(frameon=False)
    return ax


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
    ax = _axes(ax, 5, 5 * grid.shape[0] / grid.shape[1] + 0.5)
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


def _plot_levels(x: NDArray[np.float64], power: NDArray[np.float64], labels: list[str], ax: Axes | None) -> Axes:
    """Draw one curve in dB for each row of power, each on a shelf of its own; 0 dB is a power of 1."""
    step = 1.15 * RANGE
    ax = _axes(ax, 7, 1 + 0.7 * len(power))
    shelves = -step * np.arange(len(power))
    for row, shelf in zip(power, shelves, strict=True):
        level = 10 * np.log10(np.maximum(row, 10 ** (-RANGE / 10)))  # from -RANGE to 0
        ax.fill_between(x, shelf, shelf + RANGE + level, color=COLOURS[-1], alpha=0.5, linewidth=0)
        ax.plot(x, shelf + RANGE + level, color="0.15", linewidth=0.9)
    ax.set_yticks(shelves, labels)
    ax.set_ylim(shelves[-1] - 0.1 * RANGE, step + 0.1 * RANGE)
    ax.set_xlim(x.min(), x.max() if x.max() > x.min() else None)
    ax.grid(axis="x", color="0.85")
    ax.set_axisbelow(True)
    scale = ax.secondary_yaxis("right")
    ticks = np.array([0, RANGE / 2, RANGE])
    scale.set_yticks(
        np.concatenate([shelf + ticks for shelf in shelves]),
        [f"{tick - RANGE:.0f}" for tick in ticks] * len(shelves),
        fontsize="xx-small",
    )
    scale.set_ylabel("level (dB)")
    return ax


def _plot_words(
    relative: NDArray[np.float64], words: Sequence[str], labels: list[str], n_words: int, ax: Axes | None
) -> Axes:
    """Draw the heaviest words of each component below its label, on bars from 0 to 1."""
    columns = min(5, len(relative))
    rows = math.ceil(len(relative) / columns)
    n_words = min(n_words, relative.shape[1])
    ax = _axes(ax, 2 * columns, 0.25 * rows * (n_words + 2))
    for t, row in enumerate(relative):
        left, top = 1.1 * (t % columns), (n_words + 2) * (t // columns)
        ax.text(left, top, labels[t], weight="bold", va="center")
        for place, feature in enumerate(np.argsort(-row, kind="stable")[:n_words], start=1):
            if row[feature] > 0:
                ax.barh(top + place, row[feature], left=left, height=0.85, color=COLOURS[-1], alpha=0.5)
                ax.text(left + 0.02, top + place, words[feature], va="center", fontsize="small")
    ax.set_xlim(-0.05, 1.1 * columns)
    ax.set_ylim((n_words + 2) * rows - 1, -1)
    ax.set_axis_off()
    return ax
