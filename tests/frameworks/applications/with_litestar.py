"""Litestar."""

from litestar import Litestar, Request, get, post, route
from litestar.response import Stream

from mg_middleware import MeetGeekASGIMiddleware


def build_asgi(record, pieces, other_routes):
    @route("/webhooks/meetgeek", http_method=["GET", "POST"], media_type="text/plain", status_code=200)
    async def receive_webhook(request: Request) -> str:
        record(request, await request.body())
        return "received"

    @post("/webhooks/meetgeek/stream", status_code=200)
    async def stream() -> Stream:
        return Stream(pieces())

    @get(list(other_routes), media_type="text/plain")
    async def answer_elsewhere() -> str:
        return "elsewhere"

    return Litestar([receive_webhook, stream, answer_elsewhere])


def guard_asgi(app):
    # Not `middleware=[...]`: Litestar calls that after it has chosen the handler.
    return MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")
