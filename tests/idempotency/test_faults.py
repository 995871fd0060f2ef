"""What goes wrong while deliveries arrive: every event is processed at least once, and the log tells of the fault."""

import os
import shutil
import subprocess
import time

import pytest
from once_per_meeting import succeeded
from worker import STORES

from mg_middleware import MemoryStore, RedisStore, SQLiteStore
from mg_middleware.idempotency.stores import sqlite_file


def make(shared, **options):
    kind, location = shared
    return STORES[kind](location, **options)


@pytest.mark.slow
def test_a_delivery_whose_process_was_killed_is_processed_again_after_the_lease(protocol, shared, workers):
    bodies = []
    guarded = protocol.guard(lambda body: bodies.append(body) or 200, idempotency_store=make(shared))
    # Renewed every two seconds, so that four are left at least when the worker dies: enough on a busy machine, too.
    killed = workers.start(*shared, "WSGI", ["m-1"], at_once=1, lease=6, seconds=60)
    workers.go()
    while not workers.runs():
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    answer = protocol.deliver(guarded, succeeded())
    assert answer.status == 409
    assert 1 <= int(answer.headers["retry-after"]) <= 6
    time.sleep(float(answer.headers["retry-after"]))
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert protocol.deliver(guarded, succeeded()).body == b""
    assert bodies == [succeeded()]


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def test_a_file_that_is_removed_while_a_handler_runs_is_survived(protocol, tmp_path, caplog):
    path = tmp_path / "deliveries.sqlite3"
    bodies = []

    def handle(body):
        bodies.append(body)
        if len(bodies) == 1:
            path.unlink()
        return 200

    guarded = protocol.guard(handle, idempotency_store=SQLiteStore(path, lease=60))  # no renewal fails, too
    answers = [protocol.deliver(guarded, succeeded()) for _ in range(3)]
    assert [answer.body for answer in answers] == [b"done", b"done", b""]
    (error,) = errors(caplog)
    assert "failed to complete: FileNotFoundError" in error


def test_a_corrupt_file_is_survived(protocol, tmp_path, caplog):
    path = tmp_path / "deliveries.sqlite3"
    path.write_bytes(b"\xff" * 100_000)
    guarded = protocol.guard(lambda body: 200, idempotency_store=SQLiteStore(path))
    assert [protocol.deliver(guarded, succeeded()).body for _ in range(2)] == [b"done", b"done"]
    assert len(errors(caplog)) == 2
    assert "file is not a database" in caplog.text


def test_a_full_disk_loses_nothing(protocol, tmp_path, caplog, monkeypatch):
    path = tmp_path / "deliveries.sqlite3"
    SQLiteStore(path).claim("first")
    monkeypatch.setattr(sqlite_file, "SETTINGS", (*sqlite_file.SETTINGS, "PRAGMA max_page_count = 3"))
    bodies = set()
    guarded = protocol.guard(lambda body: bodies.add(body) or 200, idempotency_store=SQLiteStore(path))
    meetings = [succeeded(f"m-{number}") for number in range(60)]
    assert {protocol.deliver(guarded, body).status for body in meetings} == {200}
    assert bodies == set(meetings)
    assert "database or disk is full" in caplog.text


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 128 KiB, where this machine lets us mount one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = shutil.which("mount") is not None and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder], capture_output=True, check=False
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("a file system cannot be mounted here; test_a_full_disk_loses_nothing has the same property")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_that_is_truly_full_loses_nothing(protocol, tiny_disk, caplog):
    bodies = set()
    store = SQLiteStore(tiny_disk / "deliveries.sqlite3")
    guarded = protocol.guard(lambda body: bodies.add(body) or 200, idempotency_store=store)
    meetings = [succeeded(f"m-{number}") for number in range(100)]
    assert {protocol.deliver(guarded, body).status for body in meetings} == {200}
    assert bodies == set(meetings)
    assert errors(caplog)
    store.close()


def test_a_redis_server_that_is_stopped_and_started_again_loses_nothing(protocol, redis_server_to_stop, caplog):
    server, bodies = redis_server_to_stop, []

    def handle(body):
        bodies.append(body)
        if len(bodies) == 1:
            server.stop()
        return 200

    guarded = protocol.guard(handle, idempotency_store=RedisStore(server.url, lease=60))  # no renewal fails, too
    assert [protocol.deliver(guarded, succeeded()).body for _ in range(2)] == [b"done", b"done"]
    assert ["complete" in errors(caplog)[0], "claim" in errors(caplog)[1]] == [True, True]
    server.start()
    assert [protocol.deliver(guarded, succeeded()).body for _ in range(2)] == [b"done", b""]
    assert len(errors(caplog)) == 2
    assert len(bodies) == 3


def test_a_redis_server_that_hangs_holds_a_delivery_up_for_seconds_only(protocol, redis_server, caplog):
    guarded = protocol.guard(lambda body: 200, idempotency_store=RedisStore(f"{redis_server.url}?socket_timeout=0.2"))
    with redis_server.client() as client:
        client.client_pause(60_000, all=False)  # all that writes; what is paused with all couldn't be unpaused
        try:
            begun = time.monotonic()
            assert protocol.deliver(guarded, succeeded()).body == b"done"
            assert time.monotonic() - begun < 9  # at ten the guard itself would give up
        finally:
            client.client_unpause()
    assert "Timeout" in errors(caplog)[0]


def test_a_claim_lost_with_a_forgetful_store_is_completed_all_the_same(protocol, redis_server):
    def handle(body):
        with redis_server.client() as client:
            client.flushall()
        return 200

    guarded = protocol.guard(handle, idempotency_store=RedisStore(redis_server.url))
    assert [protocol.deliver(guarded, succeeded()).body for _ in range(2)] == [b"done", b""]


def test_a_handler_that_outlives_its_lease_is_remembered(protocol):
    def handle(body):
        time.sleep(0.1)
        return 200

    guarded = protocol.guard(handle, idempotency_store=MemoryStore(lease=0.05))
    assert [protocol.deliver(guarded, succeeded()).body for _ in range(2)] == [b"done", b""]


def test_the_umask_of_the_process_is_left_alone(tmp_path):
    umask = os.umask(0o027)
    SQLiteStore(tmp_path / "deliveries.sqlite3").claim("key")
    assert os.umask(umask) == 0o027
