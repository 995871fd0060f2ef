"""A response: how it is read and how it is described."""

import pytest
from plugin_drivers import MEETGEEK, REQUEST

from pytest_meetgeek import Receiver, Response


def test_a_streamed_answer_is_read():
    class Streaming:
        status_code, streaming_content = 200, (b"a", b"b")

    with pytest.raises(AssertionError, match="2 bytes of body: 'ab'"):
        MEETGEEK.assert_acknowledged(Streaming())


def test_a_long_body_is_cut():
    assert Response(500, body=b"x" * 500, error=KeyError()).describe().splitlines() == [
        f"HTTP 500, 500 bytes of body: '{'x' * 120}'…",
        "    the app raised KeyError",
    ]


def test_a_redirect_shows_where_it_leads():
    response = Response(308, (("Content-Length", "0"), ("location", "/hook/?key=confidential")))
    assert response.describe((b"confidential",)).splitlines() == [
        "HTTP 308, no body",
        "    Location: /hook/?key=[secret]",
    ]
    assert "Location" not in Response(200, (("Location", "/"),)).describe()


def test_the_line_of_the_app_is_named():
    def app(environ, start_response):
        return {}["meeting_id"]

    text = Receiver(app).send(REQUEST).describe()
    line = app.__code__.co_firstlineno + 1
    assert text.splitlines()[1:] == [
        "    the app raised KeyError: 'meeting_id'",
        f"    at tests/plugin/test_response.py:{line}",
    ]


def test_a_foreign_answer_without_a_status_is_refused():
    with pytest.raises(TypeError, match="not the response of a known client: str"):
        MEETGEEK.assert_acknowledged("200")
