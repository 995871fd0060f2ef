"""The page of the command line describes every command, with all its options."""

import re
from pathlib import Path

import pytest

from mg_middleware.cli import commands

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
SECTIONS = re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", commands.list_commands(None))
def test_the_section_of_the_command_names_all_its_options(name):
    (section,) = [text for heading, text in SECTIONS if name in heading.split()]
    options = {option for parameter in commands.get_command(None, name).params for option in parameter.opts}
    everywhere = {"--secret-file", "--secret-env"}  # described once, at the top
    assert {option for option in options if option.startswith("--")} - everywhere <= set(
        re.findall(r"--[a-z-]+", section)
    )
