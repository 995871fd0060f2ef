"""A raw HTTP/1.1 client for tests: it sends the bytes it is given and reads answers strictly (RFC 9112, section 6)."""

from __future__ import annotations

import re
import socket
import struct
import time
from dataclasses import dataclass

HOST = "127.0.0.1"
GUARDED_PATH = "/hook"
READY_PATH = "/ready"
APPLICATION_HEADER = "x-application"  # the application's answers carry it, and no others
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:;[^\r\n]*)?")


class NoAnswerError(Exception):
    """The connection ended, or the time ran out, before an answer was whole.

    `reason` is "closed" or "late"; `interim` are the statuses of the interim answers that had come.
    """

    def __init__(self, reason, received):
        super().__init__(f"{reason}; received {received[:200]!r}")
        self.reason = reason
        self.interim = ()


class MalformedAnswerError(AssertionError):
    """What came is no HTTP/1.1 answer."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    interim: tuple[int, ...] = ()
    framed: bool = True  # False where the body ends with the connection

    def values(self, name):
        return [value for field_name, value in self.headers if field_name == name]


class Connection:
    """One connection to a server on this machine; every wait is bounded by `timeout` seconds."""

    def __init__(self, port, timeout=20.0):
        self._timeout = timeout
        self._received = b""
        self._socket = socket.create_connection((HOST, port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, content):
        """Send it all, or as much as the server lets through; tell whether it was all."""
        try:
            self._socket.sendall(content)
        except OSError:
            return False
        return True

    def receive_answer(self, *, method="POST"):
        """Read exactly one final answer with the interim ones before it; what follows stays for the next call."""
        interim = []
        try:
            status, headers = self._receive_head()
            while status < 200:
                interim.append(status)
                status, headers = self._receive_head()
        except NoAnswerError as error:
            error.interim = tuple(interim)
            raise
        body, framed = self._receive_body(method, status, headers)
        return Answer(status, headers, body, tuple(interim), framed)

    def receive_interim(self, seconds):
        """Read one interim answer (1xx), such as "100 Continue", if one comes in that time."""
        self._socket.settimeout(seconds)
        try:
            status, _ = self._receive_head()
        finally:
            self._socket.settimeout(self._timeout)
        return status

    def receive_nothing(self, seconds=0.15):
        """Wait; return what came although nothing is due, and whether the server has closed the connection."""
        deadline = time.monotonic() + seconds
        closed = False
        while not closed and (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                closed = not self._receive_more()
            except TimeoutError:
                break
            except OSError:
                closed = True
        self._socket.settimeout(self._timeout)
        return self._received, closed

    def end_sending(self):
        """Close the one direction only: the client has said all, and waits for the answer."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self):
        self._socket.close()

    def abort(self):
        """Close with a reset (RST) and not with an end (FIN)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _receive_more(self):
        received = self._socket.recv(65_536)
        self._received += received
        return bool(received)

    def _fill(self, complete):
        while not complete():
            try:
                more = self._receive_more()
            except TimeoutError:
                raise NoAnswerError("late", self._received) from None
            except OSError:
                raise NoAnswerError("closed", self._received) from None
            if not more:
                raise NoAnswerError("closed", self._received)

    def _take(self, size):
        self._fill(lambda: len(self._received) >= size)
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def _take_line(self):
        self._fill(lambda: b"\r\n" in self._received)
        line, _, self._received = self._received.partition(b"\r\n")
        return line

    def _receive_head(self):
        status_line = self._take_line()
        matched = _STATUS_LINE.fullmatch(status_line)
        if matched is None:
            raise MalformedAnswerError(f"no status line: {status_line[:200]!r}")
        headers = []
        while line := self._take_line():
            field = _FIELD_LINE.fullmatch(line)
            if field is None:
                raise MalformedAnswerError(f"no header field: {line[:200]!r}")
            headers.append((field[1].decode().lower(), field[2].decode("latin-1")))
        return int(matched[1]), tuple(headers)

    def _receive_body(self, method, status, headers):
        lengths = [value for name, value in headers if name == "content-length"]
        encodings = [value.lower() for name, value in headers if name == "transfer-encoding"]
        if len(lengths) > 1 or (lengths and (encodings or not lengths[0].isdigit())):
            raise MalformedAnswerError(f"ambiguous framing: {headers}")
        if method == "HEAD" or status in {204, 304}:
            return b"", True
        if encodings:
            if encodings != ["chunked"]:
                raise MalformedAnswerError(f"unknown framing: {headers}")
            return self._receive_chunks(), True
        if lengths:
            return self._take(int(lengths[0])), True
        return self._receive_rest(), False

    def _receive_chunks(self):
        body = b""
        while True:
            line = self._take_line()
            matched = _CHUNK_LINE.fullmatch(line)
            if matched is None:
                raise MalformedAnswerError(f"no chunk size: {line[:200]!r}")
            size = int(matched[1], 16)
            if not size:
                while self._take_line():
                    pass
                return body
            body += self._take(size)
            if self._take(2) != b"\r\n":
                raise MalformedAnswerError("a chunk does not end where it says")

    def _receive_rest(self):
        try:
            while self._receive_more():
                pass
        except OSError:
            raise NoAnswerError("closed", self._received) from None
        body, self._received = self._received, b""
        return body


def request(
    body=b"",
    *,
    signatures=(),
    method="POST",
    target=GUARDED_PATH,
    headers=(),
    length=None,
):
    """Write a request with a Content-Length, true unless `length` says otherwise."""
    fields = [
        ("Host", "receiver.test"),
        ("Content-Type", "application/json"),
        *(("X-MG-Signature", signature) for signature in signatures),
        *headers,
        ("Content-Length", str(len(body)) if length is None else length),
    ]
    return _head(method, target, fields) + body


def chunked_request(body, *, signatures=(), trailers=(), target=GUARDED_PATH, headers=(), size=11, end=True):
    """Write the same request with `Transfer-Encoding: chunked`; without its last chunk if `end` is false."""
    fields = [
        ("Host", "receiver.test"),
        ("Content-Type", "application/json"),
        *(("X-MG-Signature", signature) for signature in signatures),
        *headers,
        ("Transfer-Encoding", "chunked"),
        *([("Trailer", ", ".join(name for name, _ in trailers))] if trailers else []),
    ]
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    if end:
        chunks += b"0\r\n" + _field_lines(trailers) + b"\r\n"
    return _head("POST", target, fields) + chunks


def _head(method, target, fields):
    return f"{method} {target} HTTP/1.1\r\n".encode("latin-1") + _field_lines(fields) + b"\r\n"


def _field_lines(fields):
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")
