"""Starlette, with a middleware that listens for a disconnect inside the guard, and the routes in a mount."""

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from mg_middleware import MeetGeekASGIMiddleware


def build_asgi(record, pieces, other_routes):
    async def receive_webhook(request: Request):
        record(request, await request.body())
        return PlainTextResponse("received")

    async def stream(request: Request):
        await request.body()
        return StreamingResponse(pieces())

    async def answer_elsewhere(request: Request):
        return PlainTextResponse("elsewhere")

    async def pass_on(request: Request, call_next):
        return await call_next(request)

    elsewhere = [Route(route, answer_elsewhere) for route in other_routes]
    hooks = [
        Route("/meetgeek", receive_webhook, methods=["GET", "POST"]),
        Route("/meetgeek/stream", stream, methods=["POST"]),
    ]
    app = Starlette(routes=[*elsewhere, Mount("/webhooks", routes=hooks)])
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    return app


def guard_asgi(app):
    app.add_middleware(MeetGeekASGIMiddleware, paths="/webhooks/meetgeek")
    return app
