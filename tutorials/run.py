"""Run the tutorials and write them anew with their outputs: `python tutorials/run.py`.

With --check copies are run and nothing is written. Names, or how they begin, choose some: `python tutorials/run.py 09`.
The first notebook that fails ends the run, and is left as it was: a cell raises, or a rule of `faults` is broken.
"""

from __future__ import annotations

import argparse
import ast
import base64
import functools
import io
import json
import os
import re
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
MOST_CELLS, MOST_KILOBYTES, MOST_SECONDS = 25, 400, 60
PATHS = re.compile(r"/(?:home|root|Users|tmp|var|private)/|[A-Z]:\\Users|site-packages|ipykernel_\d")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


@functools.cache
def sources() -> frozenset[str]:
    """Return the source of every function and class of the package, as `inspect.getsource` has it, without indents."""
    found = set()
    for path in sorted((FOLDER.parent / "nmf_numba").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                found.add(textwrap.dedent("".join(lines[first - 1 : node.end_lineno])).strip())
    return frozenset(found)


def stale(output: dict[str, Any]) -> list[str]:
    """Return the first lines of the functions that an output shows and the package does not have in this form.

    `IPython.display.Code` is the only output here with LaTeX. Two empty lines are between functions, never within one.
    """
    if "text/latex" not in output.get("data", {}):
        return []
    shown = "".join(output["data"]["text/plain"]).split("\n\n\n")
    return [part.strip().splitlines()[0] for part in shown if textwrap.dedent(part).strip() not in sources()]


def faults(text: str) -> list[str]:
    """Return what is wrong with a notebook that was run, given as the text of its file."""
    cells: list[dict[str, Any]] = json.loads(text)["cells"]
    found = []
    if len(cells) > MOST_CELLS:
        found.append(f"it has {len(cells)} cells, at most {MOST_CELLS} are allowed")
    if len(text.encode()) > 1000 * MOST_KILOBYTES:
        found.append(f"it has {len(text.encode()) / 1000:.0f} KB, at most {MOST_KILOBYTES} are allowed: draw less")
    markdown = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    sections = re.findall(r"^## +(\d+)\b", markdown, re.MULTILINE)
    if sections != list("123456789"):
        found.append(f"its sections are {', '.join(sections)}, and not '## 1 ...' to '## 9 ...' in order")
    if any(r"\tag" in block and r"\\" in block for block in markdown.split("$$")[1::2]):
        found.append(r"an equation has both \\ and \tag, which Sphinx does not typeset: make it two equations")
    code = [cell for cell in cells if cell["cell_type"] == "code" and cell["source"]]
    if [cell["execution_count"] for cell in code] != list(range(1, len(code) + 1)):
        found.append("its cells were not run once each, in order")
    if not any(cell["outputs"] for cell in code):
        found.append("no cell has an output")
    for cell in code:
        name = f"cell [{cell['execution_count']}]"
        if "execution" in cell["metadata"]:
            found.append(f"{name} says when it was run")
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                found.append(f"{name} ended with {output['ename']}")
            if "findfont" in "".join(output.get("text", "")):
                found.append(f"{name} says that Matplotlib misses a font")
            found += [f"{name} shows source that is no longer the package's: {line}" for line in stale(output)]
            data = output.get("data", {})
            words = json.dumps([output.get("text"), {kind: data[kind] for kind in data if kind != "image/png"}])
            if PATHS.search(words.replace(r"\\", "\\")) or str(FOLDER.parent) in words:
                found.append(f"{name} shows a path of this machine (a warning, perhaps)")
    return found


def with_few_colours(picture: str) -> str:
    """Return a PNG in base64 with at most 256 colours, which looks the same and has a third of the size."""
    from PIL import Image  # noqa: PLC0415  (Matplotlib brings it along)

    file = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii") + "\n"


def run(path: Path, folder: str) -> tuple[str, float]:
    """Run a notebook, with `folder` as its working directory, and return its new text and the seconds it took."""
    import nbformat  # noqa: PLC0415  (tests import this module, and need neither)
    from nbclient import NotebookClient  # noqa: PLC0415

    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=5 * MOST_SECONDS,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": folder}},
    )
    start = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - start
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = with_few_colours(output.data["image/png"])
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    return nbformat.writes(notebook) + "\n", seconds


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if all notebooks ran and keep the rules, else 1."""
    parser = argparse.ArgumentParser(description="Run the tutorials and write them anew with their outputs.")
    parser.add_argument("names", nargs="*", help="notebooks, or how their names begin: 09 (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    starts = tuple(Path(name).name for name in options.names) or ("",)
    paths = [path for path in sorted(FOLDER.glob("*.ipynb")) if path.name.startswith(starts)]
    if not paths:
        parser.error(f"no notebook in {FOLDER} is called so")
    fonts = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # a list of fonts of another environment would warn
    os.environ["MPLCONFIGDIR"] = fonts.name
    for path in paths:
        print(f"{path.name:42}", end="", flush=True)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                text, seconds = run(path, folder)
                if seconds > MOST_SECONDS:  # once more: the kernels are compiled now, and kept
                    text, seconds = run(path, folder)
            except Exception as error:  # a cell's exception, or a kernel that does not start or has died
                print(f"failed: {type(error).__name__}\n{error}")
                return 1
        wrong = faults(text)
        if seconds > MOST_SECONDS:
            wrong.append(f"it took {seconds:.0f} s, at most {MOST_SECONDS} are allowed: do less, or try again later")
        print(f"{seconds:5.1f} s {len(text.encode()) / 1000:5.0f} KB", *wrong, sep="\n  fault: ", flush=True)
        if wrong:
            return 1
        if not options.check:
            temporary = path.with_suffix(".tmp")
            temporary.write_text(text, encoding="utf-8", newline="\n")
            os.replace(temporary, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
