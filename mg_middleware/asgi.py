"""The guard for ASGI applications."""

from __future__ import annotations

from logging import DEBUG
from typing import TYPE_CHECKING, Any

from mg_middleware._acknowledgement import acknowledging_send
from mg_middleware._body import exact_bytes, keep
from mg_middleware._keys import keys_from
from mg_middleware._options import LOGGER, Guard
from mg_middleware._refusals import (
    BODY_TOO_LARGE,
    INCOMPLETE_BODY,
    SIGNATURE_MISMATCH,
    UNKNOWN_SENDER,
    Refusal,
)
from mg_middleware.delivery import DELIVERY_KEY, Delivery
from mg_middleware.verdict import ACCEPTED, Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from mg_middleware._verification import Keys
    from mg_middleware.idempotency.asgi import OncePerMeeting
    from mg_middleware.idempotency.store import IdempotencyStore

    # Loose on purpose: every framework and server types these in its own way.
    Scope: TypeAlias = Any
    Receive: TypeAlias = Callable[[], Awaitable[Any]]
    Send: TypeAlias = Callable[[Any], Awaitable[None]]
    ASGIApplication: TypeAlias = Callable[[Any, Any, Any], Awaitable[Any]]

# Both names that matter are of 14 letters, and most others are not. Comparing nothing else took a third off the loop.
_FIELD_NAME_LENGTH = 14


class MeetGeekASGIMiddleware(Guard["ASGIApplication"]):
    """Lets only genuine MeetGeek webhooks through to an ASGI 3 application.

    A request is let through if its header `X-MG-Signature` is the HMAC-SHA256 of its exact raw body under the secret.
    All others are answered 401 (or 400 or 413) and never reach the application; a websocket on a guarded path is closed
    before it is accepted. The application finds the verified delivery with `delivery_of(scope)`.

    Not for an application of ASGI 2 (`guarantee_single_callable` of asgiref converts one), and not inside a layer that
    changes the body, such as one that decompresses it: the guard must see the bytes as MeetGeek signed them.

    The parameters are those of `Guard`. Sources: the ASGI HTTP specification; RFC 9110; MeetGeek's webhook page.

    Example:
        app = MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection (ASGI specification, "Applications")."""
        kind = scope["type"]
        paths = self._paths
        if kind not in {"http", "websocket"} or (
            paths is not None and not paths.includes(scope["path"], scope.get("root_path", ""))
        ):
            await self.app(scope, receive, send)
            return
        if kind == "websocket":
            self._report(scope, Outcome.WEBSOCKET_REFUSED, 403)
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return

        # The header fields are read once, before the body: a server may add the trailer fields to the same list.
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if type(headers) is not list and not isinstance(headers, (list, tuple)):
            headers = list(headers)  # the specification allows an iterable that can be read but once
            scope = {**scope, "headers": headers}
        signatures: list[bytes] = []
        declared: bytes | None = None
        for name, value in headers:
            if len(name) == _FIELD_NAME_LENGTH:
                lowered = name.lower()
                if lowered == b"x-mg-signature":
                    signatures.append(value)
                elif lowered == b"content-length":
                    # Several lengths are one list (RFC 9110, section 5.3), which is no number.
                    declared = value if declared is None else declared + b", " + value
        received = self._admit(signatures, declared)
        if isinstance(received, Refusal):
            await self._refuse(scope, send, received)
            return
        keys = self._keys if self._secret_of is None else await _keys_for(self._secret_of(scope))
        if keys is None:
            await self._refuse(scope, send, UNKNOWN_SENDER)
            return

        hashed = keys.begin()
        chunks: list[bytes] = []
        size = 0
        while True:
            event = await receive()
            if event["type"] != "http.request":
                if event["type"] != "http.disconnect":
                    raise RuntimeError(f"unexpected ASGI event {event['type']!r} while the body is read")
                # The client has left: nobody is there to be answered.
                self._report(scope, INCOMPLETE_BODY.outcome, None, size)
                return
            chunk = event.get("body", b"")
            if type(chunk) is not bytes:
                chunk = exact_bytes(chunk)
            size += len(chunk)
            if size > self._limit:
                await self._refuse(scope, send, BODY_TOO_LARGE, size)
                return
            hashed.update(chunk)
            if chunks:
                keep(chunks, chunk)
            else:
                chunks.append(chunk)
            if not event.get("more_body", False):
                break
        key = keys.matching(hashed, received)
        if key is None:
            await self._refuse(scope, send, SIGNATURE_MISMATCH, size)
            return

        delivery = Delivery(chunks, received, key.key_id, key.fingerprint)
        app = self.app
        if self._once_per_meeting is not None:
            admission = await self._once_per_meeting.admit(delivery, app, scope["method"])
            if isinstance(admission, Refusal):
                await self._refuse(scope, send, admission, size, key.key_id)
                return
            app = admission
        if self._on_verdict is not None or LOGGER.isEnabledFor(DEBUG):  # most often nobody listens
            self._report(scope, ACCEPTED, None, size, key.key_id)
        scope = scope.copy()  # filling a copy takes half the time that a display with ** does
        scope[DELIVERY_KEY] = delivery
        replay = _replaying(chunks, receive)
        del event, chunk, chunks  # a report of the application's error may show what each frame holds
        await app(scope, replay, acknowledging_send(send) if self._acknowledge else send)

    async def _refuse(
        self, scope: Scope, send: Send, refusal: Refusal, body_size: int = 0, key_id: str | None = None
    ) -> None:
        """Answer a request that the application will not see."""
        self._report(scope, refusal.outcome, refusal.status, body_size, key_id)
        headers = refusal.asgi_headers.copy()  # since layers outside may add to the list
        body = b"" if scope["method"] == "HEAD" else refusal.body
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers, "trailers": False})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    @staticmethod
    def _remember_in(store: IdempotencyStore, wait: float) -> OncePerMeeting:
        from mg_middleware.idempotency.asgi import OncePerMeeting  # noqa: PLC0415 - loaded where it is needed

        return OncePerMeeting(store, wait)

    @staticmethod
    def _describe(request: Scope) -> tuple[str, str, str]:
        client = request.get("client")
        # A websocket begins as a GET request (RFC 6455, section 4.1), and its scope names no method.
        return request.get("method", "GET"), request["path"], str(client[0]) if client else "an unknown client"


async def _keys_for(secret: Any) -> Keys | None:  # noqa: ANN401 - Secrets, None, or an awaitable of either
    """Prepare the keys for what the user's callable returned; none where it knows nobody."""
    if hasattr(secret, "__await__"):
        secret = await secret
    return None if secret is None else keys_from(secret)


def _replaying(chunks: list[bytes], receive: Receive) -> Receive:
    """Make the `receive` of the application: the verified body once, then the server's own events.

    After the body it neither repeats it, nor tells of a disconnect, nor waits by itself: applications listen for
    `http.disconnect` while they answer, and only the server knows of it.
    """
    remaining = chunks[::-1]

    async def replay() -> Any:  # noqa: ANN401 - later events are the server's
        if remaining:
            # Taken before anything is awaited: a second task may call at the same time.
            return {"type": "http.request", "body": remaining.pop(), "more_body": bool(remaining)}
        return await receive()

    return replay
