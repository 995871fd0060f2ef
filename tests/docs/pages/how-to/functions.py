import asyncio
import base64
from contextlib import redirect_stdout
from io import StringIO

from steps import after, check, sign

BODY = '{"message": "File analyzed successfully", "meeting_id": "meeting-1"}'
SIGNATURE = sign(BODY.encode())


def event(body: str, signature: str, *, is_base64: bool = False) -> dict:
    """How Lambda calls a function for an HTTP API or a function URL (payload format 2.0)."""
    return {
        "version": "2.0",
        "rawPath": "/webhooks/meetgeek",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "x-mg-signature": signature},
        "requestContext": {
            "http": {"method": "POST", "path": "/webhooks/meetgeek", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7"},
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": is_base64,
    }


def call(handler) -> None:
    with redirect_stdout(StringIO()) as printed:
        for sent in (
            event(BODY, SIGNATURE),
            event(base64.b64encode(BODY.encode()).decode(), SIGNATURE, is_base64=True),
        ):
            response = handler(sent, None)
            assert (response["statusCode"], response["body"]) == (200, ""), response
    assert printed.getvalue() == "analyzed: meeting-1\n" * 2
    assert handler(event(BODY + " ", SIGNATURE), None)["statusCode"] == 401
    assert handler(event(BODY, ""), None)["statusCode"] == 401


@after(file="function.py")
def mangum_hands_the_body_over(page):
    asyncio.set_event_loop(asyncio.new_event_loop())  # the one that Lambda's main thread has
    from function import guarded, handler

    call(handler)
    asyncio.get_event_loop().close()
    check(guarded)


@after(file="wsgi_function.py")
def apig_wsgi_hands_the_body_over(page):
    from wsgi_function import app, handler

    call(handler)
    check(app, failures=False)
