import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The pictures as they would be made today."""
    folder = tmp_path_factory.mktemp("pictures")
    subprocess.run([sys.executable, DOCS / "pictures" / "make.py", folder], check=True)
    return folder


def words_in(picture):
    """What a picture shows, without what differs from run to run: numbers, signatures, and which answer was slowest."""
    shown = "".join(ET.parse(picture).getroot().itertext())  # noqa: S314 - made by this project
    return set(re.findall(r"[a-zA-Z-]{4,}", re.sub(r"'[0-9a-f]{12}….*|slowest.*", "", shown)))


@pytest.mark.parametrize("name", ["demo.svg", "check.svg"])
def test_a_picture_shows_what_the_command_prints_today(made, name):
    assert words_in(DOCS / "assets" / name) == words_in(made / name)


@pytest.mark.parametrize("name", ["demo.svg", "check.svg"])
def test_a_picture_loads_nothing_and_tells_nothing_of_the_machine(name):
    drawn = (DOCS / "assets" / name).read_text()
    assert re.findall(r"url\((?!#)|@import|<script|href=", drawn) == []
    assert re.findall(r"/(?:home|root|tmp|work|usr)/", drawn) == []
