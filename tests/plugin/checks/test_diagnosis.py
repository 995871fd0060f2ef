"""Where nothing is accepted, the reason is named; and no text names a mistake that was not made."""

import base64
import hashlib
import hmac
import json
from functools import partial

import pytest
from plugin_findings import failed, findings
from plugin_receivers import SECRET, Right

from pytest_meetgeek import CHECKS, MeetGeek, Receiver
from pytest_meetgeek.checks.check import run_check
from pytest_meetgeek.checks.context import CheckContext


def mac(body, key=SECRET):
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def mac_of_json(body, **dumps):
    return mac(json.dumps(json.loads(body), **dumps).encode())


def receiver_of(header, value):
    """A receiver that compares a header with a value of its own."""

    class Other(Right):
        def is_genuine(self, headers, body):
            return dict(headers).get(header) == value(body)

    return Other()


def found_in(app, secret=SECRET, **options):
    with Receiver(app, **options) as receiver:
        return run_check(CHECKS["ack.status"], CheckContext(MeetGeek(secret), receiver))


@pytest.mark.parametrize(
    ("header", "value", "note"),
    [
        *(
            (name.lower(), mac, f"the app reads the signature from {name}; MeetGeek sends it in X-MG-Signature, *")
            for name in ("X-MeetGeek-Signature", "X-Signature", "X-Hub-Signature-256", "X-Webhook-Signature")
        ),
        (
            "x-hub-signature-256",
            lambda body: f"sha256={mac(body)}",
            "the app reads the signature from X-Hub-Signature-256, prefixed with 'sha256='; MeetGeek *",
        ),
        ("x-mg-signature", lambda body: f"sha256={mac(body)}", "the app expects the prefix 'sha256='; MeetGeek *"),
        ("x-webhook-secret", lambda body: SECRET.decode(), "the app expects the secret itself in X-Webhook-Secret; *"),
        ("authorization", lambda body: f"Bearer {SECRET.decode()}", "the app expects the secret itself in Author*"),
        ("x-mg-signature", lambda body: mac(body, SECRET + b"\n"), "the app's secret ends in a newline, unlike *"),
        ("x-mg-signature", lambda body: mac(body, SECRET + b"\r\n"), "the app's secret ends in CR and LF, unlike *"),
        *(
            ("x-mg-signature", partial(mac_of_json, **dumps), "the app hashes JSON that it parsed and wrote again; *")
            for dumps in (
                {"separators": (",", ":")},
                {"separators": (",", ":"), "sort_keys": True},
                {"sort_keys": True},
            )
        ),
        ("x-mg-signature", lambda body: mac(body, b"another"), "the genuine signature is refused: does the app *"),
    ],
)
def test_what_the_app_expects_is_named(header, value, note, request):
    result = found_in(receiver_of(header, value).asgi)
    assert result.outcome == "failed"
    start, _, _ = note.partition("*")
    assert result.note.startswith(start)
    assert SECRET.decode() not in result.text


def test_a_secret_that_is_padded_here_is_named():
    result = found_in(Right().asgi, SECRET + b" ")
    assert result.note.startswith("the app's secret has no white space around it")


@pytest.mark.parametrize(
    ("status", "headers", "note"),
    [
        (307, [("location", "/hook/")], "redirected to /hook/: MeetGeek is not known to follow redirects"),
        (302, [], "redirected to nowhere"),
        (
            301,
            [("location", "https://testserver/")],
            "redirected to https://testserver/: the app insists on HTTPS; for this run, let it accept HTTP",
        ),
        (403, [], "is the webhook exempt from CSRF protection and from login?"),
        (404, [], "is the webhook at this path? (--meetgeek-path, ini: meetgeek_path)"),
        (418, [], ""),
        (202, [], ""),
    ],
)
def test_a_status_has_its_usual_cause(status, headers, note):
    class Other(Right):
        success = refusal = (status, b"", headers)

    assert found_in(Other().asgi).note.startswith(note)
    assert bool(found_in(Other().asgi).note) == bool(note)


async def hangs(scope, receive, send):
    assert scope["type"] == "http"
    await receive()
    await receive()


def test_a_time_out_says_so():
    result = found_in(hangs, timeout=0.05)
    assert (result.note, result.received) == ("no response within 0.05 s", "no response within 0.05 s")


def test_nobody_at_the_url_is_not_explained_further():
    assert found_in("http://127.0.0.1:1/").note == ""


@pytest.mark.parametrize(
    ("refuse", "received", "note"),
    [
        (lambda true: (401, true.encode()), "24 bytes of body: '[the expected signature]'", "in the body"),
        (
            lambda true: (401, base64.b64encode(bytes.fromhex(true))),
            "24 bytes of body: '[the expected signature]'",
            "in the body",
        ),
        (lambda true: (401, b"No", [("X-Not", true.upper())]), "2 bytes of body: 'No'", "in the header X-Not"),
        (lambda true: (401, b"No " + SECRET), f"{3 + len(SECRET)} bytes of body: 'No [secret]'", "in the body"),
        (lambda true: (401, b"No", [("X-Not", SECRET.decode())]), "2 bytes of body: 'No'", "in the header X-Not"),
    ],
    ids=["hexadecimal", "base64", "hexadecimal in a header", "the secret", "the secret in a header"],
)
def test_a_leak_is_where_it_is_and_is_not_shown(refuse, received, note):
    class Leaks(Right):
        def answer(self, method, headers, body):
            return self.process(body) if self.is_genuine(headers, body) else refuse(self.true_signature(body))

    receiver = Leaks()
    result = findings(receiver.wsgi, "wsgi", receiver)["rej.no-leak"]
    assert (result.received, result.note) == (f"HTTP 401, {received}", note)


class RefusesFailed(Right):
    status = 400

    def process(self, body):
        return (self.status, b"") if b"failed" in body else super().process(body)


class CrashesAtFailed(RefusesFailed):
    status = 500


def test_a_refusal_on_purpose_is_not_called_a_crash():
    def note(make):
        receiver = make()
        return findings(receiver.asgi, "asgi", receiver)["ack.failed"].note

    assert note(RefusesFailed) == (
        "the receiver refuses an event without a meeting_id, or takes it for a duplicate: all are the same"
    )
    assert note(CrashesAtFailed) == "the handler probably needs a meeting_id, which this event does not have"


def test_a_time_out_later_says_so():
    class Slow(Right):
        async def asgi(self, scope, receive, send):
            async def slow(message):
                await send(message)

            body = b"" if scope["type"] != "http" else await self.read(receive)
            if b"failed" in body:
                return await hangs(scope, receive, send)

            async def again():
                return {"type": "http.request", "body": body, "more_body": False}

            return await super().asgi(scope, again, slow)

    with Receiver(Slow().asgi, timeout=0.05) as receiver:
        result = run_check(CHECKS["ack.failed"], CheckContext(MeetGeek(SECRET), receiver))
    assert result.note == "no response within 0.05 s"


def test_the_why_of_a_forgery_follows_what_came_back():
    class Accepts(Right):
        def matches(self, signature, body):
            return not signature.isalnum() or super().matches(signature, body)

    class Crashes(Right):
        def matches(self, signature, body):
            bytes.fromhex(signature)
            return super().matches(signature, body)

    class Tells(Right):
        def answer(self, method, headers, body):
            odd = any(len(value) == 65 or "z" in value for value in self.signatures(headers))
            return (422, b"") if odd else super().answer(method, headers, body)

    whys = [findings(make().asgi)["sig.non-hex"].why for make in (Crashes, Tells)]
    assert whys[0].startswith("decoding a value that is not hexadecimal raises an error")
    assert whys[1] == "this forgery is refused in another way than the others: an attacker can tell them apart"
    assert "sig.non-hex" not in failed(findings(Accepts().asgi))


@pytest.mark.parametrize(
    ("check_id", "variable", "again"),
    [
        ("ack.status", "SHOP_SECRET", '| MEETGEEK_WEBHOOK_SECRET="$SHOP_SECRET" mg-middleware sign -)"'),
        ("ack.status", None, None),
        (
            "rej.status",
            "SHOP_SECRET",
            "--to http://127.0.0.1:1/ --forge one-bit --meetgeek-secret-env SHOP_SECRET",
        ),
        ("rej.before-parse", "SHOP_SECRET", None),
        ("rej.empty", "SHOP_SECRET", "curl -i -X POST"),
    ],
)
def test_no_line_to_send_again_holds_a_signature_of_a_real_secret(check_id, variable, again, monkeypatch):
    from pytest_meetgeek import Response
    from pytest_meetgeek.checks.result import CheckFailure

    def run(context):
        requests = {
            "ack.status": context.meetgeek.analyzed(),
            "rej.status": context.meetgeek.forged("one-bit"),
            "rej.before-parse": context.meetgeek.analyzed().with_body(b"another"),
            "rej.empty": context.meetgeek.analyzed().with_signature(),
        }
        raise CheckFailure(requests[check_id], "another", Response(418))

    from dataclasses import replace

    with Receiver("http://127.0.0.1:1/") as receiver:
        context = CheckContext(MeetGeek(SECRET), receiver, secret_variable=variable)
        text = run_check(replace(CHECKS[check_id], run=run, presupposes=()), context).text
    if again is None:
        assert "again:" not in text
    else:
        assert again in text
    assert mac(b"another") not in text
    assert not [word for word in text.split() if len(word.strip("'\"")) == 64]
