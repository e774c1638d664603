"""Figures of components, activations, convergence and factors. Each function draws on one Axes and returns it.

Colours are Okabe and Ito's, and every line has its own dash and marker too, so that figures read in black and white.
Nothing here uses pyplot or needs a display. Matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from nmf_numba import validation
from nmf_numba.animation import Animation, animate
from nmf_numba.solvers import SOLVERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nmf_numba.trace import Trace

    Names = Sequence[Any] | NDArray[Any]  # or whatever else NumPy makes a 1-D array of, a pandas Index for example

__all__ = [
    "Animation",
    "animate",
    "line_styles",
    "plot_activations",
    "plot_components",
    "plot_convergence",
    "plot_factorization",
    "plot_terms",
]

COLOURS = (  # Okabe and Ito's; then two of Brewer's, so that there is one for each solver
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#8C510A", "#999999",
)  # fmt: skip
OTHERS = ("#332288", "#882255", "#44AA99")  # Tol's, of runs beside those of solvers
PALE = COLOURS[6]  # of areas
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 2, 2, 2, 2, 2)))
MARKERS = "os^Dv*XPd"
RANGE = 50.0  # dB that are shown below the maximum
X_LABELS = {"iteration": "iteration", "seconds": "time of solver steps (s)"}
UNIT = "(unit of X to the power beta)"
TERMS = {"data_fit": "data fit", "l1_W": "L1 of W", "l1_H": "L1 of H", "l2_W": "L2 of W", "l2_H": "L2 of H"}
HATCHES = ("", "///", "\\\\\\", "...", "xx")
PIXELS = 256  # most rows and columns of a matrix that are drawn; larger ones by the means of blocks


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


def line_styles(names: Iterable[Any]) -> list[dict[str, Any]]:
    """Return a colour, dashes and a marker for the line of each run: the same for the same solver in every figure.

    Parameters
    ----------
    names : iterable of str
        Of the runs. One that begins with the name of a solver, such as 'cd' or 'mu, CSR', has this solver's style; the
        next runs of the same solver have its colour and other dashes and markers. Other runs beside them have colours
        that no solver has; if no run is named after a solver, they have the solvers' colours, in order.

    Returns
    -------
    list of dict
        With the keywords color, linestyle, marker and markersize of `matplotlib.axes.Axes.plot`.

    Raises
    ------
    TypeError
        `names` is one string, not several.

    Examples
    --------
    >>> from nmf_numba.plotting import line_styles
    >>> cd, mu, mu_too, other = line_styles(["cd", "mu, dense", "mu, CSR", "what a friend wrote"])
    >>> cd["color"] == line_styles(["cd, ten starts"])[0]["color"], mu["color"] == mu_too["color"]
    (True, True)
    >>> mu["marker"] == mu_too["marker"], len({style["color"] for style in (cd, mu, other)})
    (False, 3)
    """
    if isinstance(names, str):
        raise TypeError(f"names must be a list of strings. Found the string {names!r}. Pass [{names!r}].")
    solvers = list(SOLVERS)
    first_words = [str(name).replace(",", " ").split(" ")[0] for name in names]
    numbers = [solvers.index(word) if word in solvers else None for word in first_words]
    colours, has_solver = COLOURS + OTHERS, any(number is not None for number in numbers)
    others = itertools.cycle(range(len(COLOURS), len(colours)) if has_solver else range(len(COLOURS)))
    styles, times_seen = [], Counter[int]()
    for number in numbers:
        own = next(others) if number is None else number
        turn = own + times_seen[own]
        times_seen[own] += 1
        styles.append(
            {
                "color": colours[own % len(colours)],
                "linestyle": DASHES[turn % len(DASHES)],
                "marker": MARKERS[turn % len(MARKERS)],
                "markersize": 5,
            }
        )
    return styles


def plot_convergence(
    traces: Trace | Mapping[str, Trace],
    x: str = "iteration",
    *,
    gap: bool = False,
    within: float = 10.0,
    ax: Axes | None = None,
) -> Axes:
    """Return an Axes with the regularised objective of each run, on a logarithmic scale, one line for each.

    A run whose name begins with that of a solver, such as 'cd' or 'mu, CSR', is drawn in the solver's colour: see
    `line_styles`.

    Parameters
    ----------
    traces : Trace, or mapping of str to Trace
        One run, or several with their names. Whatever has the columns as attributes will do, a pandas.DataFrame also.
    x : {'iteration', 'seconds'}, default 'iteration'
        Against what: iterations, or the wall clock of the solver's steps.
    gap : bool, default False
        Draw how far each run is above the best objective that any of them found, relative to it: (L - best) / best, or
        L itself if the best is 0.
    within : float, default 10
        Without a gap the axis ends at most this many times above the highest end of a run: a start far above it would
        flatten the rest.
        numpy.inf shows all.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError, TypeError
        There is no run, a run has not the columns of a Trace, or these differ in length.

    Notes
    -----
    A logarithmic scale has no zero, so points at zero are left out; with gap=True these are the best ones. If no point
    is above zero, the scale is linear.

    Examples
    --------
    >>> from nmf_numba import fit
    >>> from nmf_numba.plotting import plot_convergence
    >>> X = [[1.0, 2.0, 3.0], [2.0, 4.0, 7.0], [1.0, 0.0, 1.0]]
    >>> def run(solver):
    ...     return fit(X, 1, solver=solver, init="random", random_state=0, trace=True).trace
    >>> ax = plot_convergence({"HALS": run("cd"), "multiplicative updates": run("mu")}, x="seconds")
    >>> ax.get_xlabel(), ax.get_yscale()
    ('time of solver steps (s)', 'log')
    """
    validation.check_choice("x", x, X_LABELS)
    validation.check_flag("gap", gap)
    _check_within(within)
    if isinstance(traces, Mapping):
        if not traces:
            raise ValueError(
                "traces is empty: there is nothing to plot. Pass a Trace, or a mapping of names to Traces."
            )
        runs = [_columns(f"traces[{name!r}]", trace, x, "objective") for name, trace in traces.items()]
        labels = list(traces)
    else:
        runs, labels = [_columns("traces", traces, x, "objective")], []
    best = min((value for _, y in runs for value in y[np.isfinite(y)]), default=0.0)
    if gap:
        runs = [[at, (y - best) / (best or 1)] for at, y in runs]
    logarithmic = any((y[np.isfinite(y)] > 0).any() for _, y in runs)

    ax = _axes(ax, 6, 4)
    styles = line_styles(labels or [""])
    for number, (label, (at, y)) in enumerate(itertools.zip_longest(labels, runs)):
        shown = np.isfinite(y) & (y > 0) if logarithmic else np.isfinite(y)
        ax.plot(
            at[shown],
            y[shown],
            label=label,
            **styles[number],
            markevery=(0.03 * number, 0.2) if shown.sum() > 10 else None,  # a share of the diagonal: markers stay apart
        )
    ax.set_yscale("log" if logarithmic else "linear")
    highest_end = max((y[np.isfinite(y)][-1] for _, y in runs if np.isfinite(y).any()), default=0.0)
    if not gap and 0 < within * highest_end < ax.get_ylim()[1]:
        ax.set_ylim(0.9 * best if best > 0 else None, within * highest_end)
    ax.locator_params(axis="x", integer=x == "iteration")
    ax.set_xlabel(X_LABELS[x])
    ax.locator_params(axis="x", nbins=6)  # seconds have long labels
    if gap:
        unit = "(relative to it, no unit)" if best else UNIT
        ax.set_ylabel(f"gap to the best objective found\n{unit}")
    else:
        ax.set_ylabel(f"objective\n{UNIT}")
    ax.grid(which="both", color="0.9")
    ax.set_axisbelow(True)
    if labels:
        ax.legend(frameon=False)
    return ax


def plot_terms(trace: Trace, x: str = "iteration", *, within: float = 2.0, ax: Axes | None = None) -> Axes:
    """Return an Axes with the five terms of the objective on top of each other: the upper edge is the objective.

    Parameters
    ----------
    trace : Trace
        Whatever has its columns as attributes will do.
    x : {'iteration', 'seconds'}, default 'iteration'
        Against what: iterations, or the wall clock of the solver's steps.
    within : float, default 2
        The axes begin where the objective is at most this many times its end: a start far above would flatten the rest.
        numpy.inf shows all.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Terms that are zero throughout are left out.

    Raises
    ------
    ValueError, TypeError
        trace has not the columns of a Trace, or these differ in length.

    Examples
    --------
    >>> from nmf_numba import fit
    >>> from nmf_numba.plotting import plot_terms
    >>> X = [[1.0, 2.0, 3.0], [2.0, 4.0, 7.0], [1.0, 0.0, 1.0]]
    >>> ax = plot_terms(fit(X, 1, init="random", random_state=0, alpha_W=0.1, trace=True).trace)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['L2 of H', 'L2 of W', 'data fit']
    """
    validation.check_choice("x", x, X_LABELS)
    _check_within(within)
    at, *values = _columns("trace", trace, x, *TERMS)
    ax = _axes(ax, 6, 4)
    floor = np.zeros_like(at)
    for term, colour, hatch, column in zip(TERMS, COLOURS, HATCHES, values, strict=False):
        if not column.any():
            continue
        top = floor + column
        ax.fill_between(
            at, floor, top, label=TERMS[term], facecolor=colour, alpha=0.6, hatch=hatch, edgecolor="0.15", linewidth=0.5
        )
        floor = top
    ax.margins(x=0)
    ax.set_ylim(bottom=0)
    ax.locator_params(axis="x", integer=x == "iteration")
    ax.set_xlabel(X_LABELS[x])
    # floor is the objective now. Rows from the first one that is low enough are shown.
    first = int(np.argmax(floor <= within * floor[-1]))
    if 0 < first < len(at) - 1 and np.isfinite(floor[first:]).all():
        ax.set_xlim(at[first], at[-1])
        ax.set_ylim(0, 1.05 * floor[first:].max())
        ax.set_xlabel(f"{X_LABELS[x]}\n(from {within:g} times the last objective on)")
    ax.set_ylabel(f"terms of the objective\n{UNIT}")
    if ax.collections:
        ax.legend(frameon=False, reverse=True)  # as they lie on each other
    return ax


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
    ax = _axes(ax, 10, 10 * tall / (3 * wide + narrow + 3 * between) + 1.2)
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


def _check_within(within: float) -> None:
    if not within > 1:
        raise ValueError(f"within must be above 1: a multiple of the objective's end. Found {within!r}.")


def _columns(name: str, trace: Any, *columns: str) -> list[NDArray[np.float64]]:
    """Return columns of a Trace, or of what has them as attributes."""
    if not all(hasattr(trace, column) for column in columns):
        raise TypeError(
            f"{name} must be a Trace, or have its columns {', '.join(columns)}. Found {type(trace).__name__}. "
            "Use fit(..., trace=True).trace."
        )
    arrays = [np.asarray(getattr(trace, column), np.float64) for column in columns]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1 or arrays[0].size == 0:
        found = ", ".join(f"{column} {array.shape}" for column, array in zip(columns, arrays, strict=True))
        raise ValueError(f"The columns of {name} must be 1-D, not empty and of one length. Found the shapes {found}.")
    return arrays


def _averages(size: int) -> Any:
    """Return the sparse matrix that takes means of PIXELS blocks of rows, or the rows themselves if these are fewer."""
    n_blocks = min(size, PIXELS)
    starts = np.arange(n_blocks + 1) * size // n_blocks
    lengths = np.diff(starts)
    return sparse.csr_array((np.repeat(1 / lengths, lengths), np.arange(size), starts), shape=(n_blocks, size))


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


def _plot_curves(
    x: NDArray[np.float64], relative: NDArray[np.float64], labels: list[str], decibels: bool, ax: Axes | None
) -> Axes:
    """Draw one curve for each row of `relative`, from 0 to 1 or in dB, each on a shelf of its own; 0 dB is 1."""
    height = RANGE if decibels else 1.0
    step = 1.15 * height
    ax = _axes(ax, 7, 1 + 0.7 * len(relative))
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
    ax = _axes(ax, 2 * columns, 0.25 * rows * (n_words + 2))
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
