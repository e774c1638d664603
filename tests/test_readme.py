"""What the README shows works."""

import re
from pathlib import Path

import pytest

import nmf_numba

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.filterwarnings("ignore::nmf_numba.ConvergenceWarning")
def test_examples_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(block, names)
    assert names["result"].W.shape == (1797, 10)
    assert names["n_iter"] >= 1
    assert len(capsys.readouterr().out.splitlines()) == 12


def test_links_and_figures_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links
    assert all((README.parent / link).exists() for link in links if "://" not in link)


def test_public_names_are_there_and_documented():
    for name in nmf_numba.__all__:
        assert getattr(nmf_numba, name).__doc__
