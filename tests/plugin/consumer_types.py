"""A user's test file, read by the type checkers; it need not run."""

from collections.abc import Callable
from typing import Any, assert_type

import pytest

from pytest_meetgeek import (
    CHECKS,
    FORGERIES,
    Check,
    CheckResult,
    DeliveryRecord,
    Forgery,
    MeetGeek,
    Receiver,
    Response,
    Spy,
    WebhookRequest,
    run_checks,
)


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [])
    return []


def test_one_delivery(meetgeek: MeetGeek, meetgeek_receiver: Receiver, meetgeek_request: WebhookRequest) -> None:
    record = meetgeek.deliver(
        meetgeek_receiver, meetgeek_request, path="/hook", between=lambda response: response.status
    )
    assert_type(record, DeliveryRecord)
    assert_type(record.attempts, list[Response])
    assert_type(record.acknowledged, bool)
    assert_type(record.explain(), str)
    assert_type(meetgeek.deliver(wsgi_app, meetgeek_request).attempts[0].error, BaseException | None)
    assert_type(meetgeek.fan_out("http://127.0.0.1:8000", meetgeek.team(3), concurrent=True), list[DeliveryRecord])
    meetgeek.assert_acknowledged(record, meetgeek_request)


def test_a_request(meetgeek_request: WebhookRequest) -> None:
    assert_type(meetgeek_request.signature, str | None)
    assert_type(meetgeek_request.headers, tuple[tuple[str, str], ...])
    assert_type(meetgeek_request.with_signature("a", "b").with_body(b"").with_header("a", None), WebhookRequest)
    assert_type(meetgeek_request.httpx, dict[str, Any])
    assert_type(meetgeek_request.asgi_messages(), list[dict[str, Any]])


@pytest.mark.meetgeek_forge("missing", exclude=("one-bit",))
def test_forgeries(meetgeek: MeetGeek, meetgeek_forged: WebhookRequest, meetgeek_spy: Spy) -> None:
    with Receiver(
        wsgi_app, path="/hook", interface="wsgi", lifespan=False, allow_hosts=("meetgeek.example",)
    ) as receiver:
        assert_type(receiver, Receiver)
        assert_type(receiver.send(meetgeek_forged), Response)
        meetgeek.assert_rejected(receiver.send(meetgeek_forged), meetgeek_forged, meetgeek_spy)
    assert_type(meetgeek_spy.watch("shop.tasks:process"), Spy)
    assert_type(meetgeek_spy.calls, list[tuple[tuple[Any, ...], dict[str, Any]]])


async def test_async(meetgeek: MeetGeek, meetgeek_receiver: Receiver) -> None:
    async with meetgeek_receiver as receiver:
        assert_type(await receiver.asend(meetgeek.failed()), Response)
        assert_type(await meetgeek.adeliver(receiver, meetgeek.analyzed("id", more=1)), DeliveryRecord)
        assert_type(await meetgeek.afan_out(receiver, [meetgeek.raw(b"x", secret=b"y")]), list[DeliveryRecord])


def test_receiver(meetgeek_check: Callable[[], None]) -> None:
    meetgeek_check()


def test_the_tables() -> None:
    assert_type(FORGERIES["missing"], Forgery)
    assert_type(FORGERIES["missing"].why, str)
    assert_type(CHECKS["ack.status"], Check)
    assert_type(CHECKS["ack.status"].since, str)


def test_without_pytest() -> None:
    results = run_checks(wsgi_app, "secret", path="/hook", handler=Spy(), only=["ack.status"], at_once=False)
    assert_type(results, list[CheckResult])
    assert_type(results[0].reason, str)
    run_checks("http://127.0.0.1:8000/hook", b"secret", count="wc -l done", break_="touch broken", heal="rm broken")
