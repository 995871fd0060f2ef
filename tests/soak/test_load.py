"""Full speed, and connections that hold on to half a body: no wrong verdict, no lost meeting, no growing memory."""

import json
import resource
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from itertools import count
from statistics import median

import pytest
from servers.expectations import delivery, genuine_signature
from servers.programs import TESTS, Program, running
from servers.wire import Connection, request
from soak.memory import resident_bytes

_FACTORY = "soak.application:{0}_application"
UVICORN = Program(
    "uvicorn",
    "ASGI",
    ("uvicorn", "--factory", _FACTORY.format("asgi"), "--host={host}", "--port={port}", "--no-access-log"),
    "uvicorn",
)
GUNICORN = Program(
    "gunicorn-gthread",
    "WSGI",
    ("gunicorn", _FACTORY.format("wsgi") + "()", "--bind={host}:{port}", "--workers=2", "--threads=4"),
    "gunicorn",
)
GUNICORN_GEVENT = Program(
    "gunicorn-gevent",
    "WSGI",
    (
        "gunicorn",
        _FACTORY.format("wsgi") + "()",
        "--bind={host}:{port}",
        "--worker-class=gevent",
        "--worker-connections=4000",
    ),
    "gevent",
)
MEBIBYTE = 1_048_576
SLOW_CONNECTIONS = 2000
HALF = 16_384


@pytest.fixture
def start(tmp_path, request):
    """Return a function that starts a server with a store of its own; it is stopped after the test."""
    with ExitStack() as stack:

        def start(program):
            if missing := program.missing():
                pytest.skip(missing)
            variables = {"SOAK_STORE": str(tmp_path / "deliveries.sqlite3")}
            return stack.enter_context(running(program, tmp_path, variables))

        yield start


@pytest.fixture
def _many_files():
    """Let this process and the server have a socket for each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * SLOW_CONNECTIONS:
        pytest.skip(f"this machine allows a process {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * SLOW_CONNECTIONS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("program", [UVICORN, GUNICORN], ids=lambda program: program.name)
def test_full_speed_brings_no_wrong_verdict_no_second_run_and_no_growth(start, program, pytestconfig, say):
    seconds = pytestconfig.getoption("--soak-seconds")
    server = start(program)
    load = subprocess.Popen(
        [sys.executable, "-m", "soak.load", str(server.port), str(seconds), program.name],
        cwd=TESTS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    sizes = []
    try:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(0.5)
            sizes.append(resident_bytes(server.process.pid) / MEBIBYTE)
        output, errors = load.communicate(timeout=60)
    finally:
        load.kill()
        load.wait()

    assert load.returncode == 0, f"{errors}\nthe server's log:\n{server.log.read_text()[-4000:]}"
    result = json.loads(output)
    answers = Counter({(kind, status): times for kind, status, times in result["answers"]})
    quarter = len(sizes) // 4
    early, late = median(sizes[quarter : 2 * quarter]), median(sizes[-quarter:])
    say(
        f"{program.name}: {sum(answers.values())} requests in {seconds:.0f} s, {len(result['meetings'])} meetings, "
        f"each by two deliveries; {answers['busy', 409]} answers 409; "
        f"memory {early:.1f} MiB in the second quarter of the time, {late:.1f} MiB in the last\n{dict(answers)}"
    )
    assert set(answers) - {("genuine", 200), ("busy", 409)} == {
        (kind, 401) for kind in ("forged", "missing", "duplicate", "upper-case", "changed")
    }
    assert answers["genuine", 200] == 2 * len(result["meetings"])
    processed = Counter(server.journal.path.read_text().split())
    assert set(processed) == set(result["meetings"])
    assert set(processed.values()) == {1}
    assert late - early < 4


@pytest.mark.usefixtures("_many_files")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", [UVICORN, GUNICORN_GEVENT], ids=lambda program: program.name)
def test_slow_connections_hold_bounded_memory_and_stop_no_genuine_delivery(start, program, say):
    server = start(program)
    numbers = count()

    def deliver():
        body = delivery(f"{program.name}-{next(numbers)}")
        before = time.monotonic()
        with Connection(server.port) as connection:
            connection.send(request(body, signatures=[genuine_signature(body)]))
            assert connection.receive_answer().status == 200
        return time.monotonic() - before

    alone = [deliver() for _ in range(200)]
    before = resident_bytes(server.process.pid)
    half = delivery("half").ljust(HALF)  # whole and signed as it is, so that who took it for the whole would process it
    with ExitStack() as stack:
        slow = [stack.enter_context(Connection(server.port)) for _ in range(SLOW_CONNECTIONS)]
        for connection in slow:
            assert connection.send(request(half, signatures=[genuine_signature(half)], length=str(2 * HALF)))
        beside = [deliver() for _ in range(200)]
        grown = resident_bytes(server.process.pid) - before
        assert {connection.receive_nothing(0.001) for connection in slow} == {(b"", False)}, "one is not held any more"

    after = [deliver() for _ in range(200)]
    say(
        f"{program.name}: {SLOW_CONNECTIONS} connections with {HALF // 1024} KiB of {HALF // 512} each: "
        f"memory {before / MEBIBYTE:.0f} MiB + {grown / MEBIBYTE:.0f} MiB ({grown / SLOW_CONNECTIONS / 1024:.0f} KiB "
        f"each); a genuine delivery took {median(alone) * 1000:.1f} ms alone, {median(beside) * 1000:.1f} ms beside "
        f"them (at most {max(beside) * 1000:.0f} ms), {median(after) * 1000:.1f} ms after"
    )
    processed = server.journal.path.read_text().split()
    assert sorted(processed) == sorted(f"{program.name}-{number}" for number in range(600))
    # One copy of what has arrived in the guard and one in the server's buffers, and what a connection costs.
    assert grown < SLOW_CONNECTIONS * (2 * HALF + 65_536)
