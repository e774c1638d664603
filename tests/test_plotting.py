"""Figures: what is drawn is what was passed, and what does not fit is refused. How they look is for eyes."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nmf_numba.plotting import COLOURS, plot_activations, plot_components, plot_convergence


def drawn(ax: Axes) -> bytes:
    """The figure as a PNG: layout and fonts run only now."""
    file = io.BytesIO()
    assert isinstance(ax.figure, Figure)
    ax.figure.savefig(file, format="png")
    return file.getvalue()


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


def test_activations_are_relative_to_the_loudest() -> None:
    ax = plot_activations([[1.0, 0.1], [0.1, 0.01]], [0.0, 0.5])
    first, second = (np.asarray(line.get_ydata(), float) for line in ax.lines)
    np.testing.assert_allclose(np.diff(first), -10)
    np.testing.assert_allclose(np.diff(second), -10)
    assert ax.get_xlabel() == "time (s)"
    drawn(ax)


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
    runs = {f"run {number}": ([0, 1, 2], [9.0, 3.0, number + 1]) for number in range(4)}
    ax = plot_convergence(runs, x_label="seconds (s)", y_label="objective (u)")
    assert [line.get_color() for line in ax.lines] == list(COLOURS[:4])
    assert len({line.get_marker() for line in ax.lines}) == 4
    assert len({str(vars(line)["_unscaled_dash_pattern"]) for line in ax.lines}) == 4
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("seconds (s)", "objective (u)")
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(runs)
    np.testing.assert_array_equal(ax.lines[3].get_ydata(), [9, 3, 4])
    drawn(ax)


def test_draws_on_the_axes_that_is_given() -> None:
    axes = Figure().subplots(2, 2)
    assert plot_components(np.eye(4), image_shape=(2, 2), ax=axes[0, 0]) is axes[0, 0]
    assert plot_components(np.eye(4), frequencies=range(4), ax=axes[0, 1]) is axes[0, 1]
    assert plot_activations(np.eye(4), range(4), ax=axes[1, 0]) is axes[1, 0]
    assert plot_convergence({"a": ([0], [1.0])}, ax=axes[1, 1]) is axes[1, 1]


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
    with pytest.raises(ValueError, match="times must have one entry for each of the 2 rows"):
        plot_activations(np.eye(2), [1.0])
    with pytest.raises(ValueError, match="runs is empty"):
        plot_convergence({})
    with pytest.raises(ValueError, match="Run 'a' must be two sequences of equal length"):
        plot_convergence({"a": ([0, 1], [1.0])})


def test_neither_pyplot_nor_a_display_is_needed() -> None:
    program = """
import sys
from typing import Any
import nmf_numba.plotting
assert "matplotlib" not in sys.modules
nmf_numba.plotting.plot_convergence({"a": ([0], [1.0])}).figure.savefig(sys.stdout.buffer, format="png")
assert "matplotlib.pyplot" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    assert run.stdout.startswith(b"\x89PNG")
