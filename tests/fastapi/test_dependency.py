"""The verified delivery as a dependency of FastAPI."""

from typing import Annotated

import pytest
from cases import FAILED, SECRET, SUCCEEDED, signature_of
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient

from mg_middleware import AnalysisFailed, AnalysisSucceeded, Delivery, MeetGeekASGIMiddleware
from mg_middleware.fastapi import VerifiedDelivery, responses

PATH = "/webhooks/meetgeek"


def receiver():
    app = FastAPI()
    app.seen = []

    @app.post(PATH, responses=responses)
    async def receive(delivery: VerifiedDelivery) -> None:
        app.seen.append(delivery)

    @app.post("/unguarded")
    def receive_unguarded(delivery: VerifiedDelivery) -> None:
        app.seen.append(delivery)

    @app.websocket("/socket")
    async def connect(socket: WebSocket, delivery: VerifiedDelivery) -> None:
        app.seen.append(delivery)

    app.add_middleware(MeetGeekASGIMiddleware, secret=SECRET, paths=PATH, acknowledge=True)
    return app


def post(app, path, body=SUCCEEDED, signature=None):
    client = TestClient(app, raise_server_exceptions=False)
    return client.post(path, content=body, headers={"X-MG-Signature": signature or signature_of(body).decode()})


@pytest.mark.parametrize(
    ("body", "event"),
    [(SUCCEEDED, AnalysisSucceeded("5e0a3b1c-7d2f-4c6e-9a8b-0f1e2d3c4b5a")), (FAILED, AnalysisFailed())],
)
def test_the_handler_gets_what_the_guard_verified(body, event):
    app = receiver()
    response = post(app, PATH, body)
    assert (response.status_code, response.content) == (200, b"")
    [delivery] = app.seen
    assert isinstance(delivery, Delivery)
    assert (delivery.body, delivery.event) == (body, event)


def test_a_forged_delivery_gets_401():
    app = receiver()
    assert post(app, PATH, signature="0" * 64).status_code == 401
    assert app.seen == []


def test_where_nothing_was_verified_it_is_an_error_of_the_server():
    app = receiver()
    response = post(app, "/unguarded")
    assert response.status_code == 500
    assert app.seen == []
    with pytest.raises(LookupError, match="the request for '/unguarded' was not verified"):
        TestClient(app).post(
            "/unguarded", content=SUCCEEDED, headers={"X-MG-Signature": signature_of(SUCCEEDED).decode()}
        )


def test_a_websocket_has_no_delivery():
    with (
        pytest.raises(LookupError, match="the request for '/socket' was not verified"),
        TestClient(receiver()).websocket_connect("/socket"),
    ):
        pass


def test_the_document_shows_the_header_as_a_security_scheme():
    document = receiver().openapi()
    operation = document["paths"][PATH]["post"]
    [(scheme, _)] = operation["security"][0].items()
    shown = document["components"]["securitySchemes"][scheme]
    assert (shown["type"], shown["in"], shown["name"]) == ("apiKey", "header", "X-MG-Signature")
    assert "HMAC-SHA256" in shown["description"]
    assert "parameters" not in operation
    assert "requestBody" not in operation
    assert "422" not in operation["responses"]


def test_the_document_shows_the_401():
    operation = receiver().openapi()["paths"][PATH]["post"]
    assert operation["responses"]["401"]["content"] == {"text/plain": {"schema": {"type": "string"}}}
    assert "WWW-Authenticate" in operation["responses"]["401"]["headers"]


def test_it_works_below_another_dependency_and_in_a_router():
    def meeting(delivery: VerifiedDelivery) -> str:
        return delivery.event.meeting_id

    router = APIRouter(prefix="/webhooks")

    @router.post("/meetgeek")
    def receive(meeting_id: Annotated[str, Depends(meeting)]) -> str:
        return meeting_id

    app = FastAPI()
    app.include_router(router)
    app.add_middleware(MeetGeekASGIMiddleware, secret=SECRET, paths=PATH)
    assert post(app, PATH).json() == "5e0a3b1c-7d2f-4c6e-9a8b-0f1e2d3c4b5a"


def test_a_test_can_override_it():
    app = receiver()
    marker = object()
    [scheme] = VerifiedDelivery.__metadata__
    app.dependency_overrides[scheme.dependency] = lambda: marker
    assert post(app, "/unguarded").status_code == 200
    assert app.seen == [marker]
