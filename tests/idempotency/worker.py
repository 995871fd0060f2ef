"""One receiver process of the race and fault tests: told by one line of JSON what to receive, answers in one line."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from once_per_meeting import (
    SECRET,
    append_line,
    asgi_application,
    receive_asgi_answer,
    succeeded,
    wsgi_answer,
    wsgi_application,
)

from mg_middleware import (
    MeetGeekASGIMiddleware,
    MeetGeekWSGIMiddleware,
    MemoryStore,
    RedisStore,
    SQLAlchemyStore,
    SQLiteStore,
)

STORES = {
    "memory": lambda _location, **options: MemoryStore(**options),
    "sqlite": SQLiteStore,
    "redis": RedisStore,
    "postgresql": SQLAlchemyStore,
    "mariadb": SQLAlchemyStore,
}


def deliver_on_wsgi(task, store, handle):
    guarded = MeetGeekWSGIMiddleware(wsgi_application(handle), SECRET, idempotency_store=store)
    barrier = threading.Barrier(task["at_once"])

    def deliver(meeting_id):
        if len(task["meetings"]) == task["at_once"]:
            barrier.wait()
        return wsgi_answer(guarded, succeeded(meeting_id)).status

    with ThreadPoolExecutor(task["at_once"]) as threads:
        return list(threads.map(deliver, task["meetings"]))


async def deliver_on_asgi(task, store, handle):
    async def handle_in_thread(body):
        return await asyncio.to_thread(handle, body)

    guarded = MeetGeekASGIMiddleware(asgi_application(handle_in_thread), SECRET, idempotency_store=store)
    limit = asyncio.Semaphore(task["at_once"])

    async def deliver(meeting_id):
        async with limit:
            return (await receive_asgi_answer(guarded, succeeded(meeting_id))).status

    return await asyncio.gather(*map(deliver, task["meetings"]))


def main():
    task = json.loads(sys.argv[1])
    store = STORES[task["store"]](task["location"], lease=task["lease"])

    def handle(body):
        meeting = json.loads(body)["meeting_id"]
        append_line(task["log"], f"{task['name']}-begins-{meeting}" if task["name"] else meeting)
        time.sleep(task["seconds"])
        if task["name"]:
            append_line(task["log"], f"{task['name']}-ends-{meeting}")
        return 200

    print("ready", flush=True)  # noqa: T201 - to the test
    sys.stdin.readline()
    if task["protocol"] == "WSGI":
        statuses = deliver_on_wsgi(task, store, handle)
    else:
        statuses = asyncio.run(deliver_on_asgi(task, store, handle))
    print(json.dumps(statuses), flush=True)  # noqa: T201 - to the test


if __name__ == "__main__":
    main()
