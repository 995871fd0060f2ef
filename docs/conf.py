"""How the documentation is built: `sphinx-build -W -n -b html docs site`."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "mg-middleware"
author = "The mg-middleware maintainers"
version = release = version_of("mg-middleware")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx.ext.napoleon"]

default_role = "code"  # for names in backticks in the docstrings
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autoclass_content = "both"  # the parameters are documented on __init__, where editors show them
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
napoleon_use_ivar = True

# Python's own names, from a part of its inventory that is kept here: the site builds without a network.
intersphinx_mapping = {"python": ("https://docs.python.org/3", "inventories/python.inv")}
exclude_patterns = ["inventories"]
# Names of other packages, and type variables and aliases, aren't looked up.
nitpick_ignore_regex = [("py:.*", r"(?!(mg_middleware|pytest_meetgeek)\b).*"), ("py:class", r".*\.Result")]

html_theme = "furo"
html_static_path = ["assets"]
html_js_files = ["accessible.js"]
html_title = "mg-middleware"
html_copy_source = False
html_show_copyright = False  # the licence says it


def _tidy_docstring(*arguments: object) -> None:
    """Make the examples in the docstrings blocks of code, and drop what NamedTuple says about its constructor."""
    lines = arguments[-1]
    lines[:] = [line for line in lines if not line.startswith("Create new instance of ")]
    lines[:] = [part for line in lines for part in (("Example::", "") if line == "Example:" else (line,))]


class IndexNumbers(SphinxTransform):
    """Put the numbers in headings into the index: the search finds them there, and skips those in the text."""

    default_priority = 800  # before the domains read the document

    def apply(self, **_options: object) -> None:
        """Add an entry for each number of three digits in a heading."""
        for section in list(self.document.findall(nodes.section)):
            numbers = re.findall(r"\b\d{3}\b", section[0].astext())
            entries = [("single", number, section["ids"][0], "", None) for number in numbers]
            section.insert(1, addnodes.index(entries=entries))


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.add_transform(IndexNumbers)
    app.connect("autodoc-process-docstring", _tidy_docstring, priority=100)  # before napoleon
