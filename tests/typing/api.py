"""The public API as users with strict checkers call it. This file is type-checked (test_typing.py), never run."""

# pyright: strict

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

from falcon import App as FalconApp
from falcon.asgi import App as FalconASGIApp
from fastapi import FastAPI
from fastapi import Request as FastAPIRequest
from flask import Flask
from flask import request as flask_request
from litestar import Litestar
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware import Middleware

import mg_middleware
from mg_middleware import (
    AnalysisFailed,
    AnalysisSucceeded,
    ConfigurationError,
    Delivery,
    Explanation,
    MeetGeekASGIMiddleware,
    MeetGeekWSGIMiddleware,
    MemoryStore,
    Outcome,
    RedisStore,
    SQLAlchemyStore,
    SQLiteStore,
    UnknownEvent,
    Verdict,
    delivery_of,
    explain_mismatch,
    sign,
    verify,
)
from mg_middleware.django import meetgeek_webhook
from mg_middleware.fastapi import VerifiedDelivery, responses
from mg_middleware.testing import check_store, make_delivery, verified_environ, verified_scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, HTTPScope
    from asgiref.typing import Scope as ASGIScope
    from starlette.requests import Request


async def asgi_app(scope: ASGIScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None: ...


async def loose_asgi_app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None: ...


def wsgi_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [delivery_of(environ).body]


class DjangoASGIHandler:
    """Typed as the stubs of Django type `django.core.handlers.asgi.ASGIHandler`."""

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[..., Awaitable[Any]],
        send: Callable[..., Awaitable[None]],
    ) -> None: ...


class DjangoWSGIHandler:
    """Typed as the stubs of Django type `django.core.handlers.wsgi.WSGIHandler`."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return wsgi_app(environ, start_response)


# Every application is taken as its framework types it.
MeetGeekASGIMiddleware(Starlette())
MeetGeekASGIMiddleware(FastAPI())
MeetGeekASGIMiddleware(Litestar())
MeetGeekASGIMiddleware(FalconASGIApp())
MeetGeekASGIMiddleware(DjangoASGIHandler())
MeetGeekASGIMiddleware(asgi_app)
MeetGeekASGIMiddleware(loose_asgi_app)
MeetGeekASGIMiddleware(MeetGeekASGIMiddleware(asgi_app))
MeetGeekWSGIMiddleware(wsgi_app)
MeetGeekWSGIMiddleware(FalconApp())
MeetGeekWSGIMiddleware(DjangoWSGIHandler())
MeetGeekWSGIMiddleware(MeetGeekWSGIMiddleware(wsgi_app))

# A guarded application is one again, for servers and for other middlewares.
as_asgi: Callable[[HTTPScope, ASGIReceiveCallable, ASGISendCallable], Awaitable[None]] = MeetGeekASGIMiddleware(
    asgi_app
)
as_asgi_application: ASGI3Application = MeetGeekASGIMiddleware(asgi_app)
as_wsgi: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]] = MeetGeekWSGIMiddleware(wsgi_app)

# The one line of each framework.
starlette = Starlette(middleware=[Middleware(MeetGeekASGIMiddleware, paths="/webhooks/meetgeek")])
starlette.add_middleware(MeetGeekASGIMiddleware, paths="/webhooks/meetgeek")
fastapi = FastAPI()
fastapi.add_middleware(MeetGeekASGIMiddleware, secret="whsec", paths=["/a", "/b"], acknowledge=True)
flask = Flask(__name__)
flask.wsgi_app = MeetGeekWSGIMiddleware(flask.wsgi_app, paths="/webhooks/meetgeek")  # type: ignore[method-assign]
quart = Quart(__name__)
quart.asgi_app = MeetGeekASGIMiddleware(quart.asgi_app, paths="/webhooks/meetgeek")  # type: ignore[method-assign]


# Every form of every option.
def find_secret(scope: dict[str, Any]) -> str | None:
    return None


async def find_secrets(scope: dict[str, Any]) -> list[str]:
    return [f"{scope['path']}"]


def on_verdict(verdict: Verdict) -> None:
    assert_type(verdict.outcome, Outcome)
    assert_type(verdict.status, int | None)
    assert_type(verdict.key_id, str | None)
    assert_type(verdict.body_size, int)
    assert_type(verdict.method, str)
    assert_type(verdict.path, str)


MeetGeekASGIMiddleware(asgi_app, "whsec")
MeetGeekASGIMiddleware(asgi_app, b"whsec")
MeetGeekASGIMiddleware(asgi_app, ["whsec", b"whsec"])
MeetGeekASGIMiddleware(asgi_app, ("whsec",))
MeetGeekASGIMiddleware(asgi_app, {"a": "whsec", "b": ["whsec", b"whsec"]})
MeetGeekASGIMiddleware(asgi_app, find_secret)
MeetGeekASGIMiddleware(asgi_app, find_secrets)
MeetGeekWSGIMiddleware(wsgi_app, lambda environ: {"tenant": "whsec"})
MeetGeekASGIMiddleware(
    asgi_app,
    None,
    paths=(path for path in ["/a"]),
    max_body_size=None,
    acknowledge=False,
    idempotency_store=MemoryStore(),
    on_verdict=on_verdict,
    explain=True,
)
MeetGeekWSGIMiddleware(
    wsgi_app,
    secret=None,
    paths={"/a"},
    max_body_size=5,
    acknowledge=True,
    idempotency_store=SQLiteStore(Path("meetings.sqlite")),
    on_verdict=[Verdict(Outcome.ACCEPTED, None, None, 0, "POST", "/")].append,
)
MeetGeekASGIMiddleware(asgi_app, idempotency_store=RedisStore("redis://localhost", lease=5, max_lease=60))
MeetGeekASGIMiddleware(
    asgi_app, idempotency_store=SQLAlchemyStore("sqlite:///own.sqlite3", table="meetings"), idempotency_wait=0
)
check_store(MemoryStore)

# What a strict checker has to refuse.
MeetGeekASGIMiddleware("app")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
MeetGeekASGIMiddleware(asgi_app, 5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
MeetGeekWSGIMiddleware(wsgi_app, paths=5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
MeetGeekWSGIMiddleware(wsgi_app, max_body_size="1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
sign(find_secret, b"body")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

assert_type(sign("whsec", b"body"), str)
assert_type(verify({"tenant": "whsec"}, b"body", None), bool)
assert_type(verify("whsec", b"body", "a value of any type"), bool)
assert_type(mg_middleware.sign(b"whsec", b""), str)
assert_type(explain_mismatch("whsec", b"body", "a value of any type"), list[Explanation])
for explanation in explain_mismatch({"tenant": ["whsec", b"whsec"]}, b"body", None):
    assert_type(explanation.cause + explanation.sentence + explanation.remedy, str)
error: ValueError = ConfigurationError()


async def starlette_handler(request: Request) -> None:
    assert_type(delivery_of(request), Delivery)


async def fastapi_handler(request: FastAPIRequest) -> None:
    assert_type(delivery_of(request), Delivery)
    assert_type(delivery_of(request.scope), Delivery)


def flask_handler() -> str | None:
    return described(delivery_of(flask_request))


def described(delivery: Delivery) -> str | None:
    assert_type(delivery.body, bytes)
    assert_type(delivery.signature, str)
    assert_type(delivery.key_id, str | None)
    match delivery.event:
        case AnalysisSucceeded(meeting_id):
            return assert_type(meeting_id, str)
        case AnalysisFailed() as failed:
            return f"{failed.payload.get('message')}"
        case UnknownEvent(payload=payload):
            return f"{payload}"


# The doors of frameworks, and deliveries for unit tests.
@fastapi.post("/webhooks/meetgeek", responses=responses)
async def receive(delivery: VerifiedDelivery) -> None:
    assert_type(delivery, Delivery)


def plain_view(request: str) -> int:
    return len(request)


async def async_view(request: str) -> int:
    return len(request)


assert_type(meetgeek_webhook(plain_view)("request"), int)
assert_type(meetgeek_webhook(acknowledge=True, secret=["a", "b"], explain=True)(plain_view)("request"), int)


async def call_async_view() -> None:
    assert_type(await meetgeek_webhook(async_view)("request"), int)


urlpatterns = [meetgeek_webhook(handler=print, events=AnalysisSucceeded, idempotency_store=MemoryStore())]
meetgeek_webhook(paths="/a")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
meetgeek_webhook(secret=5)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]

assert_type(make_delivery("success", meeting_id="one", key_id="tenant"), Delivery)
assert_type(verified_environ(make_delivery("failed", body=b"{}")), dict[str, Any])
assert_type(verified_scope(make_delivery("failed")), dict[str, Any])
make_delivery("other")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
