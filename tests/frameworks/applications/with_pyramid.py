"""Pyramid, whose webhook is found by a route, by traversal, or by traversal of what a route leaves."""

from a2wsgi import WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from pyramid.config import Configurator
from pyramid.response import Response

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware


class Webhooks(dict):
    """What traversal finds at /webhooks."""


def build_wsgi(record, pieces, other_routes, variant="by route and traversal"):
    def receive_webhook(request):
        record(request, request.body)
        return Response("received")

    def stream(request):
        return Response(app_iter=[b"first ", b"second ", b"third"])

    def answer_elsewhere(request):
        return Response("elsewhere")

    with Configurator(root_factory=lambda request: {"webhooks": Webhooks()}) as config:
        config.add_route("stream", "/webhooks/meetgeek/stream")
        config.add_view(stream, route_name="stream")
        for route in other_routes:
            config.add_route(route, route)
            config.add_view(answer_elsewhere, route_name=route)
        if variant == "by route and traversal":
            config.add_route("webhook", "/webhooks/meetgeek")
            config.add_view(receive_webhook, route_name="webhook")
            config.add_view(receive_webhook, context=Webhooks, name="meetgeek")
        elif variant == "hybrid":
            config.add_route("hybrid", "/webhooks*traverse", factory=lambda request: {})
            config.add_view(receive_webhook, route_name="hybrid", name="meetgeek")
        elif variant == "traverse option":
            # What is traversed comes from a pattern of its own.
            config.add_route("hybrid", "/webhooks/{rest:.*}", factory=lambda request: {}, traverse="/{rest}")
            config.add_view(receive_webhook, route_name="hybrid", name="meetgeek")
        return config.make_wsgi_app()


def guard_wsgi(app):
    return MeetGeekWSGIMiddleware(app, paths="/webhooks/meetgeek")


def build_asgi(record, pieces, other_routes, adapter):
    app = build_wsgi(record, pieces, other_routes)
    return WSGIMiddleware(app) if adapter == "under a2wsgi" else WsgiToAsgi(app)


def guard_asgi(app):
    return MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")
