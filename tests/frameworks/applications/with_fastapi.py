"""FastAPI."""

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse

from mg_middleware import MeetGeekASGIMiddleware


def build_asgi(record, pieces, other_routes):
    app = FastAPI()

    @app.api_route("/webhooks/meetgeek", methods=["GET", "POST"])
    async def receive_webhook(request: Request) -> PlainTextResponse:
        record(request, await request.body())
        return PlainTextResponse("received")

    @app.post("/webhooks/meetgeek/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(pieces())

    for route in other_routes:
        app.add_api_route(route, lambda: PlainTextResponse("elsewhere"))
    return app


def guard_asgi(app):
    app.add_middleware(MeetGeekASGIMiddleware, paths="/webhooks/meetgeek")
    return app
