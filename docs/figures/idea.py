"""Draws idea.html, the picture of the start page: `python docs/figures/idea.py`.

It is put into the page as text, so that its letters take the page's colour, light or dark.
"""

from pathlib import Path

READ, UPDATED, SUMS = "#0072B2", "#D55E00", "#009E73"  # Okabe and Ito's blue, vermillion and green
CELL = 16  # px
ROWS, FEATURES, K = 9, 10, 3  # of the matrices that are drawn
BLOCK = (3, 6)  # rows of X that are read at the moment
LEFT_W, LEFT_X, TOP_H, TOP_X, TOP_SUMS = 84, 148, 58, 136, 312
WIDTH, HEIGHT = 344, 364


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{more}>{words}</text>'


def cells(left, top, rows, columns, colour=None, opacity=1.0):
    """Cells of a matrix, filled if there is a colour."""
    fill = "none" if colour is None else colour
    box = f'<rect x="{left}" y="{top}" width="{columns * CELL}" height="{rows * CELL}"'
    lines = [f"M{left + j * CELL} {top}v{rows * CELL}" for j in range(1, columns)]
    lines += [f"M{left} {top + i * CELL}h{columns * CELL}" for i in range(1, rows)]
    return (
        f'{box} fill="{fill}" fill-opacity="{opacity}"/><path class="grid" d="{"".join(lines)}"/>{box} class="edge"/>'
    )


def arrow(points, colour):
    """A line through points with a head at its end."""
    line = f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="3"'
    return f'{line} marker-end="url(#head-{colour[1:]})"/>'


def around(y, end):
    """The points of a line from X's right edge at height y, outside, back to the edge at another height."""
    right = LEFT_X + FEATURES * CELL
    return f"{right},{y} {right + 18},{y} {right + 18},{end} {right + 8},{end}"


def row_pass():
    start, stop = BLOCK
    middle = TOP_X + (start + stop) * CELL / 2
    parts = [
        text(8, 20, "1. Row pass", "start", ' class="title"'),
        text(LEFT_X + FEATURES * CELL / 2, TOP_H - 8, "H, given"),
        cells(LEFT_X, TOP_H, K, FEATURES, READ, 0.35),
        text(LEFT_W + K * CELL / 2, TOP_X - 7, "W"),
        text(LEFT_X + FEATURES * CELL / 2, TOP_X - 7, "X"),
    ]
    for first, last, shade, words in ((0, start, 0.35, "done"), (start, stop, 1, "now"), (stop, ROWS, None, "to come")):
        top, colours = TOP_X + first * CELL, (None, None) if shade is None else (UPDATED, READ)
        parts += [
            cells(LEFT_W, top, last - first, K, colours[0], shade or 1),
            cells(LEFT_X, top, last - first, FEATURES, colours[1], shade or 1),
            text(LEFT_W - 10, top + (last - first) * CELL / 2 + 5, words, "end"),
        ]
    parts += [
        arrow(around(middle, TOP_SUMS + K * CELL / 2), SUMS),
        text(LEFT_X - 10, TOP_SUMS + 20, "sums for H", "end"),
        text(LEFT_X - 10, TOP_SUMS + 38, "grow", "end"),
        cells(LEFT_X, TOP_SUMS, K, FEATURES, SUMS, 0.6),
    ]
    return parts


def update():
    return [
        text(8, 20, "2. Update", "start", ' class="title"'),
        text(LEFT_X + FEATURES * CELL / 2, TOP_H - 8, "H, updated"),
        cells(LEFT_X, TOP_H, K, FEATURES, UPDATED),
        text(LEFT_W + K * CELL / 2, TOP_X - 7, "W"),
        text(LEFT_X + FEATURES * CELL / 2, TOP_X - 7, "X"),
        cells(LEFT_W, TOP_X, ROWS, K, UPDATED, 0.35),
        f'<rect class="edge" stroke-dasharray="5 4" x="{LEFT_X}" y="{TOP_X}" width="{FEATURES * CELL}"'
        f' height="{ROWS * CELL}"/>',
        text(LEFT_X + FEATURES * CELL / 2, TOP_X + ROWS * CELL / 2 + 5, "not seen"),
        text(LEFT_X - 10, TOP_SUMS + 20, "sums for H", "end"),
        text(LEFT_X - 10, TOP_SUMS + 38, "complete", "end"),
        cells(LEFT_X, TOP_SUMS, K, FEATURES, SUMS),
        arrow(around(TOP_SUMS + K * CELL / 2, TOP_H + K * CELL / 2), SUMS),
    ]


def panel(label, parts):
    head = (
        f'<marker id="head-{SUMS[1:]}" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="4" markerHeight="4" '
        f'orient="auto"><path d="M0 0L8 4L0 8z" fill="{SUMS}"/></marker>'
    )
    return (
        f'<svg class="idea" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}">\n'
        + "\n".join([head, *parts])
        + "\n</svg>\n"
    )


def picture():
    """Both panels, as HTML."""
    first = panel("The row pass reads X block by block, updates rows of W and adds up sums for H", row_pass())
    second = panel("The update computes a new H from the sums and does not see X", update())
    return f'<div class="ideas">\n{first}{second}</div>\n'


if __name__ == "__main__":
    Path(__file__).with_name("idea.html").write_text(picture(), encoding="utf-8")
