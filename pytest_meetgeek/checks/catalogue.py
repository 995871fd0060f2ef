"""The conformance suite: every check of a receiver, by its stable id."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from pytest_meetgeek.checks.context import AFTERMATH, NO_HANDLER, Check, Examination, Violation
from pytest_meetgeek.drivers.event_loop import background
from pytest_meetgeek.forgeries import TAMPERINGS, Level, Tampering
from pytest_meetgeek.meetgeek import SUCCEEDED
from pytest_meetgeek.request import WebhookRequest
from pytest_meetgeek.response import ACKNOWLEDGED, Response, blot_out

MEETGEEK = "MeetGeek webhooks"

_LARGE = 512 * 1024
_NESTING = 100_000
_TEAM = 25
_FORGERIES_BEFORE_TRUE = 50
_AT_ONCE = 10
_IN_PIECES = (1, 0, 7, 0)
_UNAUTHORIZED = 401

# What is wrong where nothing at all is accepted.
_USUAL_CAUSES = {
    307: "MeetGeek is not known to follow redirects: give the path at its end",
    308: "MeetGeek is not known to follow redirects: give the path at its end",
    400: "does the app serve the host 'testserver' (Django: ALLOWED_HOSTS)?",
    401: "the genuine signature is refused: has the app the same secret as the fixture meetgeek_secret, and does it "
    "compare X-MG-Signature with the lower-case hexadecimal HMAC-SHA256 of the raw body?",
    403: "is the webhook exempt from CSRF protection and from login?",
    404: "is the webhook at this path? --meetgeek-path (ini: meetgeek_path)",
    405: "is the webhook at this path? --meetgeek-path (ini: meetgeek_path)",
    422: "does the app ask for a header or a field that MeetGeek does not send?",
}

_registered: dict[str, Check] = {}


def _check(
    check_id: str, level: Level, title: str, why: str, source: str = MEETGEEK
) -> Callable[[Callable[[Examination], None]], Callable[[Examination], None]]:
    def register(examine: Callable[[Examination], None]) -> Callable[[Examination], None]:
        _registered[check_id] = Check(check_id, level, title, source, why, examine)
        return examine

    return register


# --- ack: what MeetGeek takes for an acknowledgement ------------------------------------------------------------------


@_check(
    "ack.status",
    "MUST",
    "a signed 'File analyzed successfully' is answered 200",
    "201, 202, 204 and redirects are no acknowledgement: the event is sent again",
)
def _status(examination: Examination) -> None:
    request = examination.meetgeek.analyzed()
    response = examination.send(request)
    if response.status != ACKNOWLEDGED:
        raise Violation(request, "HTTP 200", response, _USUAL_CAUSES.get(response.status, ""))


@_check(
    "ack.empty-body",
    "MUST",
    "an acknowledgement has no body",
    "'ok', 'null' and '{}' are no acknowledgement: the event is sent again",
)
def _empty_body(examination: Examination) -> None:
    examination.require_working()
    for request in (examination.meetgeek.analyzed(), examination.meetgeek.failed()):
        response = examination.send(request)
        # Another status than 200 is the finding of ack.status or ack.failed.
        if response.status == ACKNOWLEDGED and response.body:
            raise Violation(request, "no body", response)


@_check(
    "ack.failed",
    "MUST",
    "a signed 'File analyzed failed', which has no meeting_id, is acknowledged",
    "event['meeting_id'] raises KeyError: a 500, retried",
)
def _failed(examination: Examination) -> None:
    examination.require_working()
    examination.require_accepted(examination.meetgeek.failed())


@_check(
    "ack.extra-fields",
    "MUST",
    "unknown fields do not matter",
    "a strict model answers 422 on the day MeetGeek adds a field",
)
def _extra_fields(examination: Examination) -> None:
    examination.require_working()
    examination.require_accepted(examination.meetgeek.analyzed(added_field={"nested": [1, None]}, version=2))


@_check(
    "ack.unknown-message",
    "SHOULD",
    "a message that is not documented is acknowledged",
    "a 400 to a new kind of event brings two useless retries of each",
)
def _unknown_message(examination: Examination) -> None:
    examination.require_working()
    examination.require_accepted(examination.meetgeek.json({"message": "Something new happened"}))


@_check(
    "ack.charset",
    "MUST",
    "'application/json; charset=utf-8' is JSON",
    "the content type is compared as a whole: a 415",
    "RFC 9110 8.3",
)
def _charset(examination: Examination) -> None:
    examination.require_working()
    request = examination.meetgeek.analyzed().with_header("Content-Type", "application/json; charset=utf-8")
    examination.require_accepted(request)


@_check(
    "ack.no-content-type",
    "SHOULD",
    "a request without a content type is acknowledged",
    "a framework that insists on one answers 422 (FastAPI's strict_content_type)",
    "RFC 9110 8.3",
)
def _no_content_type(examination: Examination) -> None:
    examination.require_working()
    examination.require_accepted(examination.meetgeek.analyzed().with_header("Content-Type", None))


@_check(
    "ack.user-agent",
    "MUST",
    "a foreign origin without a cookie or a CSRF token is acknowledged",
    "protection made for browsers answers 403, and test clients switch it off",
)
def _user_agent(examination: Examination) -> None:
    examination.require_working()
    request = examination.meetgeek.analyzed().with_header("Origin", "https://app.meetgeek.ai")
    examination.require_accepted(request.with_header("User-Agent", "MeetGeek-Webhooks/2"))


# --- raw: the MAC covers the bytes as they are ------------------------------------------------------------------------


def _in_turn(examination: Examination, requests: Sequence[WebhookRequest]) -> list[Response]:
    """Send several requests, one after the other."""
    return [examination.send(request) for request in requests]


def _at_once(examination: Examination, requests: Sequence[WebhookRequest]) -> list[Response]:
    """Send several requests to an ASGI app at the same time."""
    answers: dict[int, Response] = {}

    def sending(number: int, request: WebhookRequest) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            answers[number] = await examination.receiver.asend(request)

        return run

    runs = [sending(*numbered) for numbered in enumerate(requests)]
    examination.receiver.run(lambda: background().together(runs))
    return [examination.note(request, answers[number]) for number, request in enumerate(requests)]


def _genuine(examination: Examination, spell: Callable[[dict[str, str]], bytes], label: str) -> WebhookRequest:
    """Sign another spelling of the documented body."""
    meeting_id = examination.meetgeek.new_meeting_id()
    body = spell({"message": SUCCEEDED, "meeting_id": meeting_id})
    return examination.meetgeek.raw(body, meeting_id=meeting_id, label=label)


@_check(
    "raw.spacing",
    "MUST",
    "any spacing verifies",
    "the MAC is computed over json.dumps(json.loads(body))",
)
def _spacing(examination: Examination) -> None:
    examination.require_working()
    request = _genuine(examination, lambda event: json.dumps(event, indent=3).replace(":", " :\t").encode(), "spaced")
    examination.require_accepted(request)


@_check(
    "raw.compact",
    "MUST",
    "a body without spaces verifies",
    "the MAC is computed over json.dumps(json.loads(body)), which puts spaces in",
)
def _compact(examination: Examination) -> None:
    examination.require_working()

    def spell(event: dict[str, str]) -> bytes:
        return json.dumps(event, separators=(",", ":")).encode()

    examination.require_accepted(_genuine(examination, spell, "compact"))


@_check(
    "raw.unicode",
    "MUST",
    "characters beyond ASCII verify, decomposed ones too; a byte that is no character counts",
    "the MAC is computed over decoded, normalised or escaped text",
)
def _unicode(examination: Examination) -> None:
    examination.require_working()
    plain = examination.meetgeek.analyzed(title="Cafe")
    title = "Cafe\N{COMBINING ACUTE ACCENT} \N{SNOWMAN} \N{GRINNING FACE}"
    body = json.dumps({**json.loads(plain.body), "title": title}, ensure_ascii=False).encode()
    request = examination.meetgeek.raw(body, meeting_id=plain.meeting_id, label="unicode")
    response = examination.send(request)
    if response.status != ACKNOWLEDGED:
        if examination.send(plain).status != ACKNOWLEDGED:
            examination.skip("blocked by ack.extra-fields: a title in ASCII is refused as well")
        raise Violation(request, "HTTP 200", response)
    # A decoder that is told to ignore errors leaves this byte out.
    stray = replace(plain.with_body(b"\xff" + plain.body), expected=_UNAUTHORIZED, label="stray-byte")
    response = examination.send(stray)
    # Where any forgery is accepted, this one says nothing about text.
    if response.status == ACKNOWLEDGED != examination.send(examination.meetgeek.tampered("wrong-secret")).status:
        raise Violation(stray, "HTTP 401", response)


@_check(
    "raw.trailing-newline",
    "MUST",
    "a newline at the end of the body belongs to it",
    "the body is stripped before the MAC is computed",
)
def _trailing_newline(examination: Examination) -> None:
    examination.require_working()
    examination.require_accepted(_genuine(examination, lambda event: json.dumps(event).encode() + b"\n", "newline"))


@_check(
    "raw.chunked",
    "MUST",
    "a body in several messages, empty ones among them, is read to its end",
    "receive() is called once, or until an empty message",
    "ASGI specification, HTTP 2.4",
)
def _chunked(examination: Examination) -> None:
    if examination.receiver.interface != "asgi":
        examination.skip("ASGI only")
    examination.require_working()
    examination.require_accepted(replace(examination.meetgeek.analyzed(), chunks=_IN_PIECES, label="chunked"))


@_check(
    "raw.large",
    "SHOULD",
    "a body of 512 KiB verifies",
    "a limit cuts the body or refuses it",
)
def _large(examination: Examination) -> None:
    examination.require_working()

    def spell(event: dict[str, str]) -> bytes:
        # White space pads it: a long field would be an unknown one.
        return json.dumps(event).encode()[:-1].ljust(_LARGE - 1) + b"}"

    examination.require_accepted(_genuine(examination, spell, "large"))


# --- odd: signed, and yet not what was expected -----------------------------------------------------------------------


@_check(
    "odd.signed-garbage",
    "SHOULD",
    "a signed body that is no event brings no server error",
    "json.loads() raises, or gives something else than an object: a 500",
)
def _signed_garbage(examination: Examination) -> None:
    examination.require_working()
    for body in (b"", b"null", b"[]", b'"text"', b"{", b"\xff", b"[" * _NESTING + b"]" * _NESTING):
        examination.require_no_crash(examination.meetgeek.raw(body, label="garbage"))


@_check(
    "odd.meeting-id-types",
    "SHOULD",
    "a meeting id of another type brings no server error",
    "meeting_id.strip(), or a set of unhashable ids, raises: a 500",
)
def _meeting_id_types(examination: Examination) -> None:
    examination.require_working()
    odd: tuple[object, ...] = (None, 5, 1.5, True, [], {}, "", "no uuid", "x" * 10_000)
    for meeting_id in odd:
        request = examination.meetgeek.json({"message": SUCCEEDED, "meeting_id": meeting_id})
        examination.require_no_crash(replace(request, label="odd-id"))


# --- rep: the same event again ----------------------------------------------------------------------------------------


@_check(
    "rep.processed",
    "MUST",
    "a genuine delivery reaches the handler",
    "200 is answered and nothing done",
)
def _processed(examination: Examination) -> None:
    before = examination.spy.count
    request = examination.meetgeek.analyzed()
    examination.require_working()
    response = examination.send(request)
    if not examination.settled(lambda: examination.spy.count > before):
        if not examination.counts:
            examination.skip(NO_HANDLER)
        raise Violation(request, "processed", response, "the handler did not run")
    examination.memory.handler_seen = True


@_check(
    "rep.retry",
    "MUST",
    "the same POST is acknowledged each time",
    "409 to a duplicate is retried again, and alarms for nothing",
)
def _retry(examination: Examination) -> None:
    examination.require_working()
    request = examination.meetgeek.analyzed()
    for _ in range(3):
        examination.require_accepted(request)


@_check(
    "rep.idempotent",
    "SHOULD",
    "one meeting that arrives three times is processed once",
    "no guard against duplicates: the summary is mailed three times",
)
def _idempotent(examination: Examination) -> None:
    examination.require_handler()
    _once(examination, "in turn", _in_turn)
    if examination.receiver.interface == "asgi":
        # A look-up that awaits before it remembers shows only here.
        _once(examination, "at once", _at_once)


_Sending = Callable[[Examination, Sequence[WebhookRequest]], list[Response]]


def _once(examination: Examination, way: str, send: _Sending) -> None:
    before = examination.spy.count
    requests = examination.meetgeek.team(3)
    response = send(examination, requests)[-1]
    examination.settled(lambda: examination.spy.count > before)
    examination.receiver.pause(AFTERMATH)
    times = examination.spy.count - before
    if times > 1:
        raise Violation(requests[0], "processed once", response, f"sent {way}, the handler ran {times} times")


@_check(
    "rep.fail-then-retry",
    "SHOULD",
    "a delivery whose handler fails is not acknowledged, and is processed when it comes again",
    "the failure is answered 200, or the meeting already counts as done: the event is lost for good",
)
def _fail_then_retry(examination: Examination) -> None:
    examination.require_handler()
    spy, before = examination.spy, examination.spy.count
    request = examination.meetgeek.analyzed()
    spy.fail_next = 1
    first = examination.send(request)
    if not examination.settled(lambda: spy.count > before):
        raise Violation(request, "processed", first, "the handler did not run")
    if first.status == ACKNOWLEDGED:
        raise Violation(request, "another status than 200: the handler failed", first)
    second = examination.require_accepted(request, "HTTP 200 at the second POST")
    if not examination.settled(lambda: spy.count > before + 1):
        raise Violation(request, "processed at the second POST", second, "the handler did not run again")


@_check(
    "rep.team",
    "MUST",
    "one meeting that is sent for 25 members is acknowledged each time",
    "the copies for the other members are refused as duplicates, or limited",
)
def _team(examination: Examination) -> None:
    examination.require_working()
    for request in examination.meetgeek.team(_TEAM):
        examination.require_accepted(request)


@_check(
    "rep.two-meetings",
    "MUST",
    "two meetings are processed, both",
    "duplicates are told by the message, not by the meeting",
)
def _two_meetings(examination: Examination) -> None:
    examination.require_working()
    before = examination.spy.count
    examination.require_accepted(examination.meetgeek.analyzed())
    request = examination.meetgeek.analyzed()
    response = examination.require_accepted(request)
    if not examination.settled(lambda: examination.spy.count >= before + 2):
        if not examination.counts:
            examination.skip(NO_HANDLER)
        raise Violation(request, "both processed", response, f"the handler ran {examination.spy.count - before} times")


@_check(
    "rep.concurrent",
    "MUST",
    "ten requests at once, half of them forged, get each their own answer; no genuine one is lost",
    "the signature, the body or the event is kept on an object that requests share, or a busy receiver drops events",
)
def _concurrent(examination: Examination) -> None:
    if examination.receiver.interface != "asgi":
        examination.skip("ASGI only")
    examination.require_working()

    def pair() -> list[WebhookRequest]:
        made = (examination.meetgeek.analyzed(), examination.meetgeek.tampered("wrong-secret"))
        return [replace(request, chunks=_IN_PIECES) for request in made]

    before = examination.spy.count
    alone = [response.status for response in _in_turn(examination, pair())]
    if alone[0] != ACKNOWLEDGED:
        examination.skip("blocked by raw.chunked: a body in several messages is refused")
    processed_alone = examination.settled(lambda: examination.spy.count > before)
    before = examination.spy.count
    requests = [request for _ in range(_AT_ONCE // 2) for request in pair()]
    answers = _at_once(examination, requests)
    for request, response, required in zip(requests, answers, alone * (_AT_ONCE // 2), strict=True):
        if response.status != required:
            raise Violation(request, f"HTTP {required}, as alone", response)
    if processed_alone and not examination.settled(lambda: examination.spy.count - before >= _AT_ONCE // 2):
        note = f"of {_AT_ONCE // 2} genuine ones, the handler saw {examination.spy.count - before}"
        raise Violation(requests[0], "each genuine one processed, as alone", answers[0], note)


# --- hdr, cfg: header names, configuration ----------------------------------------------------------------------------


@_check(
    "hdr.case",
    "MUST",
    "the letter case of the header's name does not matter",
    "the header is looked up in a plain dict, by one spelling",
    "RFC 9110 5.1",
)
def _header_case(examination: Examination) -> None:
    if examination.receiver.interface != "url":
        examination.skip("URL only: in this process, header names have one spelling")
    examination.require_working()
    for name in ("x-mg-signature", "X-MG-SIGNATURE"):
        request = examination.meetgeek.analyzed()
        spelled = request.with_signature().with_header(name, request.signature)
        examination.require_accepted(replace(spelled, label=name))


@_check(
    "cfg.unset-secret",
    "MUST",
    "without its secret the app accepts nothing",
    "no secret counts as no check: 5 of 8 public receivers are open when the variable is missing",
)
def _unset_secret(examination: Examination) -> None:
    if examination.unset_secret is None:
        examination.skip("give --meetgeek-secret-env, the variable the app reads, and --meetgeek-app=module:app")
    for state in ("removed", "empty"):
        for request, response in examination.unset_secret.deliveries(examination.meetgeek, state):
            if response.status // 100 == ACKNOWLEDGED // 100:
                note = f"{examination.unset_secret.variable} is {state}"
                raise Violation(request, "anything but acceptance", response, note)


# --- rej: refusals ----------------------------------------------------------------------------------------------------


@_check(
    "rej.status",
    "MUST",
    "what fails validation is answered 401",
    "403, 400 and above all 200: a wrongly set secret then looks healthy and loses everything",
)
def _rejection_status(examination: Examination) -> None:
    for how in ("missing", "wrong-secret", "body-changed"):
        request = examination.meetgeek.tampered(how)
        response = examination.send(request)
        examination.require_answer(response)
        if response.status != _UNAUTHORIZED:
            raise Violation(request, "HTTP 401", response)


@_check(
    "rej.before-parse",
    "MUST",
    "the signature is checked before anything is parsed",
    "400, 415, 422 or 500 to a forged request: a stranger's bytes reached the parser",
)
def _before_parse(examination: Examination) -> None:
    for content_type in ("text/plain", "application/json"):
        request = examination.meetgeek.raw(b"{not json", content_type=content_type, expected=_UNAUTHORIZED)
        forged = request.with_signature(examination.meetgeek.signature_of(b"another body"))
        examination.require_refused(replace(forged, label="unparsable"))


@_check(
    "rej.empty",
    "MUST",
    "a POST with nothing at all is refused",
    "scanners send it: a 500 for each fills the log",
)
def _rejects_empty(examination: Examination) -> None:
    examination.require_refused(WebhookRequest(b"", (), expected=_UNAUTHORIZED, label="nothing"))


@_check(
    "rej.no-leak",
    "MUST",
    "a refusal holds neither the secret nor the expected signature",
    "'expected …, got …' lets anyone have any body signed",
    "CWE-209",
)
def _no_leak(examination: Examination) -> None:
    for how in ("missing", "wrong-secret", "truncated", "non-hex"):
        request = examination.meetgeek.tampered(how)
        response = examination.send(request)
        examination.require_answer(response)
        answer = b"\n".join([response.body, *(f"{name}: {value}".encode() for name, value in response.headers)])
        expected = examination.meetgeek.signature_of(request.body)
        encoded = base64.b64encode(bytes.fromhex(expected))
        if expected.encode() in answer.lower() or encoded in answer:
            # The value is blotted out as well: with it, whoever reads the report can send this body.
            hidden = Response(
                response.status, body=answer.lower().replace(expected.encode(), b"[the expected signature]")
            )
            raise Violation(request, "no hint of the expected signature", hidden)
        if blot_out(answer, examination.meetgeek.confidential) != answer:
            raise Violation(request, "no hint of the secret", Response(response.status, body=answer))


@_check(
    "rej.one-answer",
    "SHOULD",
    "all forgeries get the same answer",
    "the answer tells an attacker which part was wrong",
    "CWE-204",
)
def _one_answer(examination: Examination) -> None:
    examination.require_working()
    first: Response | None = None
    for how in ("missing", "empty", "wrong-secret", "truncated", "body-changed"):
        request = examination.meetgeek.tampered(how)
        response = examination.send(request)
        if first is None:
            first = response
        elif (response.status, response.body) != (first.status, first.body):
            raise Violation(request, "the same status and body as without a signature", response)


@_check(
    "rej.get",
    "SHOULD",
    "a GET with the MAC of an empty body brings no server error, and nothing is processed",
    "that MAC is one constant for each secret",
)
def _get(examination: Examination) -> None:
    before = examination.spy.count
    request = replace(
        examination.meetgeek.raw(b"", content_type=None, expected=_UNAUTHORIZED), method="GET", label="get"
    )
    response = examination.require_no_crash(request)
    examination.require_unprocessed(request, response, before)


@_check(
    "rej.then-ack",
    "MUST",
    "after 50 forgeries a genuine delivery is accepted",
    "a lock-out: anyone can shut MeetGeek out; or state that a refusal leaves behind",
)
def _then_acknowledged(examination: Examination) -> None:
    examination.require_working()
    for _ in range(_FORGERIES_BEFORE_TRUE):
        examination.send(examination.meetgeek.tampered("wrong-secret"))
    examination.require_accepted(examination.meetgeek.analyzed())


# --- sig: the catalogue of forgeries ----------------------------------------------------------------------------------


def _refuses(tampering: Tampering) -> Callable[[Examination], None]:
    def examine(examination: Examination) -> None:
        base = examination.meetgeek.analyzed()
        request = examination.meetgeek.tampered(tampering.id, base)
        if tampering.id.startswith(("body-", "of-other-")):
            # A receiver that remembers signatures knows these two from genuine deliveries.
            examination.send(base)
            examination.send(examination.meetgeek.failed())
        if tampering.level == "MAY":
            examination.require_no_crash(request)
        else:
            examination.require_refused(request)

    return examine


for _tampering in TAMPERINGS.values():
    _wanted = "is refused, or taken as genuine" if _tampering.level == "MAY" else "is refused"
    _check(f"sig.{_tampering.id}", _tampering.level, f"the forgery '{_tampering.id}' {_wanted}", _tampering.why)(
        _refuses(_tampering)
    )

CHECKS: Mapping[str, Check] = MappingProxyType(_registered)
"""Every check by its id, in the order in which the suite runs them: what may leave a receiver locked comes last."""
