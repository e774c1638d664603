"""A small fit, step by step, as a piece of HTML with a slider. It needs no network and no library.

Python writes the numbers and the curve; the script draws the cells and colours them as the slider moves. There are no
ids: each script starts all pieces of its key that have not started, so the same one can be on a page twice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import html
import itertools
import json
import math
import string
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from nmf_numba import validation
from nmf_numba.files import check_output, write_file
from nmf_numba.problem import Float

if TYPE_CHECKING:
    from nmf_numba.loop import Step

MOST_STEPS = 201  # the start and 200 iterations
MOST_ENTRIES = 2000  # of each matrix
WIDTH, HEIGHT = 760, 420  # px, about: of the matrices together
NUMBER = (44, 24)  # px: a cell that has its number in it
GAP, LINE = 36, 22  # px: between matrices, and for a line of text

STYLE = """
.nmf-numba-animation { max-width: 880px; margin: 1em 0; color: inherit; }
.nmf-numba-animation svg { display: block; max-width: 100%; height: auto; margin: 0.5em 0; }
.nmf-numba-animation svg text { fill: currentColor; font: 13px sans-serif; }
.nmf-numba-animation svg text.nmf-in { font-size: 11px; text-anchor: middle; pointer-events: none; }
.nmf-numba-animation svg text.nmf-sign { font-size: 22px; }
.nmf-numba-animation svg .nmf-edge { fill: none; stroke: currentColor; stroke-opacity: 0.6; }
.nmf-numba-animation svg .nmf-mark { fill: none; stroke: #D55E00; stroke-width: 3; }
.nmf-numba-animation svg .nmf-curve { fill: none; stroke: currentColor; stroke-width: 1.5; }
.nmf-numba-animation svg .nmf-line { stroke: #D55E00; stroke-dasharray: 4 3; }
.nmf-numba-animation svg .nmf-point { fill: #D55E00; stroke: currentColor; }
.nmf-numba-animation p { margin: 0.3em 0; }
.nmf-numba-animation .nmf-controls { display: flex; flex-wrap: wrap; align-items: center; gap: 0.4em 0.8em; }
.nmf-numba-animation .nmf-controls label { display: flex; align-items: center; gap: 0.5em; flex: 1 1 16em; margin: 0; }
.nmf-numba-animation .nmf-controls input { flex: 1 1 8em; min-width: 6em; }
.nmf-numba-animation .nmf-controls button { min-width: 4.5em; }
.nmf-numba-animation .nmf-controls output { flex: 1 1 100%; font-variant-numeric: tabular-nums; }
"""

# Colours run from white to a dark Okabe-Ito blue; the number in a cell is black or white, whichever can be read.
SCRIPT = """
(function (key) {
  function draw(parent, tag, attributes) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    return parent.appendChild(element);
  }
  function short(value) {
    if (value === 0) return "0";
    if (value < 0.005 || value >= 1e5) return value.toExponential(1);
    return String(value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
  }
  function product(W, H) {
    return W.map(row => H[0].map((_, j) => row.reduce((sum, value, t) => sum + value * H[t][j], 0)));
  }
  function start(root) {
    const fit = JSON.parse(root.getAttribute("data-fit"));
    const [width, height] = fit.cell;
    const find = name => root.querySelector(".nmf-" + name);
    const slider = root.querySelector("input"), button = root.querySelector("button");
    const cells = {};
    let timer = null;

    for (const [name, [left, top, rows, columns]] of Object.entries(fit.places)) {
      cells[name] = [];
      for (let i = 0; i < rows * columns; i++) {
        const x = left + width * (i % columns), y = top + height * Math.floor(i / columns);
        const box = draw(find("matrices"), "rect", {x: x, y: y, width: width, height: height});
        const text = fit.numbers &&
          draw(find("matrices"), "text", {class: "nmf-in", x: x + width / 2, y: y + height / 2 + 4});
        cells[name].push([box, text]);
      }
      draw(find("matrices"), "rect",
        {class: "nmf-edge", x: left, y: top, width: width * columns, height: height * rows});
    }
    const mark = draw(find("matrices"), "rect", {class: "nmf-mark", width: width, height: height});

    function paint(name, matrix) {
      matrix.flat().forEach((value, i) => {
        const [box, text] = cells[name][i];
        const share = Math.min(1, value / (fit.largest[name] || 1));
        box.setAttribute("fill", "rgb(" + [0, 63, 102].map(end => Math.round(255 + share * (end - 255))) + ")");
        if (text) {
          text.textContent = short(value);
          text.style.fill = share > 0.68 ? "white" : "black";
        }
      });
    }
    function show() {
      const step = fit.steps[slider.value], [x, y] = step.at;
      paint("W", step.W);
      paint("H", step.H);
      paint("WH", product(step.W, step.H));
      root.querySelector("output").textContent = step.text;
      slider.setAttribute("aria-valuetext", step.text);
      find("line").setAttribute("x1", x);
      find("line").setAttribute("x2", x);
      find("point").setAttribute("cx", x);
      find("point").setAttribute("cy", y === null ? 0 : y);
      find("point").style.display = y === null ? "none" : "";
      mark.style.display = step.updated ? "" : "none";
      if (step.updated) {
        const [name, row, column] = step.updated, [left, top] = fit.places[name];
        mark.setAttribute("x", left + width * column);
        mark.setAttribute("y", top + height * row);
      }
    }
    function play(on) {
      clearInterval(timer);
      timer = on ? setInterval(advance, 400) : null;
      button.textContent = on ? "Pause" : "Play";
    }
    function advance() {
      if (!root.isConnected || Number(slider.value) >= fit.steps.length - 1) return play(false);
      slider.value = Number(slider.value) + 1;
      show();
    }

    paint("X", fit.X);
    slider.value = 0;
    slider.addEventListener("input", () => { play(false); show(); });
    button.addEventListener("click", () => {
      if (timer === null && Number(slider.value) >= fit.steps.length - 1) { slider.value = 0; show(); }
      play(timer === null);
    });
    find("missing").remove();
    find("shown").hidden = false;
    show();
  }
  document.querySelectorAll('.nmf-numba-animation[data-key="' + key + '"]:not([data-started])').forEach(root => {
    root.setAttribute("data-started", "");
    start(root);
  });
})("KEY");
"""

# Lumino is JupyterLab's: without its attribute, the notebook would take the arrow keys for itself.
FRAGMENT = """\
<div class="nmf-numba-animation" data-key="$KEY" role="group" aria-label="$TITLE" data-lm-suppress-shortcuts="true"
 data-fit='$DATA'>
<style>$STYLE</style>
<p class="nmf-missing">JavaScript, which draws this figure, has not run. In a notebook: trust it, or run its cell.</p>
<div class="nmf-shown" hidden>
<div class="nmf-controls"><button type="button">Play</button>
<label>$SLIDER <input type="range" min="0" max="$LAST" step="1" value="0"></label> <output></output></div>
$MATRICES
<p>$SCALES</p>
$CURVE
</div>
<script>$SCRIPT</script>
</div>
"""

DOCUMENT = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$TITLE</title>
<style>body { font-family: sans-serif; margin: 1em auto; max-width: 880px; padding: 0 1em; }</style>
</head>
<body>
<h1>$TITLE</h1>
$FRAGMENT</body>
</html>
"""


@dataclasses.dataclass(frozen=True)
class Animation:
    """What `animate` returns. As the value of a notebook's cell, it shows itself.

    Attributes
    ----------
    html : str
        A `<div>` with its style and script, to be put into a page.
    title : str
        Not escaped.
    """

    html: str = dataclasses.field(repr=False)
    title: str

    def _repr_html_(self) -> str:
        return self.html

    def save(self, path: str | Path) -> None:
        """Write a page with nothing else in it, as a whole or not at all. A file that is there is replaced.

        Raises
        ------
        ValueError
            The file can't be written.
        """
        page = string.Template(DOCUMENT).substitute(TITLE=html.escape(self.title), FRAGMENT=self.html)
        check_output(Path(path), overwrite=True)
        write_file(Path(path), lambda file: file.write(page.encode()), overwrite=True)


def animate(steps: Iterable[Step], X: Any, *, title: str = "A factorization, step by step") -> Animation:
    """Return a small fit as a piece of HTML: X, W, H and WH as cells, the objective, and a slider over the steps.

    It works in a notebook, in a page of documentation and as a file of its own, also several on one page, and without a
    network. Small matrices have their numbers in the cells. The arrow keys move the slider when it has the focus.

    Parameters
    ----------
    steps : iterable of Step
        What ``iterate(X, ...)`` yields, at most 201: the start and 200 iterations. With every='half' it is said which
        factor was updated, and with every='coordinate' the entry is framed. Whatever has `n_iter`, `W`, `H` and
        `objective().total` will do.
    X : array-like or SciPy sparse, shape (n_samples, n_features)
        What was fitted. At most 2000 entries, and W and H likewise.
    title : str, default 'A factorization, step by step'
        Heading of the page that `save` writes, and what a screen reader says.

    Returns
    -------
    Animation
        With `html`, `save(path)`, and `_repr_html_` for notebooks.

    Raises
    ------
    ValueError
        There are no steps or too many; a matrix is too large, has a negative entry, infinity or NaN, or does not fit.
    TypeError
        steps has something else than steps.

    Notes
    -----
    The numbers are kept to five digits, X to seven: about 8 bytes for each entry of W and H in each step, and 10 kB.
    X and WH share a scale of colours, up to the largest entry of either in any step; W and H have one each.

    Examples
    --------
    >>> from nmf_numba import iterate
    >>> from nmf_numba.plotting import animate
    >>> X = [[1.0, 2.0, 3.0], [2.0, 4.0, 7.0], [1.0, 0.0, 1.0]]
    >>> animation = animate(iterate(X, 1, engine="reference", init="random", random_state=0), X)
    >>> len(animation.html) < 20_000
    True
    >>> animation.save("fit.html")  # doctest: +SKIP
    """
    X = validation.check_X(X)
    _check_size("X", X.shape)
    X = X.toarray() if sparse.issparse(X) else X
    moments: list[_Moment] = []
    for step in itertools.islice(steps, MOST_STEPS + 1):
        if not all(hasattr(step, name) for name in ("n_iter", "W", "H", "objective")):
            raise TypeError(
                f"steps must be what iterate(X, ...) yields. Found {step!r}, of type {type(step).__name__}."
            )
        if len(moments) == MOST_STEPS:
            raise ValueError(
                f"steps must be at most {MOST_STEPS}. Found more. Use a smaller max_iter, or "
                "itertools.islice(steps, 0, None, 10) for every tenth."
            )
        moments.append(_Moment.of(step, X))
    if not moments:
        raise ValueError("steps is empty. An iterator can be gone through only once: pass iterate(X, ...) or a list.")

    first = moments[0]
    if any(moment.W.shape != first.W.shape for moment in moments):
        raise ValueError("steps must be of one fit. Found different numbers of components.")
    largest = {name: max(float(getattr(moment, name).max()) for moment in moments) for name in ("W", "H", "WH")}
    largest["X"] = largest["WH"] = max(float(X.max()), largest["WH"])

    at: list[int] = [moment.n_iter for moment in moments]
    rising = all(a < b for a, b in itertools.pairwise(at))  # else the steps are halves, or entries, of an iteration
    word, at = ("iteration", at) if rising else ("step", list(range(len(moments))))
    matrices, layout = _lay_out(X.shape, len(first.H))
    curve, points = _curve(at, [moment.objective for moment in moments], word)
    frames = []
    for number, moment, point in zip(at, moments, points, strict=True):
        within = "" if rising else f", iteration {moment.n_iter}"
        text = f"{number} of {at[-1]}{within}: objective {moment.objective:.5g}{moment.note}"
        frame = {"W": _rounded(moment.W, 5), "H": _rounded(moment.H, 5), "at": point, "text": text}
        frames.append(frame if moment.updated is None else {**frame, "updated": moment.updated})
    data = json.dumps(
        {"X": _rounded(X, 7), **layout, "largest": largest, "steps": frames}, separators=(",", ":"), allow_nan=False
    )
    data = html.escape(data, quote=False).replace("'", "&#39;")
    scales = (
        f"X is {X.shape[0]} x {X.shape[1]}, with {_count(len(first.H), 'component')}. White is 0, the darkest blue "
        f"{largest['X']:.3g} in X and WH, {largest['W']:.3g} in W and {largest['H']:.3g} in H."
    )
    key = hashlib.sha256((title + data + STYLE + SCRIPT).encode()).hexdigest()[:12]
    fragment = string.Template(FRAGMENT).substitute(
        TITLE=html.escape(title),
        KEY=key,
        DATA=data,
        STYLE=STYLE,
        SLIDER=word.capitalize(),
        LAST=len(frames) - 1,
        MATRICES=matrices,
        SCALES=scales,
        CURVE=curve,
        SCRIPT=SCRIPT.replace("KEY", key),
    )
    return Animation(fragment, title)


@dataclasses.dataclass(frozen=True, eq=False)
class _Moment:
    """What is kept of a Step: it may be gone, or changed, when the next one comes."""

    n_iter: int
    W: Float
    H: Float
    WH: Float
    objective: float
    note: str  # what was updated, if not all
    updated: tuple[str, int, int] | None  # the entry: factor, row and column

    @classmethod
    def of(cls, step: Any, X: Float) -> _Moment:
        _check_size("W", np.shape(step.W))
        _check_size("H", np.shape(step.H))
        W, H = validation.check_product(X, step.W, step.H)
        W, H = W.copy(), H.copy()
        note, updated = "", None
        half, coordinate = getattr(step, "half", None), getattr(step, "coordinate", None)
        if half is not None:
            note = f", {half} updated"
        if coordinate is not None:
            place = coordinate.row, coordinate.component
            updated = (coordinate.factor, *(place if coordinate.factor == "W" else place[::-1]))
            note = f", {updated[0]}[{updated[1]}, {updated[2]}] from {coordinate.old:.3g} to {coordinate.new:.3g}"
        return cls(int(step.n_iter), W, H, W @ H, float(step.objective().total), note, updated)


def _check_size(name: str, shape: tuple[int, ...]) -> None:
    if math.prod(shape) > MOST_ENTRIES:
        raise ValueError(
            f"{name} must have at most {MOST_ENTRIES} entries, since each one is a cell. Found {math.prod(shape)}, of "
            f"shape {shape}. Fit a part of X, or draw the last step with plot_factorization."
        )


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _rounded(A: Float, digits: int) -> list[list[float]]:
    """Return A as lists of numbers with few digits; those without a fraction as int, which JSON writes shorter."""
    rows = [[float(f"{value:.{digits}g}") for value in row] for row in A]
    return [[int(value) if value.is_integer() and value < 1e15 else value for value in row] for row in rows]


def _text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{words}</text>'


def _lay_out(shape: tuple[int, int], n_components: int) -> tuple[str, dict[str, Any]]:
    """Return an <svg> with names but no cells yet, and where these belong.

    W is left of WH and H above it, so row i of W and column j of H meet in entry (i, j) of WH.
    """
    rows, columns = shape
    across, down = 2 * columns + n_components, rows + n_components
    width, height = map(float, NUMBER)
    numbers = across * width <= WIDTH and down * height <= HEIGHT
    if not numbers:
        width, height = min(18, WIDTH / across), min(18, HEIGHT / down)
        if min(width, height) >= 3:  # square, unless X is so long that they could not be seen
            width = height = math.floor(min(width, height))
    top = 2 * LINE + n_components * height  # of X, W and WH
    left_W = columns * width + GAP
    left_WH = left_W + n_components * width + GAP / 2
    places = {
        "X": (0.5, top, rows, columns),
        "W": (left_W, top, rows, n_components),
        "WH": (left_WH, top, rows, columns),
        "H": (left_WH, LINE, n_components, columns),
    }
    names = [_text(left + n * width / 2, y - 6, name) for name, (left, y, _, n) in places.items()]
    names.append(_text(left_W - GAP / 2, top + rows * height / 2 + 5, "\N{ALMOST EQUAL TO}", more=' class="nmf-sign"'))
    size = f"{left_WH + columns * width + 1:.1f} {top + rows * height + 1:.1f}"
    svg = _svg("nmf-matrices", size, "X beside W times H, as cells", names)
    return svg, {"cell": (width, height), "numbers": numbers, "places": places}


def _curve(at: list[int], objectives: list[float], word: str) -> tuple[str, list[tuple[float, float | None]]]:
    """Return an <svg> of the objective on a logarithmic scale, and each point's x and y, or None for y."""
    left, right, top, bottom = 70.0, 560.0, 34.0, 154.0
    positive = [value for value in objectives if 0 < value < math.inf]
    low, high = (min(positive), max(positive)) if positive else (1.0, 1.0)
    across = (right - left) / max(at[-1] - at[0], 1)
    span = math.log(high) - math.log(low)

    def y(value: float) -> float:
        return round(bottom - (bottom - top) * ((math.log(value) - math.log(low)) / span if span > 0 else 0.5), 1)

    points = [
        (round(left + across * (x - at[0]), 1), y(value) if 0 < value < math.inf else None)
        for x, value in zip(at, objectives, strict=True)
    ]
    parts = [f'<path class="nmf-edge" d="M{left} {top - 6}V{bottom + 6}H{right + 6}"/>']
    for value in _ticks(low, high, y) if positive else []:
        parts += [
            f'<path class="nmf-edge" d="M{left - 4} {y(value)}h4"/>',
            _text(left - 7, y(value) + 4, f"{value:.5g}", "end"),
        ]
    for x in sorted({at[0], (at[0] + at[-1]) // 2, at[-1]}):
        place = left + across * (x - at[0])
        parts += [f'<path class="nmf-edge" d="M{place:.1f} {bottom + 6}v4"/>', _text(place, bottom + 23, str(x))]
    shown = " ".join(f"{x},{height}" for x, height in points if height is not None)
    parts += [
        _text((left + right) / 2, bottom + 40, word),
        _text(0, 14, "objective (unit of X to the power beta), logarithmic scale", "start"),
        f'<polyline class="nmf-curve" points="{shown}"/>',
        f'<line class="nmf-line" y1="{top - 6}" y2="{bottom + 6}"/>',
        '<circle class="nmf-point" r="5"/>',
    ]
    return _svg("nmf-objective", f"{right + 30} {bottom + 46}", f"Objective at each {word}", parts), points


def _ticks(low: float, high: float, y: Callable[[float], float]) -> list[float]:
    """Return round numbers from low to high, at least 16 px apart; or both ends if there are no two of these."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for mantissas in ((1,), (2, 5), (3, 4, 6, 7, 8, 9)):
        for value in (mantissa * 10.0**decade for decade in decades for mantissa in mantissas):
            if low <= value <= high and all(abs(y(value) - y(other)) >= 16 for other in found):
                found.append(value)
        if len(found) >= 3:
            break
    return found if len(found) >= 2 else sorted({low, high})


def _svg(name: str, size: str, label: str, parts: list[str]) -> str:
    width, height = size.split()
    return (
        f'<svg class="{name}" role="img" aria-label="{label}" width="{width}" height="{height}" '
        f'viewBox="0 0 {size}">\n{chr(10).join(parts)}\n</svg>'
    )
