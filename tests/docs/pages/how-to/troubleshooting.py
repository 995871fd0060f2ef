import logging
from io import StringIO
from pathlib import Path

from steps import after, before, deliver, sign

from mg_middleware import MeetGeekWSGIMiddleware


def quiet(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []


def from_afar(environ, start_response):
    return MeetGeekWSGIMiddleware(quiet)(environ | {"REMOTE_ADDR": "192.0.2.7"}, start_response)


def logged(log_format, **delivery) -> str:
    """What the guard logs about one delivery."""
    log = StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter(log_format))
    logger = logging.getLogger("mg_middleware")
    logger.addHandler(handler)
    deliver(from_afar, **delivery)
    logger.removeHandler(handler)
    return log.getvalue()


@before(file="why.py")
def write_a_delivery(page):
    body = b'{"message": "File analyzed failed"}'
    Path("body.json").write_bytes(body.replace(b": ", b":"))
    Path("signature.txt").write_text(sign(body, "my secret"))


@after("refused POST")
def a_refusal_is_logged(page):
    assert logged("%(message)s", signature="0" * 64).startswith(page.shown.strip())


@after("DEBUG:mg_middleware:verified")
def an_accepted_request_is_logged(page):
    import verbose

    assert verbose
    assert logged(logging.BASIC_FORMAT).startswith(page.shown.strip())


@after("DEBUG:mg_middleware:verified")
def a_store_that_fails_is_logged(page):
    class FailingStore:
        def claim(self, key):
            raise TimeoutError("no response")

        def complete(self, key, token):
            raise AssertionError("nothing was claimed")

        release = complete

    log = StringIO()
    logging.getLogger("mg_middleware").addHandler(logging.StreamHandler(log))
    meeting = b'{"message": "File analyzed successfully", "meeting_id": "meeting-1"}'
    guarded = MeetGeekWSGIMiddleware(quiet, idempotency_store=FailingStore())
    assert deliver(guarded, body=meeting).status_code == 200
    assert "the idempotency store FailingStore failed to claim" in log.getvalue()
