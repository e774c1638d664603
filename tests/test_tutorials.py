"""The committed tutorials are whole, without running them: `python tutorials/run.py --check` does that."""

import copy
import inspect
import json
import textwrap
from pathlib import Path

import pytest

from nmf_numba.loop import Run
from nmf_numba.solvers.mu import reference
from tutorials import run

NOTEBOOKS = sorted(run.FOLDER.glob("*.ipynb"))
SOUND = {
    "cells": [
        {"cell_type": "markdown", "metadata": {}, "source": "".join(f"## {n}  Section\n" for n in range(1, 10))},
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "1.0\n"}],
            "source": "print(1.0)",
        },
    ]
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_whole(path):
    text = path.read_text(encoding="utf-8")
    assert run.faults(text) == []
    notebook = json.loads(text)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert "".join(notebook["cells"][0]["source"]).startswith(f"# {path.stem[:2]} ")


def test_table_lists_each_once():
    readme = (run.FOLDER / "README.md").read_text(encoding="utf-8")
    assert NOTEBOOKS
    assert [readme.count(f"]({path.name})") for path in NOTEBOOKS] == [1] * len(NOTEBOOKS)
    linked = [line.split("](")[1].split(")")[0] for line in readme.splitlines() if ".ipynb)" in line]
    assert linked == [path.name for path in NOTEBOOKS]


def show(text):
    return lambda cells: cells[1]["outputs"].append({"output_type": "stream", "name": "stderr", "text": text})


CURRENT = inspect.getsource(reference.update)


def display_source(text):
    data = {"text/html": "", "text/latex": "", "text/plain": text}
    return lambda cells: cells[1]["outputs"].append({"output_type": "display_data", "data": data})


def test_source_of_the_package_is_no_fault():
    notebook = copy.deepcopy(SOUND)
    display_source(CURRENT + "\n\n" + textwrap.dedent(inspect.getsource(Run.record)))(notebook["cells"])
    assert run.faults(json.dumps(notebook)) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda cells: cells.extend([{"cell_type": "markdown", "source": ""}] * 24), "26 cells"),
        (show("x" * 400_000), "KB"),
        (lambda cells: cells[0].update(source="## 1  Only one"), "sections"),
        (lambda cells: cells.append({"cell_type": "markdown", "source": r"$$ a \\ b \tag{1} $$"}), "Sphinx"),
        (lambda cells: cells[1].update(execution_count=None), "not run"),
        (lambda cells: cells[1].update(outputs=[]), "output"),
        (lambda cells: cells[1]["metadata"].update(execution={}), "when"),
        (lambda cells: cells[1]["outputs"].append({"output_type": "error", "ename": "KeyError"}), "KeyError"),
        (display_source("def scaled():\n    pass\n"), "no longer the package's: def scaled():"),
        (display_source(CURRENT[:-1] + " + 1\n"), "no longer the package's: def update"),
        (show("/home/me/nmf.py:3: UserWarning"), "path"),
        (show(r"C:\Users\me\nmf.py:3: UserWarning"), "path"),
        (show(str(Path(run.FOLDER).parent)), "path"),
    ],
)
def test_each_fault_is_found(change, word):
    notebook = copy.deepcopy(SOUND)
    assert run.faults(json.dumps(notebook)) == []
    change(notebook["cells"])
    (fault,) = run.faults(json.dumps(notebook))
    assert word in fault
