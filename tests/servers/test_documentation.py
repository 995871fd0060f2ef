"""The page for users shows the table that the tests go by."""

from pathlib import Path

import pytest
from servers.expectations import CASES, DIFFERENCES, EXCHANGES
from servers.programs import PROGRAMS
from servers.table import differences, usual

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "what-your-server-does.md"


@pytest.mark.parametrize("table", [usual, differences], ids=lambda table: table.__name__)
def test_page_shows_the_table(table):
    assert table() in PAGE.read_text()


def test_every_server_stands_on_the_page():
    page = PAGE.read_text()

    assert [program.name for program in PROGRAMS if program.name not in page] == []


def test_table_names_no_server_and_no_case_that_is_not_driven():
    assert DIFFERENCES.keys() <= {program.name for program in PROGRAMS}
    assert {name for cells in DIFFERENCES.values() for name in cells} <= CASES.keys() | EXCHANGES.keys()
