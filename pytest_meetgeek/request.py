"""One request as MeetGeek sends it, exact to the byte, in the form that each test client takes."""

from __future__ import annotations

import base64
import hmac
import io
import shlex
import sys
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote_to_bytes

__all__ = ["WebhookRequest"]

SIGNATURE_HEADER = "X-MG-Signature"

_SHOWN_WHOLE = 24
_CURL_BODY_LIMIT = 4096


def keyed_digest(key: bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    """Compute an HMAC (RFC 2104) with the standard library, and with nothing of `mg_middleware`.

    Args:
        key: The key, of any length.
        message: The bytes to authenticate.
        algorithm: A name that `hashlib.new` knows.
    """
    __tracebackhide__ = True
    return hmac.digest(key, message, algorithm)


def to_key(secret: str | bytes) -> bytes:
    """Turn a shared secret into the bytes of the key.

    Args:
        secret: A `str` (encoded as UTF-8) or `bytes`, used exactly as given.

    Raises:
        TypeError: The secret is neither.
        ValueError: The secret is empty.
    """
    __tracebackhide__ = True
    if not isinstance(secret, str | bytes):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
        raise TypeError(f"a secret is str or bytes, not {type(secret).__name__}")
    key = secret.encode() if isinstance(secret, str) else secret
    if not key:
        raise ValueError("the secret is empty: a request signed with it proves nothing")
    return key


def sign(secret: str | bytes, body: bytes) -> str:
    """Compute the value of X-MG-Signature: the lower-case hexadecimal HMAC-SHA256 of the exact body.

    Source: MeetGeek webhooks.

    Args:
        secret: The shared secret; `str` is encoded as UTF-8.
        body: The exact bytes of the request body.

    Raises:
        TypeError: The secret is neither `str` nor `bytes`.
        ValueError: The secret is empty.
    """
    __tracebackhide__ = True
    return keyed_digest(to_key(secret), body).hex()


@dataclass(frozen=True, repr=False)
class WebhookRequest:
    """One request to a receiver; immutable, and without the secret it was signed with.

    Not for reading what a server received: it describes what is sent.

    Args:
        body: The exact bytes of the body.
        headers: Names and values in order; a name may occur twice. Values are sent as Latin-1.
        expected: The HTTP status that a right receiver responds with.
        label: A short name, for messages.
        meeting_id: The id in the body, or None if the body has none.
        method: The HTTP method.
        chunks: Sizes in bytes of the first pieces of the body, if it is sent in pieces (ASGI and URLs); the rest
            is the last piece. Empty: the body is sent whole.
        confidential: The signature header holds the secret itself: its value is never shown.
    """

    body: bytes
    headers: tuple[tuple[str, str], ...]
    expected: int = 200
    label: str = "raw"
    meeting_id: str | None = None
    method: str = "POST"
    chunks: tuple[int, ...] = ()
    confidential: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        return f"<WebhookRequest {self.describe('')}>"

    @property
    def signature(self) -> str | None:
        """The first value of X-MG-Signature, or None if there is none."""
        return next(iter(self.signatures), None)

    @property
    def signatures(self) -> tuple[str, ...]:
        """All values of X-MG-Signature, in order."""
        return tuple(value for name, value in self.headers if name.lower() == SIGNATURE_HEADER.lower())

    def with_signature(self, *values: str) -> WebhookRequest:
        """Copy the request with other signatures: none for a missing header, two for a repeated one.

        Args:
            values: The values of the header, in order.
        """
        kept = self.with_header(SIGNATURE_HEADER, None).headers
        return replace(self, headers=(*kept, *((SIGNATURE_HEADER, value) for value in values)))

    def with_body(self, body: bytes) -> WebhookRequest:
        """Copy the request with another body and the same signature: what a change after signing looks like.

        Args:
            body: The exact bytes to send.
        """
        return replace(self, body=body)

    def with_header(self, name: str, value: str | None) -> WebhookRequest:
        """Copy the request with one header set, in place of all of that name.

        Args:
            name: The header; letter case does not matter.
            value: Its value, or None to take the header away.
        """
        kept = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return replace(self, headers=kept if value is None else (*kept, (name, value)))

    @property
    def httpx(self) -> dict[str, Any]:
        """The keyword arguments of `post` in httpx, httpx2 and the test clients of Starlette, FastAPI and Litestar."""
        return {"content": self.body, "headers": self._encoded_headers()}

    @property
    def requests(self) -> dict[str, Any]:
        """The keyword arguments of `requests.post`. ValueError if a header is repeated, which a mapping cannot hold."""
        return {"data": self.body, "headers": self._header_mapping("requests")}

    @property
    def werkzeug(self) -> dict[str, Any]:
        """The keyword arguments of `post` in the test clients of werkzeug, Flask and Quart."""
        return {"data": self.body, "headers": list(self.headers)}

    @property
    def django(self) -> dict[str, Any]:
        """The keyword arguments of `post` in Django's test client.

        ValueError if a header is repeated, which a mapping cannot hold, or if the content type names a charset
        other than UTF-8: Django's client then encodes the body again, and the signed bytes would not be the sent ones.
        """
        headers = self._header_mapping("Django's test client")
        content_type = headers.pop("Content-Type", "")
        charset = content_type.lower().partition("charset=")[2].strip(' "')
        if charset not in {"", "utf-8"}:
            raise ValueError(
                f"Django's test client would encode the body again as {charset!r}: send it with a Receiver"
            )
        return {"data": self.body, "content_type": content_type, "headers": headers}

    def asgi_scope(self, path: str = "/") -> dict[str, Any]:
        """Build the HTTP connection scope (ASGI specification, HTTP 2.4).

        Args:
            path: The path to send to, percent-encoded, with an optional query string.
        """
        raw_path, _, query = path.partition("?")
        framing = (b"transfer-encoding", b"chunked") if self.chunks else (b"content-length", b"%d" % len(self.body))
        present = [(name.lower(), value) for name, value in self._encoded_headers()]
        host = [] if any(name == b"host" for name, _ in present) else [(b"host", b"testserver")]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [*host, framing, *present],
            "client": ("127.0.0.1", 50000),
            "server": ("testserver", 80),
        }

    def asgi_messages(self) -> list[dict[str, Any]]:
        """Build the `http.request` messages of the body, in the pieces that `chunks` asks for."""
        pieces = self.pieces()
        return [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
            for number, piece in enumerate(pieces, start=1)
        ]

    def pieces(self) -> list[bytes]:
        """Cut the body as `chunks` says; the last piece is what remains."""
        pieces: list[bytes] = []
        start = 0
        for size in self.chunks:
            pieces.append(self.body[start : start + size])
            start += size
        return [*pieces, self.body[start:]]

    def wsgi_environ(self, path: str = "/") -> dict[str, Any]:
        """Build the environ (PEP 3333); a repeated header is joined with a comma, as servers do.

        Args:
            path: The path to send to, percent-encoded, with an optional query string.
        """
        raw_path, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "testserver",
            "CONTENT_LENGTH": str(len(self.body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        given: dict[str, list[str]] = {}
        for name, value in self.headers:
            key = name.upper().replace("-", "_")
            given.setdefault(key if key == "CONTENT_TYPE" else f"HTTP_{key}", []).append(value)
        return environ | {key: ",".join(values) for key, values in given.items()}

    def curl(self, url: str, *, signer: str = "") -> str:
        """Write the request as a command line that sends the same bytes again.

        The secret is not in it: if the header holds the secret itself, the line reads it from `$MEETGEEK_SECRET`.
        A body over 4 KiB is named, not printed.

        Args:
            url: Where to send it.
            signer: A command that reads a body and prints its signature, in place of the signature: whoever reads
                a signature can send its body forever.
        """
        words = ["curl", "-i", "-X", self.method]
        names = {name.lower() for name, _ in self.headers}
        if "content-type" not in names:
            words += ["-H", "Content-Type:"]
        header = SIGNATURE_HEADER
        for name, value in self.headers:
            if (self.confidential or signer) and name.lower() == SIGNATURE_HEADER.lower():
                header = name
                continue
            # curl takes 'Name:' as "leave it out" and 'Name;' as an empty value.
            words += ["-H", f"{name}: {value}" if value.strip() else f"{name};"]
        line = shlex.join(words)
        before, data, piped, remark = self._curl_body()
        if signer:
            line += f' -H "{header}: $({piped} {signer})"'
        elif self.confidential:
            line += f' -H "{header}: $MEETGEEK_SECRET"'
        return f"{before}{line} --data-binary {data} {shlex.quote(url)}{remark}"

    def _curl_body(self) -> tuple[str, str, str, str]:
        """What comes before curl, its --data-binary, what pipes the body into a command, and a remark at the end."""
        if len(self.body) > _CURL_BODY_LIMIT:
            return "", "@BODY", "cat BODY |", f"  # BODY: a file of the {len(self.body)} bytes"
        text = self.body.decode("utf-8", "replace")
        if text.encode() == self.body and text.isprintable() and not text.startswith("@"):
            return "", shlex.quote(text), f"printf %s {shlex.quote(text)} |", ""
        piped = f"echo {shlex.quote(base64.b64encode(self.body).decode())} | base64 -d |"
        return f"{piped} ", "@-", piped, ""

    def describe(self, path: str) -> str:
        """Say in one line what is sent, with the signature abbreviated.

        Args:
            path: Where it is sent.
        """
        shown = " and ".join(self._abbreviated(value) for value in self.signatures)
        header = f"{SIGNATURE_HEADER}: {shown}" if shown else f"no {SIGNATURE_HEADER}"
        return f"{self.method} {path} {self.label}, {len(self.body)} bytes, {header}".replace("  ", " ")

    def _abbreviated(self, value: str) -> str:
        if self.confidential:
            return f"'(not shown) ({len(value)} chars)'"
        shown = value if len(value) <= _SHOWN_WHOLE else f"{value[:12]}…{value[-6:]}"
        return repr(f"{shown} ({len(value)} chars)")

    def _encoded_headers(self) -> list[tuple[bytes, bytes]]:
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]

    def _header_mapping(self, client: str) -> dict[str, str]:
        mapping = dict(self.headers)
        if len(mapping) < len(self.headers):
            raise ValueError(
                f"{client} takes each header once, this request repeats one: send it with a Receiver or httpx"
            )
        return mapping
