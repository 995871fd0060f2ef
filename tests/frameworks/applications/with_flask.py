"""Flask, which does not mind a trailing slash here."""

from flask import Flask, request

from mg_middleware import MeetGeekWSGIMiddleware


def build_wsgi(record, pieces, other_routes):
    app = Flask(__name__)

    @app.route("/webhooks/meetgeek", methods=["GET", "POST"], strict_slashes=False)
    def receive_webhook():
        record(request, request.get_data())
        return "received"

    @app.post("/webhooks/meetgeek/stream")
    def stream():
        return pieces()

    for route in other_routes:
        app.add_url_rule(route, view_func=lambda: "elsewhere", endpoint=route)
    return app


def guard_wsgi(app):
    app.wsgi_app = MeetGeekWSGIMiddleware(app.wsgi_app, paths="/webhooks/meetgeek")
    return app
