"""Real deliveries as files: what `mg-middleware serve --record DIR` writes, and what tests send again."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

# A recorded signature would verify forever, and the others open more than a webhook.
_CONFIDENTIAL = re.compile(r"signature|cookie|authorization|secret|token|api-?key|password", re.IGNORECASE)

# They describe one connection (RFC 9110, section 7.6.1), and are made again for each one.
_OF_THE_CONNECTION = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)

# RFC 9110, sections 5.1 and 5.5. What is sent must be no request of its own.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True)
class Recording:
    """One recorded delivery, without its signature.

    Not a proof of anything: a file can be edited, and is signed again when it is sent.

    Args:
        body: The exact bytes of the body.
        headers: The names and values of the header fields that may be kept, in order.
        method: The HTTP method.
        path: The path that was sent to, percent-encoded, without the query string.
        received: When it was received, in ISO 8601.
    """

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"
    path: str = "/"
    received: str = ""

    def to_json(self) -> str:
        """Write the recording as JSON, which `read` reads."""
        try:
            body = {"body": self.body.decode()}
        except UnicodeDecodeError:
            body = {"body_base64": base64.b64encode(self.body).decode()}
        content = {"received": self.received, "method": self.method, "path": self.path, "headers": self.headers, **body}
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Recording:
        """Read a recording from its file.

        Args:
            path: The file.

        Raises:
            OSError: The file can't be read.
            ValueError: The file isn't a recording.
        """
        try:
            content = json.loads(Path(path).read_bytes())
        except (ValueError, RecursionError):
            raise ValueError(f"{str(path)!r} is not a recording: it isn't JSON") from None
        try:
            return cls._from_content(content)
        except _InvalidError as error:
            raise ValueError(f"{str(path)!r} is not a recording: {error}") from None

    @classmethod
    def _from_content(cls, content: object) -> Recording:
        if not isinstance(content, dict):
            raise _InvalidError("it isn't a JSON object")
        fields = cast("dict[str, object]", content)
        body, encoded = fields.get("body"), fields.get("body_base64")
        try:
            if isinstance(body, str):
                raw = body.encode()
            elif isinstance(encoded, str):
                raw = base64.b64decode(encoded, validate=True)
            else:
                raise _InvalidError("it has neither 'body' nor 'body_base64' as text")
        except (UnicodeEncodeError, binascii.Error):
            raise _InvalidError("its body can't be decoded") from None
        method, path, received = (fields.get(name, "") for name in ("method", "path", "received"))
        if not (isinstance(method, str) and isinstance(path, str) and isinstance(received, str)):
            raise _InvalidError("its 'method', 'path' or 'received' isn't text")
        if not _NAME.fullmatch(method):
            raise _InvalidError("its 'method' isn't an HTTP method")
        headers = tuple(_checked(pair) for pair in _as_list(fields.get("headers")))
        return cls(raw, headers, method, path, received)

    @property
    def meeting_id(self) -> str | None:
        """The id in the body, or None if it has none."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        meeting_id = cast("dict[str, object]", value).get("meeting_id") if isinstance(value, dict) else None
        return meeting_id if isinstance(meeting_id, str) else None

    def headers_to_send(self) -> tuple[tuple[str, str], ...]:
        """Return the header fields to send again: all but those that describe the connection.

        Names are written as HTTP/1.1 senders usually write them, since servers lower them.
        """
        return tuple((name.title(), value) for name, value in self.headers if name.lower() not in _OF_THE_CONNECTION)


class _InvalidError(Exception):
    """What is wrong with the content of a file."""


def headers_to_keep(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return the header fields that a recording may hold: no signature, cookie, authorization or the like.

    Args:
        headers: The names and values, as received.
    """
    decoded = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    return tuple((name, value) for name, value in decoded if not _CONFIDENTIAL.search(name))


def recordings_at(path: str | os.PathLike[str]) -> list[Path]:
    """List the recordings at a path: the file itself, or the JSON files in a folder, in the order of their names.

    Args:
        path: A file or a folder.

    Raises:
        ValueError: There is none.
    """
    place = Path(path)
    if place.is_file():
        return [place]
    found = sorted(place.glob("*.json"))
    if not found:
        raise ValueError(f"there is no recording at {str(path)!r}: expected a file, or a folder with files *.json")
    return found


def _as_list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _InvalidError("its 'headers' aren't a list")
    return cast("list[object]", value)


def _checked(pair: object) -> tuple[str, str]:
    match pair:
        case [str(name), str(value)] if _NAME.fullmatch(name) and _VALUE.fullmatch(value):
            return name, value
        case _:
            raise _InvalidError("one of its 'headers' isn't a name and a value")
