import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"


def words_in(picture):
    """What a picture shows, without what differs from run to run: numbers, signatures, and which answer was slowest."""
    shown = "".join(ET.parse(picture).getroot().itertext())  # noqa: S314 - made by this project
    return set(re.findall(r"[a-zA-Z-]{4,}", re.sub(r"'[0-9a-f]{12}….*|slowest.*", "", shown)))


def test_the_pictures_show_what_the_commands_print_today(tmp_path):
    subprocess.run([sys.executable, DOCS.parent / "tools" / "pictures", tmp_path], check=True)
    assert (tmp_path / "check.svg").exists()  # its last lines are cut by where the package is installed
    for name in ("demo.svg", "verify.svg"):
        assert words_in(DOCS / "assets" / name) == words_in(tmp_path / name)


@pytest.mark.parametrize("name", ["demo.svg", "check.svg", "verify.svg"])
def test_a_picture_loads_nothing_and_tells_nothing_of_the_machine(name):
    drawn = (DOCS / "assets" / name).read_text()
    assert re.findall(r"url\((?!#)|@import|<script|href=", drawn) == []
    assert re.findall(r"/(?:home|root|tmp|work|usr)/", drawn) == []
