"""Quart, which does not mind a trailing slash here."""

from quart import Quart, request

from mg_middleware import MeetGeekASGIMiddleware


def build_asgi(record, pieces, other_routes):
    app = Quart(__name__)

    @app.route("/webhooks/meetgeek", methods=["GET", "POST"], strict_slashes=False)
    async def receive_webhook():
        record(request, await request.get_data())
        return "received"

    @app.post("/webhooks/meetgeek/stream")
    async def stream():
        return pieces()

    async def answer_elsewhere():
        return "elsewhere"

    for route in other_routes:
        app.add_url_rule(route, view_func=answer_elsewhere, endpoint=route)
    return app


def guard_asgi(app):
    app.asgi_app = MeetGeekASGIMiddleware(app.asgi_app, paths="/webhooks/meetgeek")
    return app
