"""The guard for WSGI applications."""

from __future__ import annotations

from io import BytesIO
from logging import DEBUG
from typing import TYPE_CHECKING, Any

from mg_middleware._acknowledgement import acknowledging_answer
from mg_middleware._body import exact_bytes, keep
from mg_middleware._keys import keys_from
from mg_middleware._options import LOGGER, Guard, parse_length
from mg_middleware._refusals import (
    BODY_TOO_LARGE,
    INCOMPLETE_BODY,
    LENGTH_REQUIRED,
    SIGNATURE_MISMATCH,
    UNKNOWN_SENDER,
    Refusal,
)
from mg_middleware.delivery import DELIVERY_KEY, Delivery
from mg_middleware.verdict import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import InputStream, StartResponse, WSGIApplication, WSGIEnvironment  # noqa: F401 - named in the class's base

    from mg_middleware._paths import GuardedPaths
    from mg_middleware._verification import Keys
    from mg_middleware.idempotency.store import IdempotencyStore
    from mg_middleware.idempotency.wsgi import OncePerMeeting

# How much is asked of the server at once, in bytes, where neither the limit nor the declared length is less: it may set
# so much memory aside.
_READ_SIZE = 16_777_216


class MeetGeekWSGIMiddleware(Guard["WSGIApplication"]):
    """Lets only genuine MeetGeek webhooks through to a WSGI application.

    A request is let through if its header `X-MG-Signature` is the HMAC-SHA256 of its exact raw body under the secret.
    All others are answered 401 (or 400, 411 or 413) and never reach the application, which finds the verified delivery
    with `delivery_of(environ)`.

    Not for an application that a server runs through an ASGI adapter: take `MeetGeekASGIMiddleware` outside of it. And
    not inside a layer that changes the body, such as one that decompresses it: the guard must see the bytes as MeetGeek
    signed them.

    The parameters are those of `Guard`. Sources: PEP 3333; RFC 9110; MeetGeek's webhook page.

    Example:
        app = MeetGeekWSGIMiddleware(app, paths="/webhooks/meetgeek")
    """

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request (PEP 3333, "The Application/Framework Side")."""
        paths = self._paths
        if paths is not None and not _is_guarded(environ, paths):
            return self.app(environ, start_response)

        signature: str | None = environ.get("HTTP_X_MG_SIGNATURE")
        # PEP 3333 has Latin-1 here; "?", for what a server puts there against it, is no digit. Servers join repeated
        # fields with a comma, or glue them: neither is a signature.
        declared = (environ.get("CONTENT_LENGTH") or "").encode("latin-1", "replace")
        received = self._admit([] if signature is None else [signature.encode("latin-1", "replace")], declared)
        if isinstance(received, Refusal):
            return self._refuse(environ, start_response, received)
        length = parse_length(declared)
        # The flag counts by its truth, not its presence: cheroot and gevent set it to False.
        terminated = bool(environ.get("wsgi.input_terminated"))
        if environ.get("HTTP_TRANSFER_ENCODING"):
            if not terminated:
                # Where the body ends cannot be told. Taking it as empty would let the signature of nothing through.
                return self._refuse(environ, start_response, LENGTH_REQUIRED)
            length = None  # void beside Transfer-Encoding (RFC 9112, section 6.3)
        keys = self._keys if self._secret_of is None else _keys_for(self._secret_of(environ))
        if keys is None:
            return self._refuse(environ, start_response, UNKNOWN_SENDER)

        hashed = keys.begin()
        chunks, size, refusal = self._read(environ["wsgi.input"], hashed.update, length, terminated=terminated)
        if refusal is not None:
            return self._refuse(environ, start_response, refusal, size)
        key = keys.matching(hashed, received)
        if key is None:
            return self._refuse(environ, start_response, SIGNATURE_MISMATCH, size)

        delivery = Delivery(chunks, received, key.key_id, key.fingerprint)
        del chunks  # a report of the application's error may show what each frame holds
        app = self.app
        if self._once_per_meeting is not None:
            admission = self._once_per_meeting.admit(delivery, app, environ.get("REQUEST_METHOD", ""))
            if isinstance(admission, Refusal):
                return self._refuse(environ, start_response, admission, size, key.key_id)
            app = admission
        if self._on_verdict is not None or LOGGER.isEnabledFor(DEBUG):  # most often nobody listens
            self._report(environ, ACCEPTED, None, size, key.key_id)
        environ = environ.copy()  # filling a copy takes half the time that a display with ** does
        environ["wsgi.input"] = BytesIO(delivery.body)
        environ["wsgi.input_terminated"] = True
        environ["CONTENT_LENGTH"] = str(size)
        environ[DELIVERY_KEY] = delivery
        # Frameworks differ in which of these fields they go by: only the length without the encoding suits them all.
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        if self._acknowledge:
            return acknowledging_answer(app, environ, start_response)
        return app(environ, start_response)

    def _read(
        self, stream: InputStream, update: Callable[[bytes], object], length: int | None, *, terminated: bool
    ) -> tuple[list[bytes], int, Refusal | None]:
        """Read the body to its end: its pieces, its size, and a refusal if it ends early or is over the limit.

        `read(size)` is the only way that every server's stream has: without a size it may wait for ever. A stream that
        the server ends is read to its end, any other never past the declared length.
        """
        chunks: list[bytes] = []
        size = 0
        expected = length or 0
        end = self._limit + 1 if terminated else expected  # one byte over the limit tells that it is too much
        while size < end:
            remaining = end - size
            try:
                chunk = stream.read(_READ_SIZE if remaining > _READ_SIZE else int(remaining))
            except _read_errors():
                return chunks, size, INCOMPLETE_BODY
            if not chunk:
                break
            if type(chunk) is not bytes:
                chunk = exact_bytes(chunk)
            size += len(chunk)
            if size > self._limit:
                return chunks, size, BODY_TOO_LARGE
            update(chunk)
            keep(chunks, chunk)
        # Most servers tell of a client that left by nothing but a short body.
        return chunks, size, INCOMPLETE_BODY if size < expected else None

    def _refuse(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        refusal: Refusal,
        body_size: int = 0,
        key_id: str | None = None,
    ) -> Iterable[bytes]:
        """Answer a request that the application will not see."""
        self._report(environ, refusal.outcome, refusal.status, body_size, key_id)
        headers = refusal.wsgi_headers.copy()  # since layers outside may add to the list
        if environ.get("REQUEST_METHOD") == "HEAD":
            # Many servers would send a body, and a length that does not fit what is sent is an error to some layers.
            # One empty piece, since for none at all waitress sends the end of a chunked body.
            headers = [(name, value) for name, value in headers if name != "Content-Length"]
            start_response(refusal.wsgi_status, headers)
            return [b""]
        start_response(refusal.wsgi_status, headers)
        return [refusal.body]

    @staticmethod
    def _remember_in(store: IdempotencyStore, wait: float) -> OncePerMeeting:
        from mg_middleware.idempotency.wsgi import OncePerMeeting  # noqa: PLC0415 - loaded where it is needed

        return OncePerMeeting(store, wait)

    @staticmethod
    def _describe(request: WSGIEnvironment) -> tuple[str, str, str]:
        client = request.get("REMOTE_ADDR") or "an unknown client"
        # uWSGI leaves the method out where the request line is no request line.
        return request.get("REQUEST_METHOD", ""), request.get("PATH_INFO", ""), client


def _is_guarded(environ: WSGIEnvironment, paths: GuardedPaths) -> bool:
    path: str = environ.get("PATH_INFO", "")
    if paths.includes(path, environ.get("SCRIPT_NAME", "")):
        return True
    # Pyramid's traversal puts this header before the path, whoever sent it.
    return "HTTP_X_VHM_ROOT" in environ and paths.includes(environ["HTTP_X_VHM_ROOT"] + path, "")


def _read_errors() -> tuple[type[Exception], ...]:
    """Name the errors by which servers tell of a client that left or broke the framing."""
    from werkzeug.exceptions import ClientDisconnected  # noqa: PLC0415 - needed only once a read has failed

    return OSError, ValueError, OverflowError, ClientDisconnected


def _keys_for(secret: Any) -> Keys | None:  # noqa: ANN401 - Secrets or None, or an awaitable by mistake
    """Prepare the keys for what the user's callable returned; none where it knows nobody."""
    if hasattr(secret, "__await__"):
        getattr(secret, "close", str)()  # a coroutine left alone would warn later, out of place
        raise TypeError("the callable given as secret is async, which a WSGI application cannot wait for")
    return None if secret is None else keys_from(secret)
