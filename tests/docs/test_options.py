"""The page of options has each parameter of both middlewares, with its default."""

import inspect
import re
from pathlib import Path

import pytest

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "options.md"
ROWS = dict(re.findall(r"^\| \[?`(\w+)`\S* \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
IN_WORDS = {
    "the environment": None,
    "all": None,
    "none": None,
    "1 MiB": 1_048_576,
    "`False`": False,
    "12": 12,
    "": None,
}


@pytest.mark.parametrize("middleware", [MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware])
def test_the_page_has_every_option_with_its_default(middleware):
    defaults = {name: parameter.default for name, parameter in inspect.signature(middleware).parameters.items()}
    assert {name: IN_WORDS[text] for name, text in ROWS.items()} == defaults
