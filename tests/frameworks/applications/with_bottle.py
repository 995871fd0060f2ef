"""Bottle, whose route ignores letter case here."""

from bottle import Bottle, request

from mg_middleware import MeetGeekWSGIMiddleware


def build_wsgi(record, pieces, other_routes):
    app = Bottle()

    @app.route("/<:re:(?i:webhooks/meetgeek)>", method=["GET", "POST"])
    def receive_webhook():
        record(request, request.body.read())
        return "received"

    @app.post("/webhooks/meetgeek/stream")
    def stream():
        return pieces()

    for route in other_routes:
        app.route(route, callback=lambda: "elsewhere")
    return app


def guard_wsgi(app):
    return MeetGeekWSGIMiddleware(app, paths="/webhooks/meetgeek")
