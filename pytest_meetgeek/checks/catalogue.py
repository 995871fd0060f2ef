"""The conformance suite: every check of a receiver, by its stable id."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from pytest_meetgeek.checks.check import Check
from pytest_meetgeek.checks.context import AFTERMATH, NO_HANDLER, CheckContext
from pytest_meetgeek.checks.result import CheckFailure
from pytest_meetgeek.drivers.event_loop import background
from pytest_meetgeek.forgeries import FORGERIES, Forgery, Level
from pytest_meetgeek.meetgeek import SUCCEEDED
from pytest_meetgeek.request import WebhookRequest
from pytest_meetgeek.response import ACKNOWLEDGED, Response, redact

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
) -> Callable[[Callable[[CheckContext], None]], Callable[[CheckContext], None]]:
    def register(run: Callable[[CheckContext], None]) -> Callable[[CheckContext], None]:
        _registered[check_id] = Check(check_id, level, title, source, why, run)
        return run

    return register


# --- ack: what MeetGeek takes for an acknowledgement ------------------------------------------------------------------


@_check(
    "ack.status",
    "MUST",
    "a signed 'File analyzed successfully' gets a 200",
    "201, 202, 204 and redirects are no acknowledgement: the event is sent again",
)
def _status(context: CheckContext) -> None:
    request = context.meetgeek.analyzed()
    response = context.send(request)
    if response.status != ACKNOWLEDGED:
        raise CheckFailure(request, "HTTP 200", response, _USUAL_CAUSES.get(response.status, ""))


@_check(
    "ack.empty-body",
    "MUST",
    "an acknowledgement has no body",
    "'ok', 'null' and '{}' are no acknowledgement: the event is sent again",
)
def _empty_body(context: CheckContext) -> None:
    context.require_working()
    for request in (context.meetgeek.analyzed(), context.meetgeek.failed()):
        response = context.send(request)
        # A status other than 200 is up to ack.status or ack.failed.
        if response.status == ACKNOWLEDGED and response.body:
            raise CheckFailure(request, "no body", response)


@_check(
    "ack.failed",
    "MUST",
    "a signed 'File analyzed failed', which has no meeting_id, is acknowledged",
    "event['meeting_id'] raises KeyError: a 500, retried",
)
def _failed(context: CheckContext) -> None:
    context.require_working()
    context.require_accepted(context.meetgeek.failed())


@_check(
    "ack.extra-fields",
    "MUST",
    "unknown fields do not matter",
    "a strict model responds 422 on the day MeetGeek adds a field",
)
def _extra_fields(context: CheckContext) -> None:
    context.require_working()
    context.require_accepted(context.meetgeek.analyzed(added_field={"nested": [1, None]}, version=2))


@_check(
    "ack.unknown-message",
    "SHOULD",
    "a message that is not documented is acknowledged",
    "a 400 to a new kind of event brings two useless retries of each",
)
def _unknown_message(context: CheckContext) -> None:
    context.require_working()
    context.require_accepted(context.meetgeek.json({"message": "Something new happened"}))


@_check(
    "ack.charset",
    "MUST",
    "'application/json; charset=utf-8' is JSON",
    "the content type is compared as a whole: a 415",
    "RFC 9110 8.3",
)
def _charset(context: CheckContext) -> None:
    context.require_working()
    request = context.meetgeek.analyzed().with_header("Content-Type", "application/json; charset=utf-8")
    context.require_accepted(request)


@_check(
    "ack.no-content-type",
    "SHOULD",
    "a request without a content type is acknowledged",
    "a framework that insists on one responds 422 (FastAPI's strict_content_type)",
    "RFC 9110 8.3",
)
def _no_content_type(context: CheckContext) -> None:
    context.require_working()
    context.require_accepted(context.meetgeek.analyzed().with_header("Content-Type", None))


@_check(
    "ack.user-agent",
    "MUST",
    "a foreign origin without a cookie or a CSRF token is acknowledged",
    "protection made for browsers responds 403, and test clients disable it",
)
def _user_agent(context: CheckContext) -> None:
    context.require_working()
    request = context.meetgeek.analyzed().with_header("Origin", "https://app.meetgeek.ai")
    context.require_accepted(request.with_header("User-Agent", "MeetGeek-Webhooks/2"))


# --- raw: the MAC covers the bytes as they are ------------------------------------------------------------------------


def _in_turn(context: CheckContext, requests: Sequence[WebhookRequest]) -> list[Response]:
    """Send several requests, one after the other."""
    return [context.send(request) for request in requests]


def _at_once(context: CheckContext, requests: Sequence[WebhookRequest]) -> list[Response]:
    """Send several requests to an ASGI app at the same time."""
    responses: dict[int, Response] = {}

    def sending(number: int, request: WebhookRequest) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            responses[number] = await context.receiver.asend(request)

        return run

    runs = [sending(*numbered) for numbered in enumerate(requests)]
    context.receiver.run(lambda: background().together(runs))
    return [context.note(request, responses[number]) for number, request in enumerate(requests)]


def _genuine(context: CheckContext, spell: Callable[[dict[str, str]], bytes], label: str) -> WebhookRequest:
    """Sign another spelling of the documented body."""
    meeting_id = context.meetgeek.new_meeting_id()
    body = spell({"message": SUCCEEDED, "meeting_id": meeting_id})
    return context.meetgeek.raw(body, meeting_id=meeting_id, label=label)


@_check(
    "raw.spacing",
    "MUST",
    "any spacing verifies",
    "the MAC is computed over json.dumps(json.loads(body))",
)
def _spacing(context: CheckContext) -> None:
    context.require_working()
    request = _genuine(context, lambda event: json.dumps(event, indent=3).replace(":", " :\t").encode(), "spaced")
    context.require_accepted(request)


@_check(
    "raw.compact",
    "MUST",
    "a body without spaces verifies",
    "the MAC is computed over json.dumps(json.loads(body)), which puts spaces in",
)
def _compact(context: CheckContext) -> None:
    context.require_working()

    def spell(event: dict[str, str]) -> bytes:
        return json.dumps(event, separators=(",", ":")).encode()

    context.require_accepted(_genuine(context, spell, "compact"))


@_check(
    "raw.unicode",
    "MUST",
    "characters beyond ASCII verify, decomposed ones too; a byte that is no character counts",
    "the MAC is computed over decoded, normalised or escaped text",
)
def _unicode(context: CheckContext) -> None:
    context.require_working()
    plain = context.meetgeek.analyzed(title="Cafe")
    title = "Cafe\N{COMBINING ACUTE ACCENT} \N{SNOWMAN} \N{GRINNING FACE}"
    body = json.dumps({**json.loads(plain.body), "title": title}, ensure_ascii=False).encode()
    request = context.meetgeek.raw(body, meeting_id=plain.meeting_id, label="unicode")
    response = context.send(request)
    if response.status != ACKNOWLEDGED:
        if context.send(plain).status != ACKNOWLEDGED:
            context.skip("blocked by ack.extra-fields: a title in ASCII is refused as well")
        raise CheckFailure(request, "HTTP 200", response)
    # A decoder that is told to ignore errors leaves this byte out.
    stray = replace(plain.with_body(b"\xff" + plain.body), expected=_UNAUTHORIZED, label="stray-byte")
    response = context.send(stray)
    # Where any forgery is accepted, this one says nothing about text.
    if response.status == ACKNOWLEDGED != context.send(context.meetgeek.forged("wrong-secret")).status:
        raise CheckFailure(stray, "HTTP 401", response)


@_check(
    "raw.trailing-newline",
    "MUST",
    "a newline at the end of the body belongs to it",
    "the body is stripped before the MAC is computed",
)
def _trailing_newline(context: CheckContext) -> None:
    context.require_working()
    context.require_accepted(_genuine(context, lambda event: json.dumps(event).encode() + b"\n", "newline"))


@_check(
    "raw.chunked",
    "MUST",
    "a body in several messages, empty ones among them, is read to its end",
    "receive() is called once, or until an empty message",
    "ASGI specification, HTTP 2.4",
)
def _chunked(context: CheckContext) -> None:
    if context.receiver.interface != "asgi":
        context.skip("ASGI only")
    context.require_working()
    context.require_accepted(replace(context.meetgeek.analyzed(), chunks=_IN_PIECES, label="chunked"))


@_check(
    "raw.large",
    "SHOULD",
    "a body of 512 KiB verifies",
    "a limit cuts the body or refuses it",
)
def _large(context: CheckContext) -> None:
    context.require_working()

    def spell(event: dict[str, str]) -> bytes:
        # White space pads it: a long field would be an unknown one.
        return json.dumps(event).encode()[:-1].ljust(_LARGE - 1) + b"}"

    context.require_accepted(_genuine(context, spell, "large"))


# --- odd: signed, and yet not what was expected -----------------------------------------------------------------------


@_check(
    "odd.signed-garbage",
    "SHOULD",
    "a signed body that is no event brings no server error",
    "json.loads() raises, or gives something else than an object: a 500",
)
def _signed_garbage(context: CheckContext) -> None:
    context.require_working()
    for body in (b"", b"null", b"[]", b'"text"', b"{", b"\xff", b"[" * _NESTING + b"]" * _NESTING):
        context.require_no_crash(context.meetgeek.raw(body, label="garbage"))


@_check(
    "odd.meeting-id-types",
    "SHOULD",
    "a meeting id of another type brings no server error",
    "meeting_id.strip(), or a set of unhashable ids, raises: a 500",
)
def _meeting_id_types(context: CheckContext) -> None:
    context.require_working()
    odd: tuple[object, ...] = (None, 5, 1.5, True, [], {}, "", "no uuid", "x" * 10_000)
    for meeting_id in odd:
        request = context.meetgeek.json({"message": SUCCEEDED, "meeting_id": meeting_id})
        context.require_no_crash(replace(request, label="odd-id"))


# --- rep: the same event again ----------------------------------------------------------------------------------------


@_check(
    "rep.processed",
    "MUST",
    "a genuine delivery reaches the handler",
    "the response is 200, and nothing is done",
)
def _processed(context: CheckContext) -> None:
    before = context.spy.count
    request = context.meetgeek.analyzed()
    context.require_working()
    response = context.send(request)
    if not context.settled(lambda: context.spy.count > before):
        if not context.counts:
            context.skip(NO_HANDLER)
        raise CheckFailure(request, "processed", response, "the handler did not run")
    context.memory.handler_seen = True


@_check(
    "rep.retry",
    "MUST",
    "the same POST is acknowledged each time",
    "409 to a duplicate is retried again, and alarms for nothing",
)
def _retry(context: CheckContext) -> None:
    context.require_working()
    request = context.meetgeek.analyzed()
    for _ in range(3):
        context.require_accepted(request)


@_check(
    "rep.idempotent",
    "SHOULD",
    "one meeting that arrives three times is processed once",
    "no guard against duplicates: the summary is mailed three times",
)
def _idempotent(context: CheckContext) -> None:
    context.require_handler()
    _once(context, "in turn", _in_turn)
    if context.receiver.interface == "asgi":
        # A look-up that awaits before it remembers shows only here.
        _once(context, "at once", _at_once)


_Sending = Callable[[CheckContext, Sequence[WebhookRequest]], list[Response]]


def _once(context: CheckContext, way: str, send: _Sending) -> None:
    before = context.spy.count
    requests = context.meetgeek.team(3)
    response = send(context, requests)[-1]
    context.settled(lambda: context.spy.count > before)
    context.receiver.pause(AFTERMATH)
    times = context.spy.count - before
    if times > 1:
        raise CheckFailure(requests[0], "processed once", response, f"sent {way}, the handler ran {times} times")


@_check(
    "rep.fail-then-retry",
    "SHOULD",
    "a delivery whose handler fails is not acknowledged, and is processed when it comes again",
    "the failure gets a 200, or the meeting already counts as done: the event is lost for good",
)
def _fail_then_retry(context: CheckContext) -> None:
    context.require_handler()
    spy, before = context.spy, context.spy.count
    request = context.meetgeek.analyzed()
    spy.fail_next = 1
    first = context.send(request)
    if not context.settled(lambda: spy.count > before):
        raise CheckFailure(request, "processed", first, "the handler did not run")
    if first.status == ACKNOWLEDGED:
        raise CheckFailure(request, "another status than 200: the handler failed", first)
    second = context.require_accepted(request, "HTTP 200 at the second POST")
    if not context.settled(lambda: spy.count > before + 1):
        raise CheckFailure(request, "processed at the second POST", second, "the handler did not run again")


@_check(
    "rep.team",
    "MUST",
    "one meeting that is sent for 25 members is acknowledged each time",
    "the copies for the other members are refused as duplicates, or limited",
)
def _team(context: CheckContext) -> None:
    context.require_working()
    for request in context.meetgeek.team(_TEAM):
        context.require_accepted(request)


@_check(
    "rep.two-meetings",
    "MUST",
    "two meetings are processed, both",
    "duplicates are told by the message, not by the meeting",
)
def _two_meetings(context: CheckContext) -> None:
    context.require_working()
    before = context.spy.count
    context.require_accepted(context.meetgeek.analyzed())
    request = context.meetgeek.analyzed()
    response = context.require_accepted(request)
    if not context.settled(lambda: context.spy.count >= before + 2):
        if not context.counts:
            context.skip(NO_HANDLER)
        raise CheckFailure(request, "both processed", response, f"the handler ran {context.spy.count - before} times")


@_check(
    "rep.concurrent",
    "MUST",
    "ten requests at once, half of them forged, each get their own response; no genuine one is lost",
    "the signature, the body or the event is kept on an object that requests share, or a busy receiver drops events",
)
def _concurrent(context: CheckContext) -> None:
    if context.receiver.interface != "asgi":
        context.skip("ASGI only")
    context.require_working()

    def pair() -> list[WebhookRequest]:
        made = (context.meetgeek.analyzed(), context.meetgeek.forged("wrong-secret"))
        return [replace(request, chunks=_IN_PIECES) for request in made]

    before = context.spy.count
    alone = [response.status for response in _in_turn(context, pair())]
    if alone[0] != ACKNOWLEDGED:
        context.skip("blocked by raw.chunked: a body in several messages is refused")
    processed_alone = context.settled(lambda: context.spy.count > before)
    before = context.spy.count
    requests = [request for _ in range(_AT_ONCE // 2) for request in pair()]
    responses = _at_once(context, requests)
    for request, response, required in zip(requests, responses, alone * (_AT_ONCE // 2), strict=True):
        if response.status != required:
            raise CheckFailure(request, f"HTTP {required}, as alone", response)
    if processed_alone and not context.settled(lambda: context.spy.count - before >= _AT_ONCE // 2):
        note = f"of {_AT_ONCE // 2} genuine ones, the handler saw {context.spy.count - before}"
        raise CheckFailure(requests[0], "each genuine one processed, as alone", responses[0], note)


# --- hdr, cfg: header names, configuration ----------------------------------------------------------------------------


@_check(
    "hdr.case",
    "MUST",
    "the letter case of the header's name does not matter",
    "the header is looked up in a plain dict, by one spelling",
    "RFC 9110 5.1",
)
def _header_case(context: CheckContext) -> None:
    if context.receiver.interface != "url":
        context.skip("URL only: in this process, header names have one spelling")
    context.require_working()
    for name in ("x-mg-signature", "X-MG-SIGNATURE"):
        request = context.meetgeek.analyzed()
        spelled = request.with_signature().with_header(name, request.signature)
        context.require_accepted(replace(spelled, label=name))


@_check(
    "cfg.unset-secret",
    "MUST",
    "without its secret the app accepts nothing",
    "no secret counts as no check: 5 of 8 public receivers are open when the variable is missing",
)
def _unset_secret(context: CheckContext) -> None:
    if context.unset_secret is None:
        context.skip("give --meetgeek-secret-env, the variable the app reads, and --meetgeek-app=module:app")
    for state in ("removed", "empty"):
        for request, response in context.unset_secret.deliveries(context.meetgeek, state):
            if response.status // 100 == ACKNOWLEDGED // 100:
                note = f"{context.unset_secret.variable} is {state}"
                raise CheckFailure(request, "anything but acceptance", response, note)


# --- rej: refusals ----------------------------------------------------------------------------------------------------


@_check(
    "rej.status",
    "MUST",
    "what fails validation gets a 401",
    "403, 400 and above all 200: a wrongly set secret then looks healthy and loses everything",
)
def _rejection_status(context: CheckContext) -> None:
    for how in ("missing", "wrong-secret", "body-changed"):
        request = context.meetgeek.forged(how)
        response = context.send(request)
        context.require_response(response)
        if response.status != _UNAUTHORIZED:
            raise CheckFailure(request, "HTTP 401", response)


@_check(
    "rej.before-parse",
    "MUST",
    "the signature is checked before anything is parsed",
    "400, 415, 422 or 500 to a forged request: a stranger's bytes reached the parser",
)
def _before_parse(context: CheckContext) -> None:
    for content_type in ("text/plain", "application/json"):
        request = context.meetgeek.raw(b"{not json", content_type=content_type, expected=_UNAUTHORIZED)
        forged = request.with_signature(context.meetgeek.signature_of(b"another body"))
        context.require_refused(replace(forged, label="unparsable"))


@_check(
    "rej.empty",
    "MUST",
    "a POST with nothing at all is refused",
    "scanners send it: a 500 for each fills the log",
)
def _rejects_empty(context: CheckContext) -> None:
    context.require_refused(WebhookRequest(b"", (), expected=_UNAUTHORIZED, label="nothing"))


@_check(
    "rej.no-leak",
    "MUST",
    "a refusal holds neither the secret nor the expected signature",
    "'expected …, got …' lets anyone have any body signed",
    "CWE-209",
)
def _no_leak(context: CheckContext) -> None:
    for how in ("missing", "wrong-secret", "truncated", "non-hex"):
        request = context.meetgeek.forged(how)
        response = context.send(request)
        context.require_response(response)
        whole = b"\n".join([response.body, *(f"{name}: {value}".encode() for name, value in response.headers)])
        expected = context.meetgeek.signature_of(request.body)
        encoded = base64.b64encode(bytes.fromhex(expected))
        if expected.encode() in whole.lower() or encoded in whole:
            # The value is redacted as well: with it, whoever reads the report can send this body.
            hidden = Response(
                response.status, body=whole.lower().replace(expected.encode(), b"[the expected signature]")
            )
            raise CheckFailure(request, "no hint of the expected signature", hidden)
        if redact(whole, context.meetgeek.confidential) != whole:
            raise CheckFailure(request, "no hint of the secret", Response(response.status, body=whole))


@_check(
    "rej.one-answer",
    "SHOULD",
    "all forgeries get the same response",
    "the response tells an attacker which part was wrong",
    "CWE-204",
)
def _one_answer(context: CheckContext) -> None:
    context.require_working()
    first: Response | None = None
    for how in ("missing", "empty", "wrong-secret", "truncated", "body-changed"):
        request = context.meetgeek.forged(how)
        response = context.send(request)
        if first is None:
            first = response
        elif (response.status, response.body) != (first.status, first.body):
            raise CheckFailure(request, "the same status and body as without a signature", response)


@_check(
    "rej.get",
    "SHOULD",
    "a GET with the MAC of an empty body brings no server error, and nothing is processed",
    "that MAC is one constant for each secret",
)
def _get(context: CheckContext) -> None:
    before = context.spy.count
    request = replace(context.meetgeek.raw(b"", content_type=None, expected=_UNAUTHORIZED), method="GET", label="get")
    response = context.require_no_crash(request)
    context.require_unprocessed(request, response, before)


@_check(
    "rej.then-ack",
    "MUST",
    "after 50 forgeries a genuine delivery is accepted",
    "a lock-out: anyone can shut MeetGeek out; or state that a refusal leaves behind",
)
def _then_acknowledged(context: CheckContext) -> None:
    context.require_working()
    for _ in range(_FORGERIES_BEFORE_TRUE):
        context.send(context.meetgeek.forged("wrong-secret"))
    context.require_accepted(context.meetgeek.analyzed())


# --- sig: the catalogue of forgeries ----------------------------------------------------------------------------------


def _refuses(forgery: Forgery) -> Callable[[CheckContext], None]:
    def run(context: CheckContext) -> None:
        base = context.meetgeek.analyzed()
        request = context.meetgeek.forged(forgery.id, base)
        if forgery.id.startswith(("body-", "of-other-")):
            # A receiver that remembers signatures knows these two from genuine deliveries.
            context.send(base)
            context.send(context.meetgeek.failed())
        if forgery.level == "MAY":
            context.require_no_crash(request)
        else:
            context.require_refused(request)

    return run


for _forgery in FORGERIES.values():
    _wanted = "is refused, or taken as genuine" if _forgery.level == "MAY" else "is refused"
    _check(f"sig.{_forgery.id}", _forgery.level, f"the forgery '{_forgery.id}' {_wanted}", _forgery.why)(
        _refuses(_forgery)
    )

CHECKS: Mapping[str, Check] = MappingProxyType(_registered)
"""Every check by its id, in the order in which the suite runs them: what may leave a receiver locked comes last."""
