import asyncio
import json
import logging
import os
import shutil
import sqlite3
import time
from contextlib import redirect_stdout
from io import StringIO

import httpx
import pytest
import redis
from steps import after, before, deliver, free_port, sign

from mg_middleware import MeetGeekWSGIMiddleware, MemoryStore

MEETING = b'{"message": "File analyzed successfully", "meeting_id": "m-1"}'


def wait_for(text, output):
    until = time.monotonic() + 10
    while text not in output.getvalue():
        assert time.monotonic() < until, output.getvalue()
        time.sleep(0.02)


def responding(status, body=b"", fields=()):
    def app(environ, start_response):
        start_response(status, [("Content-Type", "text/plain"), *fields])
        return [body]

    return app


@after(file="whole_receiver.py")
def the_handler_gets_what_is_genuine(page):
    failure = b'{"message": "File analyzed failed"}'
    with redirect_stdout(StringIO()) as printed:
        for body in (MEETING, failure):
            answer = deliver("whole_receiver:app", body=body)
            assert (answer.status_code, answer.content) == (200, b"")
        assert deliver("whole_receiver:app", body=MEETING, signature="0" * 64).status_code == 401
    assert printed.getvalue() == "to the queue: m-1\n"


@before(file="existing_app.py")
def what_acknowledges_a_delivery(page):
    answer = deliver(
        MeetGeekWSGIMiddleware(responding("202 Accepted", b"ok", [("X-Request-Id", "7")]), acknowledge=True)
    )
    assert (answer.status_code, answer.content, answer.headers["x-request-id"]) == (200, b"", "7")
    for status, acknowledged in (("204 No Content", True), ("302 Found", False), ("422 No", False), ("500 Oh", False)):
        answer = deliver(MeetGeekWSGIMiddleware(responding(status), acknowledge=True))
        assert (answer.status_code == 200) is acknowledged


@before(file="existing_app.py")
def the_response_decides_what_is_remembered(page):
    runs = []

    def receiver(environ, start_response):
        runs.append(environ)
        if len(runs) == 1:
            raise ConnectionError("the queue is down")
        return responding("200 OK")(environ, start_response)

    app = MeetGeekWSGIMiddleware(receiver, idempotency_store=MemoryStore())
    with pytest.raises(ConnectionError):
        deliver(app, body=MEETING)
    assert [deliver(app, body=MEETING).status_code for _ in range(3)] == [200, 200, 200]
    assert len(runs) == 2


def refused_while_the_queue_is_down(error, app):
    """The exception goes on to the server, which responds 500, and MeetGeek sends again."""
    with pytest.raises(error):
        deliver(app, body=MEETING)


def acknowledged(app):
    """The delivery is acknowledged, and no work is done on the way."""
    with redirect_stdout(StringIO()) as printed:
        answer = deliver(app, body=MEETING)
        assert (answer.status_code, answer.content, printed.getvalue()) == (200, b"", "")
        for refused in (
            deliver(app, body=MEETING, signature=""),
            deliver(app, body=MEETING + b" ", signature="0" * 64),
        ):
            assert refused.status_code == 401


@after(file="existing_app.py")
def an_existing_application_keeps_its_other_requests(page):
    page.celery_port = free_port()
    os.environ["BROKER_URL"] = f"redis://127.0.0.1:{page.celery_port}"


@after(file="celery_receiver.py")
def celery_has_the_meeting_before_it_is_acknowledged(page):
    import celery_receiver
    import existing_app
    import tasks
    from celery.contrib.testing.worker import start_worker
    from kombu.exceptions import OperationalError

    for app in (celery_receiver.app, existing_app.app):
        refused_while_the_queue_is_down(OperationalError, app)
    page.redis_url(page.celery_port)
    queue = redis.Redis(port=page.celery_port)
    for number, app in enumerate((celery_receiver.app, existing_app.app), 1):
        acknowledged(app)
        assert queue.llen("celery") == number
    queue.close()
    assert deliver(existing_app.app, path="/elsewhere", signature="").status_code == 404
    with (
        redirect_stdout(StringIO()) as printed,
        start_worker(tasks.celery, perform_ping_check=False, loglevel="ERROR", pool="solo"),
    ):
        wait_for("fetching m-1\nfetching m-1\n", printed)


@after(file="rq_receiver.py")
def rq_has_the_meeting_before_it_is_acknowledged(page):
    port = free_port()
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{port}"
    import rq_receiver
    from rq import SimpleWorker

    refused_while_the_queue_is_down(redis.ConnectionError, rq_receiver.app)
    page.redis_url(port)
    acknowledged(rq_receiver.app)
    assert [job.args for job in rq_receiver.queue.jobs] == [("m-1",)]
    with redirect_stdout(StringIO()) as printed:
        SimpleWorker([rq_receiver.queue], connection=rq_receiver.queue.connection).work(
            burst=True, logging_level="ERROR"
        )
        assert "fetching m-1" in printed.getvalue()
    rq_receiver.queue.connection.close()


@after(file="huey_receiver.py")
def huey_has_the_meeting_before_it_is_acknowledged(page):
    folder = page.folder / "queue"
    folder.mkdir()
    os.environ["QUEUE_FILE"] = str(folder / "huey.db")
    import huey_receiver

    huey_receiver.huey.storage.close()
    shutil.rmtree(folder)  # as if the disk were gone
    refused_while_the_queue_is_down(sqlite3.OperationalError, huey_receiver.app)
    folder.mkdir()
    huey_receiver.huey.storage.initialize_schema()
    acknowledged(huey_receiver.app)
    [task] = huey_receiver.huey.pending()
    assert task.args == ("m-1",)
    with redirect_stdout(StringIO()) as printed:
        huey_receiver.huey.execute(huey_receiver.huey.dequeue())
        assert "fetching m-1" in printed.getvalue()
    huey_receiver.huey.storage.close()


@after(file="procrastinate_receiver.py")
def procrastinate_has_the_meeting_before_it_is_acknowledged(page):
    database = page.postgresql()
    os.environ["DATABASE_URL"] = database.url.replace("+psycopg", "")
    import procrastinate_receiver
    import psycopg
    from procrastinate.exceptions import ConnectorException

    procrastinate_receiver.queue.schema_manager.apply_schema()
    database.stop()
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    refused_while_the_queue_is_down(ConnectorException, procrastinate_receiver.app)
    database.start()
    acknowledged(procrastinate_receiver.app)
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        rows = connection.execute("select args, status from procrastinate_jobs").fetchall()
    assert rows == [({"meeting_id": "m-1"}, "todo")]
    procrastinate_receiver.queue.close()
    with redirect_stdout(StringIO()) as printed:
        asyncio.run(run_procrastinate(procrastinate_receiver.queue))
        assert "fetching m-1" in printed.getvalue()


async def run_procrastinate(queue):
    async with queue.open_async():
        await queue.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)


@after(file="taskiq_receiver.py")
def taskiq_has_the_meeting_before_it_is_acknowledged(page):
    port = free_port()
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{port}"
    import taskiq_receiver
    from taskiq.exceptions import SendTaskError

    async def deliver_twice():  # on one event loop, as the connections of the broker are bound to it
        fields = {"x-mg-signature": sign(MEETING)}
        transport = httpx.ASGITransport(taskiq_receiver.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=fields) as client:
            with pytest.raises(SendTaskError):
                await client.post("/", content=MEETING)
            page.redis_url(port)
            answer = await client.post("/", content=MEETING)
        assert (answer.status_code, answer.content) == (200, b"")
        await taskiq_receiver.broker.connection_pool.disconnect()

    asyncio.run(deliver_twice())
    with redis.Redis(port=port) as queue:
        [message] = queue.lrange("taskiq", 0, -1)
    assert json.loads(message)["args"] == ["m-1"]


@after(file="thread_app.py")
def a_thread_gets_the_meeting(page):
    import thread_app

    with redirect_stdout(StringIO()) as printed:
        answer = deliver(thread_app.app, body=MEETING)
        assert (answer.status_code, answer.content) == (200, b"")
        wait_for("fetching m-1", printed)
    thread_app.workers.shutdown()


@after(file="background_app.py")
def a_background_task_gets_the_meeting(page):
    with redirect_stdout(StringIO()) as printed:
        answer = deliver("background_app:app", body=MEETING)
        assert (answer.status_code, answer.content) == (200, b"")
        assert "fetching m-1" in printed.getvalue()
