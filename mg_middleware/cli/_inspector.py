"""The page of `serve --inspect`: it shows deliveries as they come, and sends others."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
from collections import OrderedDict
from contextlib import contextmanager
from importlib.resources import files
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from mg_middleware.cli._recorder import recording_of
from mg_middleware.cli._server import INSPECTOR_THREAD
from mg_middleware.events import AnalysisSucceeded, parse_event
from mg_middleware.explanation import explain_header, explain_mismatch
from mg_middleware.verdict import Outcome
from pytest_meetgeek import FORGERIES, MeetGeek, Receiver, WebhookRequest
from pytest_meetgeek.response import redact

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Generator, Iterable, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mg_middleware.cli._observer import Observation
    from mg_middleware.explanation import Explanation

_MOST_DELIVERIES = 1000
_MOST_BYTES = 64 * 1024 * 1024  # of bodies and responses; header fields are bounded by the server
_LARGEST_EXPLAINED = 64 * 1024
_LARGEST_IN_TEST = 16 * 1024
_PAUSE = 0.1  # seconds between two looks for news
_FRAMING = re.compile(r"host|content-length|transfer-encoding|connection", re.IGNORECASE)
_NOT_SHOWN = re.compile(r"cookie|authorization|secret|token|api-?key|password", re.IGNORECASE)
_SHOWN_OF_SIGNATURE = 12
_LONGEST_IN_LINE = 200
_PATH = re.compile(r"/[!-~]*")
_PATIENCE = 5  # seconds to wait for the end of the page's server
SIGNATURE_HEADER = b"x-mg-signature"

_SECURITY_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Deliveries:
    """An observer that keeps the last deliveries, within bounds.

    Args:
        secret: the shared secret, to explain mismatches and to redact it from what is shown.
        remembers: whether the guard has an idempotency store.
    """

    def __init__(self, secret: str, *, remembers: bool) -> None:
        self._secret = secret
        self._confidential = MeetGeek(secret).confidential
        self._remembers = remembers
        self._lock = threading.Lock()  # the page is served by a thread of its own
        self._kept: OrderedDict[int, Observation] = OrderedDict()
        self._made = 0
        self._revision = 0

    def decided(self, observation: Observation) -> None:
        """Show a delivery as soon as it is decided."""
        with self._lock:
            self._made += 1
            observation.number = self._made
            self._kept[observation.number] = observation
            self._note_change(observation)

    async def finished(self, observation: Observation) -> None:
        """Show the response; explain a mismatch, now that the sender has its response."""
        with self._lock:
            self._note_change(observation)
            self._make_room()
        verdict = observation.verdict
        if verdict is not None and verdict.outcome in {Outcome.SIGNATURE_MISMATCH, Outcome.MALFORMED_SIGNATURE}:
            observation.explanations = await asyncio.to_thread(self._explain, observation)
            with self._lock:
                self._note_change(observation)

    def _explain(self, observation: Observation) -> list[Explanation]:
        signature = b",".join(value for name, value in observation.headers if name.lower() == SIGNATURE_HEADER)
        if observation.body and len(observation.body) <= _LARGEST_EXPLAINED:
            return explain_mismatch(self._secret, bytes(observation.body), signature)
        return explain_header(signature)

    def _note_change(self, observation: Observation) -> None:
        self._revision += 1
        observation.revision = self._revision

    def _make_room(self) -> None:
        size = sum(len(kept.body) + len(kept.response) for kept in self._kept.values())
        while len(self._kept) > _MOST_DELIVERIES or (size > _MOST_BYTES and len(self._kept) > 1):
            _, oldest = self._kept.popitem(last=False)
            size -= len(oldest.body) + len(oldest.response)

    def changes_since(self, revision: int) -> tuple[int, list[dict[str, Any]]]:
        """Return the present revision, and a line for each delivery that has changed since another one.

        Args:
            revision: the one that is known; 0 for all deliveries.
        """
        with self._lock:
            if revision == self._revision:
                return revision, []
            changed = [kept for kept in self._kept.values() if kept.revision > revision]
            return self._revision, [self._line(kept) for kept in changed]

    def find(self, number: int) -> Observation:
        """Find a delivery by its number.

        Raises:
            LookupError: it is no longer kept, or never was.
        """
        with self._lock:
            return self._kept[number]

    def _line(self, observation: Observation) -> dict[str, Any]:
        return {
            "number": observation.number,
            "received": observation.received.isoformat(),
            "method": observation.method[:_LONGEST_IN_LINE],
            "path": self._text(observation.path.encode("latin-1")[:_LONGEST_IN_LINE]),
            "outcome": _outcome_of(observation),
            "verified": observation.is_verified,
            "status": observation.status,
            "seconds": observation.seconds,
            "processing": self._processing(observation),
        }

    def details(self, observation: Observation) -> dict[str, Any]:
        """Return all that the page shows of a delivery. The secret is redacted, and signatures are shortened.

        Args:
            observation: the delivery.
        """
        explanations = observation.explanations
        return self._line(observation) | {
            "path": self._text(observation.path.encode("latin-1")),
            "client": observation.client,
            "headers": self._headers(observation.headers),
            "body": self._encoded(bytes(observation.body)),
            "body_size": len(observation.body),
            "response_headers": self._headers(observation.response_headers),
            "response": self._encoded(bytes(observation.response)),
            "response_size": observation.response_size,
            "error": None if observation.error is None else self._text(observation.error.encode("utf-8", "replace")),
            "explanations": None if explanations is None else [found._asdict() for found in explanations],
            "explained_body": len(observation.body) <= _LARGEST_EXPLAINED,
        }

    def _processing(self, observation: Observation) -> str:
        """What the idempotency store knows of the meeting."""
        match _outcome_of(observation):
            case Outcome.DUPLICATE:
                return "duplicate"
            case Outcome.IN_PROGRESS:
                return "in progress elsewhere"
            case Outcome.ACCEPTED if self._remembers and observation.method == "POST":
                if not isinstance(parse_event(bytes(observation.body)), AnalysisSucceeded):
                    return "not remembered"
                if observation.seconds is None:
                    return "claimed"
                return "processed" if observation.succeeded else "released"
            case _:
                return ""

    def _headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
        return [(name.decode("latin-1"), self._value(name.decode("latin-1"), value)) for name, value in headers]

    def _value(self, name: str, value: bytes) -> str:
        if _NOT_SHOWN.search(name):
            return f"(not shown, {len(value)} characters)"
        shown = self._text(value)
        if "signature" in name.lower():
            return f"{shown[:_SHOWN_OF_SIGNATURE]}… ({len(value)} characters)"
        return shown

    def _text(self, data: bytes) -> str:
        return redact(data, self._confidential).decode("utf-8", "backslashreplace")

    def _encoded(self, data: bytes) -> str:
        return base64.b64encode(redact(data, self._confidential)).decode()


def _outcome_of(observation: Observation) -> str:
    return "" if observation.verdict is None else observation.verdict.outcome.value


def written_as_test(observation: Observation) -> str:
    """Write a pytest test that sends a delivery again, or a forgery like it.

    Args:
        observation: the delivery.
    """
    lines = [
        f"def test_delivery_{observation.number}(meetgeek, meetgeek_receiver):",
        f'    """Received at {observation.received.isoformat(timespec="seconds")}: {_outcome_of(observation)}."""',
    ]
    body = bytes(observation.body)
    if len(body) > _LARGEST_IN_TEST:
        lines.append('    request = meetgeek.recorded("SAVE THE RECORDING HERE.json")')
    elif body:
        types = [value for name, value in observation.headers if name.lower() == b"content-type"]
        content_type = types[0].decode("latin-1") if types else None
        lines.append(f"    request = meetgeek.raw({body!r}, content_type={content_type!r})")
    else:
        lines.append("    request = meetgeek.analyzed()")
    if observation.is_verified:
        lines += [
            "    record = meetgeek.deliver(meetgeek_receiver, request)",
            "    assert record.acknowledged, record.explain()",
        ]
    else:
        signatures = {
            Outcome.MISSING_SIGNATURE: "",
            Outcome.REPEATED_SIGNATURE: "request.signature, request.signature",
            Outcome.MALFORMED_SIGNATURE: 'f"sha256={request.signature}"',
        }
        signature = signatures.get(Outcome(_outcome_of(observation)), '"0" * 64')
        lines += [
            f"    forged = request.with_signature({signature})",
            "    meetgeek.assert_rejected(meetgeek_receiver.send(forged), forged)",
        ]
    return "\n".join(lines) + "\n"


class Inspector:
    """The page, as a Starlette application.

    Args:
        deliveries: what to show.
        secret: the shared secret, to sign what the page sends.
        path: the guarded path, to which the page sends.
        address: the host and the port of the guarded application.
        port: the page's own port.
    """

    def __init__(self, deliveries: Deliveries, secret: str, *, path: str, address: tuple[str, int], port: int) -> None:
        self._deliveries = deliveries
        self._meetgeek = MeetGeek(secret, seed=str(uuid4()))
        self._path = path
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104 - nothing listens here
        self._url = f"http://{f'[{host}]' if ':' in host else host}:{address[1]}"
        self._host = host
        self._page = files("mg_middleware.cli").joinpath("inspector.html").read_text(encoding="utf-8")
        self._run = token_urlsafe(8)
        self.is_closing = False
        self.app: ASGIApp = _SameOriginOnly(
            Starlette(
                routes=[
                    Route("/", self._show_page),
                    Route("/news", self._tell_news),
                    Route("/deliveries/{number:int}", self._show_details),
                    Route("/deliveries/{number:int}/body", self._download_body),
                    Route("/deliveries/{number:int}/recording", self._download_recording),
                    Route("/deliveries/{number:int}/test", self._show_test),
                    Route("/deliveries/{number:int}/again", self._send_again, methods=["POST"]),
                    Route("/send/{event}", self._send, methods=["POST"]),
                ]
            ),
            port,
        )

    async def _show_page(self, _request: Request) -> Response:
        nonce = token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )
        return HTMLResponse(self._page.replace("{{nonce}}", nonce), headers={"Content-Security-Policy": policy})

    async def _tell_news(self, _request: Request) -> Response:
        return StreamingResponse(self._news(), media_type="text/event-stream")

    async def _news(self) -> AsyncIterator[str]:
        settings: dict[str, Any] = {
            "run": self._run,
            "path": self._path,
            "url": self._url,
            "forgeries": list(FORGERIES),
            "most": _MOST_DELIVERIES,
        }
        yield f"event: settings\ndata: {json.dumps(settings)}\n\n"
        revision = 0
        while not self.is_closing:
            revision, lines = self._deliveries.changes_since(revision)
            for line in lines:
                yield f"event: delivery\ndata: {json.dumps(line)}\n\n"
            await asyncio.sleep(_PAUSE)

    async def _show_details(self, request: Request) -> Response:
        return JSONResponse(self._deliveries.details(self._find(request)))

    async def _download_body(self, request: Request) -> Response:
        found = self._find(request)
        return Response(bytes(found.body), headers=_as_file(f"delivery-{found.number}.bin"))

    async def _download_recording(self, request: Request) -> Response:
        found = self._find(request)
        if not found.is_verified:
            # Sending a recording signs it, so this would sign what a stranger wrote.
            raise HTTPException(409, "only a verified delivery can be recorded")
        name = f"{found.received:%Y%m%dT%H%M%S.%fZ}.json"
        return Response(recording_of(found).to_json(), headers=_as_file(name))

    async def _show_test(self, request: Request) -> Response:
        return PlainTextResponse(written_as_test(self._find(request)))

    async def _send_again(self, request: Request) -> Response:
        found = self._find(request)
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in found.headers
            if not _FRAMING.fullmatch(name.decode("latin-1"))
        )
        webhook = WebhookRequest(bytes(found.body), headers, label="again", method=found.method)
        return await self._deliver(webhook, found.path)

    async def _send(self, request: Request) -> Response:
        path = request.query_params.get("path", self._path)
        match request.path_params["event"]:
            case "success":
                webhook = self._meetgeek.analyzed()
            case "failed":
                webhook = self._meetgeek.failed()
            case name if name in FORGERIES:
                webhook = self._meetgeek.forged(name)
            case _:
                raise HTTPException(404, "there is no such event or forgery")
        return await self._deliver(webhook, path)

    async def _deliver(self, request: WebhookRequest, path: str) -> Response:
        if not _PATH.fullmatch(path):
            raise HTTPException(400, "the path must begin with / and hold no spaces or control characters")
        receiver = Receiver(self._url, allow_hosts=[self._host])
        response = await run_in_threadpool(receiver.send, request, path=path)
        error = None if response.error is None else type(response.error).__name__
        return JSONResponse({"status": response.status, "error": error})

    def _find(self, request: Request) -> Observation:
        try:
            return self._deliveries.find(request.path_params["number"])
        except LookupError:
            raise HTTPException(404, "this delivery is no longer kept") from None


def _as_file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": "application/octet-stream"}


class _SameOriginOnly:
    """Refuses every request that another page, another name or another machine may have caused.

    A page elsewhere can make a browser send requests to loopback, and point a name of its own at it (DNS rebinding).

    Args:
        app: the application to protect.
        port: its port.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost", "[::1]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is served here, not {scope['type']}")
        reason = self._reason_to_refuse(scope["method"], scope["headers"])
        app = self._app if reason is None else PlainTextResponse(f"{reason}\n", 403)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_SECURITY_HEADERS]
            await send(message)

        await app(scope, receive, send_with_headers)

    def _reason_to_refuse(self, method: str, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
        fields: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            fields.setdefault(name.lower(), []).append(value.lower())
        hosts = fields.get(b"host", [])
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return "This page is only served to 127.0.0.1 and localhost."
        if any(name in fields for name in (b"forwarded", b"x-forwarded-for", b"x-forwarded-host")):
            return "This page is not served through a proxy or a tunnel."
        origins = fields.get(b"origin", [])
        if origins != [b"http://" + hosts[0]] and (origins or method not in {"GET", "HEAD"}):
            return "This page takes no requests from other pages."
        if any(value not in {b"same-origin", b"none"} for value in fields.get(b"sec-fetch-site", [])):
            return "This page takes no requests from other pages."
        return None


@contextmanager
def running_inspector(
    listener: socket.socket, secret: str, *, path: str, remembers: bool, address: tuple[str, int]
) -> Generator[Deliveries]:
    """Serve the page on loopback, in a thread of its own, so that a busy application doesn't block it.

    Args:
        listener: a socket that listens on loopback.
        secret: the shared secret.
        path: the guarded path.
        remembers: whether the guard has an idempotency store.
        address: the host and the port of the guarded application.

    Yields:
        The observer to tell of deliveries.
    """
    port = listener.getsockname()[1]
    deliveries = Deliveries(secret, remembers=remembers)
    inspector = Inspector(deliveries, secret, path=path, address=address, port=port)
    config = uvicorn.Config(
        inspector.app, log_config=None, log_level="warning", access_log=False, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True, name=INSPECTOR_THREAD)
    thread.start()
    click.echo(f"Inspector: http://127.0.0.1:{port}/", err=True)
    try:
        yield deliveries
    finally:
        inspector.is_closing = True
        server.should_exit = True
        thread.join(_PATIENCE)
