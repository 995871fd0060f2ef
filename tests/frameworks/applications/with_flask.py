"""Flask, which does not mind a trailing slash here, by itself or mounted by Werkzeug's dispatcher."""

from flask import Flask, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from mg_middleware import MeetGeekWSGIMiddleware


def build_wsgi(record, pieces, other_routes, variant=""):
    app = Flask(__name__)
    prefix = "/webhooks" if variant == "mounted" else ""
    hooks = Flask(__name__) if prefix else app
    below = "/webhooks/meetgeek".removeprefix(prefix)

    @hooks.route(below, methods=["GET", "POST"], strict_slashes=False)
    def receive_webhook():
        record(request, request.get_data())
        return "received"

    @hooks.post(f"{below}/stream")
    def stream():
        return pieces()

    for route in other_routes:
        if prefix and route.startswith(prefix):
            rule = route.removeprefix(prefix) or "/"
            hooks.add_url_rule(rule, view_func=lambda: "elsewhere", endpoint=route)
        else:
            app.add_url_rule(route, view_func=lambda: "elsewhere", endpoint=route)
    if prefix:
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {prefix: hooks})
    return app


def guard_wsgi(app):
    app.wsgi_app = MeetGeekWSGIMiddleware(app.wsgi_app, paths="/webhooks/meetgeek")
    return app
