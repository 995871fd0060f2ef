"""Running a WSGI application behind the ASGI guard."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from a2wsgi import WSGIMiddleware

from mg_middleware.delivery import DELIVERY_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from mg_middleware.asgi import ASGIApplication
    from mg_middleware.delivery import Delivery


def as_asgi(application: WSGIApplication) -> ASGIApplication:
    """Turn a WSGI application into one for behind `MeetGeekASGIMiddleware`, which finds its delivery as under WSGI.

    Not for in front of the guard, which judges the request before a thread is taken for it.

    Args:
        application: the application; it is called in threads.
    """

    def with_delivery(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # a2wsgi reads to the end of the body and not of a length, whatever the framing was.
        environ["wsgi.input_terminated"] = True
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        delivery: Delivery | None = environ["asgi.scope"].get(DELIVERY_KEY)
        if delivery is not None:
            environ[DELIVERY_KEY] = delivery
            environ["wsgi.input"] = BytesIO(delivery.body)
            environ["CONTENT_LENGTH"] = str(len(delivery.body))
        return application(environ, start_response)

    return cast("ASGIApplication", WSGIMiddleware(cast("Any", with_delivery)))
