"""Reads the imports of both packages: which room may use which, and that no two use each other.

Imports in bodies and imports for types alone count, too: a reader follows those as well.
"""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

import mg_middleware
import pytest_meetgeek

FOLDERS = [Path(package.__file__).parent for package in (mg_middleware, pytest_meetgeek)]

# Each package from elsewhere, with the rooms that may use it. All others must do without.
OUTSIDE = {
    "a2wsgi": {"mg_middleware.cli"},
    "asgiref": {"mg_middleware"},
    "click": {"mg_middleware.cli"},
    "django": {"mg_middleware.django"},
    "fastapi": {"mg_middleware.fastapi"},
    "hypothesis": {"pytest_meetgeek.strategies"},
    "_pytest": {"pytest_meetgeek.plugin"},
    "pytest": {"pytest_meetgeek.plugin"},
    "redis": {"mg_middleware.idempotency.stores.redis"},
    "rich": {"mg_middleware.cli"},
    "sqlalchemy": {"mg_middleware.idempotency.stores.sqlalchemy"},
    "starlette": {"mg_middleware.cli"},
    "uvicorn": {"mg_middleware.cli"},
    "werkzeug": {"mg_middleware"},
}

ADAPTERS = {
    "mg_middleware.asgi",
    "mg_middleware.wsgi",
    "mg_middleware.idempotency.asgi",
    "mg_middleware.idempotency.wsgi",
}
COMMANDS = {"bench", "check", "demo", "send", "serve", "sign", "verify"}

# What a room must not use: a change there would be a change here.
FORBIDDEN = [
    ("pytest_meetgeek", {"mg_middleware"}),  # it judges the guard, so it computes everything by itself
    ("mg_middleware.asgi", {"mg_middleware.wsgi", "mg_middleware.idempotency.wsgi"}),
    ("mg_middleware.wsgi", {"mg_middleware.asgi", "mg_middleware.idempotency.asgi"}),
    ("mg_middleware.idempotency.asgi", {"mg_middleware.idempotency.wsgi"}),
    ("mg_middleware.idempotency.wsgi", {"mg_middleware.idempotency.asgi"}),
    ("mg_middleware.idempotency.stores", ADAPTERS),
    ("mg_middleware._keys", {"asyncio", *ADAPTERS, *OUTSIDE}),
    ("mg_middleware._verification", {"asyncio", *ADAPTERS, *OUTSIDE}),
    # The commands share three files, in this order.
    ("mg_middleware.cli._output", {"mg_middleware.cli._options", "mg_middleware.cli._server"}),
    ("mg_middleware.cli._options", {"mg_middleware.cli._server"}),
    *(
        (f"mg_middleware.cli.{name}", {f"mg_middleware.cli.{other}" for other in COMMANDS - {name}})
        for name in sorted(COMMANDS | {"_options", "_output", "_server"})
    ),
]


def name_of(file, root):
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_in(folders):
    """Each module's name with its file."""
    return {name_of(file, folder.parent): file for folder in folders for file in folder.rglob("*.py")}


def imports_of(source, name, *, is_package, known):
    """The names of the modules that a module imports, anywhere in it. `known` tells modules from what they hold."""
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                base = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*base, *filter(None, [module])])
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield inner if inner in known else module
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (word.value for word in node.args[:1] if isinstance(word, ast.Constant))


def graph_of(modules):
    """Each module's name with the names of all that it imports."""
    return {
        name: set(imports_of(file.read_text("utf-8"), name, is_package=file.stem == "__init__", known=modules))
        for name, file in modules.items()
    }


def circles_in(graph):
    """The groups of modules in which each reaches each other."""

    def reached_from(start):
        found, to_visit = set(), [start]
        while to_visit:
            for imported in graph.get(to_visit.pop(), ()):
                if imported not in found:
                    found.add(imported)
                    to_visit.append(imported)
        return found

    reached = {name: reached_from(name) for name in graph}
    return {
        frozenset(other for other in reached[name] if name in reached.get(other, ()))
        for name in graph
        if name in reached[name]
    }


MODULES = modules_in(FOLDERS)


@cache
def graph():
    return graph_of(MODULES)


def is_in(name, room):
    return name == room or name.startswith(f"{room}.")


def those_in(room):
    return {name for name in graph() if is_in(name, room)}


def importers_of(target):
    return {name for name, imported in graph().items() if any(is_in(other, target) for other in imported)}


def test_the_modules_are_found():
    found = {"mg_middleware", "mg_middleware.asgi", "mg_middleware.cli.serve", "pytest_meetgeek.receiver"}
    assert found <= set(graph())
    assert "mg_middleware.delivery" in graph()["mg_middleware.asgi"]


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("import a.b as c", {"a.b"}),
        ("from a import b", {"a.b"}),
        ("from a import B", {"a"}),
        ("from a.b import B", {"a.b"}),
        ("from . import b", {"a.b"}),
        ("from .b import B", {"a.b"}),
        ("from ..d import D", {"a.d"}),
        ("def f():\n    from a import b", {"a.b"}),
        ("if TYPE_CHECKING:\n    from a.b import B", {"a.b"}),
        ("importlib.import_module('a.b')", {"a.b"}),
        ("import_module(name)", set()),
    ],
)
def test_an_import_is_read(source, imported):
    name = "a.c.e" if ".." in source else "a.c"
    assert set(imports_of(source, name, is_package=False, known={"a", "a.b", "a.c", "a.d"})) == imported


def test_an_import_in_a_package_is_read():
    assert set(imports_of("from . import b", "a", is_package=True, known={"a", "a.b"})) == {"a.b"}


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c", "os"}, "c": {"b"}, "d": {"a"}, "e": {"e"}}
    assert circles_in(graph) == {frozenset("bc"), frozenset("e")}


def test_no_two_modules_import_each_other():
    assert circles_in(graph()) == set()


@pytest.mark.parametrize(("room", "forbidden"), FORBIDDEN, ids=[room for room, _ in FORBIDDEN])
def test_a_room_keeps_to_its_layer(room, forbidden):
    assert those_in(room)
    assert {
        name: graph()[name] for name in those_in(room) if any(name in importers_of(other) for other in forbidden)
    } == {}


def test_only_the_rooms_named_use_a_package_from_elsewhere():
    ours = {"mg_middleware", "pytest_meetgeek"} | sys.stdlib_module_names
    used = {(name, imported.partition(".")[0]) for name in graph() for imported in graph()[name]}
    used = {(name, package) for name, package in used if package not in ours}
    assert used
    assert [
        (name, package)
        for name, package in sorted(used)
        if not any(is_in(name, room) for room in OUTSIDE.get(package, ()))
    ] == []


def test_only_the_command_line_and_the_test_helpers_use_the_plugin():
    users = {name for name in importers_of("pytest_meetgeek") if is_in(name, "mg_middleware")}
    assert {name for name in users if not is_in(name, "mg_middleware.cli")} <= {"mg_middleware.testing"}


def test_nothing_uses_the_command_line():
    assert {name for name in importers_of("mg_middleware.cli") if not is_in(name, "mg_middleware.cli")} == {
        "mg_middleware.__main__"
    }


def test_the_command_line_is_one_file_for_each_command_and_three_that_they_share():
    shared = {"__init__", "_options", "_output", "_server"}
    of_serve = {"_inspector", "_observer", "_recorder"}  # what `serve --inspect` and `serve --record` load
    files = {file.stem for name, file in MODULES.items() if is_in(name, "mg_middleware.cli")}
    assert files == COMMANDS | shared | of_serve
