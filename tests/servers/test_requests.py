"""One request on one connection: every server with every case of the table, over real sockets."""

from __future__ import annotations

import hashlib

import pytest
from servers.expectations import CASES, RAN
from servers.reading import answer_of


@pytest.mark.parametrize("name", CASES)
def test_answer_is_the_expected_one_and_the_application_runs_only_for_it(server, body, judge, name):
    case = CASES[name]
    content = case.write(body)

    with server.connect() as connection:
        at_once = len(content) - case.late
        connection.send(content[:at_once])
        if case.late:
            server.wait_for_call()
            connection.send(content[at_once:])
        given = answer_of(connection, case.method)
        if case.method == "HEAD" and connection.receive_nothing()[0]:
            given += " with a body"

    judge(server.program, name, given)
    runs = server.journal.facts("ran")
    assert len(runs) == (given == RAN)
    assert all(delivered for _, delivered in runs)


def test_application_reads_the_exact_bytes_that_were_sent(server, body):
    unusual = b'\r\n{"meeting_id" : "' + bytes(range(256)) + body + b'"}\n'

    with server.connect() as connection:
        connection.send(CASES["genuine"].write(unusual))

        assert answer_of(connection) == RAN
    assert server.journal.facts("ran") == [(hashlib.sha256(unusual).hexdigest(), True)]
