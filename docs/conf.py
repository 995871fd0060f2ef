"""How the documentation is built: `sphinx-build -W -n -b html docs site`."""

from importlib.metadata import version as version_of

project = "mg-middleware"
author = "The mg-middleware maintainers"
version = release = version_of("mg-middleware")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_heading_anchors = 3

napoleon_use_ivar = True
autodoc_typehints = "none"  # the docstrings tell the types in words
autodoc_default_options = {"members": True}
autodoc_class_signature = "separated"

# Nothing but the project's own names can be looked up without a network.
nitpick_ignore_regex = [("py:.*", r"(?!(mg_middleware|pytest_meetgeek)\b).*")]

html_theme = "furo"
html_title = "mg-middleware"
html_copy_source = False
