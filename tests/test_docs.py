"""The documentation: its examples run, and the built site works in a browser without a network.

The site is built by `python -m sphinx -W --keep-going -b html docs docs/_build/html`. Without it, or without Chromium,
the tests of the site are skipped; with NMF_NUMBA_SITE=required in the environment they fail instead.
"""

import argparse
import doctest
import functools
import http.server
import os
import re
import runpy
import shlex
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import nmf_numba
from nmf_numba.__main__ import main, make_parser
from nmf_numba.datasets import load_digits

DOCS = Path(__file__).parents[1] / "docs"
SITE = DOCS / "_build" / "html"
WIDTHS = {"desktop": 1280, "phone": 390}  # px
SECONDS = 20  # to wait for a page

# --- what the pages say --------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _example_solver_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_examples_run(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(>>>.*?)```", text, re.DOTALL)
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page, page, 0)
    assert doctest.DocTestRunner().run(example).failed == 0


def test_picture_is_up_to_date():
    draw = runpy.run_path(str(DOCS / "figures" / "idea.py"))["picture"]
    assert (DOCS / "figures" / "idea.html").read_text(encoding="utf-8") == draw()


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_example_solver_works(layout):
    from projected_gradient.solver import ProjectedGradient  # noqa: PLC0415  (its folder is docs)

    options = {
        "solver": ProjectedGradient(),
        "tol": 0,
        "max_iter": 20,
        "alpha_W": 1e-3,
        "l1_ratio": 0.5,
        "init": "nndsvda",
        "random_state": 0,
    }
    X = layout(load_digits().X[:300])
    compiled = nmf_numba.fit(X, 5, trace=True, **options).trace.objective
    equation = nmf_numba.fit(X, 5, trace=True, engine="reference", **options).trace.objective
    np.testing.assert_allclose(compiled, equation, rtol=1e-9)
    assert (np.diff(compiled) <= 0).all()
    assert compiled[-1] < 0.1 * compiled[0]


COMMAND_LINE = (DOCS / "command_line.md").read_text(encoding="utf-8")


def test_commands_print_what_their_page_says(tmp_path, monkeypatch, capsys):
    """`$ cat` shows a file that a command has written, or else one that the next commands read."""
    monkeypatch.chdir(tmp_path)
    checker = doctest.OutputChecker()
    for block in re.findall(r"```console\n\$ (.*?)```", COMMAND_LINE, re.DOTALL):
        command, _, expected = block.partition("\n")
        program, *argv = shlex.split(command)
        if program == "cat":
            path = Path(argv[0])
            if not path.exists():
                path.write_text(expected, encoding="utf-8")
            found = path.read_text(encoding="utf-8")
        else:
            status = main(argv)
            out, err = capsys.readouterr()
            found = err + out
            assert status == (2 if "error: " in err else 0)
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert checker.check_output(expected, found, flags), f"{command}\n{found}"


def test_the_page_names_every_command_and_option():
    commands = next(action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction))
    for name, parser in commands.choices.items():
        assert f"`nmf-numba {name}" in COMMAND_LINE
        for action in parser._actions:
            for option in set(action.option_strings) - {"-h", "--help", "--verbose", "--quiet"}:
                assert f"`{option}`" in COMMAND_LINE, f"{name} {option}"


# --- the site ------------------------------------------------------------------------------------------------------


def _missing(reason):
    if os.environ.get("NMF_NUMBA_SITE") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    """The address of the built site."""
    if not (SITE / "index.html").exists():
        _missing("docs/_build/html is not built")
    handler = functools.partial(_Handler, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium without a window and without a network."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        _missing("chromium or chromedriver is not installed")
    try:
        from selenium import webdriver  # noqa: PLC0415
        from selenium.webdriver.chrome.service import Service  # noqa: PLC0415
    except ImportError:
        _missing("selenium is not installed: pip install -e '.[docs]'")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    chrome.set_page_load_timeout(SECONDS)
    chrome.set_script_timeout(SECONDS)
    yield chrome
    chrome.quit()


def _wait_until(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait  # noqa: PLC0415

    return WebDriverWait(browser, SECONDS, poll_frequency=0.05).until(lambda _: condition())


def _errors(browser):
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


# Waits for MathJax and says what it left undone: formulas without a rendering, errors, and commands that it does not
# know, which it writes in red.
FORMULAS = """
const done = arguments[0];
const until = Date.now() + 10000;  // MathJax's own promise is another one before its components are loaded
const look = () => {
  const formulas = [...document.querySelectorAll(".math")];
  const bare = formulas.filter(formula => !formula.querySelector("mjx-container"));
  if (bare.length > 0 && Date.now() < until) return setTimeout(look, 50);
  const wrong = [...document.querySelectorAll("mjx-merror, mjx-mtext[style*=red]")];
  done([formulas.length, [...bare, ...wrong].map(element => (element.closest(".math") || element).textContent)]);
};
look();
"""


def test_every_page_works_at_every_width(site, browser):
    pages = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
    assert {"index.html", "choose.html", "solvers/hals.html", "api/index.html"} <= set(pages)
    wrong, counts = [], {}
    for page in pages:
        browser.get(f"{site}/{page}")
        counts[page], unrendered = browser.execute_async_script(FORMULAS)
        wrong += [f"{page}: not rendered: {formula}" for formula in unrendered]
        for name, width in WIDTHS.items():
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            found = browser.execute_script("return document.documentElement.scrollWidth")
            if found > width:
                wrong.append(f"{page}: {found} px wide on a {name}")
        wrong += [f"{page}: {error}" for error in _errors(browser)]
    assert not wrong, "\n".join(wrong)
    assert counts["solvers/hals.html"] > 50


def test_figures_say_what_they_show(site):
    images = [
        (page.name, image)
        for page in SITE.rglob("*.html")
        if page.name != "py-modindex.html"  # Sphinx draws its own signs there
        for image in re.findall(r"<img[^>]*>", page.read_text(encoding="utf-8"))
    ]
    assert len(images) > 20
    alts = [(page, re.search(r'alt="([^"]*)"', image)) for page, image in images]
    assert [page for page, alt in alts if alt is None or len(alt[1]) < 20 or alt[1].endswith(".png")] == []


def test_notes_that_are_named_are_links(site):
    text = "".join(path.read_text(encoding="utf-8") for path in SITE.glob("tutorials/*.html"))
    assert text.count("solvers/hals/notes.md</span></a>") > 3
    assert re.findall(r"(?:losses|solvers/(?:hals|mu))/notes\.md</span></code>", text) == []


def test_search_finds_hals(site, browser):
    browser.get(f"{site}/search.html?q=HALS")

    def found():
        links = browser.find_elements("css selector", "#search-results li a")
        return [link.get_attribute("href") for link in links]

    _wait_until(browser, lambda: any("/solvers/hals.html" in link for link in found()))
    assert not _errors(browser)


def test_slider_moves_the_animation(site, browser):
    pages = [path for path in SITE.rglob("*.html") if "nmf-numba-animation" in path.read_text(encoding="utf-8")]
    if not pages:
        pytest.skip("no page has an animation")
    for page in pages:
        browser.get(f"{site}/{page.relative_to(SITE).as_posix()}")
        slider = browser.find_element("css selector", ".nmf-numba-animation input[type=range]")
        figure = browser.find_element("css selector", ".nmf-numba-animation")
        _wait_until(browser, slider.is_displayed)
        text, drawing = figure.text, figure.get_attribute("innerHTML")
        slider.send_keys("\ue014")  # the right arrow
        assert slider.get_attribute("value") == "1"
        assert figure.text != text
        assert figure.get_attribute("innerHTML") != drawing
        assert not _errors(browser)
