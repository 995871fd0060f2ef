"""What the steps of a page use: `tests/docs/pages` has one file of them for each page that needs any.

A step is a function of the running page. It runs before or after the one block that has the given text, or that is
written to the given file:

    @after(file="app.py")
    def forgeries_are_refused(page):
        check("app:app")

In `page.names` are the names that the blocks have defined, and `page.shown` is the text block that is checked.
"""

import asyncio
import hashlib
import hmac
import importlib
import inspect
import socket
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from io import StringIO
from typing import NamedTuple

import httpx
from werkzeug.test import EnvironBuilder, run_wsgi_app

SECRET = "a secret made up for the documentation"


class Step(NamedTuple):
    """A function to run before or after one block."""

    is_before: bool
    text: str | None
    file: str | None
    function: Callable[..., None]

    def belongs_to(self, caption: str | None, source: str) -> bool:
        """Whether it is for the block that is written to this file, or has this source."""
        return caption == self.file if self.text is None else self.text in source


STEPS: list[Step] = []


def after(text: str | None = None, *, file: str | None = None):
    """Run the decorated function after the block that has this text, or is written to this file."""
    return lambda function: STEPS.append(Step(is_before=False, text=text, file=file, function=function))


def before(text: str | None = None, *, file: str | None = None):
    """Run the decorated function before the block that has this text, or is written to this file."""
    return lambda function: STEPS.append(Step(is_before=True, text=text, file=file, function=function))


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def listens(port: int) -> bool:
    """Tell whether somebody listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def sign(body: bytes, secret: str = SECRET) -> str:
    """Sign as MeetGeek does; on purpose without the package."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def deliver(app, *, path="/webhooks/meetgeek", body=b"{}", signature=None, method="POST", headers=()) -> httpx.Response:
    """Send one request to an application, or to one that is named as for a server; signed if nothing else is said.

    An empty signature is left out.
    """
    if isinstance(app, str):
        module, _, name = app.partition(":")
        app = getattr(importlib.import_module(module), name)
    signature = sign(body) if signature is None else signature
    fields = {"content-type": "application/json", **dict(headers)} | (
        {"x-mg-signature": signature} if signature else {}
    )
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__):
        return asyncio.run(_deliver(app, method, path, body, fields))
    builder = EnvironBuilder(method=method, path=path, data=body, headers=fields)
    builder.environ_base = {"REMOTE_ADDR": "127.0.0.1"}
    with closing(builder):
        content, status, answered = run_wsgi_app(app, builder.get_environ(), buffered=True)
    return httpx.Response(int(status.split()[0]), headers=list(answered), content=b"".join(content))


async def _deliver(app, method, path, body, fields) -> httpx.Response:
    fields = {name: value.encode("latin-1") for name, value in fields.items()}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.request(method, path, content=body, headers=fields)


def check(app, *, path="/webhooks/meetgeek", failures=True) -> None:
    """Check that an application processes what is genuine, acknowledges it, and refuses what is forged.

    Its handler must print the meeting's id, and for a failure, unless it has no use for one, the word "failed".
    """
    meeting = b'{"message": "File analyzed successfully", "meeting_id": "b7a4e9d0-6c0f-4c38-9a57-d1f0c4a3e2b6"}'
    failure = b'{"message": "File analyzed failed"}'
    with redirect_stdout(StringIO()) as printed:
        refused = [
            deliver(app, path=path, body=meeting, signature=""),
            deliver(app, path=path, body=meeting, signature=sign(meeting, "another secret")),
            deliver(app, path=path, body=meeting + b" ", signature=sign(meeting)),
            deliver(app, path=path, body=meeting, signature="é" * 64),
            deliver(app, path=path, body=meeting, signature=sign(meeting).upper()),
        ]
    assert [answer.status_code for answer in refused] == [401] * len(refused), refused
    assert printed.getvalue() == "", f"a forged delivery was processed: {printed.getvalue()}"
    for body, sign_of_processing in ((meeting, "b7a4e9d0-6c0f-4c38-9a57-d1f0c4a3e2b6"), (failure, "failed")):
        with redirect_stdout(StringIO()) as printed:
            answer = deliver(app, path=path, body=body)
        assert (answer.status_code, answer.content) == (200, b""), (answer, answer.content)
        times = 1 if failures or body == meeting else 0
        assert printed.getvalue().count(sign_of_processing) == times, f"processed: {printed.getvalue()!r}"
