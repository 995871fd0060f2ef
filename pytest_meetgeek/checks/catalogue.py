"""The conformance suite: every check of a receiver, by its stable id."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_meetgeek._django import has_test_database
from pytest_meetgeek.checks.check import Check
from pytest_meetgeek.checks.context import AFTERMATH, NO_HANDLER, NO_RESPONSE, SUCCESSES, CheckContext
from pytest_meetgeek.checks.diagnosis import explain_refusal
from pytest_meetgeek.checks.output import captured_output
from pytest_meetgeek.checks.result import CheckFailure, CheckNote
from pytest_meetgeek.drivers.event_loop import background
from pytest_meetgeek.forgeries import FORGERIES, Forgery, Level
from pytest_meetgeek.meetgeek import SUCCEEDED
from pytest_meetgeek.request import WebhookRequest
from pytest_meetgeek.response import ACKNOWLEDGED, Response, redact
from pytest_meetgeek.spy import FAILURE_TEXT

if TYPE_CHECKING:
    from pytest_meetgeek.checks.apart import StartedApart
    from pytest_meetgeek.spy import Spy

MEETGEEK = "MeetGeek webhooks"

_LARGE = 512 * 1024
_NESTING = 100_000
_TEAM = 25
_FORGERIES_BEFORE_TRUE = 50
_AT_ONCE = 10
_SLOW_WORK = 0.5
_ONLY_HERE = "only for a handler in this process: give --meetgeek-handler=module:function"
_ONLY_BY_NAME = (
    "only for an app and a handler by name: give --meetgeek-app=module:app and --meetgeek-handler=module:function"
)
_IN_PIECES = (1, 0, 7, 0)
_UNAUTHORIZED = 401
_RAW = "hash the raw body (get_data(), arrayBuffer(), express.raw()), not text and not JSON that was parsed"

_registered: dict[str, Check] = {}


def _check(  # what a check is made of
    check_id: str,
    level: Level,
    title: str,
    why: str,
    source: str = MEETGEEK,
    *,
    presupposes: Sequence[str] = (),
    since: str = "1.0",
) -> Callable[[Callable[[CheckContext], None]], Callable[[CheckContext], None]]:
    """Add a check to the catalogue, after those that it presupposes: so the graph has no circle."""

    def register(run: Callable[[CheckContext], None]) -> Callable[[CheckContext], None]:
        earlier = tuple(_registered[presupposed] for presupposed in presupposes)
        _registered[check_id] = Check(check_id, level, title, source, why, run, earlier, since)
        return run

    return register


# --- ack: what MeetGeek takes as an acknowledgement ------------------------------------------------------------------


@_check(
    "ack.status",
    "MUST",
    "a signed 'File analyzed successfully' gets a 200",
    "any other status does not acknowledge: MeetGeek sends the event again, three times at most",
)
def _status(context: CheckContext) -> None:
    request = context.meetgeek.analyzed()
    response = context.send(request)
    if response.status != ACKNOWLEDGED:
        note = "" if response.status in SUCCESSES else explain_refusal(context, response)
        raise CheckFailure(request, "HTTP 200", response, note, blocks=None)


@_check(
    "ack.empty-body",
    "MUST",
    "an acknowledgement has no body",
    "with a body, such as 'ok', 'null' or '{}', a 200 does not acknowledge: MeetGeek sends the event again",
    presupposes=("ack.status",),
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
    "MeetGeek sends an event that is not acknowledged three times, and then drops it",
    presupposes=("ack.status",),
)
def _failed(context: CheckContext) -> None:
    context.require_working()
    context.require_accepted(
        context.meetgeek.failed(),
        crashed="the handler probably needs a meeting_id, which this event does not have",
        refused="the receiver refuses an event without a meeting_id, or takes it for a duplicate: all are the same",
    )


@_check(
    "ack.extra-fields",
    "MUST",
    "unknown fields do not matter",
    "MeetGeek may add fields at any time: a receiver that refuses them loses every event from that day on",
    presupposes=("ack.status",),
)
def _extra_fields(context: CheckContext) -> None:
    context.require_working()
    context.require_accepted(
        context.meetgeek.analyzed(added_field={"nested": [1, None]}, version=2),
        refused="the receiver probably validates the event with a model that forbids unknown fields",
    )


@_check(
    "ack.unknown-message",
    "SHOULD",
    "a message that is not documented is acknowledged",
    "MeetGeek may add messages at any time: each one that is not acknowledged comes three times, for nothing",
    presupposes=("ack.status", "ack.failed"),
)
def _unknown_message(context: CheckContext) -> None:
    context.require_working()
    context.require_accepted(context.meetgeek.json({"message": "Something new happened"}))


@_check(
    "ack.charset",
    "MUST",
    "'application/json; charset=utf-8' is JSON",
    "a content type may have parameters: compare the part before the semicolon",
    "RFC 9110 8.3",
    presupposes=("ack.status",),
)
def _charset(context: CheckContext) -> None:
    context.require_working()
    request = context.meetgeek.analyzed().with_header("Content-Type", "application/json; charset=utf-8")
    context.require_accepted(request)


@_check(
    "ack.no-content-type",
    "SHOULD",
    "a request without a content type is acknowledged",
    "MeetGeek's content type is not documented: a framework that insists on one (FastAPI's strict_content_type) may "
    "refuse every event",
    "RFC 9110 8.3",
    presupposes=("ack.status",),
)
def _no_content_type(context: CheckContext) -> None:
    context.require_working()
    context.require_accepted(context.meetgeek.analyzed().with_header("Content-Type", None))


@_check(
    "ack.user-agent",
    "MUST",
    "a foreign origin without a cookie or a CSRF token is acknowledged",
    "protection made for browsers (CSRF, origin checks) stops webhooks, too; test clients disable it, so unit tests do "
    "not show it",
    presupposes=("ack.status",),
)
def _user_agent(context: CheckContext) -> None:
    context.require_working()
    request = context.meetgeek.analyzed().with_header("Origin", "https://app.meetgeek.ai")
    context.require_accepted(request.with_header("User-Agent", "MeetGeek-Webhooks/2"))


# --- raw: the signature covers the bytes as they are ------------------------------------------------------------------


def _in_turn(context: CheckContext, requests: Sequence[WebhookRequest]) -> list[Response]:
    """Send several requests, one after the other."""
    return [context.send(request) for request in requests]


def _at_once(context: CheckContext, requests: Sequence[WebhookRequest]) -> list[Response]:
    """Send several requests at the same time: on the event loop to ASGI, in threads to WSGI and URLs."""
    receiver = context.receiver
    if receiver.interface != "asgi":
        with ThreadPoolExecutor(max_workers=len(requests)) as pool:
            responses = list(pool.map(receiver.send, requests))
        return [context.note(*pair) for pair in zip(requests, responses, strict=True)]
    received: dict[int, Response] = {}

    def sending(number: int, request: WebhookRequest) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            received[number] = await receiver.asend(request)

        return run

    runs = [sending(*numbered) for numbered in enumerate(requests)]
    receiver.run(lambda: background().together(runs))
    return [context.note(request, received[number]) for number, request in enumerate(requests)]


def _genuine(context: CheckContext, spell: Callable[[dict[str, str]], bytes], label: str) -> WebhookRequest:
    """Sign another spelling of the documented body."""
    meeting_id = context.meetgeek.new_meeting_id()
    body = spell({"message": SUCCEEDED, "meeting_id": meeting_id})
    return context.meetgeek.raw(body, meeting_id=meeting_id, label=label)


@_check(
    "raw.spacing",
    "MUST",
    "any spacing verifies",
    f"the signature covers the exact bytes: {_RAW}",
    presupposes=("ack.status",),
)
def _spacing(context: CheckContext) -> None:
    context.require_working()
    request = _genuine(context, lambda event: json.dumps(event, indent=3).replace(":", " :\t").encode(), "spaced")
    context.require_accepted(request)


@_check(
    "raw.compact",
    "MUST",
    "a body without spaces verifies",
    f"the spacing of MeetGeek's JSON is not documented: {_RAW}",
    presupposes=("raw.spacing",),
)
def _compact(context: CheckContext) -> None:
    context.require_working()

    def spell(event: dict[str, str]) -> bytes:
        return json.dumps(event, separators=(",", ":")).encode()

    context.require_accepted(_genuine(context, spell, "compact"))


@_check(
    "raw.unicode",
    "MUST",
    "characters beyond ASCII verify, decomposed ones too; a byte that is not part of a character counts",
    f"decoding changes or drops bytes: {_RAW}",
    presupposes=("raw.spacing",),
)
def _unicode(context: CheckContext) -> None:
    context.require_working()
    plain = context.meetgeek.analyzed(title="Cafe")
    title = "Cafe\N{COMBINING ACUTE ACCENT} \N{SNOWMAN} \N{GRINNING FACE}"
    body = json.dumps({**json.loads(plain.body), "title": title}, ensure_ascii=False).encode()
    request = context.meetgeek.raw(body, meeting_id=plain.meeting_id, label="unicode")
    response = context.send(request)
    if not context.is_accepted(response):
        if not context.is_accepted(context.send(plain)):
            context.skip("blocked by ack.extra-fields: a title in ASCII is refused as well")
        raise CheckFailure(request, "HTTP 200", response)
    # A decoder that ignores errors drops this byte.
    stray = replace(plain.with_body(b"\xff" + plain.body), expected=_UNAUTHORIZED, label="stray-byte")
    response = context.send(stray)
    # If any forgery is accepted, this one says nothing about text.
    if context.is_accepted(response) and not context.is_accepted(context.send(context.meetgeek.forged("wrong-secret"))):
        raise CheckFailure(stray, "HTTP 401", response)


@_check(
    "raw.trailing-newline",
    "MUST",
    "a newline at the end of the body belongs to it",
    f"a body that is stripped is another body: {_RAW}",
    presupposes=("raw.spacing",),
)
def _trailing_newline(context: CheckContext) -> None:
    context.require_working()
    context.require_accepted(_genuine(context, lambda event: json.dumps(event).encode() + b"\n", "newline"))


@_check(
    "raw.chunked",
    "MUST",
    "a body in several messages, empty ones among them, is read to its end",
    "a body may arrive in pieces: call receive() until more_body is false, even after an empty piece",
    "ASGI specification, HTTP 2.4",
    presupposes=("ack.status",),
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
    "the size of MeetGeek's events is not documented: a small limit cuts or refuses one some day",
    presupposes=("raw.spacing",),
)
def _large(context: CheckContext) -> None:
    context.require_working()

    def spell(event: dict[str, str]) -> bytes:
        # White space pads it: a long field would be an unknown one.
        return json.dumps(event).encode()[:-1].ljust(_LARGE - 1) + b"}"

    context.require_accepted(_genuine(context, spell, "large"))


# --- odd: signed, but not what was expected ---------------------------------------------------------------------------


@_check(
    "odd.signed-garbage",
    "SHOULD",
    "a signed body that is not an event causes no server error",
    "MeetGeek sends an event that caused an error three times: decide what to do with a body that is not a JSON object",
    presupposes=("ack.status",),
)
def _signed_garbage(context: CheckContext) -> None:
    context.require_working()
    for body in (b"", b"null", b"[]", b'"text"', b"{", b"\xff", b"[" * _NESTING + b"]" * _NESTING):
        context.require_no_crash(context.meetgeek.raw(body, label="garbage"))


@_check(
    "odd.meeting-id-types",
    "SHOULD",
    "a meeting id of another type causes no server error",
    "MeetGeek sends an event that caused an error three times: decide what to do with an id that is not a UUID",
    presupposes=("ack.status",),
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
    "a genuine delivery is processed",
    "an event that is acknowledged but not processed is lost: MeetGeek does not send it again",
    presupposes=("ack.status",),
)
def _processed(context: CheckContext) -> None:
    before = context.processed_before()
    request = context.meetgeek.analyzed()
    context.require_working()
    response = context.send(request)
    if not context.wait_processed(before + 1):
        if not context.counts:
            context.skip(NO_HANDLER)
        note = (
            "nothing was counted. If the receiver remembers meetings of an earlier run, these count as duplicates: "
            f"give another --meetgeek-seed (this one: {context.meetgeek.seed!r})"
        )
        raise CheckFailure(request, "processed", response, note)


@_check(
    "rep.retry",
    "MUST",
    "the same POST is acknowledged each time",
    "MeetGeek sends a POST again if its acknowledgement was late or lost: refusing the copy brings further ones",
    presupposes=("ack.status",),
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
    "MeetGeek sends one meeting several times: once for each member, and again after a lost acknowledgement",
    presupposes=("rep.processed",),
)
def _idempotent(context: CheckContext) -> None:
    context.require_handler()
    _once(context, "in turn", _in_turn)
    if not context.one_thread:
        # A look-up that is not atomic shows only here.
        _once(context, "at once", _at_once)


_Sending = Callable[[CheckContext, Sequence[WebhookRequest]], list[Response]]


def _once(context: CheckContext, way: str, send: _Sending) -> None:
    before = context.processed_before()
    requests = context.meetgeek.team(3)
    response = send(context, requests)[-1]
    context.wait_processed(before + 1)
    context.receiver.pause(AFTERMATH)
    context.counter.forget()
    times = context.processed() - before
    if times > 1:
        raise CheckFailure(requests[0], "processed once", response, f"sent {way}, it was processed {times} times")


@_check(
    "rep.fail-then-retry",
    "SHOULD",
    "a delivery whose handler fails is not acknowledged, and is processed when it comes again",
    "MeetGeek sends again only what was not acknowledged: an event whose work failed is lost if it is acknowledged, or "
    "if it already counts as done",
    presupposes=("rep.processed",),
)
def _fail_then_retry(context: CheckContext) -> None:
    counter = context.counter
    if not counter.can_fail:
        context.skip("nothing makes the receiver fail: give --meetgeek-break=COMMAND and --meetgeek-heal=COMMAND")
    context.require_handler()
    before = context.processed_before()
    request = context.meetgeek.analyzed()
    with counter.failing():
        first = context.send(request)
        failed_runs = int(counter.counts_failures)
        if failed_runs and not context.wait_processed(before + 1):
            raise CheckFailure(request, "processed", first, "the handler did not run")
        if first.status in SUCCESSES:
            raise CheckFailure(request, "another status than 200: the handler failed", first)
    second = context.require_accepted(request, "HTTP 200 at the second POST")
    if not context.wait_processed(before + failed_runs + 1):
        raise CheckFailure(request, "processed at the second POST", second, "the handler did not run again")


@_check(
    "rep.lost-worker",
    "SHOULD",
    "an event whose process is killed is processed when it comes again",
    "a process may be killed at any moment (by a deployment, or for want of memory): if its claim on an event outlives "
    "it, the event is lost",
    presupposes=("rep.fail-then-retry",),
    since="1.1",
)
def _lost_worker(context: CheckContext) -> None:
    apart, handlers = context.apart, context.spy.targets
    if apart is None or not handlers:
        context.skip(_ONLY_BY_NAME)
    _require_own_database(context)
    request = context.meetgeek.analyzed()
    first = apart.kill(request, handlers)
    if first.refusal is not None:
        context.skip(f"the app does not start in a process of its own: {first.refusal}")
    if not first.killed:
        context.skip(f"the handler did not run in a process of its own (seed: {context.meetgeek.seed!r})")
    story = apart.retry(request, handlers)
    if story.refusal is not None:
        note = f"after its process was killed, the app does not start again: {story.refusal}"
        raise CheckFailure(request, "processed when it comes again", Response(NO_RESPONSE), note)
    response = story.responses[-1]
    if not story.runs[-1]:
        claimed = "what the killed process noted down counts as done"
        held = f"none of {len(story.responses)} further POSTs was: what the killed process noted down stops them"
        note = claimed if response.status in SUCCESSES else held
        raise CheckFailure(request, "processed when it comes again", response, note)
    if response.status not in SUCCESSES:
        raise CheckFailure(request, "HTTP 200 when it comes again", response)


@_check(
    "rep.fail-no-leak",
    "SHOULD",
    "the text of an exception in the handler is in no response",
    "the text of an exception may hold a password, a path or a query: log it, and respond without it",
    "CWE-209",
    presupposes=("rep.processed",),
    since="1.1",
)
def _fail_no_leak(context: CheckContext) -> None:
    _require_spy(context)
    request = context.meetgeek.analyzed()
    with context.counter.failing():
        first = context.send(request)
    # A store of responses may send the failed one again.
    for response in (first, context.send(request)):
        headers = "\n".join(value for _, value in response.headers)
        if FAILURE_TEXT in headers or FAILURE_TEXT.encode() in response.body:
            raise CheckFailure(request, "nothing of what the handler raised", response)


def _require_spy(context: CheckContext) -> Spy:
    """Make sure that the handler runs in this process, where it can be made slow or made to fail."""
    spy = context.counter.spy
    if spy is None:
        context.skip(_ONLY_HERE)
    context.require_handler()
    return spy


@_check(
    "rep.team",
    "MUST",
    "one meeting that is sent for 25 members is acknowledged each time",
    "a meeting that is shared with a team arrives once for each member, in short succession",
    presupposes=("rep.retry",),
)
def _team(context: CheckContext) -> None:
    context.require_working()
    for request in context.meetgeek.team(_TEAM):
        context.require_accepted(request)


@_check(
    "rep.two-meetings",
    "MUST",
    "two meetings are both processed",
    "every meeting is an event of its own: one that is taken for a duplicate is lost",
    presupposes=("ack.status",),
)
def _two_meetings(context: CheckContext) -> None:
    context.require_working()
    before = context.processed_before()
    context.require_accepted(context.meetgeek.analyzed())
    request = context.meetgeek.analyzed()
    response = context.require_accepted(request)
    if not context.wait_processed(before + 2):
        if not context.counts:
            context.skip(NO_HANDLER)
        note = f"of two, {context.processed() - before} was processed"
        raise CheckFailure(request, "both processed", response, note)


@_check(
    "rep.concurrent",
    "MUST",
    "ten requests at once, half of them forged, each get their own response; no genuine one is lost",
    "requests that share state (a signature, a body, an event) get mixed up; an event dropped under load is lost",
    presupposes=("ack.status",),
)
def _concurrent(context: CheckContext) -> None:
    if context.one_thread:
        context.skip(context.one_thread)
    context.require_working()
    pieces = _IN_PIECES if context.receiver.interface == "asgi" else ()

    def pair() -> list[WebhookRequest]:
        made = (context.meetgeek.analyzed(), context.meetgeek.forged("wrong-secret"))
        return [replace(request, chunks=pieces) for request in made]

    before = context.processed_before()
    alone = [response.status for response in _in_turn(context, pair())]
    if alone[0] not in SUCCESSES:
        context.skip("blocked by raw.chunked: a body in several messages is refused")
    processed_alone = context.wait_processed(before + 1)
    before = context.processed_before()
    requests = [request for _ in range(_AT_ONCE // 2) for request in pair()]
    responses = _at_once(context, requests)
    for request, response, required in zip(requests, responses, alone * (_AT_ONCE // 2), strict=True):
        if response.status != required:
            raise CheckFailure(request, f"HTTP {required}, as alone", response)
    if processed_alone and not context.wait_processed(before + _AT_ONCE // 2):
        note = f"of {_AT_ONCE // 2} genuine ones, {context.processed() - before} were processed"
        raise CheckFailure(requests[0], "each genuine one processed, as alone", responses[0], note)


@_check(
    "ack.before-work",
    "MAY",
    "whether the response waits for the work",
    "how long MeetGeek waits is not documented, and an event whose response is late three times is lost; a receiver "
    "that responds first cannot report that the work failed",
    presupposes=("rep.processed",),
    since="1.1",
)
def _before_work(context: CheckContext) -> None:
    spy = _require_spy(context)
    before = spy.count
    spy.delay = _SLOW_WORK
    try:
        # Not noted: it does not measure how fast the receiver is.
        response = context.receiver.send(context.meetgeek.analyzed())
        ran = context.wait_processed(before + 1)
    finally:
        spy.delay = 0.0
    if not ran:
        context.skip("the handler did not run")
    took = f"{response.seconds:.2f} s for work of {_SLOW_WORK:g} s"
    if response.seconds >= _SLOW_WORK * 0.9:  # clocks differ a little
        raise CheckNote(f"the response waits for the work ({took}): hand slow work off")
    raise CheckNote(f"the response does not wait for the work ({took}): MeetGeek does not learn of its failure")


# --- hdr: header names ------------------------------------------------------------------------------------------------


@_check(
    "hdr.case",
    "MUST",
    "the letter case of the header's name does not matter",
    "header names are case-insensitive: proxies and HTTP/2 write them in lower case",
    "RFC 9110 5.1",
    presupposes=("ack.status",),
)
def _header_case(context: CheckContext) -> None:
    if context.receiver.interface != "url":
        context.skip("URL only: in this process, header names have one spelling")
    context.require_working()
    for name in ("x-mg-signature", "X-MG-SIGNATURE"):
        request = context.meetgeek.analyzed()
        spelled = request.with_signature().with_header(name, request.signature)
        context.require_accepted(replace(spelled, label=name))


# --- rej: refusals ----------------------------------------------------------------------------------------------------

# What a receiver takes for genuine if it takes each of these unlike values: anything.
_UNLIKE = ("wrong-secret", "zeros", "of-other-body", "body-changed")


@_check(
    "rej.status",
    "MUST",
    "a delivery that fails validation gets a 401",
    "MeetGeek documents 401; a 2xx hides a wrongly set secret: everything looks healthy, and every event is lost",
)
def _rejection_status(context: CheckContext) -> None:
    before = context.processed_before()
    sent = {how: context.meetgeek.forged(how) for how in ("missing", *_UNLIKE)}
    received: dict[str, Response] = {}
    for how, request in sent.items():
        received[how] = context.send(request)
        context.require_response(received[how])
    if all(received[how].status in SUCCESSES for how in _UNLIKE):
        request, response = sent["wrong-secret"], received["wrong-secret"]
        if context.is_unprocessed(before):
            note = "forgeries of every kind get it; none was processed"
            raise CheckFailure(request, "HTTP 401", response, note, blocks=None)
        if context.processed() > before:
            blocks, note = "nothing is verified", "nothing is verified: forgeries of every kind are processed"
        else:
            blocks = "every forgery gets a 2xx"
            note = (
                "forgeries of every kind get it: nothing is verified, or they are dropped and the sender is told that "
                "all is well. To find out which, give --meetgeek-handler=module:function (at a URL: --meetgeek-count)"
            )
        raise CheckFailure(request, "HTTP 401", response, note, blocks=blocks)
    for how, response in received.items():
        # One that is taken for genuine is up to its own check, sig.<id>.
        if response.status not in (_UNAUTHORIZED, *SUCCESSES):
            raise CheckFailure(sent[how], "HTTP 401", response, blocks=None)


@_check(
    "rej.before-parse",
    "MUST",
    "the signature is checked before anything is parsed",
    "anyone can send a forgery: its bytes must not reach a parser before the signature is checked",
    presupposes=("rej.status",),
)
def _before_parse(context: CheckContext) -> None:
    for content_type in ("text/plain", "application/json"):
        request = context.meetgeek.raw(b"{not json", content_type=content_type, expected=_UNAUTHORIZED)
        forged = request.with_signature(context.meetgeek.signature_of(b"another body"))
        context.require_refused(replace(forged, label="unparsable"))


@_check(
    "rej.no-leak",
    "MUST",
    "a refusal holds neither the secret nor the expected signature",
    "whoever learns the expected signature of a body can send that body",
    "CWE-209",
)
def _no_leak(context: CheckContext) -> None:
    for how in ("missing", "wrong-secret", "truncated", "non-hex"):
        request = context.meetgeek.forged(how)
        response = context.send(request)
        context.require_response(response)
        expected = context.meetgeek.signature_of(request.body)
        spelled = f"{expected}|{re.escape(base64.b64encode(bytes.fromhex(expected)).decode())}".encode()
        headers = ((f"in the header {name}", value.encode()) for name, value in response.headers)
        for place, text in (("in the body", response.body), *headers):
            if re.search(spelled, text, re.IGNORECASE):
                # The value is redacted as well: with it, whoever reads the report can send this body.
                hidden = re.sub(spelled, b"[the expected signature]", response.body, flags=re.IGNORECASE)
                raise CheckFailure(
                    request, "no hint of the expected signature", Response(response.status, body=hidden), place
                )
            if redact(text, context.meetgeek.confidential) != text:
                raise CheckFailure(request, "no hint of the secret", replace(response, error=None), place)


@_check(
    "rej.one-answer",
    "SHOULD",
    "all forgeries get the same response",
    "a response that differs shows an attacker which part was wrong",
    "CWE-204",
    presupposes=("rej.status", "rej.no-leak"),
)
def _one_response(context: CheckContext) -> None:
    context.require_working()
    first: Response | None = None
    for how in ("missing", "empty", "wrong-secret", "truncated", "body-changed"):
        request = context.meetgeek.forged(how)
        response = context.send(request)
        if response.status in SUCCESSES:
            continue  # taken for genuine: that is up to its own check, sig.<id>
        if first is None:
            first = response
        elif (response.status, response.body) != (first.status, first.body):
            raise CheckFailure(request, "the same status and body as the other forgeries", response)


@_check(
    "rej.get",
    "SHOULD",
    "a GET with the signature of an empty body causes no server error, and nothing is processed",
    "the signature of an empty body is one constant for each secret: it must not open anything",
    presupposes=("rej.status", "odd.signed-garbage"),
)
def _get(context: CheckContext) -> None:
    before = context.processed_before()
    request = replace(context.meetgeek.raw(b"", content_type=None, expected=_UNAUTHORIZED), method="GET", label="get")
    response = context.require_no_crash(request)
    context.require_unprocessed(request, response, before)


@_check(
    "rej.no-log",
    "MAY",
    "what a forgery says is not in the output",
    "anyone can send a forgery: what it says in a log misleads who reads it, and fills the disk",
    "CWE-117",
    presupposes=("rej.status",),
    since="1.1",
)
def _no_log(context: CheckContext) -> None:
    if context.receiver.interface == "url":
        context.skip("only for an app in this process, whose output can be seen")
    canary = context.meetgeek.new_meeting_id()
    forged = context.meetgeek.forged("wrong-secret", context.meetgeek.analyzed(canary))
    with captured_output() as output:
        context.send(forged)
    if canary in output():
        raise CheckNote(
            "the app prints or logs what a forgery says: log its size, and the body only once it is verified"
        )


# --- cfg: the app in a process of its own, with another value in the variable of its secret ---------------------------


def _with_variable(context: CheckContext) -> StartedApart:
    if context.apart is None or context.apart.variable is None:
        context.skip("give --meetgeek-secret-env, the variable the app reads, and --meetgeek-app=module:app")
    return context.apart


def _require_own_database(context: CheckContext) -> None:
    """Skip where what the app does in a process of its own would go to a real database, or fail for want of one."""
    if has_test_database():
        context.skip("started apart, the app would not use the test database: run this check at a URL, or by `check`")


@_check(
    "cfg.unset-secret",
    "MUST",
    "without its secret the app accepts nothing",
    "a secret that is not set must stop the app, or refuse everything: 5 of 8 public receivers accept anything then",
    presupposes=("rej.status",),
)
def _unset_secret(context: CheckContext) -> None:
    apart = _with_variable(context)
    if context.send(context.meetgeek.forged("missing")).status in SUCCESSES:
        context.skip("blocked by rej.status or sig.missing: an unsigned delivery gets a 2xx with the secret, too")
    # What is accepted apart is written to Django's own database, and not to the test database.
    may_be_written = not has_test_database()
    started = False
    for state in ("removed", "empty"):
        forged = [context.meetgeek.forged(how) for how in ("missing", "empty-secret", "none-secret")]
        genuine = [context.meetgeek.analyzed()] if may_be_written else []
        responses = apart.deliver([*forged, *genuine], state)
        if responses is None:
            continue  # it does not start without its secret: that is as safe as a 401
        started = True
        for request, response in zip(forged, responses, strict=False):
            if response.status in SUCCESSES:
                raise CheckFailure(request, "anything but acceptance", response, f"{apart.variable} is {state}")
        if genuine and responses[-1].status in SUCCESSES:
            context.skip(
                f"the app reads its secret elsewhere: with {apart.variable} {state}, it accepts what the secret signs"
            )

    if started and not may_be_written:
        context.skip(
            f"without {apart.variable} nothing forged is accepted; that the app reads its secret there is not tried: "
            "a genuine delivery might be written to Django's own database"
        )


@_check(
    "cfg.padded-secret",
    "SHOULD",
    "with a newline at the end of its secret the app accepts genuine deliveries, or does not start",
    "a secret that is pasted with a newline makes every genuine delivery fail: strip it, or refuse to start",
    presupposes=("ack.status", "cfg.unset-secret"),
    since="1.1",
)
def _padded_secret(context: CheckContext) -> None:
    apart = _with_variable(context)
    _require_own_database(context)
    context.require_working()
    earlier = context.memory.results["cfg.unset-secret"]
    if earlier.outcome == "skipped":
        context.skip(earlier.reason)
    genuine = context.meetgeek.analyzed()
    responses = apart.deliver([genuine], "padded")
    if responses is not None and responses[0].status not in SUCCESSES:
        note = f"{apart.variable} has a newline at its end"
        raise CheckFailure(genuine, "HTTP 200, or an app that does not start", responses[0], note)


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
            context.require_no_crash(request, crashed=forgery.crash)
        else:
            context.require_refused(request, accepted=forgery.why, crashed=forgery.crash)

    return run


# Where the same mistake is found by another check already.
_PRESUPPOSED = {
    "blank": ("sig.empty",),
    "other-header": ("sig.missing",),
    "secret-itself": ("sig.non-hex",),
    "odd-length": ("sig.non-hex",),
    "base64": ("sig.non-hex",),
    "quoted": ("sig.non-hex",),
    "body-changed": ("sig.of-other-body",),
    "body-appended": ("sig.of-other-body", "rej.before-parse"),
    "body-newline": ("sig.of-other-body", "raw.trailing-newline"),
    "body-emptied": ("sig.of-other-body",),
    "body-bom": ("sig.of-other-body", "raw.unicode"),
    "body-reserialised": ("sig.of-other-body", "raw.spacing"),
    "body-key-order": ("sig.of-other-body", "raw.spacing"),
    "body-garbage": ("sig.of-other-body", "rej.before-parse"),
}

for _forgery in FORGERIES.values():
    _wanted = "is refused, or taken as genuine" if _forgery.level == "MAY" else "is refused"
    _check(
        f"sig.{_forgery.id}",
        _forgery.level,
        f"the forgery '{_forgery.id}' {_wanted}",
        _forgery.why,
        presupposes=("rej.status", *_PRESUPPOSED.get(_forgery.id, ())),
    )(_refuses(_forgery))


# --- rej again: what needs the checks of forgeries, and what may leave a receiver locked ------------------------------


@_check(
    "rej.empty",
    "MUST",
    "a POST with nothing at all is refused",
    "scanners send empty requests all day: each must be refused, without an error in the log",
    presupposes=("rej.status", "sig.missing"),
)
def _rejects_empty(context: CheckContext) -> None:
    context.require_refused(WebhookRequest(b"", (), expected=_UNAUTHORIZED, label="nothing"))


@_check(
    "rej.then-ack",
    "MUST",
    "after 50 forgeries a genuine delivery is accepted",
    "anyone can send forgeries: a receiver that locks the sender out after some of them locks MeetGeek out",
    presupposes=("ack.status",),
)
def _then_acknowledged(context: CheckContext) -> None:
    context.require_working()
    for _ in range(_FORGERIES_BEFORE_TRUE):
        context.send(context.meetgeek.forged("wrong-secret"))
    context.require_accepted(context.meetgeek.analyzed())


CHECKS: Mapping[str, Check] = MappingProxyType(_registered)
"""Every check by its id, in the order in which the suite runs them: what may leave a receiver locked comes last."""
