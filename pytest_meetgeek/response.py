"""What came back: one response of a receiver, whatever client fetched it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

__all__ = ["NoResponseError", "Response"]

ACKNOWLEDGED = 200
_REDIRECTS = range(300, 400)
_SHOWN_BODY = 120
# Shorter values occur in ordinary words by chance.
_SHORTEST_SECRET = 4


class NoResponseError(TimeoutError):
    """The receiver did not respond in time.

    Args:
        seconds: How long it was given.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no response within {seconds:g} s")


@dataclass(frozen=True, repr=False)
class Response:
    """One response of a receiver. Its repr shows neither the body nor what was raised: they may hold the secret.

    Args:
        status: The HTTP status; 500 if the app raised before it responded, 0 if nothing came back at all.
        headers: Names and values in order.
        body: The whole body.
        error: What the app raised, or what broke the connection.
        seconds: From the first byte sent to the last byte received.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    error: BaseException | None = None
    seconds: float = 0.0

    def __repr__(self) -> str:
        raised = "" if self.error is None else f", {type(self.error).__name__}"
        return f"<Response {self.status}, {len(self.body)} bytes{raised}>"

    @property
    def acknowledged(self) -> bool:
        """Whether it is 200 with no body, which MeetGeek takes as an acknowledgement."""
        return self.status == ACKNOWLEDGED and not self.body

    def describe(self, confidential: tuple[bytes, ...] = ()) -> str:
        """Say what came back, and where the app raised if it did; several lines.

        Args:
            confidential: Values to redact, such as the secret.
        """
        body = redact(self.body, confidential)
        if self.status:
            shown = repr(body[:_SHOWN_BODY].decode("utf-8", "replace")) + ("…" if len(body) > _SHOWN_BODY else "")
            size = f"{len(self.body)} {'byte' if len(self.body) == 1 else 'bytes'}"
            lines = [f"HTTP {self.status}, {f'{size} of body: {shown}' if body else 'no body'}"]
            if self.status in _REDIRECTS:
                targets = [value for name, value in self.headers if name.lower() == "location"]
                lines += [f"Location: {_redacted(value, confidential)}" for value in targets]
        else:
            lines = ["no response"]
        if isinstance(self.error, NoResponseError):
            return str(self.error)
        if self.error is not None:
            message = _redacted(str(self.error), confidential)
            raised = f"{type(self.error).__name__}: {message}" if message else type(self.error).__name__
            lines.append(f"the app raised {raised}" if self.status else raised)
            place = origin(self.error)
            if place and self.status:
                lines.append(f"at {place}")
        return "\n    ".join(lines)


def _redacted(text: str, confidential: tuple[bytes, ...]) -> str:
    return redact(text.encode("utf-8", "replace"), confidential).decode("utf-8", "replace")


def spellings(key: bytes) -> tuple[bytes, ...]:
    """List the forms in which a secret appears in texts, to redact them.

    Args:
        key: The secret, as bytes.
    """
    header = key.decode("latin-1")
    texts = (header, repr(header)[1:-1], repr(key)[2:-1], repr(key.decode("utf-8", "replace"))[1:-1])
    return tuple(dict.fromkeys((key, *(text.encode() for text in texts))))


def redact(text: bytes, confidential: tuple[bytes, ...]) -> bytes:
    """Replace confidential values, so that a receiver that leaks its secret does not leak it into a test's output.

    Args:
        text: Bytes that may hold them.
        confidential: The values; under four bytes a value is left alone, since it says nothing.
    """
    for value in confidential:
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, b"[secret]")
    return text


def origin(error: BaseException) -> str:
    """Find the line of the user's own code that raised; of any code, where none of it is theirs.

    Args:
        error: What was raised.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = str(Path(__file__).parent)
    foreign = [frame for frame in frames if not frame.filename.startswith(ours)]
    own = [frame for frame in foreign if "site-packages" not in frame.filename and "/lib/python" not in frame.filename]
    for frame in reversed(own or foreign):
        path = Path(frame.filename)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown.as_posix()}:{frame.lineno}"
    return ""


def normalise(response: object) -> Response:
    """Turn the response of any client into a Response.

    Args:
        response: A Response, a DeliveryRecord (its last attempt counts), or anything with `status_code` and one of
            `content`, `data` or `streaming_content`.

    Raises:
        TypeError: It is none of these.
    """
    if isinstance(response, Response):
        return response
    foreign = cast("Any", response)
    attempts = getattr(foreign, "attempts", None)
    if attempts:
        return normalise(attempts[-1])
    status = getattr(foreign, "status_code", None)
    if not isinstance(status, int):
        raise TypeError(
            f"not the response of a known client: {type(response).__name__} (it needs status_code, and content or data)"
        )
    headers = tuple((str(name), str(value)) for name, value in dict(getattr(foreign, "headers", {})).items())
    return Response(status=status, headers=headers, body=_body_of(foreign))


def _body_of(response: Any) -> bytes:  # any client's response
    # Quart's `data` is a coroutine; the bytes lie behind `response`.
    behind = getattr(response, "response", None)
    for holder, name in ((behind, "data"), (response, "content"), (response, "data")):
        found = getattr(holder, name, None)
        if isinstance(found, bytes):
            return found
    return b"".join(response.streaming_content)
