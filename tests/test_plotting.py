"""Figures: what is drawn is what was passed, and what does not fit is refused. How they look is for eyes."""

from __future__ import annotations

import io
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import sparse

from nmf_numba import Objective, Trace
from nmf_numba.plotting import (
    COLOURS,
    line_styles,
    plot_activations,
    plot_comparison,
    plot_components,
    plot_convergence,
    plot_factorization,
    plot_terms,
)
from nmf_numba.plotting.factorization import PIXELS
from nmf_numba.solvers import SOLVERS


def drawn(ax: Axes) -> bytes:
    """The figure as a PNG: layout and fonts run only now."""
    file = io.BytesIO()
    assert isinstance(ax.figure, Figure)
    ax.figure.savefig(file, format="png")
    return file.getvalue()


def trace_of(*data_fits: float, penalty: float = 0.0) -> Trace:
    """A trace with these data fits and one penalty, l2_W; an iteration takes a quarter of a second."""
    rows = enumerate(Objective(value, 0.0, 0.0, penalty, 0.0) for value in data_fits)
    return Trace.of((i, i / 4, np.nan, terms, np.nan) for i, terms in rows)


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def test_images_are_a_grid_of_components_relative_to_their_maxima() -> None:
    H = np.arange(5 * 6, dtype=float).reshape(5, 6)
    ax = plot_components(H, image_shape=(2, 3))
    grid: Any = np.ma.filled(np.ma.asarray(ax.images[0].get_array()), np.nan)
    assert grid.shape == (2 * 2 + 1, 3 * 3 + 2)  # two rows of three, one pixel between them
    np.testing.assert_array_equal(grid[:2, :3], H[0].reshape(2, 3) / 5)
    np.testing.assert_array_equal(grid[3:, 4:7], H[4].reshape(2, 3) / 29)
    assert np.isnan(grid[3:, 8:]).all()
    assert drawn(ax).startswith(b"\x89PNG")


def test_images_have_their_labels() -> None:
    ax = plot_components(np.eye(4), image_shape=(2, 2), labels=list("abcd"))
    assert [text.get_text() for text in ax.texts] == list("abcd")


def test_spectra_are_in_decibels_below_their_maximum() -> None:
    H = np.array([[100.0, 10.0, 0.0], [1.0, 2.0, 2.0]])
    ax = plot_components(H, frequencies=[0.0, 10.0, 20.0], labels=["low", "high"])
    first, second = (np.asarray(line.get_ydata(), float) for line in ax.lines)
    np.testing.assert_allclose(first - first[0], [0, -10, -50])  # nothing below -50 dB is shown
    np.testing.assert_allclose(second - second[1], [10 * np.log10(0.5), 0, 0])
    assert first.min() > second.max()  # a shelf for each
    assert [label.get_text() for label in ax.get_yticklabels()] == ["low", "high"]
    assert ax.get_xlabel() == "frequency (Hz)"
    drawn(ax)


def test_activations_are_relative_to_the_largest() -> None:
    ax = plot_activations([[2.0, 1.0], [0.5, 0.0]], labels=np.array(["a", "b"]))
    first, second = (np.asarray(line.get_ydata(), float) for line in ax.lines)
    np.testing.assert_allclose(first, [1, 0.25])
    np.testing.assert_allclose(second - second[1], [0.5, 0])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0, 1])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    said = " ".join([ax.get_xlabel(), ax.get_title(), *(str(child.get_ylabel()) for child in ax.child_axes)])
    assert not any(word in said for word in ("power", "loud", "dB", "time", "(s)"))  # W may be anything
    drawn(ax)


def test_activations_that_are_powers_are_in_decibels() -> None:
    ax = plot_activations([[1.0, 0.1], [0.1, 0.01]], [0.0, 0.5], xlabel="time (s)", title="Power", decibels=True)
    first, second = (np.asarray(line.get_ydata(), float) for line in ax.lines)
    np.testing.assert_allclose(np.diff(first), -10)
    np.testing.assert_allclose(np.diff(second), -10)
    assert (ax.get_xlabel(), ax.get_title()) == ("time (s)", "Power")
    drawn(ax)


@pytest.mark.parametrize("convert", [list, tuple, np.array, pandas.Index, pandas.Series], ids=lambda f: f.__name__)
def test_any_sequence_or_array_of_names_will_do(convert: Any) -> None:
    words, labels = convert(["low", "absent", "high"]), convert(["a", "b"])
    ax = plot_components([[0.5, 0.0, 1.0], [1.0, 0.0, 0.0]], words=words, labels=labels)
    assert [text.get_text() for text in ax.texts] == ["a", "high", "low", "b", "low"]
    ax = plot_components(np.eye(2), frequencies=[1.0, 2.0], labels=labels)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in plot_components(np.eye(2), image_shape=(1, 2), labels=labels).texts] == [
        "a",
        "b",
    ]


def test_names_that_are_no_sequence_are_refused() -> None:
    with pytest.raises(ValueError, match=r"words must be a 1-D sequence or array of names. Found str"):
        plot_components(np.ones((1, 3)), words="abc")
    with pytest.raises(ValueError, match=r"labels must be a 1-D .* Found ndarray"):
        plot_activations(np.ones((1, 2)), labels=np.array([["a", "b"]]))


def test_a_start_far_above_the_rest_does_not_flatten_it() -> None:
    trace = trace_of(1000, 30, 1.5, 1.2, 1, penalty=1)
    ax = plot_terms(trace)
    assert ax.get_xlim() == (2, 4)
    assert 2.5 < ax.get_ylim()[1] < 3
    assert ax.get_xlabel() == "iteration\n(from 2 times the last objective on)"
    assert plot_terms(trace, within=np.inf).get_xlim() == (0, 4)
    ax = plot_convergence(trace)
    assert ax.get_ylim()[1] == 20  # 10 times the end
    assert ax.get_ylim()[0] > 1
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), trace.objective)  # only the axis ends there
    assert plot_convergence(trace, within=np.inf).get_ylim()[1] > 1000
    assert plot_convergence(trace, y="gap").get_ylim()[1] > 400
    for plot in (plot_terms, plot_convergence):
        with pytest.raises(ValueError, match=r"within must be above 1.* Found 0.5"):
            plot(trace, within=0.5)


@pytest.mark.parametrize("size", [1, 7])
def test_words_are_listed_from_the_heaviest(size: int) -> None:
    H = np.tile([0.5, 0.0, 1.0], (size, 1))
    ax = plot_components(H, words=["low", "absent", "high"])
    shown = [text.get_text() for text in ax.texts]
    assert shown[:3] == ["component 0", "high", "low"]
    assert len(shown) == 3 * size
    assert [bar.get_bbox().width for bar in ax.patches[:2] if isinstance(bar, Rectangle)] == [1, 0.5]
    drawn(ax)


def test_zeros_can_be_drawn() -> None:
    zeros = np.zeros((2, 4))
    drawn(plot_components(zeros, image_shape=(2, 2)))
    drawn(plot_components(zeros, frequencies=np.arange(4)))
    drawn(plot_components(zeros, words=list("abcd")))
    drawn(plot_activations(zeros, [0.0, 1.0]))


def test_each_run_has_its_own_colour_dash_and_marker() -> None:
    runs = {f"run {number}": trace_of(9, 3, number + 1) for number in range(4)}
    ax = plot_convergence(runs)
    assert [line.get_color() for line in ax.lines] == list(COLOURS[:4])
    assert len({line.get_marker() for line in ax.lines}) == 4
    assert len({str(vars(line)["_unscaled_dash_pattern"]) for line in ax.lines}) == 4
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("iteration", "objective\n(unit of X to the power beta)")
    assert legend(ax) == list(runs)
    np.testing.assert_array_equal(ax.lines[3].get_xdata(), [0, 1, 2])
    np.testing.assert_array_equal(ax.lines[3].get_ydata(), [9, 3, 4])
    drawn(ax)


def test_a_solver_has_its_own_style_wherever_it_stands() -> None:
    own = dict(zip(SOLVERS, line_styles(SOLVERS), strict=True))
    assert len({style["color"] for style in own.values()}) == len(SOLVERS)
    ax = plot_convergence({name: trace_of(9, 3) for name in reversed(SOLVERS)})
    assert [line.get_color() for line in ax.lines] == [own[name]["color"] for name in reversed(SOLVERS)]
    for name, style in own.items():
        other, again, first = line_styles(["a friend's", f"{name}, CSR", f"{name}"])
        assert again == style
        assert other["color"] != style["color"]
        assert first["color"] == style["color"]
        assert first["marker"] != style["marker"]
        assert first["linestyle"] != style["linestyle"]
    *_, last = line_styles([*SOLVERS, "one more"])
    assert last["color"] not in {style["color"] for style in own.values()}
    with pytest.raises(TypeError, match=r"Pass \['cd'\]"):
        line_styles("cd")


def test_a_single_run_is_regularised_against_seconds() -> None:
    ax = plot_convergence(trace_of(4, 2, penalty=1), "seconds")
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 0.25])
    np.testing.assert_array_equal(line.get_ydata(), [5, 3])
    assert (ax.get_xlabel(), ax.get_xscale()) == ("time of solver steps (s)", "linear")
    assert legend(ax) == []
    drawn(ax)
    for plot in (plot_convergence, plot_terms):
        for x, whole in (("iteration", True), ("seconds", False)):
            ticks = plot(trace_of(4, 2), x).get_xticks()
            assert (ticks == np.round(ticks)).all() == whole


def test_the_gap_is_relative_to_the_best_of_all_runs() -> None:
    ax = plot_convergence({"a": trace_of(8, 4, 3), "b": trace_of(8, 2)}, y="gap")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [3, 1, 0.5])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [3])  # its end is the best: there is no gap
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [0])
    assert "(relative to it, no unit)" in ax.get_ylabel()
    ax = plot_convergence({"a": trace_of(8, 4, 0)}, y="gap")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [8, 4])
    assert "relative" not in ax.get_ylabel()


def test_a_comparison_has_four_panels() -> None:
    cd, mu = trace_of(8, 4, 3), trace_of(8, 5, 2, penalty=0.5)
    cd.kkt[:], mu.kkt[:] = (0.5, 0.2, 0.1), (0.5, np.nan, 0.3)
    figure = plot_comparison({"cd": cd, "mu": mu}, title="two")
    terms, per_iteration, per_second, residual = figure.axes
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["two: terms of mu", "two: gap", "two: gap", "two: KKT residual"]  # mu ends lowest
    assert legend(terms) == ["L2 of W", "data fit"]
    np.testing.assert_allclose(per_iteration.lines[0].get_ydata(), np.array([8, 4, 3]) / 2.5 - 1)
    np.testing.assert_allclose(per_second.lines[0].get_xdata(), [0, 0.25, 0.5])
    assert per_second.get_xlim()[0] == 0.125  # half of the first iteration's
    assert (per_second.get_xscale(), per_second.get_xlabel()) == ("log", "time of solver steps (s)")
    np.testing.assert_allclose(residual.lines[1].get_ydata(), [0.5, 0.3])
    assert residual.get_ylabel().startswith("KKT residual")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cd", "mu"]
    assert plot_comparison({"cd": trace_of(1)}).axes[2].get_xscale() == "linear"  # a start alone
    assert plot_comparison({"cd": cd, "mu": mu}, terms_of="cd").axes[0].get_title() == "terms of cd"
    drawn(terms)


@pytest.mark.parametrize("y", ["objective", "gap"])
@pytest.mark.parametrize("values", [[0.0], [5.0], [0, 0, 0], [5, 5, 5], [5, 0], [np.inf, 1], [np.inf], [1, 1 + 1e-12]])
def test_constant_zero_and_infinite_objectives_can_be_drawn(values: list[float], y: str) -> None:
    ax = plot_convergence({"a": trace_of(*values), "b": trace_of(*values)}, y=y)
    finite = [value for value in values if np.isfinite(value)]
    above = [value - min(finite) for value in finite] if y == "gap" else finite
    assert ax.get_yscale() == ("log" if max(above, default=0) > 0 else "linear")
    assert len(np.asarray(ax.lines[0].get_ydata())) == (sum(v > 0 for v in above) or len(above))
    drawn(ax)


def test_whatever_has_the_columns_can_be_drawn() -> None:
    ax = plot_convergence(SimpleNamespace(iteration=[0, 5], objective=[3, 2]))  # type: ignore[arg-type]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0, 5])


def test_many_runs_and_points_can_be_told_apart() -> None:
    ax = plot_convergence({str(number): trace_of(*range(100, 50, -1)) for number in range(3)})
    starts = [line.get_markevery() for line in ax.lines]
    assert len(set(starts)) == 3
    assert plot_convergence({"a": trace_of(2, 1)}).lines[0].get_markevery() is None  # every point has one
    drawn(ax)


def test_terms_lie_on_each_other() -> None:
    columns = np.array([[6, 4, 2], [0, 0, 0], [1, 1, 2], [0, 0, 0], [0, 2, 1]], float)
    trace = Trace.of((i, i / 4, np.nan, Objective(*column), np.nan) for i, column in enumerate(columns.T.tolist()))
    ax = plot_terms(trace)
    assert legend(ax) == ["L2 of H", "L1 of H", "data fit"]
    edges = [np.asarray(area.get_paths()[0].vertices) for area in ax.collections]
    for number, (low, high) in enumerate([(0, 6), (6, 7), (7, 7)]):
        at_start = edges[number][edges[number][:, 0] == 0][:, 1]
        assert (at_start.min(), at_start.max()) == (low, high)
    assert edges[2][edges[2][:, 0] == 2][:, 1].max() == trace.objective[2] == 5
    assert len({area.get_hatch() for area in ax.collections}) == 3
    assert len({str(area.get_facecolor()) for area in ax.collections}) == 3
    assert ax.get_ylim()[0] == 0
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("iteration", "terms of the objective\n(unit of X to the power beta)")
    drawn(ax)
    ax = plot_terms(trace, "seconds")
    assert ax.get_xlabel() == "time of solver steps (s)"
    assert np.asarray(ax.collections[0].get_paths()[0].vertices)[:, 0].max() == 0.5


@pytest.mark.parametrize("values", [[0.0, 0.0], [3.0], [np.inf, 1.0]])
def test_odd_terms_can_be_drawn(values: list[float]) -> None:
    ax = plot_terms(trace_of(*values))
    assert legend(ax) == (["data fit"] if any(values) else [])
    drawn(ax)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array, sparse.coo_matrix])
def test_a_factorization_is_drawn_as_it_is(convert: Any) -> None:
    X = np.array([[3.0, 0.0, 1.0], [0.0, 8.0, 0.0]])
    W, H = np.array([[1.0], [2.0]]), np.array([[1.0, 4.5, 0.0]])
    ax = plot_factorization(convert(X), W, H)
    for image, expected in zip(ax.images, (X, W @ H, W, H), strict=True):
        np.testing.assert_array_equal(image.get_array(), expected)
    assert [image.get_clim() for image in ax.images] == [(0, 9), (0, 9), (0, 2), (0, 4.5)]
    assert len({image.get_cmap().name for image in ax.images}) == 1
    texts = [text.get_text() for text in ax.texts]
    assert texts[::2] == [
        "X\n2 x 3",
        "WH\n2 x 3",
        "W\n2 x 1",
        "H\n1 x 3",
        "white: 0; black: 9 in X and WH, 2 in W, 4.5 in H",
    ]
    tall, wide = (
        [abs(extent[b] - extent[a]) for extent in (i.get_extent() for i in ax.images)] for a, b in ((2, 3), (0, 1))
    )
    assert tall[0] == tall[1] == tall[2] > tall[3]
    assert wide[0] == wide[1] == wide[3] > wide[2]
    rights = [image.get_extent()[1] for image in ax.images]
    lefts = [image.get_extent()[0] for image in ax.images]
    assert all(right < left for right, left in zip(rights, lefts[1:], strict=False))
    drawn(ax)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_large_matrices_are_drawn_by_means_of_blocks(convert: Any) -> None:
    rng = np.random.default_rng(0)
    X, W, H = rng.random((3 * PIXELS, 5)), rng.random((3 * PIXELS, 2)), rng.random((2, 5))
    ax = plot_factorization(convert(X), W, H)
    for image, expected in zip(ax.images, (X, W @ H, W), strict=False):
        means = expected.reshape(PIXELS, 3, -1).mean(axis=1)
        np.testing.assert_allclose(np.asarray(image.get_array()), means)
    np.testing.assert_array_equal(ax.images[3].get_array(), H)
    assert ax.texts[-1].get_text().endswith("means of blocks of up to 3 x 1 entries of X")
    shapes = [image.get_array() for image in plot_factorization(convert(X[:-1].T), H.T, W[:-1].T).images]
    assert [np.shape(shape) for shape in shapes] == [(5, PIXELS), (5, PIXELS), (5, 2), (2, PIXELS)]


def test_wide_square_and_tiny_factorizations_can_be_drawn() -> None:
    for shape, n_components in (((1, 1), 1), ((1, 500), 3), ((400, 2), 2), ((5, 5), 20)):
        X = np.zeros(shape)
        drawn(plot_factorization(X, np.zeros((shape[0], n_components)), np.zeros((n_components, shape[1]))))


def test_draws_on_the_axes_that_is_given() -> None:
    axes = Figure().subplots(2, 3)
    assert plot_components(np.eye(4), image_shape=(2, 2), ax=axes[0, 0]) is axes[0, 0]
    assert plot_components(np.eye(4), frequencies=range(4), ax=axes[0, 1]) is axes[0, 1]
    assert plot_activations(np.eye(4), range(4), ax=axes[1, 0]) is axes[1, 0]
    assert plot_convergence({"a": trace_of(1)}, ax=axes[1, 1]) is axes[1, 1]
    assert plot_terms(trace_of(1), ax=axes[0, 2]) is axes[0, 2]
    assert plot_factorization(np.eye(2), np.eye(2), np.eye(2), ax=axes[1, 2]) is axes[1, 2]
    assert all(ax.has_data() for ax in axes.flat)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one of image_shape, frequencies and words"),
        ({"image_shape": (2, 2), "words": list("abcd")}, "exactly one"),
        ({"image_shape": (2, 3)}, "H has 4 features, but what was passed to describe them has 6"),
        ({"frequencies": [1.0]}, "has 1"),
        ({"words": ["a"]}, "has 1"),
        ({"image_shape": (2, 2), "labels": ["a"]}, "one for each of the 3 components. Found 1"),
        ({"words": list("abcd"), "labels": ["a"]}, "one for each of the 3 components. Found 1"),
    ],
)
def test_components_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_components(np.ones((3, 4)), **options)  # type: ignore[arg-type]


def test_other_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="H must be 2-D and not empty"):
        plot_components([1.0], words=["a"])
    with pytest.raises(ValueError, match="positions must have one entry for each of the 2 rows"):
        plot_activations(np.eye(2), [1.0])
    with pytest.raises(ValueError, match=r"W @ H must have the shape of X, \(2, 3\). Found W of shape"):
        plot_factorization(np.ones((2, 3)), np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="negative"):
        plot_factorization(np.ones((2, 3)), np.ones((2, 2)), -np.ones((2, 3)))


def test_what_is_no_trace_is_refused() -> None:
    with pytest.raises(ValueError, match=r"traces is empty: there is nothing to plot. Pass a Trace, or a mapping"):
        plot_convergence({})
    with pytest.raises(TypeError, match=r"traces\['a'\] must be a Trace, .* Found NoneType. Use fit\(..., trace=True"):
        plot_convergence({"a": None})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match=r"traces\['iteration'\] must be a Trace, or have its columns iteration, obj"):
        plot_convergence(trace_of(1).to_dict())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"columns of traces .* Found the shapes iteration \(2,\), objective \(1,\)"):
        plot_convergence(SimpleNamespace(iteration=[0, 1], objective=[1.0]))  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"trace must be a Trace, or have its columns iteration, data_fit, .* Found int"
    ):
        plot_terms(3)  # type: ignore[arg-type]
    for plot in (plot_convergence, plot_terms):
        with pytest.raises(ValueError, match=r"x must be one of 'iteration', 'seconds'. Found 'time'"):
            plot(trace_of(1), "time")
    with pytest.raises(ValueError, match=r"y must be one of 'objective', 'gap', 'kkt'. Found 'gaps'. Did you"):
        plot_convergence(trace_of(1), y="gaps")
    with pytest.raises(ValueError, match=r"terms_of must be one of 'cd', 'mu'. Found 'nu'"):
        plot_comparison({"cd": trace_of(1), "mu": trace_of(1)}, terms_of="nu")
    for nothing, found in (({}, "an empty one"), (trace_of(1), "Trace")):
        with pytest.raises(ValueError, match=f"a mapping of names to Traces with at least one. Found {found}"):
            plot_comparison(nothing)  # type: ignore[arg-type]


def test_neither_pyplot_nor_a_display_is_needed() -> None:
    program = """
import sys
from typing import Any
import nmf_numba.plotting
assert "matplotlib" not in sys.modules
nmf_numba.plotting.plot_components([[1.0]], words=["a"]).figure.savefig(sys.stdout.buffer, format="png")
assert "matplotlib.pyplot" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    assert run.stdout.startswith(b"\x89PNG")
