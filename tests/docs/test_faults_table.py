"""The table of faults: each row has a note, each note names tests, and the tests are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "once-per-meeting.md").read_text(encoding="utf-8")
TABLE = PAGE[PAGE.index("| what goes wrong |") :].split("\n\n")[0]
ROWS = TABLE.splitlines()[2:]
NOTES = dict(re.findall(r"^\[\^([\w-]+)\]: (.*?)(?=^\[\^|\n\n)", PAGE, re.MULTILINE | re.DOTALL))


def defined_in(file):
    tree = ast.parse((ROOT / "tests" / "idempotency" / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_the_tests_of_each_row_exist(row):
    (note,) = re.findall(r"\[\^([\w-]+)\]", row)
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", NOTES[note])
    assert named
    assert [(file, test) for file, test in named if test not in defined_in(file)] == []


def test_each_note_belongs_to_a_row():
    assert set(NOTES) == {note for row in ROWS for note in re.findall(r"\[\^([\w-]+)\]", row)}


def test_every_test_that_the_page_names_is_checked():
    assert PAGE.count("`test_") == sum(note.count("`test_") for note in NOTES.values())


def test_the_table_is_found():
    assert len(ROWS) >= 14
