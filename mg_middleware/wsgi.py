"""The guard for WSGI applications."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from logging import DEBUG
from typing import TYPE_CHECKING, Any

from mg_middleware._acknowledgement import acknowledging_response
from mg_middleware._arguments import forgets_arguments
from mg_middleware._handler import close_awaitable, wsgi_receiver
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
from mg_middleware._paths import GuardedPaths
from mg_middleware._reading import bounds_of, read_body
from mg_middleware._refusals import (
    IGNORED,
    LENGTH_REQUIRED,
    MALFORMED_SIGNATURE,
    METHOD_NOT_ALLOWED,
    SIGNATURE_MISMATCH,
    UNKNOWN_SENDER,
    Refusal,
)
from mg_middleware._reporting import log_callback_failure, log_verdict, logger
from mg_middleware._verification import Verification, check_header
from mg_middleware.delivery import DELIVERY_KEY
from mg_middleware.verdict import ACCEPTED, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from mg_middleware._keys import Key, SecretCallable, Secrets
    from mg_middleware.delivery import Delivery
    from mg_middleware.events import Event
    from mg_middleware.idempotency.store import IdempotencyStore
    from mg_middleware.idempotency.wsgi import OncePerMeeting

__all__ = ["MeetGeekWSGIMiddleware"]


class MeetGeekWSGIMiddleware:
    """Lets only genuine MeetGeek webhooks reach a WSGI application.

    A request is genuine if its header `X-MG-Signature` is the HMAC-SHA256 of its exact raw body under the secret. All
    others get 401 (or 400, 411 or 413) and never reach the application. Your handler gets the verified delivery with
    `delivery_of(request)`.

    Not for an application that a server runs through an ASGI adapter: wrap the adapter in `MeetGeekASGIMiddleware`. And
    not inside a layer that changes the body, such as one that decompresses it: the guard must see the bytes as MeetGeek
    signed them.

    Sources: PEP 3333; RFC 9110; MeetGeek's webhook page.

    Example:
        app = MeetGeekWSGIMiddleware(app, paths="/webhooks/meetgeek")
    """

    @forgets_arguments
    def __init__(
        self,
        app: WSGIApplication | None = None,
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
                to either, whose matching name becomes `Delivery.key_id`; or a callable that takes the WSGI environ and
                returns one of these, or `None` for an unknown sender. `None` reads the environment variable
                `MEETGEEK_WEBHOOK_SECRET`, else the file named by `MEETGEEK_WEBHOOK_SECRET_FILE`.
            paths: the path, or paths, to guard with everything below; `None` guards every request.
            max_body_size: the largest body in bytes; `None` means no limit.
            acknowledge: turn every 2xx response of the application into the acknowledgement that MeetGeek expects:
                status 200 with an empty body.
            handler: called with the `Delivery` instead of the application. If it returns, the response is 200 with an
                empty body; what it raises goes to the server, and MeetGeek sends the event again.
            events: the class of the events that you handle, or a tuple of classes. Other verified events are
                acknowledged and go no further. `None` means all.
            idempotency_store: remembers which meetings were processed, so that each is processed once: a `MemoryStore`,
                `SQLiteStore`, `RedisStore`, `SQLAlchemyStore` or your own `IdempotencyStore`.
            idempotency_wait: how many seconds at most a delivery waits while another one of the same meeting is in
                progress; 0 means not at all.
            on_verdict: called with a `Verdict` for each guarded request, as soon as it is decided. Keep it quick, since
                the request waits for it. What it raises is logged and changes nothing.
            explain: after a mismatch or a malformed signature was refused, find out what went wrong and log it, for at
                most ten requests a second and bodies up to 64 KiB. It works in a thread of its own after the response.

        Raises:
            ConfigurationError: no secret is configured, a secret is empty or blank, `paths` or `events` is empty, an
                option is out of its range, or the store is asynchronous.
            TypeError: an argument has another type or an unknown name, `app` is an ASGI application, or `handler` or
                `on_verdict` is a coroutine function.
        """
        self._secret_of: Any  # None if the keys are fixed
        self._keys, self._secret_of = keys_or_callable(secret)
        callback("secret", self._secret_of, door="MeetGeekWSGIMiddleware", may_be_async=False)
        check_application(app, handler, paths, "WSGI")
        handler = callback("handler", handler, door="MeetGeekWSGIMiddleware", may_be_async=False)
        self.app: Any = app  # None only without paths=, and then every request is guarded
        self._protected: Any = app if handler is None else wsgi_receiver(handler)
        self._posts_only = handler is not None
        self._paths = None if paths is None else GuardedPaths(paths)
        self._limit = body_limit(max_body_size)
        self._acknowledge = flag("acknowledge", acknowledge)
        self._events = event_classes(events)
        self._explainer = explainer(explain)
        self._on_verdict = callback("on_verdict", on_verdict, door="MeetGeekWSGIMiddleware", may_be_async=False)
        wait = wait_seconds(idempotency_wait)
        self._once_per_meeting = None
        if idempotency_store is not None:
            from mg_middleware.idempotency.wsgi import OncePerMeeting  # loaded if it is used

            self._once_per_meeting = OncePerMeeting(idempotency_store, wait)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request (PEP 3333, "The Application/Framework Side")."""
        if self._paths is not None and not _is_guarded(environ, self._paths):
            response: Iterable[bytes] = self.app(environ, start_response)
            return response
        signature: str | None = environ.get("HTTP_X_MG_SIGNATURE")
        # PEP 3333 has Latin-1 here; "?", for anything else, is not a digit. Servers join repeated fields with a comma,
        # or glue them: neither is a signature. Django's test client declares the length as an int.
        given = environ.get("CONTENT_LENGTH")
        declared = b"" if given is None else str(given).encode("latin-1", "replace")
        signatures = [] if signature is None else [signature.encode("latin-1", "replace")]
        checked = check_header(signatures, declared, self._limit)
        if isinstance(checked, Refusal):
            response = self._refuse(environ, start_response, checked)
            if checked is MALFORMED_SIGNATURE and self._explainer is not None:
                explain_header = partial(self._explainer.explain_header, *_request_line(environ), signatures[0])
                return _and_then(response, explain_header)
            return response
        received, length = checked
        # The flag counts by its truth, not its presence: cheroot and gevent set it to False.
        terminated = bool(environ.get("wsgi.input_terminated"))
        chunked = bool(environ.get("HTTP_TRANSFER_ENCODING"))
        if chunked and not terminated:
            # The body length is unknown. Taking it as empty would accept the signature of nothing.
            return self._refuse(environ, start_response, LENGTH_REQUIRED)
        keys = self._keys or self._choose_keys(environ)
        if keys is None:
            return self._refuse(environ, start_response, UNKNOWN_SENDER)

        expected, end = bounds_of(length, self._limit, chunked=chunked, terminated=terminated)
        verification = Verification(keys, received, expected, self._limit)
        try:
            refusal = read_body(environ["wsgi.input"], verification, end)
        except BaseException:
            self._report(environ, Outcome.INCOMPLETE_BODY, None, verification.size, declared=length)
            raise
        delivery, size = refusal or verification.finish(), verification.size
        if isinstance(delivery, Refusal):
            response = self._refuse(environ, start_response, delivery, size, declared=length)
            if delivery is SIGNATURE_MISMATCH and self._explainer is not None:
                explain = partial(self._explainer.explain_mismatch, *_request_line(environ), verification)
                return _and_then(response, explain)
            return response
        del verification  # error reporters store the local variables of each frame, and this one holds the body
        environ = _with_delivery(environ, delivery, size)
        if self._posts_only and environ["REQUEST_METHOD"] != "POST":
            return self._refuse(environ, start_response, METHOD_NOT_ALLOWED, size, key_id=delivery.key_id)
        if self._events is not None and not isinstance(delivery.event, self._events):
            return self._refuse(environ, start_response, IGNORED, size, key_id=delivery.key_id)
        if self._once_per_meeting is not None:
            return self._run_once(self._once_per_meeting, delivery, size, environ, start_response)
        return self._run(delivery, size, environ, start_response)

    def _run_once(
        self,
        once: OncePerMeeting,
        delivery: Delivery,
        size: int,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        """Run the application under a claim, unless this meeting was processed or is in progress."""
        try:
            claim = once.claim(delivery, environ["REQUEST_METHOD"])
        except BaseException:  # ended while another delivery of this meeting is in progress
            self._report(environ, Outcome.IN_PROGRESS, None, size, key_id=delivery.key_id)
            raise
        if claim is None:
            return self._run(delivery, size, environ, start_response)
        if isinstance(claim, Refusal):
            return self._refuse(environ, start_response, claim, size, key_id=delivery.key_id)
        try:
            response = self._run(delivery, size, environ, claim.noting_start_response(start_response))
        except BaseException:
            claim.end(successful=False)
            raise
        return claim.ending(response)

    def _run(
        self, delivery: Delivery, size: int, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Run the application. With a store this is done under the claim, which ends whatever is raised here."""
        if self._on_verdict is not None or logger().isEnabledFor(DEBUG):  # usually disabled
            self._report(environ, ACCEPTED, None, size, key_id=delivery.key_id)
        if self._acknowledge:
            return acknowledging_response(self._protected, environ, start_response)
        response: Iterable[bytes] = self._protected(environ, start_response)
        return response

    def _refuse(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        refusal: Refusal,
        body_size: int = 0,
        *,
        declared: int | None = None,
        key_id: str | None = None,
    ) -> Iterable[bytes]:
        """Send the guard's own response."""
        if self._on_verdict is not None or logger().isEnabledFor(refusal.log_level):
            self._report(environ, refusal.outcome, refusal.status, body_size, declared=declared, key_id=key_id)
        headers = refusal.wsgi_headers.copy()  # since layers outside may add to the list
        if environ.get("REQUEST_METHOD") == "HEAD":
            # Many servers would send a body, and a length that does not fit what is sent is an error to some layers.
            # One empty piece, since for none at all waitress sends the end of a chunked body.
            headers = [(name, value) for name, value in headers if name != "Content-Length"]
            start_response(refusal.wsgi_status, headers)
            return [b""]
        start_response(refusal.wsgi_status, headers)
        return [refusal.body]

    def _choose_keys(self, environ: WSGIEnvironment) -> tuple[Key, ...] | None:
        """Prepare the keys for the secret that the callable returns; `None` for an unknown sender."""
        try:
            secret = self._secret_of(environ)
            if hasattr(secret, "__await__"):
                close_awaitable(secret)
                raise TypeError("secret returned an awaitable, which MeetGeekWSGIMiddleware can't await")
            return None if secret is None else keys_from(secret)
        except BaseException:
            self._report(environ, Outcome.UNKNOWN_SENDER, None)
            raise
        finally:
            secret = None  # error reporters store the local variables of each frame

    def _report(
        self,
        environ: WSGIEnvironment,
        outcome: Outcome,
        status: int | None,
        body_size: int = 0,
        *,
        declared: int | None = None,
        key_id: str | None = None,
    ) -> None:
        """Log a decision, and pass it to `on_verdict`."""
        method, path = _request_line(environ)
        verdict = Verdict(outcome, status, key_id, body_size, method, path)
        log_verdict(verdict, environ.get("REMOTE_ADDR") or "an unknown client", declared)
        if self._on_verdict is not None:
            try:
                result = self._on_verdict(verdict)
                if hasattr(result, "__await__"):
                    close_awaitable(result)
                    raise TypeError("on_verdict returned an awaitable, which MeetGeekWSGIMiddleware can't await")
            except Exception as error:  # whatever it is, the decision doesn't change
                log_callback_failure("on_verdict", error)


def _request_line(environ: WSGIEnvironment) -> tuple[str, str]:
    # uWSGI leaves the method out if the request line is malformed.
    return environ.get("REQUEST_METHOD", ""), environ.get("PATH_INFO", "")


def _and_then(response: Iterable[bytes], function: Callable[[], None]) -> Iterable[bytes]:
    """Call a function when the response was sent: servers close what they have iterated (PEP 3333)."""
    from werkzeug.wsgi import ClosingIterator  # loaded if it is used

    return ClosingIterator(response, function)


def _is_guarded(environ: WSGIEnvironment, paths: GuardedPaths) -> bool:
    virtual_root = environ.get("HTTP_X_VHM_ROOT")
    return paths.includes(
        environ.get("PATH_INFO", ""), environ.get("SCRIPT_NAME", ""), (virtual_root,) if virtual_root else ()
    )


def _with_delivery(environ: WSGIEnvironment, delivery: Delivery, size: int) -> WSGIEnvironment:
    """Copy the environ for the application, with the delivery and the body in it."""
    environ = environ.copy()  # filling a copy takes half the time that a display with ** does
    environ[DELIVERY_KEY] = delivery
    environ["wsgi.input"] = BytesIO(delivery.body)
    # Frameworks differ in which of these fields they go by: only the length without the encoding suits them all.
    # wsgi.input_terminated stays the server's own: with it, Flask reads without a size, which PEP 3333 doesn't allow.
    environ["CONTENT_LENGTH"] = str(size)
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return environ
