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


def test_commands_can_be_pasted():
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    commands = "".join(text for language, text in blocks if not language)
    assert '".[test]"' in commands
    assert "[" not in re.sub(r'"[^"]*"', "", commands)  # a shell may take brackets for a pattern
    tests = re.findall(r"tests/\w+\.py", commands)
    assert len(tests) == 2
    assert all((README.parent / path).exists() for path in tests)


def test_public_names_are_there_and_documented():
    for name in nmf_numba.__all__:
        assert getattr(nmf_numba, name).__doc__
