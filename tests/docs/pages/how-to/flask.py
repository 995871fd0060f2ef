import logging
from contextlib import redirect_stdout
from io import StringIO

from steps import after, check, deliver, sign

MEETING = b'{"message": "File analyzed successfully", "meeting_id": "meeting-1"}'


@after(file="app.py")
def genuine_deliveries_are_processed_and_forgeries_refused(page):
    check("app:app")
    from app import app

    assert app.test_client().post("/webhooks/meetgeek", data="{}").status_code == 401


@after(file="factory.py")
def the_factory_takes_a_secret(page):
    from factory import create_app

    secret = "a test secret"
    with redirect_stdout(StringIO()) as printed:
        assert deliver(create_app(secret), body=MEETING, signature=sign(MEETING, secret)).status_code == 200
        assert deliver(create_app(), body=MEETING).status_code == 200
    assert printed.getvalue() == "analyzed: meeting-1\n" * 2
    assert deliver(create_app(secret), body=MEETING).status_code == 401


@after(file="behind_a_proxy.py")
def the_guard_logs_the_address_that_the_proxy_gives(page):
    check("behind_a_proxy:app")
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.getLogger("mg_middleware").addHandler(handler)
    deliver("behind_a_proxy:app", signature="", headers={"x-forwarded-for": "192.0.2.7"})
    assert messages == ["refused POST /webhooks/meetgeek from 192.0.2.7: missing_signature"]


@after(file="limited.py")
def a_burst_is_not_limited(page):
    with redirect_stdout(StringIO()):
        assert {deliver("limited:app", body=MEETING).status_code for _ in range(5)} == {200}


@after(file="secured.py")
def a_delivery_over_tls_is_not_redirected(page):
    with redirect_stdout(StringIO()):
        answer = deliver("secured:app", body=MEETING, headers={"x-forwarded-proto": "https"})
        assert (answer.status_code, answer.content) == (200, b"")
        assert deliver("secured:app", body=MEETING).status_code == 302
