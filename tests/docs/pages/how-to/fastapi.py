import sys
from contextlib import redirect_stdout
from io import StringIO

from steps import SECRET, after, before, check, deliver


@after(file="app.py")
def genuine_deliveries_are_processed_and_forgeries_refused(page):
    check("app:app")
    from app import app

    operation = app.openapi()["paths"]["/webhooks/meetgeek"]["post"]
    assert operation["security"] == [{"MeetGeekSignature": []}]
    assert "401" in operation["responses"]


@after(file="settings_app.py")
def the_secret_comes_from_the_settings(page):
    check("settings_app:app", failures=False)
    from settings_app import settings

    assert SECRET not in repr(settings)


@after(file="routed.py")
def a_router_is_guarded_under_its_full_path(page):
    meeting = b'{"message": "File analyzed successfully", "meeting_id": "meeting-1"}'
    with redirect_stdout(StringIO()) as printed:
        assert deliver("routed:app", path="/api/webhooks/meetgeek", body=meeting, signature="").status_code == 401
        answer = deliver("routed:app", path="/api/webhooks/meetgeek", body=meeting)
    assert (answer.status_code, answer.content) == (200, b"")
    assert printed.getvalue() == "analyzed: meeting-1\n"


@before(file="with_cors.py")
def an_application_that_was_started_takes_no_more_middleware(page):
    del sys.modules["app"]


@after(file="with_cors.py")
def a_preflight_request_is_not_refused(page):
    check("with_cors:app")
    preflight = {"origin": "https://example.com", "access-control-request-method": "POST"}
    assert deliver("with_cors:app", method="OPTIONS", signature="", headers=preflight).status_code == 200
    from fastapi.testclient import TestClient
    from with_cors import app

    assert TestClient(app).post("/webhooks/meetgeek", json={}).status_code == 401
