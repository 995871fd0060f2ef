"""The reference documents exactly what is public, and every public module says what that is."""

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import mg_middleware

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "reference" / page for page in ("api.md", "pytest-plugin.md")]
# Sphinx's directives, and the one that names the module of those that follow.
DIRECTIVE = re.compile(
    r"^\.\. (currentmodule|auto(?:class|function|data|exception|module)|py:data):: (\S+)", re.MULTILINE
)

# Each public package and module, by the name that users import from.
PUBLIC = [
    "mg_middleware",
    "mg_middleware.django",
    "mg_middleware.fastapi",
    "mg_middleware.idempotency",
    "mg_middleware.testing",
    "pytest_meetgeek",
]


def documented():
    names, module = set(), ""
    for page in PAGES:
        for directive, name in DIRECTIVE.findall(page.read_text()):
            if directive == "currentmodule":
                module = name
            elif directive == "automodule":
                names |= {f"{name}.{public}" for public in import_module(name).__all__}
            else:
                names.add(name if name.startswith(("mg_middleware.", "pytest_meetgeek.")) else f"{module}.{name}")
    return names


@pytest.mark.parametrize("module", PUBLIC)
def test_what_is_public_is_documented(module):
    names = {f"{module}.{name}" for name in import_module(module).__all__}
    assert names - documented() == set()


def test_what_is_documented_is_public():
    public = {f"{module}.{name}" for module in PUBLIC for name in import_module(module).__all__}
    extras = {
        "mg_middleware.django.apps.MeetGeekConfig",  # named in INSTALLED_APPS
        *(f"pytest_meetgeek.strategies.{name}" for name in import_module("pytest_meetgeek.strategies").__all__),
    }
    assert documented() - public - extras == set()


PROPERTIES = {
    f"{module}.{name}.{member}": str(attribute.__doc__)
    for module in PUBLIC
    for name in import_module(module).__all__
    for member, attribute in getattr(getattr(import_module(module), name), "__dict__", {}).items()
    if isinstance(attribute, property)
}


@pytest.mark.parametrize("docstring", PROPERTIES.values(), ids=PROPERTIES.keys())
def test_the_first_line_of_a_property_has_no_colon(docstring):
    """Sphinx's napoleon takes the words before a colon for the type, and shows them in the wrong place."""
    assert ":" not in re.sub("`[^`]*`", "", docstring.partition("\n")[0])


# Inside the rooms of both packages, only what the package itself names is public.
MODULES = sorted(
    {
        *PUBLIC,
        *(
            f"mg_middleware.{module.name}"
            for module in iter_modules(mg_middleware.__path__)
            if not module.name.startswith("_")
        ),
        *(f"pytest_meetgeek.{name}" for name in ("forgeries", "meetgeek", "receiver", "request", "response", "spy")),
        "pytest_meetgeek.strategies",
    }
    - {"mg_middleware.__main__", "mg_middleware.cli"}
)


@pytest.mark.parametrize("module", MODULES)
def test_a_public_module_says_what_is_public(module):
    imported = import_module(module)
    assert set(imported.__all__) <= set(dir(imported))
