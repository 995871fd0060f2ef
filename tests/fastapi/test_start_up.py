"""A missing secret stops each server at its start, if the documented line `webhook = Webhook()` is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

APPLICATIONS = {
    "fastapi": """
from fastapi import FastAPI

from mg_middleware import MeetGeekASGIMiddleware, Webhook

webhook = Webhook()
app = FastAPI()
app.add_middleware(MeetGeekASGIMiddleware, secret=webhook, paths="/webhooks/meetgeek")
""",
    "starlette": """
from starlette.applications import Starlette
from starlette.middleware import Middleware

from mg_middleware import MeetGeekASGIMiddleware, Webhook

webhook = Webhook()
app = Starlette(middleware=[Middleware(MeetGeekASGIMiddleware, secret=webhook, paths="/webhooks/meetgeek")])
""",
}
SERVERS = {
    "uvicorn": ["uvicorn", "app:app", "--port", "0"],
    "gunicorn": ["gunicorn", "app:app", "--bind", "127.0.0.1:0", "--worker-class", "uvicorn_worker.UvicornWorker"],
    "hypercorn": ["hypercorn", "app:app", "--bind", "127.0.0.1:0"],
    "granian": ["granian", "app:app", "--interface", "asgi", "--port", "0"],
}


@pytest.mark.parametrize("application", APPLICATIONS.values(), ids=APPLICATIONS)
@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
def test_no_server_starts_without_a_secret(tmp_path, command, application):
    (tmp_path / "app.py").write_text(application, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEETGEEK_")}
    result = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:]],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    printed = result.stdout + result.stderr
    # Hypercorn 0.18 stops, too, but loses the exit status of its worker.
    assert result.returncode != 0 or command[0] == "hypercorn", printed
    assert "no secret is configured: give secret=, or set MEETGEEK_WEBHOOK_SECRET" in printed
