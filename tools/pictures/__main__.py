"""Makes the pictures of `demo`, `check` and `verify --explain` in docs/assets from what the commands print.

Run it from anywhere, with the extras `cli` and `pytest` and Flask installed: `python tools/pictures`. Another
folder for the pictures may be given.
"""

import hmac
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from secrets import token_hex
from shutil import copy
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

_HERE = Path(__file__).parent
# Each with its width in columns and its words. pytest's header tells of this machine; what a failing handler logs is of
# no interest here.
_PICTURES = {
    "demo": (82, "demo"),
    "check": (
        108,
        "check shop:app --path /hook --handler shop:process -- --no-header --show-capture=no --color=yes",
    ),
    "verify": (108, 'verify body.json "$(cat signature.txt)" --explain'),
}
_BODY = b'{"message": "File analyzed failed"}'


def make(name: str, folder: Path) -> None:
    """Run a command and draw what it prints, as a terminal would show it.

    Args:
        name: the command's.
        folder: where the picture goes.
    """
    width, words = _PICTURES[name]
    secret = token_hex(16)
    # The explanation is for a secret with quotes around it, as `docker run --env-file` leaves them.
    configured = f'"{secret}"' if name == "verify" else secret
    signature = hmac.new(secret.encode(), _BODY, "sha256").hexdigest()
    environment = {
        # With CI set, pytest cuts no line at the width of the terminal.
        **{name: value for name, value in os.environ.items() if name not in {"CI", "BUILD_NUMBER"}},
        "COLUMNS": str(width),
        "FORCE_COLOR": "1",
        "MEETGEEK_WEBHOOK_SECRET": configured,
        # A user's pytest, without the plugins that stand beside this project's tests.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "pytest_meetgeek.plugin",
    }
    words_given = words.replace('"$(cat signature.txt)"', signature).split()
    command = [sys.executable, "-m", "mg_middleware", *words_given]
    with TemporaryDirectory() as own:  # away from this project's settings of pytest
        copy(_HERE / "shop.py", own)
        Path(own, "body.json").write_bytes(_BODY)
        ended = subprocess.run(command, cwd=own, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    console = Console(record=True, width=width, file=StringIO(), force_terminal=True)
    console.print(f"[bold]$ mg-middleware {words.partition(' -- ')[0]}[/bold]", highlight=False)
    # Where the package is installed depends on the machine.
    shown = re.sub(r"\S*(?=pytest_meetgeek/suite\.py)", "", ended.stdout)
    console.print(Text.from_ansi(shown), no_wrap=name != "verify", overflow="ellipsis")
    drawn = console.export_svg(title=f"mg-middleware {name}", unique_id=name)
    # Without the fonts from another server: a picture loads none, and a reader's browser should not be sent there.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    # Some programs drop the spaces at the beginning of a text, and with them the columns.
    drawn = drawn.replace("<svg ", '<svg xml:space="preserve" ', 1)
    (folder / f"{name}.svg").write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n")


if __name__ == "__main__":
    for picture in _PICTURES:
        make(picture, Path(sys.argv[1]) if len(sys.argv) > 1 else _HERE.parents[1] / "docs" / "assets")
