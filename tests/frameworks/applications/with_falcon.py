"""Falcon on ASGI and on WSGI, which does not mind a trailing slash here."""

import falcon
import falcon.asgi

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware


def build_asgi(record, pieces, other_routes):
    class Webhook:
        async def on_post(self, request, response):
            record(request, await request.stream.read())
            response.text = "received"

        on_get = on_post

    class Stream:
        async def on_post(self, request, response):
            response.stream = pieces()

    class Elsewhere:
        async def on_get(self, request, response):
            response.text = "elsewhere"

    return with_routes(falcon.asgi.App(), Webhook(), Stream(), Elsewhere(), other_routes)


def guard_asgi(app):
    return MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")


def build_wsgi(record, pieces, other_routes):
    class Webhook:
        def on_post(self, request, response):
            record(request, request.bounded_stream.read())
            response.text = "received"

        on_get = on_post

    class Stream:
        def on_post(self, request, response):
            response.stream = pieces()

    class Elsewhere:
        def on_get(self, request, response):
            response.text = "elsewhere"

    return with_routes(falcon.App(), Webhook(), Stream(), Elsewhere(), other_routes)


def guard_wsgi(app):
    return MeetGeekWSGIMiddleware(app, paths="/webhooks/meetgeek")


def with_routes(app, webhook, stream, elsewhere, other_routes):
    app.req_options.strip_url_path_trailing_slash = True
    app.add_route("/webhooks/meetgeek", webhook)
    app.add_route("/webhooks/meetgeek/stream", stream)
    for route in other_routes:
        app.add_route(route, elsewhere)
    return app
