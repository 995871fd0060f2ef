"""Litestar, whose routes of the webhook are in another framework's application, mounted at `/webhooks`."""

from __future__ import annotations

import falcon.asgi
import flask
import litestar
import quart
from a2wsgi import WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from litestar import Litestar, Request, get, post, route
from litestar.handlers import asgi
from litestar.response import Stream
from pyramid.config import Configurator
from pyramid.response import Response

from mg_middleware import MeetGeekASGIMiddleware


def build_asgi(record, pieces, other_routes, mounted):
    inner = globals()[f"build_{mounted}"](record, pieces)
    elsewhere = [route for route in other_routes if not route.startswith("/webhooks")]

    @asgi("/webhooks", is_mount=True, copy_scope=True)
    async def hooks(scope: litestar.types.Scope, receive: litestar.types.Receive, send: litestar.types.Send) -> None:
        await inner(scope, receive, send)

    @get(elsewhere, media_type="text/plain")
    async def answer_elsewhere() -> str:
        return "elsewhere"

    return Litestar([hooks, answer_elsewhere])


def guard_asgi(app):
    return MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")


# What the mounted applications answer at the other routes below /webhooks.
ELSEWHERE = ("/", "/other", "/meetgeek-status")


def build_litestar(record, pieces):
    @route("/meetgeek", http_method=["GET", "POST"], media_type="text/plain", status_code=200)
    async def receive_webhook(request: Request) -> str:
        record(request, await request.body())
        return "received"

    @post("/meetgeek/stream", status_code=200)
    async def stream() -> Stream:
        return Stream(pieces())

    @get(list(ELSEWHERE), media_type="text/plain")
    async def answer_elsewhere() -> str:
        return "elsewhere"

    return Litestar([receive_webhook, stream, answer_elsewhere])


def build_quart(record, pieces):
    app = quart.Quart(__name__)

    @app.route("/meetgeek", methods=["GET", "POST"], strict_slashes=False)
    async def receive_webhook():
        record(quart.request, await quart.request.get_data())
        return "received"

    @app.route("/meetgeek/stream", methods=["POST"], strict_slashes=False)
    async def stream():
        return pieces()

    async def answer_elsewhere():
        return "elsewhere"

    for path in ELSEWHERE:
        app.add_url_rule(path, view_func=answer_elsewhere, endpoint=path, strict_slashes=False)
    return app


def build_falcon(record, pieces):
    class Webhook:
        async def on_post(self, request, response):
            record(request, await request.stream.read())
            response.text = "received"

        on_get = on_post

    class Stream:
        async def on_post(self, request, response):
            response.stream = pieces()

    class Elsewhere:
        async def on_get(self, request, response):
            response.text = "elsewhere"

    app = falcon.asgi.App()
    app.req_options.strip_url_path_trailing_slash = True
    app.add_route("/meetgeek", Webhook())
    app.add_route("/meetgeek/stream", Stream())
    for path in ELSEWHERE:
        app.add_route(path, Elsewhere())
    return app


def build_flask(record, pieces):
    app = flask.Flask(__name__)

    @app.route("/meetgeek", methods=["GET", "POST"], strict_slashes=False)
    def receive_webhook():
        record(flask.request, flask.request.get_data())
        return "received"

    @app.route("/meetgeek/stream", methods=["POST"], strict_slashes=False)
    def stream():
        return iter([b"first ", b"second ", b"third"])

    for path in ELSEWHERE:
        app.add_url_rule(path, view_func=lambda: "elsewhere", endpoint=path, strict_slashes=False)
    return WSGIMiddleware(app)


def build_pyramid(record, pieces):
    """Find the webhook by traversal, which resolves dot segments of what the mount left."""

    def receive_webhook(request):
        record(request, request.body)
        return Response("received")

    def stream(request):
        return Response(app_iter=[b"first ", b"second ", b"third"])

    def answer_elsewhere(request):
        return Response("elsewhere")

    with Configurator(root_factory=lambda request: {}) as config:
        config.add_route("stream", "/meetgeek/stream/")
        config.add_view(stream, route_name="stream")
        config.add_view(receive_webhook, name="meetgeek")
        config.add_view(answer_elsewhere)
        for path in ELSEWHERE[1:]:
            config.add_view(answer_elsewhere, name=path.strip("/"))
        return WsgiToAsgi(config.make_wsgi_app())
