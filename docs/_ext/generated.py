"""Makes the pages that the package itself determines: one for each solver, public module and tutorial.

They are written into docs/solvers, docs/api and docs/tutorials, which are not in git. So a new folder and name in
SOLVERS, a new name in an `__all__` or a new notebook is on the site without any other edit.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import nmf_numba
from nmf_numba.__main__ import losses
from nmf_numba.solvers import SOLVERS
from nmf_numba.solvers.solver import Solver
from nmf_numba.stopping import STOPPING

logger = logging.getLogger(__name__)
ROOT = Path(__file__).parents[2]

# --- solvers -------------------------------------------------------------------------------------------------------

SOLVER = """\
# {title}

{doc}

{names}

## What it supports

| loss | beta | X | descent is proven with |
| --- | --- | --- | --- |
{rows}

{refusal}The stopping rule of the drop-in function and of `stopping="scikit-learn"`: {stopping}

```{{include}} {notes}
:heading-offset: 1
```

## The code

Both files have the same public functions with the same arguments, and a test compares them, function by function. So
read the reference for what is computed, and the kernels for how.

:::::{{container}} twins
::::{{container}} twin
**reference.py**, plain NumPy: `engine="reference"`

```{{literalinclude}} {reference}
:language: python
```
::::
::::{{container}} twin
**kernels.py**, compiled by Numba: `engine="numba"`

```{{literalinclude}} {kernels}
:language: python
```
::::
:::::
"""


def folder_name(solver: Solver) -> str:
    """Return the name of the folder of a solver, which its page has too."""
    return Path(inspect.getfile(type(solver))).parent.name


def solver_page(name: str) -> str:
    """Return the text of the page of a folder of solvers: the first of them, and the names of all."""
    solvers = [solver for solver in SOLVERS.values() if folder_name(solver) == name]
    solver = solvers[0]
    folder = Path(inspect.getfile(type(solver))).parent
    paths = [folder / name for name in ("notes.md", "reference.py", "kernels.py")]
    table = list(losses(solver))
    refused = [row for row in table if len(row) < 4]  # with the reason instead of layouts
    refusal = f"It refuses other losses, with a message: `{refused[0][-1]}`\n\n" if refused else ""
    text = SOLVER.format(
        title=solver.title,
        doc=first_line(type(solver)),
        names="\n".join(f'- `solver="{each.name}"`: {each.title}' for each in solvers),
        rows="\n".join(f"| {' | '.join(row)} |" for row in table if row not in refused),
        refusal=refusal,
        stopping=lower_first(first_line(STOPPING[solver.stopping])),
        **{path.stem: f"../../{path.relative_to(ROOT).as_posix()}" for path in paths},
    )
    if "\n## Sources" not in (folder / "notes.md").read_text(encoding="utf-8"):
        text += "\n## Sources\n\n" + "".join(f"- {source}\n" for source in solver.sources)
    return text


# --- tutorials -----------------------------------------------------------------------------------------------------

TUTORIALS = """\
# Tutorials

{text}

```{{toctree}}
:maxdepth: 1

{names}
```
"""


def tutorials_page(names: list[str]) -> str:
    """Return the page that lists the tutorials."""
    text = (
        "Each is a notebook in the folder `tutorials/`, shown here with its outputs. It runs in less than a minute\n"
        "and downloads nothing. Its last cells are exercises that check your answer."
    )
    return TUTORIALS.format(text=text if names else "There is none yet.", names="\n".join(names))


# --- API -----------------------------------------------------------------------------------------------------------

# The order in which a reader meets the names; those that are not here come last.
MODULES = ("nmf_numba", "nmf_numba.estimators", "nmf_numba.plotting", "nmf_numba.datasets")
READING = (
    (
        "fit",
        "Factorization",
        "Interrupted",
        "non_negative_factorization",
        "initialize",
        "objective",
        "Objective",
        "beta_divergence",
    ),
    ("iterate", "Step", "Trace", "compare", "Comparison", "patch", "Patch"),
    ("plot_convergence", "plot_terms", "plot_factorization", "plot_components", "plot_activations", "animate"),
    ("NMF", "MiniBatchNMF", "ConvergenceWarning", "Dataset", "DATASETS"),
)


def place(value: str, order: Sequence[str]) -> tuple[int, str]:
    """Return what sorts as in an order, with all that it leaves out behind."""
    return (order.index(value) if value in order else len(order)), value.lower()


def public_modules() -> Iterator[ModuleType]:
    """Yield the package and those of its modules that say what is public."""
    below = [module.name for module in pkgutil.iter_modules(nmf_numba.__path__)]
    names = [nmf_numba.__name__, *(f"{nmf_numba.__name__}.{name}" for name in below if name not in nmf_numba.__all__)]
    for name in sorted(names, key=lambda name: place(name, MODULES)):
        if not name.rpartition(".")[2].startswith("_"):
            module = importlib.import_module(name)
            if hasattr(module, "__all__"):
                yield module


def public_names() -> dict[str, list[str]]:
    """Return the public names of each module; a name that is exported twice is only in the first."""
    seen: list[Any] = []
    found: dict[str, list[str]] = {}
    for module in public_modules():
        values = {name: getattr(module, name) for name in module.__all__}
        new = [name for name, value in values.items() if not any(value is other for other in seen)]
        seen += values.values()
        if new:
            found[module.__name__] = sorted(new, key=lambda name: place(name, sum(READING, ())))
    return found


def module_page(module: str, names: list[str]) -> str:
    """Return the page of a module: its docstring, then every public name."""
    lines = [module, "=" * len(module), "", f".. automodule:: {module}", "   :no-members:", ""]
    lines += [f".. currentmodule:: {module}", ""]
    for name in names:
        value = getattr(importlib.import_module(module), name)
        lines += [name, "-" * len(name), ""]
        if isinstance(value, type):
            kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
            lines += [f".. {kind}:: {name}", *([] if kind == "autoexception" else ["   :members:"]), ""]
        elif callable(value):
            lines += [f".. autofunction:: {name}", ""]
        else:
            lines += [f".. autodata:: {name}", "   :no-value:", ""]
    return "\n".join(lines)


def api_page(modules: dict[str, list[str]]) -> str:
    """Return the page that lists all public names, a line each."""
    lines = ["API", "===", "", "Everything that is public, a line for each name.", ""]
    for module, names in modules.items():
        lines += [f":doc:`{module} <{module}>`", "-" * (len(module) * 2 + 10), "", f".. currentmodule:: {module}", ""]
        lines += [".. autosummary::", "", *(f"   {name}" for name in names), ""]
    lines += [".. toctree::", "   :hidden:", "", *(f"   {module}" for module in modules), ""]
    return "\n".join(lines)


def skip_foreign(app: Sphinx, kind: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out methods that scikit-learn writes into its estimators; their text refers to its own pages."""
    return True if str(getattr(value, "__module__", "")).startswith("sklearn") else None


def escape_names(app: Sphinx, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Names of fitted attributes end in an underscore, which reStructuredText would take for a link."""
    lines[:] = [line if ">>>" in line else re.sub(r"(?<=\w)_(?![\w`])", r"\\_", line) for line in lines]


def check_names(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of a public name that is on no page; warnings are errors."""
    described = env.get_domain("py").objects  # type: ignore[attr-defined]
    for module in public_modules():
        for name in module.__all__:
            value = getattr(module, name)
            elsewhere = f"{getattr(value, '__module__', '')}.{name}"
            if not any(full in described for full in (f"{module.__name__}.{name}", f"nmf_numba.{name}", elsewhere)):
                logger.warning("%s.%s is public, but on no page of the API", module.__name__, name)


# --- formulas ------------------------------------------------------------------------------------------------------


def leave_formulas(app: Sphinx, doctree: nodes.document) -> None:
    r"""Hand a displayed formula to MathJax as it is. Sphinx would split it at every \\, also at those of a matrix."""
    for formula in doctree.findall(nodes.math_block):
        formula["no-wrap"] = True
        formula[:] = [nodes.Text(rf"\[{formula.astext()}\]")]


# --- figures and links of the tutorials ----------------------------------------------------------------------------

HOW_TO_READ = "How to read it"
NOTES = {"losses/notes.md": "losses"}  # and those of the solvers, by their folders


def describe_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Give a figure of a notebook the description in its metadata; else its section's title and a sentence under it."""
    notebook = Path(app.env.doc2path(app.env.docname))
    if notebook.suffix != ".ipynb":
        return
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    for image, output in zip(doctree.findall(nodes.image), outputs, strict=True):
        image.attributes |= output["metadata"].get("image/png", {})  # alt, or nothing
    waiting: list[nodes.image] = []
    for node in doctree.findall(lambda node: isinstance(node, nodes.image | nodes.paragraph)):
        if isinstance(node, nodes.image):
            waiting += [node] if "alt" not in node else []
        elif node.astext().startswith(HOW_TO_READ):
            said = re.split(r"(?<=[.!?]) ", node.astext().replace("\n", " ").partition(": ")[2], maxsplit=1)[0]
            for image in waiting:
                image["alt"] = f"{section_title(image)}: {said}"
            waiting = []
    for _ in waiting:
        logger.warning("a figure has no line under it that begins with %r", HOW_TO_READ, location=app.env.docname)


def section_title(node: nodes.Node) -> str:
    """Return the title of the section that a node is in, without its number."""
    while not isinstance(node, nodes.section):
        node = node.parent
    return str(node[0].astext()).lstrip("0123456789 ")


def link_notes(app: Sphinx, doctree: nodes.document) -> None:
    """Make a notes.md that is named in the text a link to its page: the site has no files."""
    pages = NOTES | {f"solvers/{name}/notes.md": f"solvers/{name}" for name in map(folder_name, SOLVERS.values())}
    for literal in list(doctree.findall(nodes.literal)):
        page = pages.get(literal.astext().removeprefix("nmf_numba/"))
        if page is not None and not isinstance(literal.parent, nodes.reference):
            link = addnodes.pending_xref(
                "", refdomain="std", reftype="doc", reftarget=f"/{page}", refexplicit=True, refwarn=True
            )
            literal.replace_self(link)
            link += literal


# --- files ---------------------------------------------------------------------------------------------------------


def first_line(thing: object) -> str:
    """Return the first line of a docstring."""
    return inspect.getdoc(thing).splitlines()[0]  # type: ignore[union-attr]


def lower_first(text: str) -> str:
    """Return a sentence as it is after a colon."""
    return text[0].lower() + text[1:]


def write_folder(folder: Path, texts: dict[str, str]) -> None:
    """Make a folder with these files and no others. One that has not changed stays: Sphinx does not read it again."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in texts:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def write_pages(app: Sphinx) -> None:
    """Write all pages that are made."""
    docs = Path(app.srcdir)
    folders = dict.fromkeys(map(folder_name, SOLVERS.values()))
    write_folder(docs / "solvers", {f"{name}.md": solver_page(name) for name in folders})
    modules = public_names()
    api = {f"{module}.rst": module_page(module, names) for module, names in modules.items()}
    write_folder(docs / "api", {"index.rst": api_page(modules), **api})
    notebooks = sorted((ROOT / "tutorials").glob("[0-9]*.ipynb"))
    tutorials = {path.name: path.read_text(encoding="utf-8") for path in notebooks}
    write_folder(docs / "tutorials", {"index.md": tutorials_page([path.stem for path in notebooks]), **tutorials})


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", escape_names, priority=600)  # after numpydoc
    app.connect("doctree-read", leave_formulas)
    app.connect("doctree-read", describe_figures)
    app.connect("doctree-read", link_notes)
    app.connect("env-check-consistency", check_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
