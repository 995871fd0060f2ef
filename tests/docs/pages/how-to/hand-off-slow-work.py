import os
import time
from contextlib import redirect_stdout
from io import StringIO

import pytest
from steps import after, before, deliver

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


@before(file="tasks.py")
def what_acknowledges_a_delivery(page):
    os.environ["BROKER_URL"] = "memory://"
    answer = deliver(
        MeetGeekWSGIMiddleware(responding("202 Accepted", b"ok", [("X-Request-Id", "7")]), acknowledge=True)
    )
    assert (answer.status_code, answer.content, answer.headers["x-request-id"]) == (200, b"", "7")
    for status, acknowledged in (("204 No Content", True), ("302 Found", False), ("422 No", False), ("500 Oh", False)):
        answer = deliver(MeetGeekWSGIMiddleware(responding(status), acknowledge=True))
        assert (answer.status_code == 200) is acknowledged


@before(file="tasks.py")
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


@after(file="celery_app.py")
def a_worker_of_celery_gets_the_meeting(page):
    import celery_app
    import tasks
    from celery.contrib.testing.worker import start_worker

    with redirect_stdout(StringIO()) as printed:
        answer = deliver(celery_app.app, body=MEETING)
        assert (answer.status_code, answer.content, printed.getvalue()) == (200, b"", "")
        with start_worker(tasks.celery, perform_ping_check=False, loglevel="ERROR"):
            wait_for("fetching m-1", printed)


@after(file="rq_app.py")
def a_worker_of_rq_gets_the_meeting(page):
    os.environ["REDIS_URL"] = page.redis_url()
    import rq_app
    from rq import SimpleWorker

    with redirect_stdout(StringIO()) as printed:
        answer = deliver(rq_app.app, body=MEETING)
        assert (answer.status_code, answer.content, printed.getvalue()) == (200, b"", "")
        SimpleWorker([rq_app.queue], connection=rq_app.queue.connection).work(burst=True, logging_level="ERROR")
        assert "fetching m-1" in printed.getvalue()
    rq_app.queue.connection.close()


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
