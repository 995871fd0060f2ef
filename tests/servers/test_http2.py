"""The same promises over HTTP/2 (prior knowledge, no TLS), on the servers that speak it."""

from __future__ import annotations

import hashlib
import socket
import time
from collections import Counter
from contextlib import suppress

import pytest
from servers.expectations import RAN, delivery, forged_signature, genuine_signature
from servers.programs import PROGRAMS, running
from servers.reading import answer_of
from servers.wire import APPLICATION_HEADER, HOST
from servers.wire import request as write_request

h2 = pytest.importorskip("h2", reason="h2 is not installed (dependency group: servers)")
from h2.config import H2Configuration  # noqa: E402 - only where h2 is installed
from h2.connection import H2Connection  # noqa: E402
from h2.events import (  # noqa: E402
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)

SIGNATURE = "x-mg-signature"


class Client:
    """One HTTP/2 connection; what it sends is not checked, so that it can break the rules."""

    def __init__(self, port, timeout=20.0):
        self._socket = socket.create_connection((HOST, port), timeout=timeout)
        self._deadline = time.monotonic() + timeout
        self._connection = H2Connection(
            H2Configuration(
                header_encoding="latin-1",
                normalize_outbound_headers=False,
                validate_outbound_headers=False,
            )
        )
        self._connection.initiate_connection()
        self._flush()
        self.answers = {}
        self.body_sizes = Counter()
        self._ended = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def open(self, signatures=(), *, method="POST", length=None, end=False):
        """Begin a request, which leaves together with the first of its body or its end."""
        stream = self._connection.get_next_available_stream_id()
        fields = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "receiver.test"),
            (":path", "/hook"),
            *((SIGNATURE, signature) for signature in signatures),
            *([] if length is None else [("content-length", length)]),
        ]
        self._connection.send_headers(stream, fields, end_stream=end)
        if end:
            self._flush()
        return stream

    def upload(self, stream, body, *, end=True):
        """Send as much of a body as the server takes before it answers."""
        while body and stream not in self._ended:
            size = min(
                self._connection.local_flow_control_window(stream), self._connection.max_outbound_frame_size, len(body)
            )
            if not size:
                self._receive()
                continue
            self._connection.send_data(stream, body[:size])
            body = body[size:]
            self._flush()
        if end and stream not in self._ended:
            self._connection.end_stream(stream)
            self._flush()

    def send_trailers(self, stream, fields):
        self._connection.send_headers(stream, fields, end_stream=True)
        self._flush()

    def reset(self, stream):
        self._connection.reset_stream(stream)
        self._flush()

    def answer(self, stream):
        """Wait for the end of an answer and tell its status, or "reset"."""
        while stream not in self._ended:
            self._receive()
        return self.answers.get(stream, "reset")

    def deliver(self, body, signatures, **options):
        stream = self.open(signatures, **options)
        self.upload(stream, body)
        return self.answer(stream)

    def _flush(self):
        self._socket.sendall(self._connection.data_to_send())

    def _receive(self):
        assert time.monotonic() < self._deadline, "no answer in time"
        received = self._socket.recv(65_536)
        events = self._connection.receive_data(received) if received else [ConnectionTerminated()]
        for event in events:
            match event:
                case ResponseReceived(stream_id=stream, headers=headers):
                    fields = dict(headers)
                    giver = "application" if APPLICATION_HEADER in fields else "guard or server"
                    self.answers[stream] = f"{fields[':status']} {giver}"
                case DataReceived(stream_id=stream, data=data, flow_controlled_length=length):
                    self.body_sizes[stream] += len(data)
                    self._connection.acknowledge_received_data(length, stream)
                case StreamEnded(stream_id=stream) | StreamReset(stream_id=stream):
                    self._ended.add(stream)
                case ConnectionTerminated():
                    raise ConnectionError("the server ended the connection")
        self._flush()


DRIVEN = tuple(program for program in PROGRAMS if program.http2)
REFUSED = "401 guard or server"


@pytest.fixture
def client(server):
    with Client(server.port) as client:
        yield client


def _outcomes(server):
    return [outcome for outcome, _ in server.journal.facts("verdict")]


@pytest.mark.parametrize("declared", [False, True], ids=["no-length", "length"])
def test_genuine_delivery_reaches_the_application(server, client, body, declared):
    length = str(len(body)) if declared else None

    assert client.deliver(body, [genuine_signature(body)], length=length) == RAN
    assert server.journal.facts("ran") == [(hashlib.sha256(body).hexdigest(), True)]


@pytest.mark.parametrize("name", ["forged", "missing", "duplicate-genuine-first", "duplicate-genuine-last"])
def test_request_without_one_genuine_signature_is_refused(server, client, body, name):
    genuine, forged = genuine_signature(body), forged_signature(body)
    signatures = {
        "forged": [forged],
        "missing": [],
        "duplicate-genuine-first": [genuine, forged],
        "duplicate-genuine-last": [forged, genuine],
    }

    assert client.deliver(body, signatures[name]) == REFUSED
    assert not server.journal.facts("ran")


def test_signature_in_a_trailer_does_not_count(server, client, body):
    stream = client.open()
    client.upload(stream, body, end=False)
    with suppress(h2.exceptions.StreamClosedError):  # where the refusal came first
        client.send_trailers(stream, [(SIGNATURE, genuine_signature(body))])

    assert client.answer(stream) == REFUSED
    assert not server.journal.facts("ran")


def test_head_without_a_signature_is_refused_without_a_body(server, client):
    stream = client.open(method="HEAD", end=True)

    assert client.answer(stream) == REFUSED
    assert not client.body_sizes[stream]
    assert not server.journal.facts("ran")


def test_empty_body_needs_its_signature_too(server, client):
    stream = client.open([genuine_signature(b"")], end=True)
    forged = client.open([forged_signature(b"")], end=True)

    assert client.answer(stream) == RAN
    assert client.answer(forged) == REFUSED
    assert server.journal.facts("ran") == [(hashlib.sha256(b"").hexdigest(), True)]


def test_body_over_the_limit_without_a_declared_length_is_refused(server, client, body):
    body = body.ljust(1_048_577)

    assert client.deliver(body, [genuine_signature(body)]) == "413 guard or server"
    assert not server.journal.facts("ran")


@pytest.mark.parametrize("length", ["five", "-5", "+5", "0_5"])
def test_junk_length_never_reaches_the_application(server, client, body, length):
    try:
        answer = client.deliver(b"12345", [genuine_signature(b"12345")], length=length)
    except ConnectionError:
        answer = "reset"

    assert answer in {"400 guard or server", "reset"}
    assert not server.journal.facts("ran")


@pytest.mark.parametrize("name", ["hypercorn-asyncio", "hypercorn-trio", "granian-asgi"])
def test_upload_of_20_mebibytes_without_a_signature_is_refused(name, judge, tmp_path):
    """On a server of its own, since one ends by it."""
    (program,) = (program for program in PROGRAMS if program.name == name)
    if missing := program.missing():
        pytest.skip(missing)
    body = delivery(name)
    genuine = [genuine_signature(body)]

    with running(program, tmp_path) as server:
        try:
            with Client(server.port) as client:
                seen = client.deliver(bytes(20_971_520), [])
                seen = f"{seen}; then {client.deliver(body, genuine)}"
        except OSError:
            seen = "closed"
        try:
            with server.connect(timeout=5) as connection:
                connection.send(write_request(body, signatures=genuine))
                answer = answer_of(connection)
        except OSError:
            answer = "closed"

    judge(program, "http2-upload-20", f"{seen}; on a new connection {answer}")


@pytest.mark.parametrize("declared", [True, False], ids=["length", "no-length"])
def test_stream_that_is_reset_in_mid_body_is_not_processed(server, body, judge, declared):
    part = body[:10]
    with Client(server.port) as client:
        stream = client.open([genuine_signature(part)], length=str(len(body)) if declared else None)
        client.upload(stream, part, end=False)
        server.wait_for_call()
        client.reset(stream)
        verdicts = server.journal.wait_for("verdict")

    judge(server.program, "http2-gone" if declared else "http2-gone-no-length", verdicts[0][0])
    assert len(server.journal.facts("ran")) == (verdicts[0][0] == "accepted")
    with Client(server.port) as client:
        assert client.deliver(body, [genuine_signature(body)]) == RAN


def test_many_deliveries_at_once_on_one_connection_are_told_apart(server, client):
    bodies = [delivery(f"{server.program.name}-http2-{number}") for number in range(200)]
    forged = set(bodies[::4])
    answers = {}
    for start in (0, 100):  # as many as every server lets be open at once
        streams = {}
        for body in bodies[start : start + 100]:
            sign = forged_signature if body in forged else genuine_signature
            streams[client.open([sign(body)])] = body
        for stream, body in streams.items():
            client.upload(stream, body)
        for stream, body in streams.items():
            answers[body] = client.answer(stream)

    assert {answers[body] for body in forged} == {REFUSED}
    assert {answers[body] for body in bodies if body not in forged} == {RAN}
    assert sorted(server.journal.facts("ran")) == sorted(
        (hashlib.sha256(body).hexdigest(), True) for body in bodies if body not in forged
    )
