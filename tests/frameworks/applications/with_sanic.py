"""Sanic as an ASGI application."""

from uuid import uuid4

from sanic import Sanic
from sanic.response import ResponseStream, text

from mg_middleware import MeetGeekASGIMiddleware


def build_asgi(record, pieces, other_routes):
    app = Sanic(f"webhooks-{uuid4()}")  # each of its own name, in whatever tests of this process
    app.config.TOUCHUP = False  # it rewrites the methods of the class, and can do it once

    @app.route("/webhooks/meetgeek", methods=["GET", "POST"], name="webhook")
    async def receive_webhook(request):
        record(request, request.body)
        return text("received")

    @app.post("/webhooks/meetgeek/stream", name="stream")
    async def stream(request):
        async def write(response):
            async for piece in pieces():
                await response.write(piece)

        return ResponseStream(write)

    async def answer_elsewhere(request):
        return text("elsewhere")

    for route in other_routes:
        app.add_route(answer_elsewhere, route, name=route.replace("/", "-"))
    return app


def guard_asgi(app):
    return MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")
