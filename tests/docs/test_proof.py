"""The page of proofs: each of its commands is one that CONTRIBUTING.md lists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGE = ROOT / "docs" / "explanation" / "proof" / "index.md"
ROWS = re.findall(r"^\| (.+?) \| `(.+?)` \| ", PAGE.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", [command for _, command in ROWS], ids=[claim for claim, _ in ROWS])
def test_the_command_of_each_proof_is_listed(command):
    assert re.search(rf"`\.venv/bin/{re.escape(command)}`", CONTRIBUTING)


def test_the_proofs_are_found():
    assert len(ROWS) >= 9
