"""A user's test file, read by the type checkers; it need not run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, assert_type

import pytest
from hypothesis.strategies import SearchStrategy

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
from pytest_meetgeek.strategies import deliveries, forgeries, meeting_ids, raw_bodies


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


def test_what_meetgeek_makes(meetgeek: MeetGeek, meetgeek_receiver: Receiver) -> None:
    assert_type(meetgeek.seed, str)
    assert_type(meetgeek.derive("another"), MeetGeek)
    assert_type(meetgeek.new_meeting_id(), str)
    assert_type(meetgeek.json({"message": "x"}, indent=2), WebhookRequest)
    assert_type(meetgeek.recorded(Path("deliveries") / "one.json"), WebhookRequest)
    assert_type(meetgeek.missigned(bytes.strip), WebhookRequest)
    assert_type(meetgeek.forged("one-bit", meetgeek.analyzed()), WebhookRequest)
    assert_type(meetgeek.signature_of(b"body"), str)
    assert_type(meetgeek.is_public, bool)
    assert_type(meetgeek.confidential, tuple[bytes, ...])


def test_the_forms_of_a_request(request_: WebhookRequest) -> None:
    assert_type(request_.body, bytes)
    assert_type(request_.method, str)
    assert_type(request_.label, str)
    assert_type(request_.expected, int)
    assert_type(request_.meeting_id, str | None)
    assert_type(request_.chunks, tuple[int, ...])
    assert_type(request_.signatures, tuple[str, ...])
    for arguments in (request_.requests, request_.werkzeug, request_.django, request_.asgi_scope("/hook")):
        assert_type(arguments, dict[str, Any])
    assert_type(request_.wsgi_environ("/hook"), dict[str, Any])
    assert_type(request_.pieces(), list[bytes])
    assert_type(request_.curl("http://127.0.0.1:8000/hook", signer="sign -"), str)
    assert_type(request_.describe("/hook"), str)


async def test_a_receiver(meetgeek_request: WebhookRequest) -> None:
    receiver = Receiver(wsgi_app, host="shop.example", timeout=2.5)
    assert_type(receiver.url, str)
    async with receiver.sending() as send:
        response = await send(meetgeek_request, None)
    assert_type(response, Response)
    assert_type(response.seconds, float)
    assert_type(response.describe((b"secret",)), str)

    async def work() -> int:
        return 5

    assert_type(receiver.run(work), int)
    receiver.pause(0.1)
    receiver.close()


def test_a_spy(meetgeek_spy: Spy) -> None:
    assert_type(meetgeek_spy.watching, bool)
    assert_type(meetgeek_spy.targets, tuple[str, ...])
    meetgeek_spy.fail_next, meetgeek_spy.delay = 1, 0.5
    meetgeek_spy.undo()


def test_a_record(record: DeliveryRecord) -> None:
    assert_type(record.request, WebhookRequest)


def test_a_forgery(request_: WebhookRequest) -> None:
    forgery = FORGERIES["huge"]
    assert_type(forgery.crash, str)
    assert_type(forgery.any_client_error, bool)
    assert_type(forgery.refused_by(431), bool)
    assert_type(forgery.make(request_, b"secret"), WebhookRequest)


def test_a_check() -> None:
    check = CHECKS["ack.status"]
    for text in (check.id, check.title, check.source, check.why, check.group):
        assert_type(text, str)
    assert_type(check.level, Literal["MUST", "SHOULD", "MAY"])
    assert_type(check.presupposes, tuple[Check, ...])
    assert callable(check.run)


def test_a_result(result: CheckResult) -> None:
    assert_type(result.outcome, Literal["passed", "failed", "warned", "skipped", "note"])
    assert_type(result.blocks, str | None)
    assert_type(result.unproven, bool)
    assert_type(result.seconds, float)
    for text in (result.sent, result.required, result.received, result.note, result.text, result.blocked_by):
        assert_type(text, str)
    assert_type(result.link, str)


def test_strategies() -> None:
    assert_type(meeting_ids(), SearchStrategy[str])
    assert_type(deliveries("secret"), SearchStrategy[WebhookRequest])
    assert_type(raw_bodies(), SearchStrategy[bytes])
    assert_type(forgeries(), SearchStrategy[str])
