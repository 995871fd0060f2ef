"""What takes more than one request and one answer: every server with every exchange, over real sockets."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from servers.expectations import (
    LIMIT,
    RAN,
    delivery,
    expected,
    forged_signature,
    genuine_signature,
)
from servers.reading import answer_of, in_words
from servers.wire import GUARDED_PATH, NoAnswerError, chunked_request, request

SMUGGLED_PATH = f"{GUARDED_PATH}/smuggled"
AT_ONCE = 200


def _genuine(body, **options):
    return request(body, signatures=[genuine_signature(body)], **options)


def _ran(server, body):
    return (hashlib.sha256(body).hexdigest(), True) in server.journal.facts("ran")


def test_genuine_delivery_that_expects_100_continue_is_accepted(server, body, judge):
    head = _genuine(body, headers=[("Expect", "100-continue")]).removesuffix(body)

    with server.connect() as connection:
        connection.send(head)
        try:
            asked = f"{connection.receive_interim(seconds=1)}, "
        except NoAnswerError:  # a client goes on by itself after a while (RFC 9110, section 10.1.1)
            asked = ""
        connection.send(body)
        given = asked + answer_of(connection)

    judge(server.program, "expect-genuine", given)
    assert _ran(server, body)


def test_unsigned_request_that_expects_100_continue_is_refused(server, body, judge):
    head = request(body, headers=[("Expect", "100-continue")]).removesuffix(body)

    (wanted,) = expected(server.program.name, "expect-missing")
    with server.connect(timeout=1 if "late" in wanted else 20) as connection:
        connection.send(head)
        given = answer_of(connection)
        if given.endswith("late"):
            connection.send(body)
            given = f"{given}; with the body {answer_of(connection)}"

    judge(server.program, "expect-missing", given)
    assert not server.journal.facts("ran")


def test_deliveries_in_one_packet_are_told_apart(server, body, judge):
    forged = delivery(f"{server.program.name}-pipelined-forged")
    last = delivery(f"{server.program.name}-pipelined-last")
    answers = []

    with server.connect(timeout=5) as connection:
        connection.send(
            _genuine(body)
            + request(forged, signatures=[forged_signature(forged)])
            + _genuine(last, headers=[("Connection", "close")])
        )
        while len(answers) < 3 and "closed" not in answers:
            answers.append(answer_of(connection))

    judge(server.program, "pipelined", "; then ".join(answers))
    assert len(server.journal.facts("ran")) == answers.count(RAN)
    assert not _ran(server, forged)


def test_genuine_delivery_whose_client_ends_its_sending_side_is_accepted_or_dropped(server, body, judge):
    with server.connect(timeout=5) as connection:
        connection.send(_genuine(body))
        connection.end_sending()
        given = answer_of(connection)

    judge(server.program, "half-closed", given)
    assert _ran(server, body) or given == "closed", "the answer says otherwise"


def _refused_requests(body):
    """Write requests that are refused, whose bodies look like genuine requests, in each way of being refused."""
    smuggled = _genuine(body, target=SMUGGLED_PATH)
    many = smuggled * (102_400 // len(smuggled))
    too_many = smuggled * (LIMIT // len(smuggled) + 1)
    # The line with the chunk's size is a request line, too: of the method "3E8;A".
    fields = smuggled.partition(b"\r\n")[2]
    extended = b"%X;A %s HTTP/1.1\r\n%s\r\n0\r\n\r\n" % (len(fields), SMUGGLED_PATH.encode(), fields)
    return {
        "refused-unread": request(smuggled),
        "refused-unread-large": request(many),
        "refused-chunked": chunked_request(many, size=1000),
        "refused-extension": chunked_request(b"", end=False) + extended,
        "refused-too-large": _genuine(too_many),
        "refused-forged": request(many, signatures=[forged_signature(many)]),
    }


@pytest.mark.parametrize("pipelined", [False, True], ids=["after-the-answer", "pipelined"])
@pytest.mark.parametrize("name", _refused_requests(b""))
def test_body_of_a_refused_request_is_never_taken_for_a_request(server, body, judge, name, pipelined):
    """Account for every byte that comes back on a connection with a refused request and a genuine one."""
    refused = _refused_requests(body)[name]
    following = delivery(f"{server.program.name}-{name}-{pipelined}-next")
    # Asked to close, a server tells by the end of the connection that nothing more comes.
    last = _genuine(following, headers=[("Connection", "close")])
    answers = []

    with server.connect(timeout=5) as connection:
        connection.send(refused + last if pipelined else refused)
        try:
            answer = connection.receive_answer()
            answers.append(in_words(answer))
            ends = "close" in answer.values("connection") or not answer.framed
        except NoAnswerError as error:
            answers.append(error.reason)
            ends = True
        if not pipelined and not ends:
            unasked, ends = connection.receive_nothing()
            if unasked:
                answers.append("unasked")
            elif not ends:
                connection.send(last)
        answers.append("closed" if ends else answer_of(connection))
        unasked, _ = connection.receive_nothing(0.3)
        if unasked:
            answers.append("unasked")

    if _ran(server, body) or [path for _, path in server.journal.facts("seen") if path.endswith(SMUGGLED_PATH)]:
        answers.append("smuggled")
    else:
        assert _ran(server, following) == (RAN in answers)
    judge(server.program, name, "; then ".join(answers))


@pytest.mark.parametrize("name", ["gone-end", "gone-reset", "gone-chunked"])
def test_delivery_whose_client_leaves_in_mid_body_is_not_processed(server, body, judge, name):
    part = body[: len(body) // 2]
    if name == "gone-chunked":
        content = chunked_request(part, signatures=[genuine_signature(part)], size=1000, end=False)
    else:
        content = _genuine(part, length=str(len(body)))
    connection = server.connect()
    connection.send(content)
    server.wait_for_call()
    (connection.abort if name == "gone-reset" else connection.close)()

    wanted = expected(server.program.name, name)
    verdicts = server.journal.wait_for("verdict", seconds=0.5 if "not called" in wanted else 5)
    outcome = verdicts[0][0] if verdicts else "not called"

    judge(server.program, name, outcome)
    assert len(server.journal.facts("ran")) == (outcome == "accepted")
    following = body + b" "
    with server.connect() as connection:
        connection.send(_genuine(following))
        assert answer_of(connection) == RAN, "the server did not get over it"


@pytest.mark.parametrize(("name", "mebibytes"), [("upload-1", 1), ("upload-20", 20)], ids=["1-MiB", "20-MiB"])
def test_large_upload_without_a_signature_is_refused(server, body, judge, name, mebibytes):
    with server.connect() as connection:
        connection.send(request(body.ljust(mebibytes * 1_048_576)))
        given = answer_of(connection)

    judge(server.program, name, given)
    assert not server.journal.facts("ran")


def test_many_deliveries_at_once_are_told_apart(server):
    bodies = [delivery(f"{server.program.name}-burst-{number}") for number in range(AT_ONCE)]
    forged = set(bodies[::4])
    together = Barrier(AT_ONCE, timeout=30)

    def deliver(body):
        sign = forged_signature if body in forged else genuine_signature
        together.wait()
        with server.connect(timeout=60) as connection:
            connection.send(request(body, signatures=[sign(body)], headers=[("Connection", "close")]))
            return answer_of(connection)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = dict(zip(bodies, threads.map(deliver, bodies), strict=True))

    assert {answers[body] for body in forged} == {"401 guard"}
    assert {answers[body] for body in bodies if body not in forged} == {RAN}
    assert sorted(server.journal.facts("ran")) == sorted(
        (hashlib.sha256(body).hexdigest(), True) for body in bodies if body not in forged
    )
