"""Pyramid, whose webhook is found by a route and by traversal."""

from pyramid.config import Configurator
from pyramid.response import Response

from mg_middleware import MeetGeekWSGIMiddleware


class Webhooks(dict):
    """What traversal finds at /webhooks."""


def build_wsgi(record, pieces, other_routes):
    def receive_webhook(request):
        record(request, request.body)
        return Response("received")

    def stream(request):
        return Response(app_iter=pieces())

    def answer_elsewhere(request):
        return Response("elsewhere")

    with Configurator(root_factory=lambda request: {"webhooks": Webhooks()}) as config:
        config.add_route("webhook", "/webhooks/meetgeek")
        config.add_view(receive_webhook, route_name="webhook")
        config.add_view(receive_webhook, context=Webhooks, name="meetgeek")
        config.add_route("stream", "/webhooks/meetgeek/stream")
        config.add_view(stream, route_name="stream")
        for route in other_routes:
            config.add_route(route, route)
            config.add_view(answer_elsewhere, route_name=route)
        return config.make_wsgi_app()


def guard_wsgi(app):
    return MeetGeekWSGIMiddleware(app, paths="/webhooks/meetgeek")
