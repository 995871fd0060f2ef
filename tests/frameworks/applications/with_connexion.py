"""Connexion, whose routes come from an OpenAPI document, on Starlette and on Flask."""

import connexion
import flask
from connexion.resolver import Resolver
from starlette.responses import StreamingResponse

from mg_middleware import MeetGeekASGIMiddleware

PLAIN = {"Content-Type": "text/plain"}


def build_asgi(record, pieces, other_routes, variant):
    if variant == "on Starlette":
        application_class = connexion.AsyncApp

        async def receive_webhook():
            record(connexion.request, await connexion.request.body())
            return "received", 200, PLAIN

        async def stream():
            return StreamingResponse(pieces())

        async def answer_elsewhere():
            return "elsewhere", 200, PLAIN

    else:
        application_class = connexion.FlaskApp

        def receive_webhook():
            record(flask.request, flask.request.get_data())
            return "received", 200, PLAIN

        def stream():
            return flask.Response([b"first ", b"second ", b"third"])

        def answer_elsewhere():
            return "elsewhere", 200, PLAIN

    handlers = {"webhook": receive_webhook, "look at webhook": receive_webhook, "stream": stream} | dict.fromkeys(
        other_routes, answer_elsewhere
    )
    app = application_class(__name__, resolver=Resolver(handlers.__getitem__))
    paths = {"/webhooks/meetgeek": {"get": operation("look at webhook"), "post": operation("webhook")}}
    paths["/webhooks/meetgeek/stream"] = {"post": operation("stream")}
    paths |= {route: {"get": operation(route)} for route in other_routes}
    app.add_api({"openapi": "3.0.0", "info": {"title": "receiver", "version": "1"}, "paths": paths})
    return app


def guard_asgi(app):
    return MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")


def operation(name):
    return {"operationId": name, "responses": {"200": {"description": "done", "content": {"text/plain": {}}}}}
