"""Animations: the numbers in the page are those of the steps, and a browser shows those of the slider."""

from __future__ import annotations

import html
import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from nmf_numba import iterate
from nmf_numba.plotting import animate
from nmf_numba.plotting.animation import MOST_ENTRIES, MOST_STEPS, Animation

X = np.array([[7.8, 1.8, 6.1], [1.1, 0.5, 1.3], [15.5, 0.0, 9.4], [12345.0, 4.9, 7.1]])


def steps_of(n_iter: int = 4, **options: Any) -> list[Any]:
    options = {"init": "random", "random_state": 0, "tol": 0, "engine": "reference"} | options
    return list(iterate(X, 2, max_iter=n_iter, **options))


def made_up(objective: float, n_iter: int = 0, W: Any = None, H: Any = None) -> SimpleNamespace:
    W, H = np.ones((4, 2)) if W is None else W, np.ones((2, 3)) if H is None else H
    return SimpleNamespace(n_iter=n_iter, W=W, H=H, objective=lambda: SimpleNamespace(total=objective))


def data(animation: Animation) -> Any:
    found = re.search(r"data-fit='([^']*)'", animation.html)
    assert found is not None
    return json.loads(html.unescape(found[1]))


# --- what is written -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array, np.ndarray.tolist])
def test_the_numbers_are_those_of_the_steps(convert: Any) -> None:
    steps = steps_of()
    found = data(animate(iter(steps), convert(X)))
    np.testing.assert_array_equal(found["X"], X)
    assert len(found["steps"]) == len(steps) == 5
    for number, (frame, step) in enumerate(zip(found["steps"], steps, strict=True)):
        np.testing.assert_allclose(frame["W"], step.W, rtol=1e-4)
        np.testing.assert_allclose(frame["H"], step.H, rtol=1e-4)
        assert frame["text"] == f"{number} of 4: objective {step.objective().total:.5g}"
    products = max((step.W @ step.H).max() for step in steps)
    largest = {"X": max(products, 12345), "WH": max(products, 12345)}
    largest |= {name: max(getattr(step, name).max() for step in steps) for name in ("W", "H")}
    assert found["largest"] == pytest.approx(largest)
    larger = data(animate([made_up(1.0), made_up(1.0, 1, np.full((4, 2), 1e5))], convert(X)))["largest"]
    assert larger == {"X": 2e5, "WH": 2e5, "W": 1e5, "H": 1}


def test_steps_may_change_after_they_were_passed() -> None:
    W = np.ones((4, 2))

    def steps() -> Any:
        for n_iter in range(3):
            W[:] = n_iter
            yield made_up(1.0, n_iter, W)

    assert [frame["W"][0][0] for frame in data(animate(steps(), X))["steps"]] == [0, 1, 2]


def test_halves_and_coordinates_say_what_was_updated() -> None:
    animation = animate(steps_of(2, every="half"), X)
    assert "<label>Step <input" in animation.html
    halves = data(animation)["steps"]
    assert [frame["text"].partition(",")[0] for frame in halves] == [f"{number} of 4" for number in range(5)]
    assert [frame["text"].partition(", ")[2].partition(":")[0] for frame in halves] == [
        f"iteration {n_iter}" for n_iter in (0, 1, 1, 2, 2)
    ]
    assert [frame["text"][-9:] for frame in halves[1:]] == ["W updated", "H updated"] * 2
    steps = steps_of(1, every="coordinate")
    entries = data(animate(steps, X))["steps"]
    assert len(entries) == len(steps)
    seen = set()
    for before, after in itertools.pairwise(entries):
        if "updated" in after:
            name, row, column = after["updated"]
            seen.add(name)
            changed = np.array(before[name]) != np.array(after[name])
            changed[row, column] = False
            assert not changed.any()
            assert f"{name}[{row}, {column}] from {before[name][row][column]:.3g}" in after["text"]
    assert seen == {"W", "H"}


def test_the_curve_is_logarithmic_and_has_no_zero() -> None:
    points = [
        frame["at"] for frame in data(animate([made_up(v, i) for i, v in enumerate([100, 10, 1, 0])], X))["steps"]
    ]
    x, y = zip(*points, strict=True)
    assert y[3] is None
    assert y[0] < y[1] < y[2]
    assert y[1] - y[0] == pytest.approx(y[2] - y[1])
    assert np.diff(x) == pytest.approx(np.diff(x)[0], abs=0.11)


@pytest.mark.parametrize("objectives", [[0.0], [3.0], [3.0, 3.0], [np.inf, 1.0], [1e-300, 1e300], [1.0, 1.0000001]])
def test_odd_objectives_can_be_drawn(objectives: list[float]) -> None:
    frames = data(animate([made_up(value, i) for i, value in enumerate(objectives)], X))["steps"]
    shown = [frame["at"][1] is not None for frame in frames]
    assert shown == [0 < value < np.inf for value in objectives]


def test_ticks_are_round_and_apart() -> None:
    page = animate([made_up(41544.0), made_up(8001.0, 1)], X).html
    ticks = [
        (float(y), float(value)) for y, value in re.findall(r'y="([\d.]+)" text-anchor="end">([\d.e+-]+)</text>', page)
    ]
    assert {value for _, value in ticks} == {10000, 20000, 30000, 40000}
    assert np.diff(sorted(y for y, _ in ticks)).min() >= 16


def test_a_small_fit_is_small_and_needs_no_network() -> None:
    rng = np.random.default_rng(0)
    X = rng.random((6, 2))
    animation = animate(iterate(X, 2, init="random", random_state=0, max_iter=20, tol=0, engine="reference"), X)
    assert len(animation.html.encode()) < 20_000
    assert not re.search(r"src=|href=|@import|url\(|fetch\(|XMLHttpRequest", animation.html)
    assert re.findall(r"https?://[^\"]*", animation.html) == ["http://www.w3.org/2000/svg"]  # a name, not an address
    assert " id=" not in animation.html  # two of them would not be unique
    assert data(animation)["numbers"] is True
    assert data(animate(iterate(np.ones((30, 50)), 1, max_iter=1, tol=0), np.ones((30, 50))))["numbers"] is False


def test_the_same_call_writes_the_same_and_another_fit_has_another_key() -> None:
    keys = re.compile('data-key="([0-9a-f]+)"')
    first, again, other = (animate(steps_of(n_iter), X).html for n_iter in (2, 2, 3))
    assert first == again
    assert keys.findall(first) != keys.findall(other)
    assert keys.findall(first)[0] in first.partition("<script>")[2]


def test_matrices_do_not_overlap() -> None:
    for shape in ((4, 3), (1, 1), (2, 900), (900, 2), (40, 50)):
        A = np.ones(shape)
        found = data(animate([made_up(1.0, 0, np.ones((shape[0], 2)), np.ones((2, shape[1])))], A))
        width, height = found["cell"]
        boxes = [
            (left, top, left + columns * width, top + rows * height)
            for left, top, rows, columns in found["places"].values()
        ]
        assert max(right for _, _, right, _ in boxes) <= 880
        for a, b in itertools.combinations(boxes, 2):
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


# --- what is returned ----------------------------------------------------------------------------------------------


def test_a_notebook_shows_it_and_save_writes_a_page(tmp_path: Path) -> None:
    animation = animate(steps_of(2), X, title="$KEY <b>'rain' & \"sun\"</b>")
    assert animation._repr_html_() == animation.html
    assert "steps" not in repr(animation)
    path = tmp_path / "fit.html"
    path.write_text("before")
    animation.save(str(path))
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert animation.html in page
    assert "<title>$KEY &lt;b&gt;&#x27;rain&#x27; &amp; &quot;sun&quot;&lt;/b&gt;</title>" in page
    assert "<b>" not in page
    assert os.listdir(tmp_path) == ["fit.html"]


def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"can't be written: the folder .* does not exist"):
        animate(steps_of(1), X).save(tmp_path / "absent" / "fit.html")


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "X", "error", "message"),
    [
        ([], X, ValueError, "steps is empty.*pass iterate"),
        (
            itertools.repeat(made_up(1.0)),
            X,
            ValueError,
            "steps must be at most 201. Found more. Use a smaller max_iter",
        ),
        ([3.0], X, TypeError, r"steps must be what iterate\(X, ...\) yields. Found 3.0, of type float"),
        (
            [],
            np.ones((50, 41)),
            ValueError,
            r"X must have at most 2000 entries.*Found 2050, of shape \(50, 41\). Fit a",
        ),
        ([made_up(1.0)], X[:3], ValueError, "W @ H must have the shape of X"),
        ([made_up(1.0, 0, -np.ones((4, 2)))], X, ValueError, "W"),
        ([made_up(1.0), made_up(1.0, 1, np.ones((4, 1)), np.ones((1, 3)))], X, ValueError, "of one fit"),
        ([made_up(1.0, 0, np.ones((4, 501)), np.ones((501, 3)))], X, ValueError, "W must have at most 2000 entries"),
        ([], [[-1.0]], ValueError, r"X has a negative|[Nn]egative"),
    ],
)
def test_what_cannot_be_shown_is_refused(steps: Any, X: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        animate(steps, X)


def test_as_much_as_is_promised_is_accepted() -> None:
    assert (MOST_STEPS, MOST_ENTRIES) == (201, 2000)
    full = [made_up(1.0, i, np.ones((40, 1)), np.ones((1, 50))) for i in range(201)]
    assert len(data(animate(full, np.ones((40, 50))))["steps"]) == 201


# --- in a browser --------------------------------------------------------------------------------------------------


MOVE = """
<script>
const sliders = document.querySelectorAll("input[type=range]");
sliders.forEach((slider, i) => { slider.value = [3, 1, 4][i]; slider.dispatchEvent(new Event("input")); });
</script>
"""
NOTEBOOK = """
<script>
const host = document.createElement("div");  // as JupyterLab does: the HTML first, and then its scripts again
host.innerHTML = PAGE;
for (const old of host.querySelectorAll("script")) {
  const script = document.createElement("script");
  script.textContent = old.textContent;
  old.replaceWith(script);
}
document.body.appendChild(host);
</script>
"""


@pytest.mark.parametrize("place", ["page", "notebook"])
def test_the_slider_shows_its_step(place: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium")
    steps = steps_of(4)
    same, other = animate(steps, X).html, animate(steps_of(4, solver="mu"), X).html
    page = same + same + other
    if place == "notebook":
        page = NOTEBOOK.replace("PAGE", json.dumps(page).replace("</", "<\\/"))
    path = tmp_path / "page.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{page}{MOVE}", encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    run = subprocess.run([*command, "--dump-dom", path.as_uri()], capture_output=True, timeout=120, check=True)
    dom = run.stdout.decode()
    if place == "notebook":
        dom = dom.partition("</script>")[2]  # not the string, but what was made of it
    shown = [3, 1, 4]
    outputs = re.findall(r"<output>([^<]*)</output>", dom)
    assert [text.partition(" of 4")[0] for text in outputs] == [str(number) for number in shown]
    assert outputs[0] == f"3 of 4: objective {steps[3].objective().total:.5g}"
    cells = re.findall(r'<text class="nmf-in"[^>]*>([^<]*)</text>', dom)
    size = X.size + 4 * 2 + X.size + 2 * 3
    assert len(cells) == 3 * size
    for at, number in enumerate(shown[:2]):
        W, H = steps[number].W, steps[number].H
        expected = np.concatenate([A.ravel() for A in (X, W, W @ H, H)])
        found = np.array(cells[at * size : (at + 1) * size], float)
        np.testing.assert_allclose(found, expected, rtol=0.02, atol=1e-3)  # three digits, two in powers of ten
    assert "has not run" not in dom
    points = re.findall(r'<circle class="nmf-point"[^>]*cx="([\d.]+)"', dom)
    assert [float(x) for x in points] == [data(animate(steps, X))["steps"][number]["at"][0] for number in shown]
