"""A websocket on a guarded path, on every server that speaks the protocol (RFC 6455)."""

from __future__ import annotations

from servers.programs import PROGRAMS
from servers.reading import answer_of
from servers.wire import GUARDED_PATH

DRIVEN = tuple(program for program in PROGRAMS if program.interface == "ASGI")
HANDSHAKE = f"""\
GET {GUARDED_PATH} HTTP/1.1
Host: receiver.test
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==

"""


def test_websocket_is_closed_before_it_is_accepted(server, judge):
    with server.connect() as connection:
        connection.send(HANDSHAKE.replace("\n", "\r\n").encode())
        given = answer_of(connection)

    judge(server.program, "websocket", given)
    assert server.journal.facts("verdict") == [("websocket_refused", 403)]
    assert not server.journal.facts("ran")
