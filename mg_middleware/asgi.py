"""The guard for ASGI applications."""

from __future__ import annotations

from logging import DEBUG
from sys import modules
from typing import TYPE_CHECKING, Any

from mg_middleware._acknowledgement import acknowledging_send
from mg_middleware._arguments import forgets_arguments
from mg_middleware._handler import asgi_receiver, close_awaitable, no_application
from mg_middleware._keys import keys_from
from mg_middleware._options import (
    DEFAULT_IDEMPOTENCY_WAIT,
    DEFAULT_MAX_BODY_SIZE,
    body_limit,
    callback,
    check_application,
    event_classes,
    explainer,
    flag,
    keys_or_callable,
    wait_seconds,
)
from mg_middleware._paths import GuardedPaths, virtual_roots_of
from mg_middleware._refusals import (
    IGNORED,
    MALFORMED_SIGNATURE,
    METHOD_NOT_ALLOWED,
    SIGNATURE_MISMATCH,
    UNKNOWN_SENDER,
    Refusal,
)
from mg_middleware._reporting import log_callback_failure, log_verdict, logger
from mg_middleware._verification import Verification, check_header
from mg_middleware.delivery import DELIVERY_KEY, RUNNING
from mg_middleware.verdict import ACCEPTED, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import TypeAlias

    from mg_middleware._keys import Key, SecretCallable, Secrets
    from mg_middleware.delivery import Delivery
    from mg_middleware.events import Event
    from mg_middleware.idempotency.asgi import OncePerMeeting
    from mg_middleware.idempotency.store import IdempotencyStore

    # Loose on purpose: every framework and server has types of its own for these.
    Scope: TypeAlias = Any
    Receive: TypeAlias = Callable[[], Awaitable[Any]]
    Send: TypeAlias = Callable[[Any], Awaitable[None]]
    ASGIApplication: TypeAlias = Callable[[Any, Any, Any], Awaitable[Any]]

__all__ = ["MeetGeekASGIMiddleware"]

_FRAMING = (b"content-length", b"transfer-encoding")
_SEQUENCES = frozenset({list, tuple})


class MeetGeekASGIMiddleware:
    """Lets only genuine MeetGeek webhooks reach an ASGI 3 application.

    A request is genuine if its header `X-MG-Signature` is the HMAC-SHA256 of its exact raw body under the secret. All
    others get 401 (or 400 or 413) and never reach the application; a websocket on a guarded path is closed before it is
    accepted. Your handler gets the verified delivery with `delivery_of(request)`.

    Not for an ASGI 2 application (convert it with `guarantee_single_callable` of asgiref), and not inside a layer that
    changes the body, such as one that decompresses it: the guard must see the bytes as MeetGeek signed them.

    Sources: the ASGI HTTP specification; RFC 9110; MeetGeek's webhook page.

    Example:
        app = MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")
    """

    @forgets_arguments
    def __init__(
        self,
        app: ASGIApplication | None = None,
        secret: Secrets | SecretCallable | None = None,
        *,
        paths: str | Iterable[str] | None = None,
        max_body_size: int | None = DEFAULT_MAX_BODY_SIZE,
        acknowledge: bool = False,
        handler: Callable[[Delivery], object] | None = None,
        events: type[Event] | tuple[type[Event], ...] | None = None,
        idempotency_store: IdempotencyStore | None = None,
        idempotency_wait: float = DEFAULT_IDEMPOTENCY_WAIT,
        on_verdict: Callable[[Verdict], object] | None = None,
        explain: bool = False,
    ) -> None:
        """Check the options and prepare the keys.

        Args:
            app: the application to protect. You can leave it out if you give `handler` and no `paths`.
            secret: the shared secret (`str` is encoded as UTF-8, `bytes` is used as given), an object with
                `get_secret_value()`, or a `Webhook`; a sequence of these, of which any may match; a mapping from names
                to either, whose matching name becomes `Delivery.key_id`; or a callable, plain or async, that takes the
                ASGI scope and returns one of these, or `None` for an unknown sender. `None` reads the environment
                variable `MEETGEEK_WEBHOOK_SECRET`, else the file named by `MEETGEEK_WEBHOOK_SECRET_FILE`.
            paths: the path, or paths, to guard with everything below; `None` guards every request.
            max_body_size: the largest body in bytes; `None` means no limit.
            acknowledge: turn every 2xx response of the application into the acknowledgement that MeetGeek expects:
                status 200 with an empty body.
            handler: called with the `Delivery` instead of the application; a plain function runs in a thread, a
                coroutine function is awaited. If it returns, the response is 200 with an empty body; what it raises
                goes to the server, and MeetGeek sends the event again.
            events: the class of the events that you handle, or a tuple of classes. Other verified events are
                acknowledged and go no further. `None` means all.
            idempotency_store: remembers which meetings were processed, so that each is processed once: a `MemoryStore`,
                `SQLiteStore`, `RedisStore`, `SQLAlchemyStore` or your own `IdempotencyStore`.
            idempotency_wait: how many seconds at most a delivery waits while another one of the same meeting is in
                progress; 0 means not at all.
            on_verdict: called with a `Verdict` for each guarded request, as soon as it is decided; may be a coroutine
                function. Keep it quick, since the request waits for it. What it raises is logged and changes nothing.
            explain: after a mismatch or a malformed signature was refused, find out what went wrong and log it, for at
                most ten requests a second and bodies up to 64 KiB. It works in a thread of its own after the response.

        Raises:
            ConfigurationError: no secret is configured, a secret is empty or blank, `paths` or `events` is empty, or an
                option is out of its range.
            TypeError: an argument has another type or an unknown name, or `app` is a WSGI application.
        """
        self._secret_of: Any  # None if the keys are fixed
        self._keys, self._secret_of = keys_or_callable(secret)
        check_application(app, handler, paths, "ASGI")
        self.app: ASGIApplication = no_application if app is None else app
        handler = callback("handler", handler, door="MeetGeekASGIMiddleware", may_be_async=True)
        self._protected = self.app if handler is None else asgi_receiver(handler)
        self._posts_only = handler is not None
        self._paths = None if paths is None else GuardedPaths(paths)
        self._limit = body_limit(max_body_size)
        self._acknowledge = flag("acknowledge", acknowledge)
        self._events = event_classes(events)
        self._explainer = explainer(explain)
        self._on_verdict = callback("on_verdict", on_verdict, door="MeetGeekASGIMiddleware", may_be_async=True)
        wait = wait_seconds(idempotency_wait)
        self._once_per_meeting = None
        if idempotency_store is not None:
            from mg_middleware.idempotency.asgi import OncePerMeeting  # loaded if it is used

            self._once_per_meeting = OncePerMeeting(idempotency_store, wait)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Handle one connection (ASGI specification, "Applications")."""
        kind = scope["type"]
        if kind not in {"http", "websocket"} or not (self._paths is None or _is_guarded(scope, self._paths)):
            if RUNNING.get(None) and DELIVERY_KEY not in scope:
                # Servers start a pipelined request in the context of the one before, which may not have returned yet.
                RUNNING.set([])
            return await self.app(scope, receive, send)
        if kind == "websocket":
            return await self._refuse_websocket(scope, send)
        # Read once, before the body: a server may add the trailer fields to the same list.
        scope = _rereadable(scope)
        signatures, declared, chunked = _find_fields(scope["headers"])
        checked = check_header(signatures, declared, self._limit)
        if isinstance(checked, Refusal):
            await self._refuse(scope, send, checked)
            if checked is MALFORMED_SIGNATURE and self._explainer is not None:
                self._explainer.explain_header(scope["method"], scope["path"], signatures[0])
            return None
        signature, length = checked
        keys = self._keys or await self._choose_keys(scope)
        if keys is None:
            return await self._refuse(scope, send, UNKNOWN_SENDER)

        verification = Verification(keys, signature, None if chunked else length, self._limit)
        refusal, more_body = None, True
        message: Any = None
        try:
            while more_body and refusal is None:
                message = await receive()
                if message["type"] != "http.request":
                    raise _unexpected(message["type"])
                refusal = verification.update(message.get("body", b""))
                more_body = message.get("more_body", False)
        except BaseException as error:
            message = None  # error reporters store the local variables of each frame
            await self._report(scope, Outcome.INCOMPLETE_BODY, None, verification.size, declared=length, ended_by=error)
            if isinstance(error, _ClientLeftError):
                return None
            raise
        delivery, size = refusal or verification.finish(), verification.size
        if isinstance(delivery, Refusal):
            await self._refuse(scope, send, delivery, size, declared=length)
            if delivery is SIGNATURE_MISMATCH and self._explainer is not None:
                self._explainer.explain_mismatch(scope["method"], scope["path"], verification)
            return None
        scope = _with_delivery(scope, delivery, None if declared and not chunked else size)
        receive = _replaying(verification.chunks, receive)
        del verification, message  # error reporters store the local variables of each frame, and these hold the body
        if self._posts_only and scope["method"] != "POST":
            await self._refuse(scope, send, METHOD_NOT_ALLOWED, size, key_id=delivery.key_id)
        elif self._events is not None and not isinstance(delivery.event, self._events):
            await self._refuse(scope, send, IGNORED, size, key_id=delivery.key_id)
        elif self._once_per_meeting is not None:
            await self._run_once(self._once_per_meeting, delivery, size, scope, receive, send)
        else:
            await self._run(delivery, size, scope, receive, send)
        return None

    async def _run_once(
        self, once: OncePerMeeting, delivery: Delivery, size: int, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run the application under a claim, unless this meeting was processed or is in progress."""
        try:
            claim = await once.claim(delivery, scope["method"])
        except BaseException as error:  # cancelled while another delivery of this meeting is in progress
            await self._report(scope, Outcome.IN_PROGRESS, None, size, key_id=delivery.key_id, ended_by=error)
            raise
        if claim is None:
            return await self._run(delivery, size, scope, receive, send)
        if isinstance(claim, Refusal):
            return await self._refuse(scope, send, claim, size, key_id=delivery.key_id)
        try:
            await self._run(delivery, size, scope, receive, claim.ending_send(send))
        except GeneratorExit:
            claim.drop()  # a closed coroutine cannot await
            raise
        finally:
            if not claim.ended:
                await claim.end(successful=False)
        return None

    async def _run(self, delivery: Delivery, size: int, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application. With a store this is done under the claim, which ends whatever is raised here."""
        if self._on_verdict is not None or logger().isEnabledFor(DEBUG):  # usually disabled
            await self._report(scope, ACCEPTED, None, size, key_id=delivery.key_id)
        running = [delivery]
        RUNNING.set(running)
        try:
            await self._protected(scope, receive, acknowledging_send(send) if self._acknowledge else send)
        finally:
            running.clear()

    async def _refuse(
        self,
        scope: Scope,
        send: Send,
        refusal: Refusal,
        body_size: int = 0,
        *,
        declared: int | None = None,
        key_id: str | None = None,
    ) -> None:
        """Send the guard's own response."""
        if self._on_verdict is not None or logger().isEnabledFor(refusal.log_level):
            await self._report(scope, refusal.outcome, refusal.status, body_size, declared=declared, key_id=key_id)
        headers = refusal.asgi_headers.copy()  # since layers outside may add to the list
        body = b"" if scope["method"] == "HEAD" else refusal.body
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers, "trailers": False})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _refuse_websocket(self, scope: Scope, send: Send) -> None:
        await self._report(scope, Outcome.WEBSOCKET_REFUSED, 403)
        await send({"type": "websocket.close", "code": 1008, "reason": ""})

    async def _choose_keys(self, scope: Scope) -> tuple[Key, ...] | None:
        """Prepare the keys for the secret that the callable returns; `None` for an unknown sender."""
        try:
            secret = self._secret_of(scope)
            if hasattr(secret, "__await__"):
                secret = await secret
            return None if secret is None else keys_from(secret)
        except BaseException as error:
            await self._report(scope, Outcome.UNKNOWN_SENDER, None, ended_by=error)
            raise
        finally:
            secret = None  # error reporters store the local variables of each frame

    async def _report(
        self,
        scope: Scope,
        outcome: Outcome,
        status: int | None,
        body_size: int = 0,
        *,
        declared: int | None = None,
        key_id: str | None = None,
        ended_by: BaseException | None = None,
    ) -> None:
        """Log a decision, and pass it to `on_verdict`."""
        # A websocket begins as a GET request (RFC 6455, section 4.1), and its scope names no method.
        verdict = Verdict(outcome, status, key_id, body_size, scope.get("method", "GET"), scope["path"])
        client = next(iter(scope.get("client") or ()), "an unknown client")
        log_verdict(verdict, str(client), declared)
        if self._on_verdict is not None:
            try:
                result = self._on_verdict(verdict)
                if hasattr(result, "__await__"):
                    if isinstance(ended_by, GeneratorExit):  # a coroutine that is being closed can't await
                        close_awaitable(result)
                    else:
                        await result
            except Exception as error:  # whatever it is, the decision doesn't change
                log_callback_failure("on_verdict", error)


class _ClientLeftError(Exception):
    """The client left before the body was complete, so a response would reach no one."""


def _is_guarded(scope: Scope, paths: GuardedPaths) -> bool:
    path, root_path = scope["path"], scope.get("root_path")
    if "pyramid" in modules:  # nothing else reads virtual roots, and to look for them would double the time
        return paths.includes(path, root_path or "", virtual_roots_of(scope.get("headers", ())))
    if root_path:
        return paths.includes(path, root_path)
    return path not in paths.elsewhere and paths.includes(path)


def _rereadable(scope: Scope) -> Scope:
    """Return the scope, or a copy with lists if its header fields and client can only be read once."""
    headers, client = scope["headers"], scope.get("client")
    if (
        type(headers) in _SEQUENCES
        and (not headers or type(headers[0]) in _SEQUENCES)
        and (client is None or type(client) in _SEQUENCES)
    ):
        return scope
    # The specification allows any iterable, and Falcon's test client takes it at its word.
    scope = scope.copy()
    scope["headers"] = [tuple(field) for field in headers]
    scope["client"] = tuple(client or ()) or None
    return scope


def _find_fields(headers: Iterable[Any]) -> tuple[list[bytes], bytes | None, bool]:
    """Return the signatures, the declared length, and whether the body's framing says where it ends."""
    signatures: list[bytes] = []
    declared: bytes | None = None
    chunked = False
    for field in headers:
        name = field[0]
        if len(name) in {14, 17}:  # as the three names below: most others needn't be lower-cased
            name = name.lower()
            if name == b"x-mg-signature":
                signatures.append(field[1])
            elif name == b"content-length":
                # Several lengths are one list (RFC 9110, section 5.3), which is not a number.
                declared = field[1] if declared is None else declared + b", " + field[1]
            elif name == b"transfer-encoding":
                chunked = True
    return signatures, declared, chunked


def _unexpected(kind: str) -> Exception:
    """Return the error for a message other than a part of the body."""
    if kind == "http.disconnect":
        return _ClientLeftError()
    return RuntimeError(f"unexpected ASGI message {kind!r} while the body is read")


def _with_delivery(scope: Scope, delivery: Delivery, size: int | None) -> Scope:
    """Copy the scope for the application, with the delivery in it, and with the length if it wasn't declared."""
    scope = scope.copy()  # filling a copy takes half the time that a display with ** does
    scope[DELIVERY_KEY] = delivery
    if size is not None:
        # Adapters to WSGI give an application a body only up to its declared length.
        headers = [field for field in scope["headers"] if field[0].lower() not in _FRAMING]
        scope["headers"] = [*headers, (b"content-length", b"%d" % size)]
    return scope


def _replaying(chunks: list[bytes], receive: Receive) -> Receive:
    """Make the `receive` of the application: the verified body once, then the server's own messages.

    After the body it neither repeats it, nor reports a disconnect, nor waits by itself: applications listen for
    `http.disconnect` while they respond, and only the server knows of it.
    """
    remaining = chunks[::-1]

    async def replay() -> Any:
        if remaining:
            # Taken before anything is awaited: a second task may call at the same time.
            return {"type": "http.request", "body": remaining.pop(), "more_body": bool(remaining)}
        return await receive()

    return replay
