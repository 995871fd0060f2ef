"""Makes the mutants: each is a module of the package with one small fault, as mutmut's operators put them in.

mutmut's own runner keeps all mutants of a function in one file and chooses between them when it is called. That leaves
out what runs at import (constants, tables, regular expressions, statements in SQL and Lua) and what is decorated
(properties), so only the operators are taken from there.
"""

from __future__ import annotations

import ast
import difflib
from typing import TYPE_CHECKING, NamedTuple

import libcst
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Mutant(NamedTuple):
    """A module with one fault."""

    module: str
    line: int  # of the statement that differs, as coverage counts it
    was: str
    becomes: str
    code: str


def mutants_of(path: Path, module: str) -> Iterator[Mutant]:
    """Make the mutants of a module, each once."""
    code = path.read_text()
    visitor = _Visitor(
        [*mutation_operators, (libcst.SimpleString, _leave_out_a_line)], IgnoredCode(set(), set(), set())
    )
    original = MetadataWrapper(libcst.parse_module(code)).visit(visitor)
    tree = ast.parse(code)
    made = {ast.dump(tree)}
    for mutation in visitor.mutations:
        mutated = original.deep_replace(mutation.original_node, mutation.mutated_node).code
        meaning = ast.dump(ast.parse(mutated))
        if meaning not in made:
            made.add(meaning)
            yield Mutant(module, *_difference(tree, code, mutated), mutated)


class _Visitor(MutationVisitor):
    """Goes through all that runs: decorated functions too, but nothing that is there for type checkers alone."""

    def _skip_node_and_children(self, node: libcst.CSTNode) -> bool:
        match node:
            case libcst.FunctionDef():
                return False
            case libcst.If(test=libcst.Name("TYPE_CHECKING")):
                return True
            case libcst.AnnAssign(annotation=libcst.Annotation(libcst.Name("TypeAlias"))):
                return True
            case libcst.Call(func=libcst.Name("cast")) | libcst.Assign(value=libcst.Call(func=libcst.Name("TypeVar"))):
                return True
            case libcst.Expr(libcst.SimpleString()):  # a docstring
                return True
        return super()._skip_node_and_children(node)


def _leave_out_a_line(node: libcst.SimpleString) -> Iterator[libcst.SimpleString]:
    """Mutate a text of several lines, which mutmut takes for a docstring: here, statements in SQL and Lua."""
    lines = node.value.split("\n")
    for number, line in enumerate(lines):
        if len(lines) > 1 and line.strip('" '):
            yield node.with_changes(value="\n".join([*lines[:number], *lines[number + 1 :]]))


def _difference(tree: ast.Module, code: str, mutated: str) -> tuple[int, str, str]:
    """Give the line of the statement that differs, and the lines before and after."""
    before, after = code.splitlines(), mutated.splitlines()
    operations = difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes()
    changes = [operation for operation in operations if operation[0] != "equal"]
    was = "\n".join(line.strip() for change in changes for line in before[change[1] : change[2]])
    becomes = "\n".join(line.strip() for change in changes for line in after[change[3] : change[4]])
    return _statement_at(tree, changes[0][1] + 1), was, becomes


def _statement_at(tree: ast.Module, line: int) -> int:
    around = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return max(around, default=line)
