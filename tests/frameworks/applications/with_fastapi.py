"""FastAPI, with the webhook among its own routes or in a mounted application."""

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse

from mg_middleware import MeetGeekASGIMiddleware


def build_asgi(record, pieces, other_routes, variant=""):
    app = FastAPI()
    prefix = "/webhooks" if variant == "with a mount" else ""
    hooks = FastAPI() if prefix else app
    below = "/webhooks/meetgeek".removeprefix(prefix)

    @hooks.api_route(below, methods=["GET", "POST"])
    async def receive_webhook(request: Request) -> PlainTextResponse:
        record(request, await request.body())
        return PlainTextResponse("received")

    @hooks.post(f"{below}/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(pieces())

    for route in other_routes:
        owner = hooks if prefix and route.startswith(f"{prefix}/") else app
        path = route.removeprefix(prefix) if owner is hooks else route
        owner.add_api_route(path, lambda: PlainTextResponse("elsewhere"))
    if prefix:
        app.mount(prefix, hooks)
    return app


def guard_asgi(app):
    app.add_middleware(MeetGeekASGIMiddleware, paths="/webhooks/meetgeek")
    return app
