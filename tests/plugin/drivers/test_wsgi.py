"""One request to a WSGI app, as a server sends it."""

import pytest
from plugin_drivers import REQUEST, wsgi_calls

from pytest_meetgeek import Receiver


class Closing(list):
    closed = False

    def close(self):
        self.closed = True


def test_wsgi_closes_the_iterable_and_takes_write():
    body = Closing([b"b"])

    def app(environ, start_response):
        start_response("200 OK", [("X-A", "b")])(b"a")
        return body

    response = Receiver(app).send(REQUEST)
    assert (response.body, response.headers, body.closed) == (b"ab", (("X-A", "b"),), True)


@pytest.mark.parametrize(
    ("calls", "status", "error"),
    [
        ((), 500, "the app returned without calling start_response"),
        ((False, False), 500, "start_response was called twice"),
        (("write", True), 500, "mine"),
        ((False, True), 501, None),
    ],
)
def test_wsgi_start_response(calls, status, error):
    response = Receiver(wsgi_calls(*calls)).send(REQUEST)
    assert response.status == status
    assert (str(response.error) if response.error else None) == error
