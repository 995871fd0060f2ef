"""Sends requests to guards on both protocols; what a guard raises is heard, not raised."""

import asyncio
from typing import NamedTuple

from exchange import Connection, StartResponse, Stream, asgi_answer, body_from, http_scope, request_events, wsgi_environ

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware


class Request(NamedTuple):
    """A request; what is not given is left out."""

    signatures: tuple = ()
    pieces: tuple = ()
    declared: bytes | None = None
    leaves: bool = False
    method: str = "POST"


class ASGI:
    """ASGI, on an event loop in debug mode, which says more."""

    name = "asgi"
    middleware_class = MeetGeekASGIMiddleware

    @staticmethod
    def application(work):
        """An application that does some work with the delivery, reads the body and answers."""

        async def application(scope, receive, send):
            await body_from(receive)
            work(scope["meetgeek.delivery"])
            await asgi_answer(send)

        return application

    def ask(self, guard, request, heard):
        fields = [(b"x-mg-signature", value) for value in request.signatures]
        if request.declared is not None:
            fields.append((b"content-length", request.declared))
        events = request_events(*request.pieces)
        if request.leaves:
            events[-1:] = [{"type": "http.disconnect"}]
        return self.send(guard, http_scope(fields, method=request.method), events, heard)

    def send(self, guard, scope, events, heard):
        connection = Connection(*events)
        try:
            asyncio.run(guard(scope, connection.receive, connection.send), debug=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is searched
            heard.raised(error)
            return error
        heard.texts.append(repr(connection.sent))
        return None


class WSGI:
    """WSGI."""

    name = "wsgi"
    middleware_class = MeetGeekWSGIMiddleware

    @staticmethod
    def application(work):
        """An application that does some work with the delivery, reads the body and answers."""

        def application(environ, start_response):
            environ["wsgi.input"].read()
            work(environ["meetgeek.delivery"])
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"processed"]

        return application

    def ask(self, guard, request, heard):
        pieces = [*request.pieces, *([OSError("the client left")] if request.leaves else [])]
        fields = [(b"x-mg-signature", value) for value in request.signatures]
        environ = wsgi_environ(fields, Stream(*pieces), REQUEST_METHOD=request.method)
        if request.declared is None:
            environ["wsgi.input_terminated"] = True
        else:
            environ["CONTENT_LENGTH"] = request.declared.decode("latin-1")
        return self.send(guard, environ, heard)

    def send(self, guard, environ, heard):
        start_response = StartResponse()
        try:
            answer = start_response.answer(guard(environ, start_response))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is searched
            heard.raised(error)
            return error
        heard.texts += [repr(answer), environ["wsgi.errors"].getvalue()]
        return None


PROTOCOLS = [ASGI(), WSGI()]
