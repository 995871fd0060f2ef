"""Makes the pictures of `serve --inspect` in docs/assets with a real browser.

Run it from anywhere, with the extra `cli`, Playwright and Chromium installed: `python tools/pictures/inspector.py`.
Another folder for the pictures may be given. Look at them before you commit them: no test can.
"""

import hmac
import os
import re
import shutil
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

_SECRET = "the secret of the pictures"
_PATH = "/webhooks/meetgeek"
_MEETING = b'{"message": "File analyzed successfully", "meeting_id": "0b0f2c3e-5d0a-4a5c-8f6e-3e1d2c4b5a69"}'
_FAILED = b'{"message": "File analyzed failed"}'


def _signature(body: bytes, secret: str = _SECRET) -> str:
    return hmac.new(secret.encode(), body, "sha256").hexdigest()


def _send_deliveries(port: int) -> None:
    for body, signature in (
        (_MEETING, _signature(_MEETING)),
        (_MEETING, _signature(_MEETING)),
        (_FAILED, _signature(_FAILED)),
        (_FAILED, "sha256=" + _signature(_FAILED)),
        (_MEETING, _signature(_MEETING, f'"{_SECRET}"')),
    ):
        connection = HTTPConnection("127.0.0.1", port)
        fields = {"Content-Type": "application/json", "User-Agent": "MeetGeek", "X-MG-Signature": signature}
        connection.request("POST", _PATH, body, fields)
        connection.getresponse().read()
        connection.close()


def _take_pictures(page: Page, address: str, folder: Path) -> None:
    page.goto(address)
    page.get_by_role("heading", name="Deliveries (5)").wait_for()
    page.locator("#lines li button").first.click()
    page.locator(".why").wait_for()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.screenshot(path=folder / f"inspector-{scheme}.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 780})
    page.screenshot(path=folder / "inspector-phone.png")


def make(folder: Path) -> None:
    """Run the server, send it deliveries and look at them.

    Args:
        folder: where the pictures go.
    """
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    words = ["serve", "--inspect", "0", "--port", "0", "--path", _PATH, "--store", "meetings.db"]
    with (
        TemporaryDirectory() as own,
        subprocess.Popen(
            [sys.executable, "-m", "mg_middleware", *words],
            cwd=own,
            env={**os.environ, "MEETGEEK_WEBHOOK_SECRET": _SECRET},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as server,
        sync_playwright() as playwright,
    ):
        log = ""
        while "Uvicorn running" not in log:
            log += server.stderr.readline()
        inspector = re.search(r"Inspector: (\S+)", log)[1]
        _send_deliveries(int(re.search(r"running on http://127.0.0.1:(\d+)", log)[1]))
        browser = playwright.chromium.launch(executable_path=browser_path)
        _take_pictures(browser.new_page(viewport={"width": 1120, "height": 760}), inspector, folder)
        browser.close()
        server.terminate()
        server.communicate()


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs" / "assets")
