"""How the cost grows: with the size of the body, with the number of secrets, with both in time and in memory."""

import asyncio
import tracemalloc
from time import process_time

import pytest
from applications import PATH, wsgi_application
from measuring import Row, measure, repeat
from requests_to_send import MEETGEEK
from verifications import CHUNK, SECRET, made_up_body, this_guard

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware
from mg_middleware._paths import GuardedPaths

MEBIBYTE = 1_048_576


@pytest.mark.benchmark(timer=process_time)
@pytest.mark.parametrize("count", [1 << step for step in range(9)], ids="{} times 64 KiB".format)
def test_body_size(benchmark, count):
    row = Row(
        "Growth with the size of the body", f"{count * CHUNK // 1024} KiB", "as many KiB in bodies of 64", size=count
    )
    in_bodies = repeat(this_guard(made_up_body(CHUNK)), count)
    measure(benchmark, row, this_guard(made_up_body(count * CHUNK), chunk=CHUNK), unit=in_bodies, rounds=40)


@pytest.mark.benchmark(timer=process_time)
@pytest.mark.parametrize("secrets", [1, 2, 4, 8, 16, 32], ids="{} secrets".format)
def test_secrets(benchmark, secrets):
    body = made_up_body(95)
    row = Row(
        "Growth with the number of secrets", f"{secrets} at once", "as many verifications with one secret", size=secrets
    )
    one_by_one = repeat(this_guard(body), 32 * secrets)
    measure(benchmark, row, repeat(this_guard(body, secrets=secrets), 32), unit=one_by_one, rounds=100)


@pytest.mark.benchmark(timer=process_time)
@pytest.mark.parametrize(("count", "at_most"), [(10, 1.5), (100, 2.0), (1000, None)], ids=["10", "100", "1000"])
@pytest.mark.parametrize("path", ["/hooks/team-x/other", "/hooks/team-x/%20other"], ids=["plain", "oddly spelled"])
def test_guarded_paths(benchmark, count, at_most, path):
    """What a stranger can have the guard work out: a path that begins like the guarded ones, and is new each time."""

    def deciding(paths):
        guarded = GuardedPaths([f"/hooks/team-{number}/meetgeek" for number in range(paths)])
        return repeat(lambda: guarded.includes.__wrapped__(path), 50)

    kind = "an oddly spelled path" if "%" in path else "a plain path"
    row = Row("Growth with the number of guarded paths", f"{count}, {kind}", "with one guarded path", at_most)
    measure(benchmark, row, deciding(count), unit=deciding(1), rounds=100)


def peak_of(run):
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bodies", [1, 10, 100], ids="{} bodies".format)
def test_peak_memory_of_concurrent_bodies(benchmark, bodies):
    size = 262_144
    row = Row("Peak memory", f"ASGI, {bodies} bodies of 256 KiB at the same time, in pieces of 64 KiB", "the bodies")
    row.record(benchmark, [benchmark.pedantic(peak_of, (upload(bodies, size),)) / (size * bodies)])


@pytest.mark.parametrize("size", [MEBIBYTE, 4 * MEBIBYTE, 16 * MEBIBYTE], ids=["1 MiB", "4 MiB", "16 MiB"])
def test_peak_memory_of_asgi(benchmark, size):
    row = Row("Peak memory", f"ASGI, {size // MEBIBYTE} MiB in pieces of 64 KiB", "the body")
    row.record(benchmark, [benchmark.pedantic(peak_of, (upload(1, size),)) / size])


@pytest.mark.parametrize("size", [MEBIBYTE, 4 * MEBIBYTE, 16 * MEBIBYTE], ids=["1 MiB", "4 MiB", "16 MiB"])
def test_peak_memory_of_wsgi(benchmark, size):
    """A server that hands over the whole body hands over its own bytes; one that has them in pieces makes new ones."""
    body = bytes(size)
    environ = MEETGEEK.raw(body).wsgi_environ(PATH)
    guarded = MeetGeekWSGIMiddleware(wsgi_application, SECRET, max_body_size=None)

    def run():
        assert guarded({**environ, "wsgi.input": Pieces(size)}, lambda status, headers: None) == []

    row = Row("Peak memory", f"WSGI, {size // MEBIBYTE} MiB in pieces of 64 KiB", "the body")
    row.record(benchmark, [benchmark.pedantic(peak_of, (run,)) / size])


class Pieces:
    """The input of a server that gives 64 KiB at a time."""

    def __init__(self, size):
        self.remaining = size

    def read(self, size):
        size = min(size, CHUNK, self.remaining)
        self.remaining -= size
        return bytes(size)


def upload(bodies, size):
    """Prepare bodies that arrive in pieces, in turn, at guards whose applications wait until all have come."""
    request = MEETGEEK.raw(bytes(size))
    scope = request.asgi_scope(PATH)

    async def send_all():
        together = asyncio.Barrier(bodies)
        answers = []

        async def application(scope, receive, send):
            answers.append(scope["meetgeek.delivery"])
            await together.wait()

        async def send_one(guard):
            remaining = size

            async def receive():
                nonlocal remaining
                await asyncio.sleep(0)
                remaining -= CHUNK
                return {"type": "http.request", "body": bytes(CHUNK), "more_body": remaining > 0}

            await guard(scope, receive, answers.append)

        guard = MeetGeekASGIMiddleware(application, SECRET, max_body_size=None)
        await asyncio.gather(*(send_one(guard) for _ in range(bodies)))
        assert len(answers) == bodies

    return lambda: asyncio.run(send_all())
