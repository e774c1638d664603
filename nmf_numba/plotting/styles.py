"""Colours, dashes and markers: the same for the same solver in every figure.

Colours are Okabe and Ito's, and every line has its own dash and marker too, so that figures read in black and white.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nmf_numba.solvers import SOLVERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (  # Okabe and Ito's; then two of Brewer's, so that there is one for each solver
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#8C510A", "#999999",
)  # fmt: skip
OTHERS = ("#332288", "#882255", "#44AA99")  # Tol's, of runs beside those of solvers
PALE = COLOURS[6]  # of areas
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 2, 2, 2, 2, 2)))
MARKERS = "os^Dv*XPd"


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """Return ax, or the Axes of a new figure of that size in inches."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure  # noqa: PLC0415  (takes its time)

    return Figure(figsize=(width, height), layout="constrained").subplots()


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
