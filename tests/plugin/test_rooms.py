"""The rooms of pytest_meetgeek: which module may import which, and no circle among them."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pytest_meetgeek

ROOT = Path(pytest_meetgeek.__file__).parent


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports_of(name):
    """Every import counts: in a body, and for types only."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module


@cache
def graph():
    return {name: {found for found in imports_of(name) if found in MODULES} for name in MODULES}


def test_no_module_imports_itself_by_any_way():
    order = list(TopologicalSorter(graph()).static_order())  # raises CycleError, which names the circle
    assert set(order) == set(MODULES)


def room_of(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in {"checks", "drivers", "plugin"} else "sender"


ALLOWED = {
    "sender": {"sender", "drivers"},
    "drivers": {"sender", "drivers"},
    "checks": {"sender", "drivers", "checks"},
    "plugin": {"sender", "drivers", "checks", "plugin"},
}


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"pytest_meetgeek"}))
def test_a_room_imports_only_what_it_is_built_on(name):
    assert {room_of(found) for found in graph()[name]} <= ALLOWED[room_of(name)]


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_the_guard_and_only_the_plugin_imports_pytest(name):
    foreign = {found.partition(".")[0] for found in imports_of(name)}
    assert "mg_middleware" not in foreign
    assert room_of(name) == "plugin" or not foreign & {"pytest", "_pytest"}


def test_a_driver_knows_only_requests_and_responses():
    known = {"pytest_meetgeek.request", "pytest_meetgeek.response"}
    for name in MODULES:
        if room_of(name) == "drivers":
            assert {found for found in graph()[name] if room_of(found) == "sender"} <= known
