import asyncio
import base64
import inspect
import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import azure.functions
from mangum import Mangum
from steps import after, check, deliver, sign

BODY = '{"message": "File analyzed successfully", "meeting_id": "meeting-1"}'
GENUINE = BODY.encode()
SIGNATURE = sign(GENUINE)


def event(body: str, signature: str, *, is_base64: bool = False, stage: str = "") -> dict:
    """How Lambda calls a function for an HTTP API or a function URL (payload format 2.0)."""
    return {
        "version": "2.0",
        "rawPath": f"{stage}/webhooks/meetgeek",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "x-mg-signature": signature},
        "requestContext": {
            "http": {
                "method": "POST",
                "path": f"{stage}/webhooks/meetgeek",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.7",
            },
            "stage": stage.lstrip("/") or "$default",
        },
        "body": body,
        "isBase64Encoded": is_base64,
    }


def call(handler, stage="") -> None:
    with redirect_stdout(StringIO()) as printed:
        for sent in (
            event(BODY, SIGNATURE, stage=stage),
            event(base64.b64encode(BODY.encode()).decode(), SIGNATURE, is_base64=True, stage=stage),
        ):
            response = handler(sent, None)
            assert (response["statusCode"], response["body"]) == (200, ""), response
    assert printed.getvalue() == "analyzed: meeting-1\n" * 2
    assert handler(event(BODY + " ", SIGNATURE, stage=stage), None)["statusCode"] == 401
    assert handler(event(BODY, "", stage=stage), None)["statusCode"] == 401


@after(file="function.py")
def mangum_hands_the_body_over(page):
    asyncio.set_event_loop(asyncio.new_event_loop())  # the one that Lambda's main thread has
    from function import guarded, handler

    call(handler)
    assert handler(event(BODY, SIGNATURE, stage="/prod"), None)["statusCode"] == 404
    call(Mangum(guarded, lifespan="off", api_gateway_base_path="/prod"), stage="/prod")
    asyncio.get_event_loop().close()
    check(guarded)


@after(file="wsgi_function.py")
def apig_wsgi_hands_the_body_over(page):
    from wsgi_function import app, handler

    call(handler)
    assert handler(event(BODY, SIGNATURE, stage="/prod"), None)["statusCode"] == 404
    staged = Path("wsgi_function.py").read_text(encoding="utf-8").replace('"/webhooks', '"/prod/webhooks')
    Path("staged_wsgi_function.py").write_text(staged, encoding="utf-8")
    import staged_wsgi_function

    call(staged_wsgi_function.handler, stage="/prod")
    check(app, failures=False)


HEADERS = {"content-type": "application/json", "x-mg-signature": SIGNATURE}
# The parts that matter of what Lambda hands over, in the letter case and the shape of each source.
LAMBDA_EVENTS = {
    "REST API (1.0)": {
        "version": "1.0",
        "path": "/webhooks/meetgeek",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json", "X-MG-Signature": SIGNATURE},
        "multiValueHeaders": {"Content-Type": ["application/json"], "X-MG-Signature": [SIGNATURE]},
    },
    "HTTP API (2.0)": {"version": "2.0", "rawPath": "/webhooks/meetgeek", "headers": HEADERS},
    "function URL": {"version": "2.0", "rawPath": "/", "headers": HEADERS, "requestContext": {"stage": "$default"}},
    "load balancer": {"requestContext": {"elb": {}}, "httpMethod": "POST", "headers": HEADERS},
    "load balancer, multi-value": {
        "requestContext": {"elb": {}},
        "httpMethod": "POST",
        "multiValueHeaders": {name: [value] for name, value in HEADERS.items()},
    },
}


@after(file="plain_function.py")
def a_plain_function_of_lambda_takes_every_kind_of_event(page):
    from plain_function import handler

    for source, parts in LAMBDA_EVENTS.items():
        for body, is_base64 in ((BODY, False), (base64.b64encode(BODY.encode()).decode(), True)):
            sent = {**parts, "body": body, "isBase64Encoded": is_base64}
            with redirect_stdout(StringIO()) as printed:
                assert handler(sent, None) == {"statusCode": 200, "body": ""}, source
                assert printed.getvalue() == "analyzed: meeting-1\n"
                forged = [{**sent, "body": BODY.replace("1", "2"), "isBase64Encoded": False}, {**sent, "body": None}]
                forged.append({name: value for name, value in sent.items() if "eaders" not in name})
                assert [handler(event, None)["statusCode"] for event in forged] == [401, 401, 401], source
                assert printed.getvalue() == "analyzed: meeting-1\n"
    twice = LAMBDA_EVENTS["REST API (1.0)"] | {"multiValueHeaders": {"X-MG-Signature": [SIGNATURE, SIGNATURE]}}
    assert handler({**twice, "body": BODY}, None)["statusCode"] == 401


@after(file="main.py")
def the_functions_framework_hands_the_body_over(page):
    import main  # noqa: F401 - so that its file counts as run
    from functions_framework import create_app

    app = create_app("receive_webhook", "main.py")
    check(app, failures=False)
    assert deliver(app, method="GET", signature="").status_code == 405


def azure_request(body=GENUINE, signature=SIGNATURE, *, prefix):
    return azure.functions.HttpRequest(
        method="POST",
        url=f"https://receiver.azurewebsites.net/{prefix}webhooks/meetgeek",
        headers={"Content-Type": "application/json", "X-MG-Signature": signature},
        body=body,
    )


def check_azure(function, *context, prefix=""):
    """Call a function as Azure's worker does."""

    def call(*parts):
        response = function(azure_request(*parts, prefix=prefix), *context)
        return asyncio.run(response) if inspect.isawaitable(response) else response

    with redirect_stdout(StringIO()) as printed:
        response = call()
        assert (response.status_code, response.get_body()) == (200, b"")
        assert printed.getvalue() == "analyzed: meeting-1\n"
        for forged in ((b"{}",), (GENUINE, ""), (GENUINE, SIGNATURE.upper())):
            assert call(*forged).status_code == 401
        assert printed.getvalue() == "analyzed: meeting-1\n"


def http_trigger(app):
    [function] = app.get_functions()
    [trigger] = [binding for binding in function.get_bindings() if binding.type == "httpTrigger"]
    assert str(trigger.auth_level) == "ANONYMOUS"
    return function.get_user_function(), trigger.route


def check_route(route):
    """Check that the host can use the route with the page's prefix, and that it needs it."""
    prefix = json.loads(Path("host.json").read_text(encoding="utf-8"))["extensions"]["http"]["routePrefix"]
    assert "//" not in (f"{prefix}/{route}" if prefix else route)
    assert "//" in f"api/{route}"


@after(file="function_app.py")
def azure_calls_a_function(page):
    import function_app

    function, route = http_trigger(function_app.app)
    assert route == "webhooks/meetgeek"
    check_azure(function, prefix="api/")


@after(file="host.json")
def azure_calls_an_asgi_application(page):
    import asgi_function_app

    function, route = http_trigger(asgi_function_app.app)
    assert function
    check_route(route)
    check_azure(asgi_function_app.app.middleware.handle_async)


@after(file="wsgi_function_app.py")
def azure_calls_a_wsgi_application(page):
    import wsgi_function_app

    function, route = http_trigger(wsgi_function_app.app)
    check_route(route)
    check_azure(function, None)
