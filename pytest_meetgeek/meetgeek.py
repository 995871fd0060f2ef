"""The fake MeetGeek: it makes events, signs them, sends them as MeetGeek does, and judges the responses."""

from __future__ import annotations

import inspect
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_meetgeek.drivers.event_loop import background
from pytest_meetgeek.forgeries import FORGERIES, TEST_SECRET, forge
from pytest_meetgeek.receiver import Receiver, Send, refuse_in_async_code
from pytest_meetgeek.recording import Recording
from pytest_meetgeek.request import SIGNATURE_HEADER, WebhookRequest, keyed_digest, to_key
from pytest_meetgeek.response import Response, normalise, spellings

if TYPE_CHECKING:
    import os

    from pytest_meetgeek.spy import Spy

__all__ = ["DeliveryRecord", "MeetGeek"]

SUCCEEDED = "File analyzed successfully"
FAILED = "File analyzed failed"
MOST_POSTS = 3

_NAMESPACE = uuid.UUID("7d4b2c1e-5a0f-5e0b-9a3e-2f6c8d1b4a70")
_UNAUTHORIZED = 401

Between = Callable[[Response], object]


@dataclass
class DeliveryRecord:
    """The result of one delivery.

    Args:
        request: What was sent, each time the same.
        attempts: The responses, at most three.
        acknowledged: Whether the last response was 200 with no body.
        confidential: Values to redact in texts.
    """

    request: WebhookRequest
    attempts: list[Response] = field(default_factory=list[Response])
    acknowledged: bool = False
    confidential: tuple[bytes, ...] = field(default=(), repr=False, compare=False)

    def explain(self) -> str:
        """Describe the delivery, with a few lines for each POST."""
        lines = [f"sent: {self.request.describe('')}"]
        for number, attempt in enumerate(self.attempts, start=1):
            lines.append(f"POST {number}: {attempt.describe(self.confidential)}")
        posts = f"{len(self.attempts)} POST{'' if len(self.attempts) == 1 else 's'}"
        if self.acknowledged:
            lines.append(f"acknowledged after {posts}")
        else:
            lines.append(f"MeetGeek gives up after {posts}: the event is lost")
        return "\n".join(lines)


class MeetGeek:
    """The fake MeetGeek.

    Not for sending to receivers in production: its events are made up, and its forgeries are meant to be refused.

    Args:
        secret: The secret it shares with the receiver; `str` is encoded as UTF-8. No repr and no message shows it.
        seed: Meeting ids are made from it, so that every run makes the same ones.

    Raises:
        TypeError: The secret is neither `str` nor `bytes`.
        ValueError: The secret is empty.
    """

    def __init__(self, secret: str | bytes, seed: str = "") -> None:
        __tracebackhide__ = True
        self._key = to_key(secret)
        self._seed = seed
        self._made = 0

    def __repr__(self) -> str:
        return f"<MeetGeek seed={self._seed!r}>"

    @property
    def seed(self) -> str:
        """What its meeting ids are made from."""
        return self._seed

    def derive(self, name: str) -> MeetGeek:
        """Make another MeetGeek with the same secret and other meeting ids.

        Args:
            name: What distinguishes it from this one.
        """
        return MeetGeek(self._key, seed=f"{self._seed}:{name}")

    def new_meeting_id(self) -> str:
        """Make the next meeting id: a UUID that is derived from the seed."""
        self._made += 1
        return str(uuid.uuid5(_NAMESPACE, f"{self._seed}:{self._made}"))

    def analyzed(self, meeting_id: str | None = None, **extra: object) -> WebhookRequest:
        """Make a signed "File analyzed successfully".

        Args:
            meeting_id: The meeting; a new one if None.
            extra: Further fields of the JSON object.
        """
        meeting_id = self.new_meeting_id() if meeting_id is None else meeting_id
        body = json.dumps({"message": SUCCEEDED, "meeting_id": meeting_id, **extra}).encode()
        return self.raw(body, meeting_id=meeting_id, label="analyzed")

    def failed(self, **extra: object) -> WebhookRequest:
        """Make a signed "File analyzed failed", which has no meeting id, as documented.

        Args:
            extra: Further fields of the JSON object.
        """
        return self.raw(json.dumps({"message": FAILED, **extra}).encode(), label="failed")

    def json(self, obj: object, **dumps: Any) -> WebhookRequest:  # handed on to json.dumps
        """Make a signed request from any object.

        Args:
            obj: What `json.dumps` takes.
            dumps: Arguments of `json.dumps`, such as `separators` and `ensure_ascii`.
        """
        return self.raw(json.dumps(obj, **dumps).encode(), label="json")

    def raw(
        self,
        body: bytes,
        *,
        secret: str | bytes | None = None,
        content_type: str | None = "application/json",
        meeting_id: str | None = None,
        label: str = "raw",
        expected: int = 200,
    ) -> WebhookRequest:
        """Make a signed request with exactly these bytes as its body.

        Args:
            body: The bytes.
            secret: Another secret than the shared one.
            content_type: The content type; None sends none.
            meeting_id: The id in the body, if it has one.
            label: A short name, for messages.
            expected: The HTTP status of a right response.

        Raises:
            TypeError: The secret is neither `str` nor `bytes`.
            ValueError: The secret is empty.
        """
        __tracebackhide__ = True
        signature = keyed_digest(self._key if secret is None else to_key(secret), body).hex()
        typed = () if content_type is None else (("Content-Type", content_type),)
        return WebhookRequest(
            body=body,
            headers=(*typed, (SIGNATURE_HEADER, signature)),
            expected=expected,
            label=label,
            meeting_id=meeting_id,
        )

    def recorded(self, path: str | os.PathLike[str]) -> WebhookRequest:
        """Make a request from a recorded delivery (`mg-middleware serve --record DIR`), signed with this secret.

        Body and header fields are the recorded ones, byte for byte; the signature is new, since none is recorded.

        Args:
            path: The file of the recording.

        Raises:
            OSError: The file can't be read.
            ValueError: The file isn't a recording.
        """
        recording = Recording.read(path)
        meeting_id = recording.meeting_id
        request = self.raw(recording.body, content_type=None, meeting_id=meeting_id, label="recorded")
        return replace(request, method=recording.method, headers=(*recording.headers_to_send(), *request.headers))

    def missigned(self, respell: Callable[[bytes], bytes]) -> WebhookRequest:
        """Make a "File analyzed successfully" that is signed with another spelling of the secret.

        Not one of the forgeries: it finds out what is wrong with a receiver that accepts nothing.

        Args:
            respell: Takes the key, returns the other spelling; the key itself if nothing would be left.
        """
        genuine = self.analyzed()
        return genuine.with_signature(keyed_digest(respell(self._key) or self._key, genuine.body).hex())

    def forged(self, how: str, base: WebhookRequest | None = None) -> WebhookRequest:
        """Forge a request in one of the ways of the catalogue.

        Args:
            how: The id of the forgery, a key of `FORGERIES`.
            base: The genuine request to forge; a new "File analyzed successfully" if None.

        Raises:
            LookupError: There is no such forgery; the message names the nearest.
            ValueError: The body of `base` cannot be forged in this way.
        """
        __tracebackhide__ = True
        return forge(how, self.analyzed() if base is None else base, self._key)

    def team(self, members: int, meeting_id: str | None = None) -> list[WebhookRequest]:
        """Make the requests for one meeting that is shared with a team: one for each member with view access.

        Args:
            members: How many.
            meeting_id: The meeting; a new one if None.
        """
        meeting_id = self.new_meeting_id() if meeting_id is None else meeting_id
        return [self.analyzed(meeting_id) for _ in range(members)]

    def deliver(
        self, receiver: object, request: WebhookRequest, *, path: str = "/", between: Between | None = None
    ) -> DeliveryRecord:
        """Deliver as MeetGeek does: the same bytes up to three times, until the response is 200 with no body.

        Not in async code: use `adeliver`. There is no pause between the POSTs (MeetGeek's own is not known).

        Args:
            receiver: A Receiver; or an ASGI app, a WSGI app or a loopback URL, which is run for this delivery only.
            request: What to deliver.
            path: Where, if the receiver has no path of its own.
            between: Called with each response that did not acknowledge, before the next POST.
        """
        refuse_in_async_code("deliver", "adeliver")
        return self.fan_out(receiver, [request], path=path, between=between)[0]

    async def adeliver(
        self, receiver: object, request: WebhookRequest, *, path: str = "/", between: Between | None = None
    ) -> DeliveryRecord:
        """Deliver from async code, as `deliver` does.

        Args:
            receiver: As in `deliver`.
            request: What to deliver.
            path: Where, if the receiver has no path of its own.
            between: As in `deliver`; an awaitable that it returns is awaited.
        """
        return (await self.afan_out(receiver, [request], path=path, between=between))[0]

    def fan_out(
        self,
        receiver: object,
        requests: Sequence[WebhookRequest],
        *,
        concurrent: bool = False,
        path: str = "/",
        between: Between | None = None,
    ) -> list[DeliveryRecord]:
        """Deliver several requests to one run of the receiver, such as those of `team`.

        Not in async code: use `afan_out`.

        Args:
            receiver: As in `deliver`.
            requests: What to deliver.
            concurrent: All at once, not in turn: on the event loop for ASGI, in threads for WSGI and URLs.
            path: Where, if the receiver has no path of its own.
            between: As in `deliver`.
        """
        refuse_in_async_code("fan_out", "afan_out")
        if not isinstance(receiver, Receiver):
            with Receiver(receiver, path=path) as own:
                return self.fan_out(own, requests, concurrent=concurrent, between=between)
        where = _path_of(receiver, path)
        if receiver.interface == "asgi":
            return receiver.run(
                lambda: self.afan_out(receiver, requests, concurrent=concurrent, path=where, between=between)
            )

        def deliver(request: WebhookRequest) -> DeliveryRecord:
            record = self._record(request)
            while _continues(record, receiver.send(request, path=where)):
                if between is not None:
                    between(record.attempts[-1])
            return record

        if not concurrent:
            return [deliver(request) for request in requests]
        with ThreadPoolExecutor(max_workers=max(len(requests), 1)) as pool:
            return list(pool.map(deliver, requests))

    async def afan_out(
        self,
        receiver: object,
        requests: Sequence[WebhookRequest],
        *,
        concurrent: bool = False,
        path: str = "/",
        between: Between | None = None,
    ) -> list[DeliveryRecord]:
        """Deliver several requests from async code, as `fan_out` does.

        Args:
            receiver: As in `deliver`.
            requests: What to deliver.
            concurrent: All at once, not in turn.
            path: Where, if the receiver has no path of its own.
            between: As in `adeliver`.
        """
        known = receiver if isinstance(receiver, Receiver) else Receiver(receiver, path=path)
        where = _path_of(known, path)
        records = [self._record(request) for request in requests]
        async with known.sending() as send:
            runs = [_delivery(record, send, where, between) for record in records]
            if concurrent:
                await background().together(runs)
            else:
                for run in runs:
                    await run()
        return records

    def assert_acknowledged(self, response: object, request: WebhookRequest | None = None) -> None:
        """Assert that a response is 200 with no body.

        Args:
            response: A Response, a DeliveryRecord, or the response of any known client.
            request: What was sent, for the message.

        Raises:
            AssertionError: It is not.
            TypeError: It is not the response of a known client.
        """
        __tracebackhide__ = True
        received = normalise(response)
        if not received.acknowledged:
            raise AssertionError(self._explain("not acknowledged", "HTTP 200, no body", received, request))

    def assert_rejected(self, response: object, request: WebhookRequest | None = None, spy: Spy | None = None) -> None:
        """Assert that a response is the right refusal: 401, and nothing was processed.

        Args:
            response: A Response, a DeliveryRecord, or the response of any known client.
            request: What was sent; for the message, and for the forgeries that a server may refuse in its own way.
            spy: Counts the runs of the handler, which must be none.

        Raises:
            AssertionError: It is not.
            TypeError: It is not the response of a known client.
        """
        __tracebackhide__ = True
        received = normalise(response)
        forgery = FORGERIES.get(request.label) if request is not None else None
        refused = forgery.refused_by(received.status) if forgery else received.status == _UNAUTHORIZED
        if not refused:
            raise AssertionError(self._explain("not rejected", "HTTP 401", received, request))
        if spy is not None and spy.count:
            what = f"rejected, but processed all the same ({spy.count} times)"
            raise AssertionError(self._explain(what, "nothing processed", received, request))

    @property
    def is_public(self) -> bool:
        """Whether its secret is the public test secret of this plugin."""
        return self._key == TEST_SECRET.encode()

    @property
    def confidential(self) -> tuple[bytes, ...]:
        """The secret in every form in which it may appear, which no text may show."""
        return spellings(self._key)

    def signature_of(self, body: bytes) -> str:
        """Compute the true value of X-MG-Signature for a body.

        Args:
            body: The exact bytes.
        """
        return keyed_digest(self._key, body).hex()

    def _record(self, request: WebhookRequest) -> DeliveryRecord:
        return DeliveryRecord(request, confidential=self.confidential)

    def _explain(self, what: str, required: str, response: Response, request: WebhookRequest | None) -> str:
        sent = [] if request is None else [f"  sent:     {request.describe('')}"]
        received = f"  received: {response.describe(self.confidential)}"
        return "\n".join([what, *sent, f"  required: {required}", received])


def _path_of(receiver: Receiver, path: str) -> str:
    return receiver.path if path == "/" else path


def _continues(record: DeliveryRecord, response: Response) -> bool:
    """Note a response; return whether MeetGeek sends the request again."""
    record.attempts.append(response)
    record.acknowledged = response.acknowledged
    return not response.acknowledged and len(record.attempts) < MOST_POSTS


def _delivery(record: DeliveryRecord, send: Send, path: str, between: Between | None) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        while _continues(record, await send(record.request, path)):
            outcome = between(record.attempts[-1]) if between is not None else None
            if inspect.isawaitable(outcome):
                await outcome

    return run
