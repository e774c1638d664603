"""How the site is built: `python -m sphinx -W --keep-going -b html docs docs/_build/html`. It needs no network."""

import sys
from pathlib import Path

import nmf_numba

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "nmf-numba"
author = "The nmf-numba developers"
copyright = author
release = nmf_numba.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx-mathjax-offline",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "generated",
]
exclude_patterns = ["_build", "projected_gradient/notes.md", "performance_table.md", "convergence_table.md"]
highlight_language = "none"  # where none is given
smartquotes = False  # engine="numba" is code
default_role = "py:obj"  # `fit` in a docstring is a link

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
mathjax3_config = {"chtml": {"matchFontHeight": False, "scale": 1.05}}
nb_execution_mode = "off"  # tutorials are committed with their outputs
nb_ipywidgets_js = {}  # these come from the network

autodoc_typehints = "none"  # numpydoc's text says more
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_copy_source = False
html_show_copyright = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
