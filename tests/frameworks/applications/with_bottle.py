"""Bottle, whose route ignores letter case here, with the webhook among its own routes or in a mounted application."""

from bottle import Bottle, request

from mg_middleware import MeetGeekWSGIMiddleware


def build_wsgi(record, pieces, other_routes, variant=""):
    app = Bottle()
    prefix = "/webhooks" if variant == "with a mount" else ""
    hooks = Bottle() if prefix else app

    def receive_webhook():
        record(request, request.body.read())
        return "received"

    below = "/webhooks/meetgeek".removeprefix(prefix).removeprefix("/")
    hooks.route(f"/<:re:(?i:{below})>", method=["GET", "POST"], callback=receive_webhook)
    hooks.post(f"/{below}/stream", callback=pieces)
    for route in other_routes:
        if prefix and route.startswith(f"{prefix}/"):
            hooks.route(route.removeprefix(prefix), callback=lambda: "elsewhere")
        else:
            app.route(route, callback=lambda: "elsewhere")
    if prefix:
        app.mount(prefix, hooks)
    return app


def guard_wsgi(app):
    return MeetGeekWSGIMiddleware(app, paths="/webhooks/meetgeek")
