"""How Sphinx builds these pages: ``make docs``. Warnings are errors there."""

import re
from pathlib import Path

project = "mindspore_gs"
author = copyright = "The mindspore_gs authors"
_PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
release = re.findall(r'^version = "(.+)"$', _PYPROJECT.read_text(), re.M)[0]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"mindspore_gs {release}"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # so that pages can link to headings, as they do where the files are read directly

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words
napoleon_numpy_docstring = False
