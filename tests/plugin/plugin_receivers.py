"""A right receiver in overridable steps, and the many wrong ones made from it."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import random
import re
import unicodedata

SECRET = b"a-secret-that-is-shared"


def mac(key, body, algorithm="sha256"):
    return hmac.new(key, body, algorithm).hexdigest()


class Right:
    """A right receiver. Each step is a method, for a wrong one to override."""

    secret = SECRET
    refusal = (401, b"")
    success = (200, b"")

    def __init__(self, handler=lambda event: None):
        self.handler = handler
        self.done = set()

    def signatures(self, headers):
        return [value for name, value in headers if name == "x-mg-signature"]

    def true_signature(self, body):
        return mac(self.secret, body)

    def is_genuine(self, headers, body):
        found = self.signatures(headers)
        return len(found) == 1 and self.matches(found[0], body)

    def matches(self, signature, body):
        return hmac.compare_digest(signature.encode("latin-1"), self.true_signature(body).encode())

    def parse(self, body):
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            return None

    def handle(self, event):
        self.handler(event)

    def process(self, body):
        event = self.parse(body)
        key = event.get("meeting_id") if isinstance(event, dict) else None
        if not isinstance(key, str):
            return self.success
        if key not in self.done:
            self.handle(event)
            self.done.add(key)
        return self.success

    def answer(self, method, headers, body):
        if not self.is_genuine(headers, body):
            return self.refusal
        return self.process(body)

    async def read(self, receive):
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return body

    async def asgi(self, scope, receive, send):
        assert scope["type"] == "http"
        headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        status, body, *more = await self.respond(scope["method"], headers, receive)
        sent = [(name.encode(), value.encode()) for name, value in (more[0] if more else [])]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": body})

    async def respond(self, method, headers, receive):
        return self.answer(method, headers, await self.read(receive))

    def wsgi(self, environ, start_response):
        headers = [
            (name.removeprefix("HTTP_").lower().replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_") or name == "CONTENT_TYPE"
        ]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, answer, *more = self.answer(environ["REQUEST_METHOD"], headers, body)
        start_response(f"{status} Status", more[0] if more else [])
        return [answer]


WRONG = {}


def wrong(caught_by, *, interfaces=("asgi",), name=None):
    """Enter a wrong receiver into the table, with the checks that must catch it."""

    def enter(receiver):
        base = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", receiver.__name__).lower()
        for interface in interfaces:
            WRONG[f"{base}-{interface}"] = (receiver, interface, set(caught_by.split()))
        return receiver

    return enter


BOTH = ("asgi", "wsgi")


def variant(name, caught_by, interfaces=("asgi",), **overridden):
    """Enter a wrong receiver that differs in a few attributes."""
    wrong(caught_by, interfaces=interfaces, name=name)(type(name, (Right,), overridden))


def accepts(name, caught_by, too, interfaces=("asgi",)):
    """Enter a receiver that accepts what is right, and something else as well."""

    def is_genuine(self, headers, body):
        return Right.is_genuine(self, headers, body) or bool(too(self.signatures(headers), body, headers))

    variant(name, caught_by, interfaces, is_genuine=is_genuine)


def crashes(name, caught_by, when, interfaces=("asgi",)):
    """Enter a receiver that raises at some signatures."""

    def is_genuine(self, headers, body):
        if when(self.signatures(headers), body):
            raise ValueError(name)
        return Right.is_genuine(self, headers, body)

    variant(name, caught_by, interfaces, is_genuine=is_genuine)


def one(found):
    return found[0] if len(found) == 1 else ""


# --- the acknowledgement
variant("answers-201", "ack.status", success=(201, b""))
variant("answers-202", "ack.status", BOTH, success=(202, b""))
variant("answers-204", "ack.status", success=(204, b""))
variant("redirects", "ack.status", success=(307, b"", [("location", "/hook/")]))
variant("answers-ok", "ack.empty-body", BOTH, success=(200, b"ok"))
variant("answers-null", "ack.empty-body", success=(200, b"null"))
variant("answers-braces", "ack.empty-body", success=(200, b"{}"))


@wrong("ack.failed", interfaces=BOTH)
class FailedIsAKeyError(Right):
    def process(self, body):
        event = self.parse(body)
        if isinstance(event, dict) and event.get("message") == "File analyzed failed":
            self.handle(event["meeting_id"])
        return super().process(body)


def _refusing_events(status, refused):
    def process(self, body):
        event = self.parse(body)
        if isinstance(event, dict) and refused(event):
            return (status, b"")
        return Right.process(self, body)

    return process


variant(
    "failed-is-400",
    "ack.failed",
    process=_refusing_events(400, lambda event: event.get("message") == "File analyzed failed"),
)
variant(
    "failed-is-422",
    "ack.failed",
    process=_refusing_events(422, lambda event: event.get("message") == "File analyzed failed"),
)
variant(
    "strict-model",
    "ack.extra-fields",
    process=_refusing_events(422, lambda event: set(event) - {"message", "meeting_id"}),
)
variant(
    "unknown-message-is-400",
    "ack.unknown-message",
    process=_refusing_events(400, lambda event: not str(event.get("message")).startswith("File analyzed")),
)


def _refusing_headers(status, refused):
    def answer(self, method, headers, body):
        if self.is_genuine(headers, body) and refused(dict(headers)):
            return (status, b"")
        return Right.answer(self, method, headers, body)

    return answer


variant(
    "content-type-as-a-whole",
    "ack.charset",
    BOTH,
    answer=_refusing_headers(
        415, lambda headers: headers.get("content-type", "application/json") != "application/json"
    ),
)
variant(
    "insists-on-a-content-type",
    "ack.no-content-type",
    BOTH,
    answer=_refusing_headers(422, lambda headers: "content-type" not in headers),
)
variant("csrf-by-origin", "ack.user-agent", answer=_refusing_headers(403, lambda headers: "origin" in headers))
variant(
    "known-agents-only",
    "ack.user-agent",
    answer=_refusing_headers(403, lambda headers: headers.get("user-agent", "").startswith("MeetGeek")),
)

# --- the wrong header or scheme: nothing genuine gets in
variant(
    "another-header",
    "ack.status",
    signatures=lambda self, headers: [value for name, value in headers if name == "x-hub-signature-256"],
)
variant("another-scheme", "ack.status", true_signature=lambda self, body: "sha256=" + mac(SECRET, body))
variant("signs-a-timestamp", "ack.status", true_signature=lambda self, body: mac(SECRET, b"1700000000." + body))
variant("newline-in-the-secret", "ack.status", BOTH, secret=SECRET + b"\n")
variant("compact-canonical", "ack.status", true_signature=lambda self, body: mac(SECRET, body.replace(b" ", b"")))

# --- raw bytes


def _canonical(body, **dumps):
    try:
        return json.dumps(json.loads(body), **dumps).encode()
    except (ValueError, RecursionError):
        return body


variant(
    "reserialises",
    "raw.spacing",
    BOTH,
    true_signature=lambda self, body: mac(SECRET, _canonical(body)),
)
variant("strips", "raw.trailing-newline", BOTH, true_signature=lambda self, body: mac(SECRET, body.strip()))
variant(
    "squeezes-space",
    "raw.spacing",
    true_signature=lambda self, body: mac(SECRET, re.sub(rb"\s+", b" ", body.rstrip(b"\n"))),
)
variant(
    "expects-a-space",
    "raw.compact",
    process=lambda self, body: Right.process(self, body) if b'":"' not in body else (400, b""),
)
variant(
    "normalises",
    "raw.unicode",
    true_signature=lambda self, body: mac(
        SECRET, unicodedata.normalize("NFC", body.decode("utf-8", "replace")).encode()
    ),
)
variant(
    "reads-ascii",
    "raw.unicode",
    true_signature=lambda self, body: mac(SECRET, body.decode("ascii", "ignore").encode()),
)
variant(
    "skips-what-is-no-text",
    "raw.unicode",
    BOTH,
    true_signature=lambda self, body: mac(SECRET, body.decode("utf-8", "ignore").encode()),
)
variant("cuts-large-bodies", "raw.large", BOTH, true_signature=lambda self, body: mac(SECRET, body[:100_000]))
variant(
    "refuses-large-bodies",
    "raw.large",
    answer=lambda self, method, headers, body: (
        (413, b"") if 100_000 < len(body) < 550_000 and b"[" not in body else Right.answer(self, method, headers, body)
    ),
)


@wrong("raw.chunked")
class ReceivesOnce(Right):
    async def read(self, receive):
        return (await receive()).get("body", b"")


@wrong("raw.chunked")
class StopsAtAnEmptyMessage(Right):
    async def read(self, receive):
        body = b""
        while piece := (message := await receive()).get("body", b""):
            body += piece
            if not message["more_body"]:
                break
        return body


# --- signed, but odd
variant("trusts-json", "odd.signed-garbage", BOTH, parse=lambda self, body: json.loads(body))


@wrong("odd.signed-garbage")
class ExpectsAnObject(Right):
    def process(self, body):
        event = self.parse(body) or {}
        event.get("message")
        return super().process(body)


@wrong("odd.meeting-id-types", interfaces=BOTH)
class ExpectsText(Right):
    def process(self, body):
        event = self.parse(body)
        if isinstance(event, dict) and "meeting_id" in event:
            event["meeting_id"].strip()
        return super().process(body)


# --- the same event again


@wrong("rep.processed", interfaces=BOTH)
class DoesNothing(Right):
    def handle(self, event):
        # The first event reaches the handler; then the queue is full, and nobody notices.
        if not self.done:
            super().handle(event)


@wrong("rep.two-meetings rep.fail-then-retry", interfaces=BOTH)
class WorksOnce(Right):
    """The worker dies after its first event; the receiver answers 200 all the same."""

    def handle(self, event):
        if getattr(self.handler, "count", 0) == 0:
            super().handle(event)


@wrong("rep.retry", interfaces=BOTH)
class RefusesDuplicates(Right):
    def process(self, body):
        event = self.parse(body)
        if isinstance(event, dict) and event.get("meeting_id") in [known for known in self.done if known]:
            return (409, b"")
        return super().process(body)


@wrong("rep.idempotent", interfaces=BOTH)
class ForgetsDuplicates(Right):
    def process(self, body):
        self.done.clear()
        return super().process(body)


@wrong("rep.idempotent")
class LooksUpTooEarly(Right):
    async def wait(self):
        await asyncio.sleep(0)

    async def respond(self, method, headers, receive):
        body = await self.read(receive)
        event = self.parse(body)
        if (
            not self.is_genuine(headers, body)
            or not isinstance(event, dict)
            or not isinstance(event.get("meeting_id"), str)
        ):
            return self.answer(method, headers, body)
        known = event["meeting_id"] in self.done
        await self.wait()
        if not known:
            self.handle(event)
            self.done.add(event["meeting_id"])
        return self.success


@wrong("rep.idempotent")
class SleepsAtRandom(LooksUpTooEarly):
    async def wait(self):
        await asyncio.sleep(random.uniform(0.001, 0.003))


@wrong("rep.fail-then-retry", interfaces=BOTH)
class SwallowsFailure(Right):
    def handle(self, event):
        try:
            self.handler(event)
        except Exception:
            print("own failure")


@wrong("rep.fail-then-retry", interfaces=BOTH)
class TellsOfItsFailure(Right):
    def process(self, body):
        try:
            return super().process(body)
        except Exception:
            return (200, b'{"error": "no database"}')


@wrong("rep.fail-then-retry", interfaces=BOTH)
class RemembersTooEarly(Right):
    def process(self, body):
        event = self.parse(body)
        key = event.get("meeting_id") if isinstance(event, dict) else None
        if isinstance(key, str) and key not in self.done:
            self.done.add(key)
            self.handle(event)
        return self.success


@wrong("rep.fail-then-retry")
class AcknowledgesFirst(Right):
    def __init__(self, handler=lambda event: None):
        super().__init__(handler)
        self.tasks = set()

    async def later(self, event):
        try:
            self.handler(event)
        except Exception:
            print("own failure")

    def handle(self, event):
        task = asyncio.get_running_loop().create_task(self.later(event))
        self.tasks.add(task)


@wrong("rep.fail-no-leak", interfaces=BOTH)
class ShowsItsFailure(Right):
    def process(self, body):
        try:
            return super().process(body)
        except RuntimeError as error:
            return (500, str(error).encode())


@wrong("rep.fail-no-leak")
class ShowsItsFailureInAHeader(Right):
    def process(self, body):
        try:
            return super().process(body)
        except RuntimeError as error:
            return (500, b"", [("x-error", str(error))])


@wrong("rep.fail-no-leak rep.fail-then-retry")
class ShowsItsFailureLater(Right):
    def __init__(self, handler=lambda event: None):
        super().__init__(handler)
        self.shown = {}

    def process(self, body):
        if body in self.shown:
            return (200, self.shown.pop(body))
        try:
            return super().process(body)
        except RuntimeError as error:
            self.shown[body] = str(error).encode()
            raise


@wrong("rep.team")
class LimitsMeetings(Right):
    def __init__(self, handler=lambda event: None):
        super().__init__(handler)
        self.seen = {}

    def process(self, body):
        self.seen[body] = self.seen.get(body, 0) + 1
        return (429, b"") if self.seen[body] > 10 else super().process(body)


@wrong("rep.two-meetings rep.processed", interfaces=BOTH)
class OneMessageOneEvent(Right):
    """Tells duplicates by the message: after the first meeting every other one counts as done."""

    def process(self, body):
        event = self.parse(body)
        key = event.get("message") if isinstance(event, dict) else None
        if isinstance(key, str) and key not in self.done:
            self.handle(event)
            self.done.add(key)
        return self.success


@wrong("rep.concurrent")
class SharedSignature(Right):
    async def respond(self, method, headers, receive):
        self.kept = headers
        body = await self.read(receive)
        return self.answer(method, self.kept, body)


@wrong("rep.concurrent")
class SharedBody(Right):
    async def read(self, receive):
        self.body = b""
        more = True
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        return self.body


class TakesItsTime(Right):
    """Does something between the check and the work, such as a question to a database."""

    async def respond(self, method, headers, receive):
        body = await self.read(receive)
        if self.is_genuine(headers, body):
            self.body = body
            await asyncio.sleep(0.001)
        return self.answer(method, headers, body)


@wrong("rep.concurrent")
class SharedEvent(TakesItsTime):
    def process(self, body):
        return super().process(self.body)


@wrong("rep.concurrent")
class DropsWhenBusy(Right):
    busy = False

    async def respond(self, method, headers, receive):
        body = await self.read(receive)
        if not self.is_genuine(headers, body):
            return self.refusal
        if self.busy:
            return self.success
        self.busy = True
        try:
            await asyncio.sleep(0.001)
            return self.process(body)
        finally:
            self.busy = False


# --- refusals
variant("forbids", "rej.status", BOTH, refusal=(403, b""))
variant("bad-request", "rej.status", refusal=(400, b"bad signature"))
variant("not-found", "rej.status", refusal=(404, b""))
variant("bad-signature-gets-200", "rej.status", BOTH, refusal=(200, b""))
variant("bad-signature-is-ignored", "rej.status", refusal=(202, b'{"status": "ignored"}'))
variant("bad-signature-gets-500", "rej.status", refusal=(500, b""))


@wrong("rej.status", interfaces=BOTH)
class RefusesByRaising(Right):
    def answer(self, method, headers, body):
        if not self.is_genuine(headers, body):
            raise PermissionError("bad signature")
        return self.process(body)


@wrong("rej.before-parse", interfaces=BOTH)
class ParsesFirst(Right):
    def answer(self, method, headers, body):
        try:
            if body:
                json.loads(body)
        except ValueError:
            return (400, b"")
        except RecursionError:
            return super().answer(method, headers, body) if self.is_genuine(headers, body) else self.refusal
        return super().answer(method, headers, body)


@wrong("rej.before-parse")
class TenantFromTheBody(Right):
    """Chooses the secret by what the body says, before anything vouches for it."""

    def answer(self, method, headers, body):
        if self.is_genuine(headers, body):
            return super().answer(method, headers, body)
        if body:
            self.secret = {None: SECRET, "other": b"other"}[json.loads(body).get("tenant")]
        return self.refusal


@wrong("rej.before-parse")
class ContentTypeFirst(Right):
    def answer(self, method, headers, body):
        if dict(headers).get("content-type") == "text/plain":
            return (415, b"")
        return super().answer(method, headers, body)


@wrong("rej.empty")
class CrashesAtNothing(Right):
    def answer(self, method, headers, body):
        if not body and not self.signatures(headers):
            raise IndexError("nothing")
        return super().answer(method, headers, body)


def _leaking(leak):
    def answer(self, method, headers, body):
        return leak(self.true_signature(body)) if not self.is_genuine(headers, body) else self.process(body)

    return answer


variant("leaks-the-signature", "rej.no-leak", BOTH, answer=_leaking(lambda true: (401, b"expected " + true.encode())))
variant("leaks-in-a-header", "rej.no-leak", answer=_leaking(lambda true: (401, b"", [("x-expected", true.upper())])))
variant("leaks-the-secret", "rej.no-leak", answer=_leaking(lambda true: (401, b"not signed with " + SECRET)))
variant("leaks-base64", "rej.no-leak", answer=_leaking(lambda true: (401, base64.b64encode(bytes.fromhex(true)))))


@wrong("rej.one-answer")
class TellsTheReason(Right):
    def answer(self, method, headers, body):
        if not self.is_genuine(headers, body):
            return (401, b"wrong length" if len(one(self.signatures(headers))) != 64 else b"wrong signature")
        return self.process(body)


@wrong("rej.get", interfaces=BOTH)
class CrashesAtGet(Right):
    def answer(self, method, headers, body):
        if method == "GET":
            raise NotImplementedError
        return super().answer(method, headers, body)


@wrong("rej.get")
class ProcessesGet(Right):
    def answer(self, method, headers, body):
        if method == "GET" and self.is_genuine(headers, body):
            self.handler({"message": "from a GET"})
            return self.success
        return super().answer(method, headers, body)


@wrong("rej.then-ack")
class LocksOut(Right):
    refused = 0

    def answer(self, method, headers, body):
        if self.refused > 20:
            return (429, b"")
        genuine = self.is_genuine(headers, body)
        self.refused = 0 if genuine else self.refused + 1
        return super().answer(method, headers, body)


@wrong("rej.then-ack", interfaces=BOTH)
class NeverForgives(Right):
    refused = 0

    def answer(self, method, headers, body):
        self.refused += not self.is_genuine(headers, body)
        return self.refusal if self.refused > 40 else super().answer(method, headers, body)


# --- forgeries
variant(
    "no-verification",
    "rej.status",
    is_genuine=lambda self, headers, body: True,
)
accepts("skips-the-check", "sig.missing", lambda found, body, headers: not found, BOTH)
accepts("empty-is-none", "sig.empty", lambda found, body, headers: found == [""])
accepts("blank-is-none", "sig.blank", lambda found, body, headers: one(found).isspace(), BOTH)
accepts(
    "other-headers-too",
    "sig.other-header",
    lambda found, body, headers: dict(headers).get("x-signature") == mac(SECRET, body),
)
accepts(
    "checks-the-form-only",
    "rej.status",
    lambda found, body, headers: re.fullmatch("[0-9a-f]{64}", one(found)),
)
accepts("another-key-too", "sig.wrong-secret", lambda found, body, headers: one(found) == mac(b"not-" + SECRET, body))
accepts("empty-key-too", "sig.empty-secret", lambda found, body, headers: one(found) == mac(b"", body))
accepts("none-key-too", "sig.none-secret", lambda found, body, headers: one(found) == mac(b"None", body), BOTH)
accepts(
    "test-key-too", "sig.test-secret", lambda found, body, headers: one(found) == mac(b"meetgeek-test-secret", body)
)
accepts(
    "starts-with",
    "sig.truncated sig.one-char",
    lambda found, body, headers: one(found) and mac(SECRET, body).startswith(one(found)),
)
accepts("ignores-the-rest", "sig.extended", lambda found, body, headers: one(found).startswith(mac(SECRET, body)))
accepts("half-is-enough", "sig.truncated", lambda found, body, headers: one(found) == mac(SECRET, body)[:32])
accepts(
    "all-but-the-last-digit",
    "sig.one-bit",
    lambda found, body, headers: one(found)[:-1] == mac(SECRET, body)[:-1] and len(one(found)) == 64,
)
accepts("zeros-are-a-signature", "sig.zeros", lambda found, body, headers: one(found) == "0" * 64)
crashes(
    "decodes-hex",
    "sig.non-hex",
    lambda found, body: (
        one(found).isascii() and one(found).strip() and len(one(found)) < 70 and not _is_hex(one(found))
    ),
    BOTH,
)


def _is_hex(text):
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return True


crashes("half-a-byte", "sig.odd-length", lambda found, body: len(one(found)) == 63)
variant(
    "compares-text",
    "sig.non-ascii",
    BOTH,
    matches=lambda self, signature, body: hmac.compare_digest(signature, self.true_signature(body)),
)
crashes("parses-before-measuring", "sig.huge", lambda found, body: len(one(found)) > 8192, BOTH)
accepts("api-key", "sig.secret-itself", lambda found, body, headers: one(found).encode() == SECRET)
accepts("sha1-too", "sig.sha1", lambda found, body, headers: one(found) == mac(SECRET, body, "sha1"))
accepts("sha512-too", "sig.sha512", lambda found, body, headers: one(found) == mac(SECRET, body, "sha512"))
accepts(
    "plain-hash-too",
    "sig.plain-hash",
    lambda found, body, headers: one(found) == hashlib.sha256(SECRET + body).hexdigest(),
)
accepts("unkeyed-too", "sig.unkeyed", lambda found, body, headers: one(found) == hashlib.sha256(body).hexdigest())
accepts("swapped-too", "sig.swapped", lambda found, body, headers: one(found) == mac(body, SECRET))
accepts("mac-of-nothing", "sig.of-empty-body", lambda found, body, headers: one(found) == mac(SECRET, b""), BOTH)


@wrong("sig.of-other-body")
class RemembersSignatures(Right):
    def __init__(self, handler=lambda event: None):
        super().__init__(handler)
        self.known = set()

    def matches(self, signature, body):
        if signature not in self.known and not super().matches(signature, body):
            return False
        self.known.add(signature)
        return True


@wrong("sig.body-changed")
class RemembersByMessage(RemembersSignatures):
    def matches(self, signature, body):
        known = (signature, len(body), body[:40])
        if known not in self.known and not Right.matches(self, signature, body):
            return False
        self.known.add(known)
        return True


accepts(
    "ignores-what-follows",
    "sig.body-appended",
    lambda found, body, headers: (
        b"}" in body and one(found) == mac(SECRET, body[: body.rindex(b"}") + 1]) and not body.endswith(b"\n")
    ),
)
accepts(
    "strips-newlines-too",
    "sig.body-newline",
    lambda found, body, headers: one(found) == mac(SECRET, body.rstrip(b"\n")),
    BOTH,
)
accepts(
    "empty-needs-no-check",
    "sig.body-emptied",
    lambda found, body, headers: not body and len(one(found)) == 64 and one(found) != mac(SECRET, b"{}"),
)
accepts(
    "skips-a-mark",
    "sig.body-bom",
    lambda found, body, headers: one(found) == mac(SECRET, body.removeprefix(b"\xef\xbb\xbf")),
)
accepts(
    "reserialised-too",
    "sig.body-reserialised",
    lambda found, body, headers: one(found) == mac(SECRET, _canonical(body)),
)


def _in_documented_order(body):
    try:
        event = json.loads(body)
        return json.dumps({"message": event["message"], "meeting_id": event["meeting_id"]}).encode()
    except (ValueError, RecursionError, KeyError, TypeError):
        return body


accepts(
    "any-key-order",
    "sig.body-key-order",
    lambda found, body, headers: b'": "' in body and one(found) == mac(SECRET, _in_documented_order(body)),
)
crashes("decodes-first", "sig.body-garbage", lambda found, body: b"\xff\xfe" in body, BOTH)
accepts("takes-the-last", "sig.two-bad-first", lambda found, body, headers: found and found[-1] == mac(SECRET, body))
accepts("takes-the-first", "sig.two-bad-last", lambda found, body, headers: found and found[0] == mac(SECRET, body))
accepts(
    "any-of-a-list", "sig.list-value", lambda found, body, headers: mac(SECRET, body) in one(found).split(","), BOTH
)
crashes("asserts-one", "sig.two-same", lambda found, body: len(found) > 1)
crashes("lower-case-only", "sig.upper-case", lambda found, body: one(found) != one(found).lower(), BOTH)
crashes("splits-at-equals", "sig.prefixed", lambda found, body: one(found).startswith("sha256="))
crashes("chokes-on-base64", "sig.base64", lambda found, body: one(found).endswith("="))
crashes("splits-words", "sig.inner-space", lambda found, body: len(one(found).split()) == 2)
crashes("chokes-on-quotes", "sig.quoted", lambda found, body: one(found).startswith('"'))


# --- notes: neither right nor wrong, so no check fails for them


class PrintsForgeries(Right):
    def answer(self, method, headers, body):
        if not self.is_genuine(headers, body):
            print("bad signature for", body)
        return super().answer(method, headers, body)


class LogsForgeries(Right):
    logger = logging.getLogger("plugin_receivers")

    def answer(self, method, headers, body):
        if not self.is_genuine(headers, body):
            self.logger.warning("bad signature for %s", body)
        return super().answer(method, headers, body)


class LogsForgeriesElsewhere(LogsForgeries):
    """Logs to a logger whose records reach no other."""

    logger = logging.getLogger("plugin_receivers.alone")
    logger.propagate = False


class LogsSizes(Right):
    def answer(self, method, headers, body):
        if not self.is_genuine(headers, body):
            logging.getLogger("plugin_receivers").warning("bad signature, %d bytes", len(body))
        return super().answer(method, headers, body)
