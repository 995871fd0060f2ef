"""One verification, beside the standard library, the documented snippet and the packages for other senders."""

import itertools
from time import process_time

import pytest
from measuring import Row, measure, repeat
from verifications import BODY_SIZE, CHUNK, PEERS, made_up_body, one_call, snippet, this_guard, webhook

from mg_middleware._paths import GuardedPaths

pytestmark = pytest.mark.benchmark(timer=process_time)

SIZES = {"95 B": BODY_SIZE, "10 KiB": 10_240, "1 MiB": 1_048_576, "20 MiB": 20_971_520}
SNIPPET = "the documented snippet"


def repetitions(size):
    """How often, and in how many rounds, so that a round takes a millisecond or so."""
    return max(1, 20_480 // size), 300 if size < CHUNK else 40


@pytest.mark.parametrize(("label", "size"), SIZES.items(), ids=list(SIZES))
@pytest.mark.parametrize(
    ("name", "prepare"),
    {
        "hmac.digest and compare_digest": one_call,
        "this guard, whole": this_guard,
        "this guard, in chunks of 64 KiB": lambda body: this_guard(body, chunk=CHUNK),
        "this guard, three secrets": lambda body: this_guard(body, secrets=3),
    }.items(),
    ids=["hmac.digest", "whole", "chunks", "three secrets"],
)
def test_sizes(benchmark, name, prepare, label, size):
    body = made_up_body(size)
    subject = prepare(body)
    assert subject()
    count, rounds = repetitions(size)
    row = Row("One verification, by the size of the body", f"{name}, {label}", SNIPPET)
    measure(benchmark, row, repeat(subject, count), unit=repeat(snippet(body), count), rounds=rounds)


def test_chunks_beside_one_call(benchmark):
    body = made_up_body(SIZES["1 MiB"])
    row = Row(
        "One verification, by the size of the body", "this guard, in chunks of 64 KiB, 1 MiB", "one hmac.digest", 1.03
    )
    measure(benchmark, row, this_guard(body, chunk=CHUNK), unit=one_call(body), rounds=300)


@pytest.mark.parametrize(
    ("name", "given", "at_most"),
    [("the signature alone", "signature", 1.3), ("six header fields", "fields", None)],
    ids=["signature", "fields"],
)
def test_webhook(benchmark, name, given, at_most):
    body = made_up_body(BODY_SIZE)
    count, rounds = repetitions(BODY_SIZE)
    row = Row("One verification by Webhook.verify, 95 bytes", f"given {name}", SNIPPET, at_most)
    measure(benchmark, row, repeat(webhook(body, given), count), unit=repeat(snippet(body), count), rounds=rounds)


@pytest.mark.parametrize(("name", "prepare"), PEERS.items(), ids=list(PEERS))
def test_peers(benchmark, name, prepare):
    body = made_up_body(BODY_SIZE)
    subject = prepare(body)
    assert subject()
    count, rounds = repetitions(BODY_SIZE)
    row = Row("One verification of 95 bytes, by other packages for their own senders", name, SNIPPET)
    measure(benchmark, row, repeat(subject, count), unit=repeat(snippet(body), count), rounds=rounds)


@pytest.mark.parametrize("name", ["a path seen before", "a new path"])
def test_paths(benchmark, name):
    includes = GuardedPaths("/webhooks/meetgeek").includes
    numbers = itertools.cycle(range(10_000) if name == "a new path" else range(1))

    def ask():
        assert not includes(f"/api/users/{next(numbers)}", "")

    row = Row("Deciding that a path isn't guarded", name, SNIPPET)
    count, rounds = repetitions(BODY_SIZE)
    measure(
        benchmark,
        row,
        repeat(ask, count),
        bare=repeat(lambda: f"/api/users/{next(numbers)}", count),
        unit=repeat(snippet(made_up_body(BODY_SIZE)), count),
        rounds=rounds,
    )
