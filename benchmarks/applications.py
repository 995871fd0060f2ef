"""The applications that are guarded, bare and with the signature checked in the ways that people copy."""

from __future__ import annotations

import hmac

import django
import fastapi
import flask
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from served import PATH, SECRET, is_genuine
from slack_bolt import App
from slack_bolt.adapter.asgi.async_handler import AsyncSlackRequestHandler
from slack_bolt.adapter.wsgi import SlackRequestHandler as WSGISlackRequestHandler
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import Response
from starlette.routing import Route

from mg_middleware.django import meetgeek_webhook

HEADER = "X-MG-Signature"


async def asgi_application(scope, receive, send):
    if scope["path"] == PATH:
        await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def answering_asgi_application(scope, receive, send):
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def wsgi_application(environ, start_response):
    if environ["PATH_INFO"] == PATH:
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Length", "0")])
    return []


def answering_wsgi_application(environ, start_response):
    start_response("401 Unauthorized", [("Content-Length", "0")])
    return []


async def starlette_endpoint(request):
    await request.body()
    return Response()


class OneFunction:
    """The least that an ASGI middleware can do: the limits and the check, and the body again for the application."""

    def __init__(self, app, secret):
        self.app = app
        self.begin = hmac.new(secret.encode(), digestmod="sha256").copy

    async def __call__(self, scope, receive, send):
        signatures, length = [], -1
        for name, value in scope["headers"]:
            if name == b"x-mg-signature":
                signatures.append(value.strip(b" \t"))
            elif name == b"content-length":
                length = int(value)
        if len(signatures) != 1 or len(signatures[0]) != 64 or not 0 <= length <= 1_048_576:
            raise ValueError("refused")
        mac, chunks, size, more_body = self.begin(), [], 0, True
        while more_body:
            message = await receive()
            if message["type"] != "http.request":
                return
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > length:
                raise ValueError("refused")
            mac.update(chunk)
            chunks.append(chunk)
            more_body = message.get("more_body", False)
        if size < length or not hmac.compare_digest(mac.hexdigest().encode(), signatures[0]):
            raise ValueError("refused")

        async def replay():
            if chunks:
                return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}
            return await receive()

        await self.app({**scope, "verified": True}, replay, send)


def starlette_application():
    return Starlette(routes=[Route(PATH, starlette_endpoint, methods=["POST"])])


class SnippetMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        if not is_genuine(await request.body(), request.headers.get(HEADER, "")):
            return Response(status_code=401)
        return await call_next(request)


def starlette_with_base_http_middleware():
    app = starlette_application()
    app.add_middleware(SnippetMiddleware)
    return app


async def check_signature(request: fastapi.Request):
    if not is_genuine(await request.body(), request.headers.get(HEADER, "")):
        raise fastapi.HTTPException(401)


def fastapi_application(dependencies=()):
    app = fastapi.FastAPI()

    @app.post(PATH, dependencies=dependencies)
    async def endpoint(request: fastapi.Request):
        await request.body()
        return Response()

    return app


def fastapi_with_depends():
    return fastapi_application([fastapi.Depends(check_signature)])


def fastapi_with_middleware():
    app = fastapi_application()

    @app.middleware("http")
    async def check(request, call_next):
        if not is_genuine(await request.body(), request.headers.get(HEADER, "")):
            return Response(status_code=401)
        return await call_next(request)

    return app


def flask_application():
    app = flask.Flask("receiver")

    @app.post(PATH)
    def endpoint():
        flask.request.get_data()
        return ""

    return app


def flask_with_before_request():
    app = flask_application()

    @app.before_request
    def check():
        if not is_genuine(flask.request.get_data(), flask.request.headers.get(HEADER, "")):
            flask.abort(401)

    return app


def django_endpoint(request):
    assert request.body
    return HttpResponse()


def django_middleware(get_response):
    def check(request):
        if not is_genuine(request.body, request.headers.get(HEADER, "")):
            return HttpResponse(status=401)
        return get_response(request)

    return check


class DjangoEndpoint(View):
    def post(self, request):
        return django_endpoint(request)


urlpatterns = [
    path(PATH.strip("/"), django_endpoint),
    path("plain", meetgeek_webhook(secret=SECRET)(django_endpoint)),
    path("class", method_decorator(csrf_exempt, name="dispatch")(type("Plain", (DjangoEndpoint,), {})).as_view()),
    path("decorated-class", method_decorator(meetgeek_webhook, name="dispatch")(DjangoEndpoint).as_view()),
]


def django_application(middleware=()):
    """Make an application; the settings are read when it is made."""
    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MEETGEEK_WEBHOOK_SECRET=SECRET)
        django.setup()
    settings.MIDDLEWARE = list(middleware)
    return WSGIHandler()


def django_with_middleware():
    return django_application([f"{__name__}.django_middleware"])


# slack-bolt checks the signatures of Slack, which cover a timestamp.
def bolt_asgi(*, checked):
    async def authorize():
        return AuthorizeResult(enterprise_id=None, team_id="T", bot_token="x", bot_id="B", bot_user_id="U")

    async def acknowledge(ack):
        await ack()

    app = AsyncApp(signing_secret=SECRET, authorize=authorize, request_verification_enabled=checked)
    app.command("/meeting")(acknowledge)
    return AsyncSlackRequestHandler(app, path=PATH)


def bolt_wsgi(*, checked):
    def authorize():
        return AuthorizeResult(enterprise_id=None, team_id="T", bot_token="x", bot_id="B", bot_user_id="U")

    app = App(signing_secret=SECRET, authorize=authorize, request_verification_enabled=checked)
    app.command("/meeting")(lambda ack: ack())
    return WSGISlackRequestHandler(app, path=PATH)
